"""From a URL to its bytes: one session for the worker, bounded in every direction, with retries.

The host's name is looked up first. Then one try holds a slot of the worker's limiter, one of the job's and one of its
host's; all are free while it waits for the next try. Redirects are followed by hand, so that every URL on the way is
judged like the first. Addresses are judged where sockets are made: that sees literal addresses, redirects and names
that resolve to something else the second time alike.
"""

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

import aiohttp
from aiohappyeyeballs import SocketFactoryType
from aiohttp.abc import AbstractResolver
from yarl import URL

from worker.download.body import BodyRules, read_body
from worker.download.body_budget import BodyBudget, BodyClaim
from worker.download.connector import Connector
from worker.download.dns import DnsResolver
from worker.download.failures import as_image_error
from worker.download.host_names import HostNames
from worker.download.host_pace import HostPaces
from worker.download.http_answers import check_answer
from worker.download.policy import FetchPolicy
from worker.download.retries import tried_again
from worker.download.sockets import Hop, cause_of, guarded_sockets, hop_under_way, repeat_only_on_stale_connections
from worker.download.try_clock import TryClock
from worker.download.urls import ImageUrl, parse_image_url, redacted, redirect_target
from worker.errors import ImageError, ImageReason
from worker.limiter import Limiter

_MAX_CONNECT_SECONDS = 10.0
_MAX_SILENT_SECONDS = 10.0
_BUFFERED_BYTES = 1 << 17
"""Twice as many may wait in a connection before it is paused; with aiohttp's default, most covers would be once."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Fetched:
    """An image's bytes, the tries it took, and the seconds of the one that succeeded.

    The seconds leave out what the worker waited for itself. Whoever is done with the bytes calls `release`: only a few
    large bodies are held at a time.
    """

    body: bytes
    attempts: int
    seconds: float
    release: Callable[[], None] = lambda: None


class Fetcher:
    """Fetches images over one session: `async with Fetcher(policy) as fetcher: ...`.

    `could_be_image` says of a body's first bytes (up to 1,024) whether an image may begin so; reading ends where not.
    `clock` gives epoch seconds, `seconds` such that never go back. `resolver` finds the addresses of names, and is
    closed with the fetcher. `sockets` makes the sockets, and refuses addresses that may not be connected to. `tls` says
    which certificates are trusted; without it, those that the machine trusts. `slots` is the worker's own limiter: its
    limit may be lowered when memory runs short. `body_budget` counts the large bodies.
    """

    slots: Limiter
    body_budget: BodyBudget

    def __init__(
        self,
        policy: FetchPolicy,
        *,
        could_be_image: Callable[[bytes], bool] = lambda _: True,
        clock: Callable[[], float] = time.time,
        seconds: Callable[[], float] = time.monotonic,
        resolver: AbstractResolver | None = None,
        sockets: SocketFactoryType | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._body_rules = BodyRules(
            policy.max_bytes, could_be_image, policy.slowest_bytes_per_second, policy.slow_after_seconds
        )
        self._clock = clock
        self._sockets = sockets or guarded_sockets(allow_private=policy.allow_private)
        self._tls = tls
        self._names = HostNames(resolver or DnsResolver(search_domains=policy.allow_private), seconds)
        self._session: aiohttp.ClientSession | None = None
        self.slots = Limiter(policy.connections)
        self.body_budget = BodyBudget()
        most = -(-policy.connections * 3 // 4)
        self._host_paces = HostPaces(policy.connections_per_host or most, seconds)
        self._most_of_a_job = most
        self._jobs: WeakKeyDictionary[Limiter, Limiter] = WeakKeyDictionary()

    async def __aenter__(self) -> Self:
        headers = {
            "Accept": "image/jpeg, image/*;q=0.8",
            "Accept-Encoding": "identity",
            "User-Agent": self._policy.user_agent,
        }
        if self._policy.referer:
            headers["Referer"] = self._policy.referer
        self._session = aiohttp.ClientSession(
            connector=Connector(resolver=self._names, sockets=self._sockets, tls=self._tls),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(repeat_only_on_stale_connections,),
            auto_decompress=False,
            requote_redirect_url=False,
            trust_env=False,
            read_bufsize=_BUFFERED_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await self._names.close()

    async def fetch(
        self,
        url: str,
        *,
        timeout: float,  # noqa: ASYNC109 -- a job's setting, for each try; the caller cannot know when one starts
        max_retries: int,
        slots: Limiter,
    ) -> Fetched:
        """Fetch `url`, with up to `max_retries` further tries of `timeout` seconds each.

        `slots` is the job's limiter. Raises ImageError with the reason of the last try; nothing else, other than
        cancellation.
        """
        self._opened()
        start = parse_image_url(url)
        a_try = partial(self._try_with_claim, start, timeout, slots)
        attempts = 1
        try:
            body, seconds, claim = await a_try()
        except ImageError as error:
            if not error.transient or max_retries == 0:
                raise
            again, attempts = await tried_again(error, a_try, url=start, max_retries=max_retries, policy=self._policy)
            body, seconds, claim = again
        return Fetched(body, attempts, seconds, claim.release)

    async def _try_with_claim(self, start: ImageUrl, seconds: float, slots: Limiter) -> tuple[bytes, float, BodyClaim]:
        claim = self.body_budget.claim_for(slots)
        try:
            try:
                return *await self._try(start, seconds, slots, claim), claim
            except ImageError as error:
                if not (claim.had_to_wait and error.transient):
                    raise
            # The server may have hung up because we let it wait for memory. That is not its fault, so this was no try.
            return *await self._try(start, seconds, slots, claim), claim
        except BaseException:
            claim.release()
            raise

    async def _try(self, start: ImageUrl, seconds: float, slots: Limiter, claim: BodyClaim) -> tuple[bytes, float]:
        """Make one try of at most `seconds`, in which waiting for slots and for memory does not count.

        Nor does the look-up of the host's name, which has bounds of its own.

        Where a redirect leads to another host, the slots are given back and that host's are waited for.
        """
        url, hops, clock = start, 0, TryClock(seconds)
        shared = (self.slots,) if slots.limit <= self._most_of_a_job else (self._share_of(slots), self.slots)
        while True:
            self._policy.check(url, self._clock())
            await self._find_addresses(url, slots)
            async with self._host_paces.admitted(url.host, url.port, seconds, slots, *shared):
                try:
                    async with clock:
                        answer, hops = await self._follow(url, hops, clock, claim)
                except TimeoutError:
                    raise _timed_out(url, f"the try took longer than the {seconds:g} s allowed") from None
            if isinstance(answer, bytes):
                return answer, clock.spent
            url = answer

    def _share_of(self, job: Limiter) -> Limiter:
        """Return what bounds a job that asks for more than its share of the worker's slots."""
        share = self._jobs.get(job)
        if share is None:
            share = self._jobs[job] = Limiter(self._most_of_a_job)
        return share

    async def _find_addresses(self, url: ImageUrl, job: Limiter) -> None:
        """Look the host's name up before any slot is taken, so that nobody else waits for a name without answer."""
        try:
            await self._names.look_up(url.host, job)
        except socket.gaierror as error:
            raise ImageError(
                ImageReason.DNS,
                f"{redacted(url.text)}: its host does not resolve ({cause_of(error)})",
                transient=error.errno == socket.EAI_AGAIN,
            ) from None

    async def _follow(
        self, url: ImageUrl, hops: int, clock: TryClock, claim: BodyClaim
    ) -> tuple[bytes | ImageUrl, int]:
        """Follow redirects as long as they stay with the host; returns the image, or where on another host it is.

        `hops` counts the redirects of this try so far, and comes back counted on.
        """
        while True:
            answer = await self._get(url, clock, claim)
            if isinstance(answer, bytes):
                return answer, hops
            hops += 1
            if hops > self._policy.max_redirects:
                raise ImageError(
                    ImageReason.SERVER_ERROR,
                    f"{redacted(url.text)} redirects once more, after {self._policy.max_redirects} redirects; "
                    f"allowed are {self._policy.max_redirects}",
                )
            if (answer.host, answer.port) != (url.host, url.port):
                return answer, hops
            url = answer
            self._policy.check(url, self._clock())

    async def _get(self, url: ImageUrl, clock: TryClock, claim: BodyClaim) -> bytes | ImageUrl:
        """Make one request. Return the image's bytes, or where the server sends us instead."""
        hop = Hop()
        hop_under_way.set(hop)
        request = self._opened().get(
            URL(url.text, encoded=True), allow_redirects=False, timeout=timeouts(clock.seconds)
        )
        try:
            async with request as response:
                if response.status in _REDIRECTS:
                    return self._next_hop(url, response.headers.get("Location"))
                check_answer(url, response.status, response.headers, self._policy.max_bytes, self._clock())
                return await read_body(url, response, self._body_rules, clock, claim)
        except ImageError:
            raise
        except Exception as error:  # noqa: BLE001 -- every failure of a library below ends as an ImageError
            raise as_image_error(url, hop, error) from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the fetcher is not open; use it as `async with Fetcher(...)`")
        return self._session

    def _next_hop(self, url: ImageUrl, location: str | None) -> ImageUrl:
        if not location:
            raise ImageError(ImageReason.SERVER_ERROR, f"{redacted(url.text)} redirects without saying where to")
        following = redirect_target(url, location)
        if url.scheme == "https" and following.scheme == "http" and not self._policy.allow_private:
            raise ImageError(ImageReason.BAD_URL, f"{redacted(url.text)} redirects to http: {redacted(following.text)}")
        return following


def _timed_out(url: ImageUrl, why: str) -> ImageError:
    return ImageError(ImageReason.TIMEOUT, f"{redacted(url.text)}: {why}", transient=True)


@lru_cache(maxsize=64)
def timeouts(seconds: float) -> aiohttp.ClientTimeout:
    """Return how long connecting and silence may last in a try of so many seconds."""
    # The total is ours to count, because it spans redirects.
    return aiohttp.ClientTimeout(
        total=None, connect=min(_MAX_CONNECT_SECONDS, seconds), sock_read=min(_MAX_SILENT_SECONDS, seconds)
    )
