"""From a URL to its bytes: one session for the worker, bounded in every direction, with retries.

One try holds a slot of the worker's limiter and one of the job's; both are free while it waits for the next try.
Redirects are followed by hand, so that every hop is judged like the first URL. Addresses are judged where sockets are
made: that sees literal addresses, redirects and names that resolve to something else the second time alike.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from types import TracebackType
from typing import NoReturn, Self

import aiohttp
import structlog
from aiohappyeyeballs import AddrInfoType, SocketFactoryType
from aiohttp.abc import AbstractResolver
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential
from yarl import URL

from worker.errors import ImageError, ImageReason
from worker.images.addresses import refusal
from worker.images.limiter import Limiter
from worker.images.urls import ImageUrl, expired, parse_image_url, redacted, redirect_target

_MAX_CONNECT_SECONDS = 10.0
_MAX_SILENT_SECONDS = 10.0
_SLOW_AFTER_SECONDS = 5.0
_SLOW_BYTES_PER_SECOND = 1_024
_DNS_TTL_SECONDS = 300  # the VPC's resolver takes 1,024 packets a second from one network interface

_ACCEPTED_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WITHOUT_IMAGE = frozenset({204, 205, 206})  # 206: no range was asked for
_STATUS_REASONS = {
    400: ImageReason.BAD_URL,
    404: ImageReason.NOT_FOUND,
    408: ImageReason.TIMEOUT,
    410: ImageReason.NOT_FOUND,
    414: ImageReason.BAD_URL,
    429: ImageReason.RATE_LIMITED,
}
_LASTING_SERVER_ERRORS = frozenset({501, 505})

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

    `connections` is the worker-wide cap on tries at a time. With `allow_private` (local runs) loopback and private
    addresses, any port, and redirects from https to http are let through.
    """

    max_bytes: int
    user_agent: str
    allow_private: bool
    backoff_factor: float
    max_delay: float
    connections: int
    allowed_ports: frozenset[int] = frozenset({80, 443})
    max_redirects: int = 3


@dataclass(frozen=True, slots=True)
class Fetched:
    """An image's bytes, the tries it took, and the seconds of the one that succeeded (without waiting for slots)."""

    body: bytes
    attempts: int
    seconds: float


class AddressRefused(OSError):
    """A connection was about to be made to an address that `addresses.refusal` names."""


@dataclass(slots=True)
class _Hop:
    """What the socket factory saw during one request."""

    opened: bool = False
    refused: str | None = None


# The factory is called deep inside the connector, sometimes in a task of its own that inherits the context. What it
# raises there is folded into texts like "Multiple exceptions: ..." or dropped for the next address's failure, so the
# hop's record is the only trace of a refusal that can be relied on.
_hop: ContextVar[_Hop] = ContextVar("hop")


class Fetcher:
    """Fetches images over one session: `async with Fetcher(policy) as fetcher: ...`.

    `clock` gives epoch seconds. `slots` is the worker's own limiter; its limit may be lowered when memory runs short.
    """

    slots: Limiter

    def __init__(
        self,
        policy: FetchPolicy,
        *,
        clock: Callable[[], float] = time.time,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None
        self.slots = Limiter(policy.connections)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._policy.connections,
                limit_per_host=0,
                ttl_dns_cache=_DNS_TTL_SECONDS,
                resolver=self._resolver,
                socket_factory=_guarded_sockets(allow_private=self._policy.allow_private),
            ),
            headers={
                "Accept": "image/jpeg, image/*;q=0.8",
                "Accept-Encoding": "identity",
                "User-Agent": self._policy.user_agent,
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_repeat_only_on_stale_connections,),
            auto_decompress=False,
            requote_redirect_url=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

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
        retrying = AsyncRetrying(
            stop=stop_after_attempt(max_retries + 1),
            wait=self._delay,
            retry=retry_if_exception(_is_transient),
            before_sleep=lambda state: _log_retry(state, start),
            reraise=True,
        )
        tried: tuple[bytes, float] = await retrying(self._try, start, timeout, slots)
        return Fetched(body=tried[0], attempts=retrying.statistics["attempt_number"], seconds=tried[1])

    async def _try(self, start: ImageUrl, seconds: float, slots: Limiter) -> tuple[bytes, float]:
        # The job's slot first: a try that waits for its job must not keep other jobs' tries out.
        async with slots, self.slots:
            began = time.perf_counter()
            try:
                async with asyncio.timeout(seconds):
                    body = await self._follow(start, _timeouts(seconds))
            except TimeoutError:
                raise _timed_out(start, f"the try took longer than the {seconds:g} s allowed") from None
            return body, time.perf_counter() - began

    async def _follow(self, start: ImageUrl, timeouts: aiohttp.ClientTimeout) -> bytes:
        url = start
        for _ in range(self._policy.max_redirects + 1):
            self._check_link(url)
            answer = await self._get(url, timeouts)
            if isinstance(answer, bytes):
                return answer
            url = answer
        raise ImageError(
            ImageReason.SERVER_ERROR,
            f"{redacted(start.text)} redirects again and again; allowed are {self._policy.max_redirects} redirects",
        )

    def _check_link(self, url: ImageUrl) -> None:
        if expired(url.text, self._clock()):
            raise ImageError(
                ImageReason.EXPIRED, f"the link expired: x-expires of {redacted(url.text)} has passed; get a fresh one"
            )
        if not self._policy.allow_private and url.port not in self._policy.allowed_ports:
            allowed = ", ".join(str(port) for port in sorted(self._policy.allowed_ports))
            raise ImageError(
                ImageReason.ADDRESS_REFUSED, f"port {url.port} of {redacted(url.text)} is refused; allowed: {allowed}"
            )

    async def _get(self, url: ImageUrl, timeouts: aiohttp.ClientTimeout) -> bytes | ImageUrl:
        """Make one request. Return the image's bytes, or where the server sends us instead."""
        if self._session is None:
            raise RuntimeError("the fetcher is not open; use it as `async with Fetcher(...)`")
        hop = _Hop()
        _hop.set(hop)
        request = self._session.get(URL(url.text, encoded=True), allow_redirects=False, timeout=timeouts)
        with _as_image_errors(url, hop):
            async with request as response:
                if response.status in _REDIRECTS:
                    return self._next_hop(url, response.headers.get("Location"))
                _check_status(url, response.status, response.headers.get("Retry-After"), self._clock())
                _check_headers(url, response.headers, self._policy.max_bytes)
                return await self._read(url, response)

    def _next_hop(self, url: ImageUrl, location: str | None) -> ImageUrl:
        if not location:
            raise ImageError(ImageReason.SERVER_ERROR, f"{redacted(url.text)} redirects without saying where to")
        following = redirect_target(url, location)
        if url.scheme == "https" and following.scheme == "http" and not self._policy.allow_private:
            raise ImageError(ImageReason.BAD_URL, f"{redacted(url.text)} redirects to http: {redacted(following.text)}")
        return following

    async def _read(self, url: ImageUrl, response: aiohttp.ClientResponse) -> bytes:
        began = time.perf_counter()
        chunks: list[bytes] = []
        size = 0
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > self._policy.max_bytes:
                response.close()
                raise _too_large(url, f"more than {self._policy.max_bytes:,} bytes", self._policy.max_bytes)
            if is_too_slow(size, time.perf_counter() - began):
                raise _timed_out(url, f"{size:,} bytes came at less than {_SLOW_BYTES_PER_SECOND:,} bytes/s")
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


def seconds_asked(retry_after: str | None, now: float) -> float | None:
    """Read a Retry-After header, which holds seconds or an HTTP date (RFC 9110, 10.2.3). None when it says nothing."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)


def reason_for_status(status: int) -> tuple[ImageReason, bool]:
    """Say what an HTTP status other than success means for us, and whether a further try could get better."""
    if status in _STATUS_REASONS:
        return _STATUS_REASONS[status], status in (408, 429)
    if 400 <= status <= 499:
        return ImageReason.FORBIDDEN, False
    return ImageReason.SERVER_ERROR, 500 <= status <= 599 and status not in _LASTING_SERVER_ERRORS


def _check_status(url: ImageUrl, status: int, retry_after: str | None, now: float) -> None:
    if 200 <= status <= 299 and status not in _WITHOUT_IMAGE:
        return
    reason, transient = reason_for_status(status)
    raise ImageError(
        reason,
        f"{redacted(url.text)} answered HTTP {status}; an image comes with 200",
        transient=transient,
        retry_after=seconds_asked(retry_after, now) if transient else None,
    )


def _check_headers(url: ImageUrl, headers: Mapping[str, str], max_bytes: int) -> None:
    coding = headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise ImageError(
            ImageReason.NOT_AN_IMAGE, f"{redacted(url.text)} is encoded as {coding[:40]!r}; allowed is identity"
        )
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not kind.startswith("image/") and kind not in _ACCEPTED_TYPES:
        raise ImageError(
            ImageReason.NOT_AN_IMAGE,
            f"{redacted(url.text)} is {kind[:80]!r}; allowed are image/*, application/octet-stream and none",
        )
    length = headers.get("Content-Length", "")  # the HTTP parser lets digits only through
    if length.isdigit() and int(length) > max_bytes:
        raise _too_large(url, f"{int(length):,} bytes", max_bytes)


def _too_large(url: ImageUrl, got: str, max_bytes: int) -> ImageError:
    return ImageError(ImageReason.TOO_LARGE, f"{redacted(url.text)} has {got}; allowed are {max_bytes:,}")


def _timed_out(url: ImageUrl, why: str) -> ImageError:
    return ImageError(ImageReason.TIMEOUT, f"{redacted(url.text)}: {why}", transient=True)


def _timeouts(seconds: float) -> aiohttp.ClientTimeout:
    # The total is ours to count, because it spans redirects.
    return aiohttp.ClientTimeout(
        total=None, connect=min(_MAX_CONNECT_SECONDS, seconds), sock_read=min(_MAX_SILENT_SECONDS, seconds)
    )


def _guarded_sockets(*, allow_private: bool) -> SocketFactoryType:
    """Make sockets for addresses that we may connect to; raise AddressRefused for the others."""

    def make(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        hop = _hop.get()
        if why := _refusal_of_text(str(address[0]), allow_private=allow_private):
            hop.refused = f"{address[0]} ({why})"
            raise AddressRefused(hop.refused)
        hop.opened = True
        return socket.socket(family, kind, protocol)

    return make


def _refusal_of_text(text: str, *, allow_private: bool) -> str | None:
    try:
        return refusal(ip_address(text), allow_private=allow_private)
    except ValueError:
        return "not an address"  # a name here would be resolved once more, behind our back


async def _repeat_only_on_stale_connections(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a request by itself, except where a kept connection turned out to be dead.

    That one repetition costs no attempt (RFC 9112, 9.3.1); any other would be a try that nobody counts.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise  # aiohttp does not repeat these
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if _hop.get().opened:
            raise aiohttp.ClientConnectionError(_cause(error)) from error
        raise


@contextmanager
def _as_image_errors(url: ImageUrl, hop: _Hop) -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 -- every failure of a library below ends as an ImageError
        _raise_image_error(url, hop, error)


def _raise_image_error(url: ImageUrl, hop: _Hop, error: Exception) -> NoReturn:
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
        reason, f"{where}: {why} ({_cause(error)})", transient=transient or _resolves_later(error)
    ) from None


def _resolves_later(error: Exception) -> bool:
    if not isinstance(error, aiohttp.ClientConnectorDNSError):
        return False
    return isinstance(error.os_error, socket.gaierror) and error.os_error.errno == socket.EAI_AGAIN


def _cause(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return text or type(error.__cause__ or error).__name__


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
