"""What a server's answer means, before its body is read. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from worker.download.content_codings import READABLE, coding_of
from worker.download.urls import ImageUrl, redacted
from worker.errors import ImageError, ImageReason

_WITHOUT_IMAGE = frozenset({204, 205})
_WHOLE_RANGE = re.compile(r"bytes 0-(?P<last>[0-9]{1,18})/(?P<length>[0-9]{1,18})", re.IGNORECASE)
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
_MAY_WANT_HEADERS = ". If the link works in a browser, the server may want a REFERER or another USER_AGENT (settings)"


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


def check_answer(url: ImageUrl, status: int, headers: Mapping[str, str], max_bytes: int, now: float) -> None:
    """Raise `ImageError` where status and headers tell already that no usable image follows. `now`: epoch seconds.

    The content type tells nothing: images come under every type, and the bytes will show.
    """
    _check_status(url, status, headers, now)
    coding = coding_of(headers.get("Content-Encoding", ""))
    if coding and coding not in READABLE:
        raise ImageError(
            ImageReason.UNSUPPORTED_ENCODING,
            f"{redacted(url.text)} is packed as {coding[:40]!r}, though it was asked for as it is; "
            f"readable are {', '.join(READABLE)}",
        )
    length = headers.get("Content-Length", "")  # the HTTP parser lets digits only through
    if length.isdigit() and int(length) > max_bytes:
        raise too_large(url, f"{int(length):,} bytes", max_bytes)


def _check_status(url: ImageUrl, status: int, headers: Mapping[str, str], now: float) -> None:
    if 200 <= status <= 299 and status not in _WITHOUT_IMAGE:
        if status == 206:
            _check_range(url, headers.get("Content-Range", ""))
        return
    reason, transient = reason_for_status(status)
    failure = HostBusy if status in _BUSY else ImageError
    hint = _MAY_WANT_HEADERS if status in (401, 403) else ""
    raise failure(
        reason,
        f"{redacted(url.text)} answered HTTP {status}; an image comes with 200{hint}",
        transient=transient,
        retry_after=seconds_asked(headers.get("Retry-After"), now) if transient else None,
    )


def _check_range(url: ImageUrl, content_range: str) -> None:
    """Let a part that is the whole file pass: some servers answer so though nobody asked for a part."""
    whole = _WHOLE_RANGE.fullmatch(content_range.strip())
    if whole is None or int(whole["last"]) + 1 != int(whole["length"]):
        raise ImageError(
            ImageReason.SERVER_ERROR,
            f"{redacted(url.text)} answered HTTP 206 with the part {content_range[:60]!r}; "
            f"no part was asked for, and only one that is the whole file can be used",
        )


def too_large(url: ImageUrl, got: str, max_bytes: int) -> ImageError:
    """Return the error of a body with more bytes than allowed."""
    return ImageError(ImageReason.TOO_LARGE, f"{redacted(url.text)} has {got}; allowed are {max_bytes:,}")
