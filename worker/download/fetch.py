"""From a URL to its bytes: one session for the worker, bounded in every direction, with retries.

One try holds a slot of the worker's limiter, one of the job's and one of its host's; all are free while it waits for
the next try. Redirects are followed by hand, so that every hop is judged like the first URL. Addresses are judged where
sockets are made: that sees literal addresses, redirects and names that resolve to something else the second time alike.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn, Self

import aiohttp
import structlog
from aiohappyeyeballs import SocketFactoryType
from aiohttp.abc import AbstractResolver
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential
from yarl import URL

from worker.download.body_budget import SMALL_BODY_BYTES, BodyBudget, BodyClaim
from worker.download.dns import DnsResolver
from worker.download.host_names import HostNames
from worker.download.host_pace import HostPaces
from worker.download.http_answers import check_headers, check_status, too_large
from worker.download.sockets import Hop, cause_of, guarded_sockets, hop_under_way, repeat_only_on_stale_connections
from worker.download.try_clock import TryClock
from worker.download.urls import ImageUrl, expired, host_is_allowed, parse_image_url, redacted, redirect_target
from worker.errors import ImageError, ImageReason
from worker.limiter import Limiter

_MAX_CONNECT_SECONDS = 10.0
_MAX_SILENT_SECONDS = 10.0
_SLOW_AFTER_SECONDS = 5.0
_SLOW_BYTES_PER_SECOND = 1_024
_BUFFERED_BYTES = 1 << 17
"""Twice as many may wait in a connection before it is paused; with aiohttp's default, most covers would be once."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

# What an exception of the HTTP client means: reason code, whether a further try could get better, what to tell people.
# The first row that fits decides, so the narrow classes stand before their bases.
_MEANINGS: tuple[tuple[tuple[type[Exception], ...], ImageReason, bool, str], ...] = (
    ((aiohttp.ClientConnectorDNSError,), ImageReason.DNS, False, "its host does not resolve"),
    ((aiohttp.ClientSSLError,), ImageReason.TLS, False, "no trusted TLS connection"),
    ((TimeoutError,), ImageReason.TIMEOUT, True, "no answer in time while connecting or reading"),
    ((aiohttp.ClientPayloadError,), ImageReason.TRUNCATED, True, "the body broke off"),
    ((aiohttp.ClientResponseError,), ImageReason.SERVER_ERROR, False, "the answer is malformed or has huge headers"),
    ((aiohttp.InvalidURL,), ImageReason.BAD_URL, False, "the HTTP client cannot use it"),
    ((aiohttp.ClientConnectionError, OSError), ImageReason.CONNECT, True, "the connection failed"),
    ((Exception,), ImageReason.SERVER_ERROR, False, "the HTTP client failed"),
)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What the worker allows itself. Sizes are in bytes, `backoff_factor` and `max_delay` in seconds.

    `connections` is the worker-wide cap on tries at a time, `connections_per_host` that of one host; 0 stands for three
    quarters of them, so that no host can take them all. `allowed_hosts` are patterns as `host_is_allowed` reads them;
    none allow every host. With `allow_private` (local runs) loopback and private addresses, any port, and redirects
    from https to http are let through.
    """

    max_bytes: int
    user_agent: str
    allow_private: bool
    backoff_factor: float
    max_delay: float
    connections: int
    allowed_ports: frozenset[int] = frozenset({80, 443})
    max_redirects: int = 3
    connections_per_host: int = 0
    allowed_hosts: tuple[str, ...] = ()


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

    `clock` gives epoch seconds, `seconds` such that never go back. `resolver` finds the addresses of names, and is
    closed with the fetcher. `sockets` makes the sockets, and refuses addresses that may not be connected to. `tls` says
    which certificates are trusted; without it, those that the machine trusts. `slots` is the worker's own limiter: its
    limit may be lowered when memory runs short.
    """

    slots: Limiter

    def __init__(
        self,
        policy: FetchPolicy,
        *,
        clock: Callable[[], float] = time.time,
        seconds: Callable[[], float] = time.monotonic,
        resolver: AbstractResolver | None = None,
        sockets: SocketFactoryType | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._sockets = sockets or guarded_sockets(allow_private=policy.allow_private)
        self._tls = tls
        self._clock = clock
        self._names = HostNames(resolver or DnsResolver(search_domains=policy.allow_private), seconds)
        self._session: aiohttp.ClientSession | None = None
        self.slots = Limiter(policy.connections)
        self._body_budget = BodyBudget()
        self._host_paces = HostPaces(policy.connections_per_host or -(-policy.connections * 3 // 4), seconds)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._policy.connections,
                limit_per_host=0,
                use_dns_cache=False,
                resolver=self._names,
                socket_factory=self._sockets,
                ssl=self._tls or True,
            ),
            headers={
                "Accept": "image/jpeg, image/*;q=0.8",
                "Accept-Encoding": "identity",
                "User-Agent": self._policy.user_agent,
            },
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
        start = parse_image_url(url)
        try:
            body, seconds, claim = await self._try_with_claim(start, timeout, slots)
        except ImageError as error:
            if not error.transient or max_retries == 0:
                raise
            return await self._fetch_again(error, start, timeout, max_retries, slots)
        return Fetched(body, 1, seconds, claim.release)

    async def _fetch_again(
        self, first: ImageError, start: ImageUrl, seconds: float, max_retries: int, slots: Limiter
    ) -> Fetched:
        """Go on after a first try that failed: what works at once goes without tenacity, which costs 0.1 ms a call."""
        failed: list[ImageError] = [first]

        async def a_try() -> tuple[bytes, float, BodyClaim]:
            if failed:
                raise failed.pop()
            return await self._try_with_claim(start, seconds, slots)

        retrying = AsyncRetrying(
            stop=stop_after_attempt(max_retries + 1),
            wait=self._delay,
            retry=retry_if_exception(_is_transient),
            before_sleep=lambda state: _log_retry(state, start),
            reraise=True,
        )
        again: tuple[bytes, float, BodyClaim] = await retrying(a_try)
        body, spent, claim = again
        return Fetched(body, retrying.statistics["attempt_number"], spent, claim.release)

    async def _try_with_claim(self, start: ImageUrl, seconds: float, slots: Limiter) -> tuple[bytes, float, BodyClaim]:
        claim = self._body_budget.claim_for(slots)
        try:
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
        while True:
            self._check_link(url)
            await self._find_addresses(url, slots)
            async with self._host_paces.admitted(url.host, url.port, seconds, slots, self.slots):
                try:
                    async with clock:
                        answer, hops = await self._follow(url, hops, clock, claim)
                except TimeoutError:
                    raise _timed_out(url, f"the try took longer than the {seconds:g} s allowed") from None
            if isinstance(answer, bytes):
                return answer, clock.spent
            url = answer

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
                    f"{redacted(url.text)} redirects again and again; "
                    f"allowed are {self._policy.max_redirects} redirects",
                )
            if (answer.host, answer.port) != (url.host, url.port):
                return answer, hops
            url = answer
            self._check_link(url)

    def _check_link(self, url: ImageUrl) -> None:
        if expired(url.text, self._clock()):
            raise ImageError(
                ImageReason.EXPIRED, f"the link expired: x-expires of {redacted(url.text)} has passed; get a fresh one"
            )
        if not host_is_allowed(url.host, self._policy.allowed_hosts):
            raise ImageError(
                ImageReason.ADDRESS_REFUSED,
                f"the host of {redacted(url.text)} is refused; allowed: {', '.join(self._policy.allowed_hosts)}",
            )
        if not self._policy.allow_private and url.port not in self._policy.allowed_ports:
            allowed = ", ".join(str(port) for port in sorted(self._policy.allowed_ports))
            raise ImageError(
                ImageReason.ADDRESS_REFUSED, f"port {url.port} of {redacted(url.text)} is refused; allowed: {allowed}"
            )

    async def _get(self, url: ImageUrl, clock: TryClock, claim: BodyClaim) -> bytes | ImageUrl:
        """Make one request. Return the image's bytes, or where the server sends us instead."""
        if self._session is None:
            raise RuntimeError("the fetcher is not open; use it as `async with Fetcher(...)`")
        hop = Hop()
        hop_under_way.set(hop)
        request = self._session.get(
            URL(url.text, encoded=True), allow_redirects=False, timeout=_timeouts(clock.seconds)
        )
        with _as_image_errors(url, hop):
            async with request as response:
                if response.status in _REDIRECTS:
                    return self._next_hop(url, response.headers.get("Location"))
                check_status(url, response.status, response.headers.get("Retry-After"), self._clock())
                check_headers(url, response.headers, self._policy.max_bytes)
                return await self._read(url, response, clock, claim)

    def _next_hop(self, url: ImageUrl, location: str | None) -> ImageUrl:
        if not location:
            raise ImageError(ImageReason.SERVER_ERROR, f"{redacted(url.text)} redirects without saying where to")
        following = redirect_target(url, location)
        if url.scheme == "https" and following.scheme == "http" and not self._policy.allow_private:
            raise ImageError(ImageReason.BAD_URL, f"{redacted(url.text)} redirects to http: {redacted(following.text)}")
        return following

    async def _read(self, url: ImageUrl, response: aiohttp.ClientResponse, clock: TryClock, claim: BodyClaim) -> bytes:
        began = clock.spent
        chunks: list[bytes] = []
        size = 0
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > self._policy.max_bytes:
                response.close()
                raise too_large(url, f"more than {self._policy.max_bytes:,} bytes", self._policy.max_bytes)
            if is_too_slow(size, clock.spent - began):
                raise _timed_out(url, f"{size:,} bytes came at less than {_SLOW_BYTES_PER_SECOND:,} bytes/s")
            if size > SMALL_BODY_BYTES:
                with clock.paused():
                    await claim.make(url.host)  # while it waits, nothing more is taken off the connection
            chunks.append(chunk)
        if not chunks:
            raise ImageError(ImageReason.NOT_AN_IMAGE, f"{redacted(url.text)} answered with an empty body")
        return b"".join(chunks)

    def _delay(self, state: RetryCallState) -> float:
        """Seconds until the next try: full jitter, at least what the server asked for, at most `max_delay`."""
        policy = self._policy
        jitter = wait_random_exponential(multiplier=policy.backoff_factor, max=policy.max_delay)(state)
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, ImageError) else None
        return min(max(jitter, asked or 0.0), policy.max_delay)


def is_too_slow(size: int, seconds: float) -> bool:
    """Whether `size` bytes in `seconds` are a body that trickles only to keep us waiting."""
    return seconds > _SLOW_AFTER_SECONDS and size < _SLOW_BYTES_PER_SECOND * seconds


def _timed_out(url: ImageUrl, why: str) -> ImageError:
    return ImageError(ImageReason.TIMEOUT, f"{redacted(url.text)}: {why}", transient=True)


def _timeouts(seconds: float) -> aiohttp.ClientTimeout:
    # The total is ours to count, because it spans redirects.
    return aiohttp.ClientTimeout(
        total=None, connect=min(_MAX_CONNECT_SECONDS, seconds), sock_read=min(_MAX_SILENT_SECONDS, seconds)
    )


@contextmanager
def _as_image_errors(url: ImageUrl, hop: Hop) -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 -- every failure of a library below ends as an ImageError
        _raise_image_error(url, hop, error)


def _raise_image_error(url: ImageUrl, hop: Hop, error: Exception) -> NoReturn:
    """Raise the ImageError that `error` means.

    Its text is made here and the cause is cut off: aiohttp's own texts hold the URL with its signature.
    """
    where = redacted(url.text)
    if hop.refused and isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        raise ImageError(
            ImageReason.ADDRESS_REFUSED, f"{where} leads to {hop.refused}; allowed are public addresses"
        ) from None
    _, reason, transient, why = next(row for row in _MEANINGS if isinstance(error, row[0]))
    raise ImageError(
        reason, f"{where}: {why} ({cause_of(error)})", transient=transient or _resolves_later(error)
    ) from None


def _resolves_later(error: Exception) -> bool:
    if not isinstance(error, aiohttp.ClientConnectorDNSError):
        return False
    return isinstance(error.os_error, socket.gaierror) and error.os_error.errno == socket.EAI_AGAIN


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, ImageError) and error.transient


def _log_retry(state: RetryCallState, url: ImageUrl) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.info(
        "image.fetch_retried",
        reason=error.reason.value if isinstance(error, ImageError) else None,
        attempt=state.attempt_number,
        delay=state.next_action.sleep if state.next_action else None,
        url=redacted(url.text),
    )
