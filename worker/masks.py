"""What must not be shown: signatures of links, which are keys to somebody's objects, and keys. Pure.

Nor characters that drive a terminal, or turn the text around them.
"""

import re

_NAME = r"(?:signature|sign|token|credential|secret|auth|access_?key|password|passwd|api_?key|hmac)[a-z0-9_.-]{0,40}"
_VALUE = r"[^&\s\"'<>\\\x1b]+"

SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Signing parameters of links and what follows them, wherever they stand: in a URL, in a piece of one that was cut
    # out of a broken message, or escaped in JSON or another URL.
    (re.compile(rf"(?i)({_NAME}(?:=|%3d|\\u003d)){_VALUE}"), r"\1***"),
    # Short names that other stores and CDNs give theirs: too common to be looked for outside of a query.
    (re.compile(rf"(?i)([?&](?:sig|policy|hdn[a-z]{{1,3}}|oh|key|verify|st|s)=){_VALUE}"), r"\1***"),
    (re.compile(rf"(?i)(\"[a-z0-9_.-]{{0,40}}{_NAME}\"\s{{0,9}}:\s{{0,9}}\")[^\"]+"), r"\1***"),
    (re.compile(r"(://)[^/\s@\"'<>\\]{1,300}@"), r"\1***@"),
    (re.compile(r"\b(A[KS]IA)[A-Z0-9]{16}\b"), r"\1***"),
)
"""What secrets look like, and what is shown instead."""

_MAY_HOLD_ONE = re.compile(r"[=%\"@\\]|A[KS]IA")
"""What each of them has at least. Most of what is logged has none, and one look is a fifth of five searches."""


def without_signatures(text: str) -> str:
    """Return the text with what is secret in it masked."""
    if not _MAY_HOLD_ONE.search(text):
        return text
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text


_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return the text with control characters (but tabs and newlines) and marks of direction written out."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
