"""Masks secrets in texts: signatures of links, which open somebody's objects, keys and passwords. Pure.

Also escapes characters that steer a terminal or change the direction of the text.
"""

import re

_NAME = r"(?:signature|sign|token|credential|secret|auth|access_?key|password|passwd|api_?key|hmac)[a-z0-9_.-]{0,40}"
_VALUE = r"[^&\s\"'<>\\\x1b]+"

SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Parameters that sign a link, with their values, wherever they stand: in a URL, in a piece of one from a broken
    # message, or escaped in JSON or in another URL.
    (re.compile(rf"(?i)({_NAME}(?:=|%3d|\\u003d)){_VALUE}"), r"\1***"),
    # Short names that other stores and CDNs use. They are common words, so they are masked in a query only.
    (re.compile(rf"(?i)([?&](?:sig|policy|hdn[a-z]{{1,3}}|oh|key|verify|st|s)=){_VALUE}"), r"\1***"),
    (re.compile(rf"(?i)(\"[a-z0-9_.-]{{0,40}}{_NAME}\"\s{{0,9}}:\s{{0,9}}\")[^\"]+"), r"\1***"),
    (re.compile(r"(://)[^/\s@\"'<>\\]{1,300}@"), r"\1***@"),
    (re.compile(r"\b(A[KS]IA)[A-Z0-9]{16}\b"), r"\1***"),
)
"""What secrets look like, and what is shown instead."""

_MAY_HOLD_ONE = re.compile(r"[=%\"@\\]|A[KS]IA")
"""Every secret holds at least one of these. Most texts hold none, so that one search is enough for them."""


def without_signatures(text: str) -> str:
    """Return the text with its secrets masked."""
    if not _MAY_HOLD_ONE.search(text):
        return text
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text


_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return the text with control characters (except tabs and newlines) and direction marks as escapes."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def written_out(text: str) -> str:
    r"""Return the text on one line, with every character that cannot be seen written as its number (\u200b)."""
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)
