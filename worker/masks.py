"""What must not be shown: the signatures of links, which are keys to somebody's objects. Pure."""

import re

SECRET_QUERY = re.compile(
    r"(?i)((?:signature|sign|token|credential|secret|auth|access_?key)[a-z0-9_.-]{0,40}(?:=|%3d|\\u003d))"
    r"[^&\s\"'<>\\\x1b]+"
)
"""Signing parameters of links and what follows them, wherever they stand: in a URL, in a piece of one that was cut out
of a broken message, or escaped in JSON or another URL."""


def without_signatures(text: str) -> str:
    """Return the text with the values of signing query parameters masked."""
    return SECRET_QUERY.sub(r"\1***", text)
