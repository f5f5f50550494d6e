"""Names of files and folders that people can read and every file system can hold. Pure."""

import hashlib
import re
import unicodedata
from urllib.parse import quote

MAX_BYTES = 150
"""Of UTF-8. File systems take 255, some that encrypt names 143 characters, and Windows 260 for a whole path."""

_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"}
    | {f"{name}{digit}" for name in ("com", "lpt") for digit in "0123456789¹²³"}
)
"""Names of devices on Windows, in any case, and whatever ending follows them."""

_UNSAFE = frozenset('<>:"/\\|?*~')
"""Characters that Windows refuses in names, those that divide paths, and the one that sets a hash apart."""


def folder_name(name: str) -> str:
    """Return a name for a folder: the name itself where every file system can hold it, else a likeness with a hash.

    Two names never have the same folder on a file system that tells upper from lower case; see `FolderNames` for the
    others.
    """
    safe = unicodedata.normalize("NFC", "".join(_safe(letter) for letter in name)).strip(" .")
    if not safe or safe.partition(".")[0].rstrip(" ").lower() in _RESERVED:
        safe = f"_{safe}"
    if safe == name and len(safe.encode()) <= MAX_BYTES:
        return name
    return with_hash(safe, name)


def with_hash(safe: str, name: str) -> str:
    """Return a safe name that is cut and ends in `~` and a hash of the whole name: no other name has it."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    cut = safe.encode()[: MAX_BYTES - len(digest) - 1].decode("utf-8", "ignore").rstrip(" .")
    return f"{cut}~{digest}"


def _safe(letter: str) -> str:
    # Control characters, those that are not seen or turn the text round, lone surrogates, private and unknown ones.
    return "_" if letter in _UNSAFE or unicodedata.category(letter).startswith("C") else letter


class FolderNames:
    """Gives each name a folder of its own where `Ann` and `ann` are the same folder, as on a Mac and on Windows.

    `taken` are the folders that are there already: a run that goes on finds each name's folder again.
    """

    def __init__(self, taken: tuple[str, ...] = ()) -> None:
        self._taken = {folded(name): unicodedata.normalize("NFC", name) for name in sorted(taken, key=_plain_first)}

    def of(self, name: str) -> str:
        """Return the name's folder."""
        safe = folder_name(name)
        if self._taken.setdefault(folded(safe), safe) == safe:
            return safe
        other = with_hash(safe, name)
        self._taken.setdefault(folded(other), other)
        return other


def folded(name: str) -> str:
    """Return what names have in common that a file system which ignores case holds to be the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _plain_first(name: str) -> tuple[bool, str]:
    return "~" in name, name


def saved_as(creator: str, key: str) -> str:
    """Return the ContentDisposition of a collage: shown in place, and saved under the creator's name.

    RFC 6266: a name in ASCII for old programs, and the name itself, percent-encoded as RFC 5987 has it.
    """
    ending = key.rpartition("/")[2].removeprefix("collage")
    name = re.sub(r"\s", " ", folder_name(creator)) + ending
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
