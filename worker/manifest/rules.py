"""What a creator and a URL must be for their record to be a row."""

import re
from functools import lru_cache

from worker.errors import RejectReason
from worker.manifest.values import creator_key, creator_name, is_rounded
from worker.masks import without_signatures

MAX_CREATOR_BYTES = 1_024
"""Bytes of a creator's name in UTF-8: half of what a partition key of DynamoDB may have."""

MAX_URL = 8_192
"""Characters of a URL."""

SHOWN_URL = 40
"""Characters of a URL that an error shows."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}):")
_QUERY = re.compile(r"[?#]|%3f|%23", re.IGNORECASE)


Problem = tuple[RejectReason, str]
"""Why a record cannot be used, as a code and in words."""


def judge_url(url: str) -> Problem | None:
    """Say why a record with this URL, cleaned, cannot be used; None where it can.

    The text shows the beginning of a URL, and never its query: a signature is a secret.
    """
    if not url:
        return RejectReason.NO_URL, "the URL is missing or empty"
    if len(url) > MAX_URL:
        return RejectReason.FIELD_TOO_LONG, f"the URL has {len(url)} characters; allowed are {MAX_URL}"
    if not url[:8].lower().startswith(("http://", "https://")):
        scheme = _SCHEME.match(url)
        got = f"the scheme {scheme[1]}" if scheme else "no scheme"
        text = f"the URL has {got}; it must begin with http:// or https://, and begins with {shown_url(url)}"
        return RejectReason.BAD_SCHEME, text
    if not _is_text(url):
        return RejectReason.BAD_ENCODING, f"the URL holds half a character; it begins with {shown_url(url)}"
    return None


@lru_cache(maxsize=32_768)
def judged_creator(value: str) -> tuple[str, str, Problem | None]:
    """Return the key and the name in a creator's cell, and why they cannot be used; None where they can.

    The key is the same for all Unicode forms of a name.
    """
    name = creator_name(value)
    problem = _judge_creator(name)
    return (name, name, problem) if problem else (creator_key(name), name, None)


def shown_url(url: str) -> str:
    """Show the beginning of a URL, invisible characters written out, nothing of its query."""
    path = _QUERY.split(url, 1)[0]
    return repr(without_signatures(path[:SHOWN_URL])) + ("…" if path != url or len(path) > SHOWN_URL else "")


def _judge_creator(creator: str) -> Problem | None:
    if not creator:
        return RejectReason.NO_CREATOR, "the creator is missing or empty"
    if is_rounded(creator):
        text = f"the creator is {creator[:40]}, a number that a spreadsheet has rounded; export the column as text"
        return RejectReason.ROUNDED_NUMBER, text
    if not _is_text(creator):
        return RejectReason.BAD_ENCODING, "the creator holds half a character; save the manifest as UTF-8"
    if (size := len(creator.encode())) > MAX_CREATOR_BYTES:
        return (
            RejectReason.FIELD_TOO_LONG,
            f"the creator has {size} bytes in UTF-8; allowed are {MAX_CREATOR_BYTES}",
        )
    return None


def _is_text(text: str) -> bool:
    """Say whether a text can be stored as UTF-8, which halves of surrogate pairs cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
