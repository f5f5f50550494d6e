"""What a cell of a manifest means: cleaned names of creators and URLs, with a note of what was repaired. Pure.

A signed link breaks when one byte of it changes. So a URL is repaired only where an export has plainly escaped it.
Otherwise it is sent byte for byte as it was given, without the spaces and quotes around it.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

NO_VALUES = frozenset(
    {
        *("nan", "null", "none", "n/a", "\\n", "undefined", "<na>", "<null>", "(null)", "[null]"),
        *("#n/a", "#ref!", "#value!", "#name?", "#null!", "#num!", "#div/0!", "#n/a n/a"),
    }
)
"""What databases, programs and spreadsheets write where there is no value, in lower case."""

NOT_AVAILABLE = "NA"
"""What R and yt-dlp write where there is no value. No handle has capitals, so in small letters it may be one."""

_WHITE = "".join(chr(code) for code in range(0x3100) if chr(code).isspace())
_UNSEEN = (0xAD, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF, 0xFFFE)
EDGES = _WHITE + "".join(map(chr, _UNSEEN))
"""Characters that mean nothing at the ends of a value: white space, zero-width characters, marks of direction, BOMs."""

_PAIRS = {
    each[0]: each[1]
    for each in ('""', "''", "``", "\u201c\u201d", "\u201e\u201c", "\u2018\u2019", "«»", "<>", "\uff1c\uff1e")
}
_PROFILE = re.compile(
    r"(?:https?:)?(?://)?(?:[^/?#\s@]+/)?@([^/?#\s]+)(?:[/?#].*)?"  # any site whose profiles begin with @
    r"|(?:https?:)?(?://)?(?:www\.|m\.)?(?:instagram|facebook|twitter|x)\.com/([^/?#\s]+)/?(?:[?#].*)?"
    r"|(?:https?:)?(?://)?(?:www\.|m\.)?youtube\.com/(?:c|channel|user)/([^/?#\s]+)(?:[/?#].*)?"
    r"|(?:https?:)?(?://)?(?:www\.)?(?:ies)?douyin\.com/(?:share/)?user/([^/?#\s]+)/?(?:[?#].*)?"
    r"|(?:https?:)?(?://)?(?:www\.)?(?:kuaishou|xiaohongshu)\.com/(?:user/)?profile/([^/?#\s]+)/?(?:[?#].*)?"
    r"|(?:https?:)?(?://)?space\.bilibili\.com/(\d+)(?:[/?#].*)?",
    re.IGNORECASE,
)
_HANDLES = ("uniqueid", "username", "handle", "login", "name", "nickname", "displayname")
_QUOTED_HANDLE = re.compile(r"['\"](?:unique_?id|user_?name|handle)['\"]\s*:\s*['\"]([^'\"]+)['\"]", re.IGNORECASE)
_QUOTED_TEXT = re.compile(r"\[\s*(?:'([^']*)'|\"([^\"]*)\").*\]", re.DOTALL)
_ROUNDED = re.compile(r"[+-]?\d+(?:[.,]\d+)?E\+\d{1,3}|[+-]?\d[.,]\d{2,}E\d{2}", re.IGNORECASE)  # the latter is Java's

_JSON_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\([/,;|&?=:])")
_HTML_ESCAPE = re.compile(r"&(?:amp|#(\d{2,3})|#x([0-9a-f]{2}));", re.IGNORECASE)
_NO_SCHEME = re.compile(r"//[^/\s]+(?:/.*)?")
_ONE_URL = re.compile(r"(?:https?:)?(?://|\\/\\/|\\u002[fF]\\u002[fF])[^\s\"'<>\]\)}]+", re.IGNORECASE)
_NEXT_URL = re.compile(r"[\s,;|](?=https?://)", re.IGNORECASE)


def has_value(text: str) -> bool:
    """Say whether a trimmed text is a value."""
    return text not in {"", NOT_AVAILABLE} and text.lower() not in NO_VALUES


def trimmed(value: str) -> str:
    """Take away what stands around a value: white space, invisible characters, one pair of quotes or angle brackets.

    Returns "" for what is no value.
    """
    value = value.strip(EDGES)
    if not has_value(value):
        return ""
    end = _PAIRS.get(value[0])
    if end is not None and len(value) > 1 and value[-1] == end and not {value[0], end} & set(value[1:-1]):
        value = value[1:-1].strip(EDGES)
        return value if has_value(value) else ""
    return value


def creator_name(value: str) -> str:
    """Return the name in a creator's cell, in Unicode's composed form (NFC); "" where there is none.

    A handle loses its @ and the profile's address around it; a JSON object gives its handle.
    """
    name = trimmed(value)
    if name[:1] in {"{", "["}:
        name = _handle_in(name)
    if "@" in name or "/" in name:
        profile = _PROFILE.fullmatch(name)
        name = unquote(next((each for each in profile.groups() if each), "")) if profile else name
    return unicodedata.normalize("NFC", trimmed(name.lstrip("@\uff20")))


def is_rounded(name: str) -> bool:
    """Say whether a name is a number that a spreadsheet or a program has rounded: `6.78518E+18`."""
    return _ROUNDED.fullmatch(name) is not None


def creator_key(name: str) -> str:
    """Return what is the same for all Unicode forms of one name (NFKC)."""
    return name if name.isascii() else unicodedata.normalize("NFKC", name)


def cover_url(value: str) -> tuple[str, tuple[str, ...]]:
    """Return the URL in a cell, "" where there is none, and the kinds of repairs that it took."""
    given = trimmed(value)
    url, repairs = given, []
    for kind, repair in _REPAIRS.items():
        repaired = repair(url)
        if repaired != url:
            url = repaired
            repairs.append(kind)
    return url, tuple(repairs)


def _first_url(text: str) -> str:
    """Return the first URL of a list, in brackets or between separators, or of an object."""
    if text[:1] in {"[", "{"}:
        found = _ONE_URL.search(text)
        return found[0].rstrip("\\,;") if found else text.strip("[]{}\"'" + EDGES) and text
    return trimmed(_NEXT_URL.split(text, 1)[0].rstrip(",;|" + EDGES)) if "://" in text[8:] else text


def _without_backslashes(url: str) -> str:
    return _JSON_ESCAPE.sub(_json_unescaped, url) if "\\" in url else url


def _json_unescaped(found: "re.Match[str]") -> str:
    if found[1] is None:
        return found[2]
    char = chr(int(found[1], 16))
    return char if char.isprintable() else found[0]


def _without_html(url: str) -> str:
    if "&" not in url:
        return url
    for _ in range(3):  # what two programs have escaped one after the other
        plain = _HTML_ESCAPE.sub(_html_unescaped, url)
        if plain == url:
            break
        url = plain
    return url


def _with_scheme(url: str) -> str:
    return f"https:{url}" if _NO_SCHEME.fullmatch(url) else url


def _html_unescaped(found: "re.Match[str]") -> str:
    if found[1] is None and found[2] is None:
        return "&"
    code = int(found[1]) if found[1] else int(found[2], 16)
    return chr(code) if 0x20 < code < 0x7F else found[0]


_REPAIRS: Mapping[str, Callable[[str], str]] = {
    "list_of_urls": _first_url,
    "backslash_escapes": _without_backslashes,
    "html_escapes": _without_html,
    "no_scheme": _with_scheme,
}
"""What is repaired in a URL, in this order, and what `repairs` of the summary calls it."""


def _handle_in(text: str) -> str:
    """Return the handle that a JSON object holds, "" for one that holds none; text that is no JSON stays as it is."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        quoted = _QUOTED_HANDLE.search(text) or _QUOTED_TEXT.fullmatch(text)  # a dict or a list as Python writes it
        return next(filter(None, quoted.groups()), "") if quoted else text
    while isinstance(found, list):
        found = found[0] if found else ""
    if isinstance(found, str):
        return found
    return _handle_of(found) if isinstance(found, dict) else ""


def _handle_of(found: Mapping[str, object]) -> str:
    keys = {key.replace("_", "").lower(): value for key, value in found.items()}

    def handles() -> Iterator[str]:
        for name in _HANDLES:
            value = keys.get(name)
            if isinstance(value, str) and trimmed(value):
                yield value

    return next(handles(), "")
