"""What a manifest's creator and URL must be for their line to be a row."""

import re

from worker.errors import RejectReason

MAX_CREATOR_BYTES = 1_024
"""Bytes of a creator's name in UTF-8: half of what a partition key of DynamoDB may have."""

MAX_URL = 8_192
"""Characters of a URL."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}):")
_REPLACED = "\ufffd"


def judge(creator: str, url: str, *, lossy: bool) -> tuple[RejectReason, str] | None:
    """Say why a line with this creator and URL, both trimmed, cannot be used; None where it can.

    `lossy` says that U+FFFD stands for bytes that could not be decoded. The text never shows the query of a URL: its
    signature is a secret.
    """
    if not url:
        return RejectReason.NO_URL, "the URL is missing or empty"
    if len(url) > MAX_URL:
        return RejectReason.FIELD_TOO_LONG, f"the URL has {len(url)} characters; allowed are {MAX_URL}"
    if not url[:6].lower().startswith(("http:", "https:")):
        scheme = _SCHEME.match(url)
        got = f"scheme {scheme[1]!r}" if scheme else "no scheme"
        return RejectReason.BAD_SCHEME, f"the URL has {got}; it must begin with http:// or https://"
    if not _is_text(url, lossy=lossy):
        return RejectReason.NO_URL, "the URL holds bytes that cannot be decoded; save the manifest as UTF-8"
    return _judge_creator(creator, lossy=lossy)


def _judge_creator(creator: str, *, lossy: bool) -> tuple[RejectReason, str] | None:
    if not creator:
        return RejectReason.NO_CREATOR, "the creator is missing or empty"
    if not _is_text(creator, lossy=lossy):
        return RejectReason.NO_CREATOR, "the creator holds bytes that cannot be decoded; save the manifest as UTF-8"
    if (size := len(creator.encode())) > MAX_CREATOR_BYTES:
        return (
            RejectReason.FIELD_TOO_LONG,
            f"the creator has {size} bytes in UTF-8; allowed are {MAX_CREATOR_BYTES}",
        )
    return None


def _is_text(text: str, *, lossy: bool) -> bool:
    """Say whether a text can be stored as UTF-8, which lone surrogates cannot, and nothing of it was lost."""
    if lossy and _REPLACED in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
