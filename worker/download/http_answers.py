"""What a server's answer means, before its body is read. Pure."""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from worker.download.urls import ImageUrl, redacted
from worker.errors import ImageError, ImageReason

_ACCEPTED_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream"})
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
_BUSY = frozenset({429, 503})


class HostBusy(ImageError):
    """The host asks for fewer requests: 429 or 503. Other failures may be the image's own."""


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


def check_status(url: ImageUrl, status: int, retry_after: str | None, now: float) -> None:
    """Raise `ImageError` for a status that does not come with an image. `now` is in epoch seconds."""
    if 200 <= status <= 299 and status not in _WITHOUT_IMAGE:
        return
    reason, transient = reason_for_status(status)
    failure = HostBusy if status in _BUSY else ImageError
    raise failure(
        reason,
        f"{redacted(url.text)} answered HTTP {status}; an image comes with 200",
        transient=transient,
        retry_after=seconds_asked(retry_after, now) if transient else None,
    )


def check_headers(url: ImageUrl, headers: Mapping[str, str], max_bytes: int) -> None:
    """Raise `ImageError` where the headers tell already that no usable image follows."""
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
        raise too_large(url, f"{int(length):,} bytes", max_bytes)


def too_large(url: ImageUrl, got: str, max_bytes: int) -> ImageError:
    """Return the error of a body with more bytes than allowed."""
    return ImageError(ImageReason.TOO_LARGE, f"{redacted(url.text)} has {got}; allowed are {max_bytes:,}")
