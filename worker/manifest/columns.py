"""Which column of a manifest is which, told by its header."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from worker.errors import JobReason, TerminalError
from worker.manifest.bytes import not_csv
from worker.manifest.csv_records import MAX_LINE, first_record

CREATOR_NAMES = (
    "creator_name",
    "creator",
    "username",
    "author",
    "unique_id",
    "author.uniqueId",
    "author_name",
    "nickname",
)
URL_NAMES = ("cover_url", "image_url", "url", "cover", "thumbnail_url", "video.cover")

DELIMITERS = (",", ";", "\t", "|")

_HEADER_LINES = 64
_SHOWN_COLUMNS = 10
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a manifest's columns are: indices of its fields. `creator` is None where the rows are not grouped by it.

    `lines` is the number of lines that the header takes.
    """

    delimiter: str
    creator: int | None
    url: int
    lines: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    role: str
    names: tuple[str, ...]
    setting: str
    override: str | None

    def find(self, header: Sequence[str]) -> int | None:
        plain = [plain_name(name) for name in header]
        names = (self.override,) if self.override is not None else self.names
        return next((plain.index(plain_name(name)) for name in names if plain_name(name) in plain), None)


def plain_name(name: str) -> str:
    """Reduce a column's name to what is compared: no case, spaces, underscores, quotes or invisible characters."""
    kept = (char for char in name if char not in "_\"'" and unicodedata.category(char) not in {"Zs", "Cf", "Cc"})
    return "".join(kept).casefold()


def find_columns(
    lines: list[str], *, creator_column: str | None, url_column: str | None, with_creator: bool
) -> Columns:
    """Find delimiter and columns in the header that `lines` begin with.

    The delimiter is the one that yields the columns asked for; of several, the one that yields most columns. A header
    of one column has none; a tab is taken then, because URLs hold commas, semicolons and bars, but no tabs.
    Raises `TerminalError`: `manifest_columns`, or `manifest_not_csv` where the header is not text.
    """
    if len(lines[0]) > MAX_LINE:
        raise not_csv(f"a file whose first line has more than {MAX_LINE} characters; begin it with a header")
    creator = _Wanted("creator", CREATOR_NAMES, "creator_column", creator_column)
    url = _Wanted("URL", URL_NAMES, "url_column", url_column)
    headers = {delimiter: first_record(lines[:_HEADER_LINES], delimiter) for delimiter in DELIMITERS}
    by_width = sorted(DELIMITERS, key=lambda delimiter: len(headers[delimiter][0]), reverse=True)
    for delimiter in by_width:
        header, taken = headers[delimiter]
        creator_at, url_at = creator.find(header), url.find(header)
        if url_at is not None and (creator_at is not None or not with_creator):
            _refuse_binary(header, damaged=False)
            return Columns(
                delimiter=delimiter if len(header) > 1 else "\t",
                creator=creator_at if with_creator else None,
                url=url_at,
                lines=taken,
            )
    header = headers[by_width[0]][0]
    _refuse_binary(header, damaged=True)
    wanted = [creator, url] if with_creator else [url]
    raise _columns_missing(header, [column for column in wanted if column.find(header) is None])


def _refuse_binary(header: Sequence[str], *, damaged: bool) -> None:
    text = "".join(header)
    if any(char < " " and char not in "\t\r\n" for char in text):
        raise not_csv("binary, or text with control characters in its header; save it as CSV in UTF-8")
    if damaged and "\ufffd" in text:
        raise not_csv("binary, or text in an encoding other than UTF-8, UTF-16 and GB18030; save it as CSV in UTF-8")


def _columns_missing(header: Sequence[str], missing: Sequence[_Wanted]) -> TerminalError:
    shown = ", ".join(ascii_name(name) for name in header[:_SHOWN_COLUMNS])
    more = f" and {len(header) - _SHOWN_COLUMNS} more" if len(header) > _SHOWN_COLUMNS else ""
    lacks = "; ".join(
        f"no {column.role} column "
        + (
            f"named {ascii_name(column.override)}, which {column.setting} asks for"
            if column.override is not None
            else f"(accepted: {', '.join(column.names)}; {column.setting} can name another)"
        )
        for column in missing
    )
    return TerminalError(JobReason.MANIFEST_COLUMNS, f"the manifest has {lacks}. Its columns are: {shown}{more}")


def ascii_name(name: str) -> str:
    """Show a name that someone else chose: shortened, quoted, nothing invisible in it."""
    return repr(name if len(name) <= _SHOWN_CHARACTERS else name[:_SHOWN_CHARACTERS] + "…")
