"""Which column of a manifest is which, told by its header and by the values of its first records."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

from worker.errors import JobReason, TerminalError
from worker.manifest.column_names import CREATOR, URL, ColumnName
from worker.manifest.pages import is_page
from worker.manifest.values import has_value
from worker.masks import without_signatures

SHOWN_NAME = 40
"""Characters of a column's name that an error shows."""

SHOWN_NAMES = 300
LONGEST_LIST = 6_000
"""Columns that an error lists, and the characters they may take in all: real tables stay below both."""

_SEPARATORS = dict.fromkeys(map(ord, " \t\r\n_-./:\"'[]()#"))  # brackets stand around numbers: cover[0], cover (1)
_DIGITS = "0123456789"
_LINK = re.compile(r"https?:|https?\\|//", re.IGNORECASE)
_CREATOR_LIKE = re.compile(r"creat|user|author|name|handle|account|channel|upload|profile|作者|账号|昵称|达人")
_URL_LIKE = re.compile(r"cover|thumb|image|img|pic|poster|preview|url|link|src|封面|图|链接")


class Columns(NamedTuple):
    """Indices of the columns in the header. `creator` is None where the rows are not grouped by it."""

    creator: int | None
    url: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which columns a job looks for. A name in `creator_column` or `url_column` is the only one that is accepted."""

    creator_column: str | None = None
    url_column: str | None = None
    with_creator: bool = True

    def find(self, header: Sequence[str], sample: Sequence[Sequence[str]] = ()) -> Columns | None:
        """Find the columns in a header, judged by the first records below it; None where one is not there.

        Of several columns the first in the order of `column_names` is taken whose values suit: links that are no pages
        of a video site, or any name of a creator. Where none suits, the first that does not hold pages is taken.
        """
        creator, url = self._creator(header, sample), self._url(header, sample)
        if url is None or (creator is None and self.with_creator):
            return None
        return Columns(creator if self.with_creator else None, url)

    def knows(self, name: str) -> bool:
        """Say whether a column of this name may be one of those that are looked for."""
        plain = plain_name(name)
        creators = _plain(CREATOR) if self.creator_column is None else {plain_name(self.creator_column)}
        urls = _plain(URL) if self.url_column is None else {plain_name(self.url_column)}
        return plain in creators or plain in urls or _bare(plain) in urls

    def missing(self, header: Sequence[str], sample: Sequence[Sequence[str]] = ()) -> TerminalError:
        """Build the error (`manifest_columns`) for a header in which `find` found nothing."""
        lacks: list[str] = []
        likely: list[int] = []
        if self.with_creator and self._creator(header, sample) is None:
            lacks.append(_lacking("creator", "creator_column", self.creator_column, CREATOR))
            likely += _likely(header, partial(_creator_points, header, sample))
        if self._url(header, sample) is None:
            pages = [header[at] for at in _candidates(header, URL, None) if _holds_pages(sample, at)]
            told = f" ({_listed(pages)} holds pages of videos, not pictures)" if pages else ""
            lacks.append(_lacking("URL", "url_column", self.url_column, URL) + told)
            likely += _likely(header, partial(_url_points, header, sample))
        order = [*dict.fromkeys(likely), *(at for at in range(len(header)) if at not in set(likely))]
        names = _listed([header[at] for at in order])
        return TerminalError(
            JobReason.MANIFEST_COLUMNS, f"the manifest has {'; and '.join(lacks)}. Its columns are: {names}"
        )

    def _creator(self, header: Sequence[str], sample: Sequence[Sequence[str]]) -> int | None:
        found = _candidates(header, CREATOR, self.creator_column)
        return next((at for at in found if any(_values(sample, at))), next(iter(found), None))

    def _url(self, header: Sequence[str], sample: Sequence[Sequence[str]]) -> int | None:
        found = _candidates(header, URL, self.url_column)
        if self.url_column is not None:
            return next(iter(found), None)
        found = [at for at in found if not _holds_pages(sample, at)]
        return next((at for at in found if any(map(_LINK.search, _values(sample, at)))), next(iter(found), None))


def likelier_url(header: Sequence[str], sample: Sequence[Sequence[str]], used: int) -> str | None:
    """Return the name of the column that looks most like one of covers; None where it is the one that is used."""
    best = max(range(len(header)), key=lambda at: (_url_points(header, sample, at), at == used), default=used)
    return None if best == used else header[best].strip()


def plain_name(name: str) -> str:
    """Reduce a column's name to what is compared: no case, spaces, separators, brackets, quotes, unseen signs."""
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)
        name = "".join(char for char in name if unicodedata.category(char) not in {"Zs", "Cf", "Cc"})
    return name.translate(_SEPARATORS).casefold()


def shown_name(name: str) -> str:
    """Show a name that someone else chose: quoted, shortened, nothing invisible in it, no signature of a link."""
    return repr(without_signatures(name if len(name) <= SHOWN_NAME else name[:SHOWN_NAME] + "…"))


@cache
def _plain(known: tuple[ColumnName, ...]) -> Mapping[str, None]:
    """Return the names as they are compared, in order."""
    return {plain_name(each.name): None for each in known}


def _candidates(header: Sequence[str], known: tuple[ColumnName, ...], named: str | None) -> list[int]:
    """Give the columns of these names, in order: of each name the exact ones, then the numbered ones (`cover_1`)."""
    plain = [plain_name(name) for name in header]
    exact: dict[str, list[int]] = {}
    numbered: dict[str, list[int]] = {}
    for at, name in enumerate(plain):
        exact.setdefault(name, []).append(at)
        bare = _bare(name)
        if bare != name:
            numbered.setdefault(bare, []).append(at)
    if named is not None:
        return exact.get(plain_name(named), [])
    numbered = numbered if known is URL else {}
    order = (exact.get(name, []) + numbered.get(name, []) for name in _plain(known))
    return [at for some in order for at in some]


def _bare(name: str) -> str:
    """Return a compared name without the number, or the place in a list, that it ends with."""
    return name.rstrip(_DIGITS).removesuffix("urllist").rstrip(_DIGITS)


def _values(sample: Sequence[Sequence[str]], at: int) -> Iterator[str]:
    values = (record[at].strip() for record in sample if at < len(record))
    return (value for value in values if has_value(value))


def _holds_pages(sample: Sequence[Sequence[str]], at: int) -> bool:
    values = list(_values(sample, at))
    return 2 * sum(map(is_page, values)) > len(values)


def _lacking(role: str, key: str, named: str | None, known: Sequence[ColumnName]) -> str:
    if named is not None:
        return f"no {role} column named {shown_name(named)}, which {key} asks for"
    return (
        f"no {role} column. Call it {known[0].name} (export-mysql: AS {known[0].name}), or name it: {key} in "
        f'processing_config of the message or in the object\'s metadata (config={{"{key}": "…"}}), '
        f"DEFAULT_{key.upper()} in the settings, --set {key}=… at the command line"
    )


def _url_points(header: Sequence[str], sample: Sequence[Sequence[str]], at: int) -> int:
    """Say how much a column looks like one of covers: most for links that are no pages, some for its name."""
    values = list(_values(sample, at))
    pictures = sum(1 for value in values if _LINK.match(value) and not is_page(value))
    return (4 if 2 * pictures > len(values) else 0) + (2 if _URL_LIKE.search(plain_name(header[at])) else 0)


def _creator_points(header: Sequence[str], sample: Sequence[Sequence[str]], at: int) -> int:
    """Say how much a column looks like one of creators: by its name, where it has values that are no links."""
    values = list(_values(sample, at))
    names = not sample or 2 * sum(1 for value in values if not _LINK.match(value)) > len(values)
    return 1 if names and _CREATOR_LIKE.search(plain_name(header[at])) else 0


def _likely(header: Sequence[str], points: Callable[[int], int]) -> list[int]:
    """Give the columns that have points, those with most of them first."""
    scored = [(points(at), at) for at in range(min(len(header), SHOWN_NAMES))]
    return [at for score, at in sorted(scored, key=lambda each: (-each[0], each[1])) if score]


def _listed(names: Sequence[str]) -> str:
    """Show as many names as there is room for, and the number of the others."""
    shown: list[str] = []
    room = LONGEST_LIST
    for name in names[:SHOWN_NAMES]:
        shown.append(shown_name(name))
        room -= len(shown[-1]) + 2
        if room < 0:
            break
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
