"""Reads the body of an answer, and checks it while it arrives.

Reading ends as soon as the body is too long, too slow, or does not begin as an image does.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import aiohttp

from worker.download.body_budget import SMALL_BODY_BYTES, BodyClaim
from worker.download.content_codings import BadCodingError, Unpacker, coding_of
from worker.download.http_answers import too_large
from worker.download.try_clock import TryClock
from worker.download.urls import ImageUrl, redacted
from worker.errors import ImageError, ImageReason

HEAD_BYTES = 1_024
"""So many bytes at the beginning are enough to tell whether a body is an image."""

SMALL_UNPACKED_BYTES = 1 << 20
MOST_TIMES = 100
"""A body may be packed to a hundredth, above a megabyte: pictures are packed already, and hardly shrink once more."""


@dataclass(frozen=True, slots=True)
class BodyRules:
    """The limits of a body. `could_be_image` says of its first bytes, up to 1,024, whether an image begins so."""

    max_bytes: int
    could_be_image: Callable[[bytes], bool]
    slowest_bytes_per_second: int
    slow_after_seconds: float


class SpeedWatch:
    """Tells whether a body arrives too slowly. Each period of `seconds` is judged by itself.

    `now` is in seconds of any clock. Nothing is to be seen before `next_look`.
    """

    def __init__(self, bytes_per_second: int, seconds: float, now: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._seconds = seconds
        self._since = now
        self._received_then = 0
        self.next_look = now + seconds

    def is_too_slow(self, received: int, now: float) -> bool:
        """Say so of a body of which `received` bytes have come by now."""
        if now < self.next_look:
            return False
        is_slow = received - self._received_then < self._bytes_per_second * (now - self._since)
        self._since, self._received_then, self.next_look = now, received, now + self._seconds
        return is_slow


async def read_body(
    url: ImageUrl, response: aiohttp.ClientResponse, rules: BodyRules, clock: TryClock, claim: BodyClaim
) -> bytes:
    """Return the body, unpacked. Raises ImageError where it breaks a rule, and what aiohttp raises where it breaks off.

    While a large body waits for its claim, the try's clock stands still and nothing more is taken off the connection.
    """
    coding = coding_of(response.headers.get("Content-Encoding", ""))
    unpacker = Unpacker(coding) if coding else None
    speed = SpeedWatch(rules.slowest_bytes_per_second, rules.slow_after_seconds, clock.spent)
    pieces: list[bytes] = []
    received = size = 0
    while chunk := await response.content.readany():
        received += len(chunk)
        if clock.spent >= speed.next_look and speed.is_too_slow(received, clock.spent):
            raise _too_slow(url, received, rules)
        for piece in _unpacked(url, unpacker, chunk) if unpacker else (chunk,):
            judged = size >= HEAD_BYTES
            size += len(piece)
            _check_size(url, response, size, received, rules)
            pieces.append(piece)
            if not judged:
                _check_head(url, response, pieces, rules)
            if unpacker:
                await asyncio.sleep(0)  # unpacking takes the event loop's time
            if size > SMALL_BODY_BYTES:
                with clock.paused():
                    await claim.make(url.host)
    if not pieces:
        raise ImageError(ImageReason.NOT_AN_IMAGE, f"{redacted(url.text)} answered with an empty body")
    if unpacker and not unpacker.is_whole:
        raise ImageError(ImageReason.TRUNCATED, f"{redacted(url.text)}: the packed body broke off", transient=True)
    return b"".join(pieces)


def _unpacked(url: ImageUrl, unpacker: Unpacker, chunk: bytes) -> Iterator[bytes]:
    try:
        yield from unpacker.feed(chunk)
    except BadCodingError as error:
        raise ImageError(ImageReason.UNSUPPORTED_ENCODING, f"{redacted(url.text)}: {error}") from None


def _check_size(url: ImageUrl, response: aiohttp.ClientResponse, size: int, received: int, rules: BodyRules) -> None:
    if size > rules.max_bytes:
        response.close()
        raise too_large(url, f"more than {rules.max_bytes:,} bytes", rules.max_bytes)
    if size > SMALL_UNPACKED_BYTES and size > MOST_TIMES * received:
        response.close()
        raise ImageError(
            ImageReason.TOO_LARGE,
            f"{redacted(url.text)} is a bomb: {received:,} packed bytes become more than {MOST_TIMES} times as many",
        )


def _check_head(url: ImageUrl, response: aiohttp.ClientResponse, pieces: list[bytes], rules: BodyRules) -> None:
    head = (pieces[0] if len(pieces) == 1 else b"".join(pieces))[:HEAD_BYTES]
    if head and not rules.could_be_image(head):
        response.close()
        told = response.headers.get("Content-Type", "")[:80]
        raise ImageError(
            ImageReason.NOT_AN_IMAGE,
            f"{redacted(url.text)} is no image: it begins with {head[:16]!r}, and the server calls it {told!r}",
        )


def _too_slow(url: ImageUrl, received: int, rules: BodyRules) -> ImageError:
    return ImageError(
        ImageReason.TIMEOUT,
        f"{redacted(url.text)}: after {received:,} bytes the body came at less than "
        f"{rules.slowest_bytes_per_second:,} bytes/s for {rules.slow_after_seconds:g} s",
        transient=True,
    )
