"""Delimited text as a source: its delimiter and header are found, its records are read as `csv_records` does."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.errors import JobReason, TerminalError
from worker.manifest.bytes import not_csv
from worker.manifest.columns import Wanted
from worker.manifest.csv_records import MAX_LINE, Records, first_record, split_lines
from worker.manifest.encodings import BAD
from worker.manifest.source import SAMPLE, Record
from worker.manifest.text import Text
from worker.model import Reject

DELIMITERS = (",", ";", "\t", "|")

HEADER_WITHIN = 10
"""Lines that are not empty of which one is the header."""

_HEADER_LINES = 64  # that one header may take
_LOOKED_AT = 2_000  # lines in which header and sample are looked for
_SEP = re.compile(r'"?sep=(.|\\t)"?[,;\t|]*\s*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CsvSource:
    """Delimited text whose header is known. `url` is the index of the URL column, `below` the lines before the rows."""

    text: Text
    delimiter: str | None
    header: Sequence[str]
    sample: Sequence[Sequence[str]]
    lines_above_the_header: int
    split_at: str
    url: int
    below: int
    format: str = "csv"

    @property
    def encoding(self) -> str:
        """Name of the text's encoding."""
        return self.text.encoding.name

    def records(self) -> Iterator[Record | Reject]:
        """Give the records below the header, in file order, from the beginning."""
        blocks = _without_first(split_lines(self.text.pieces()), self.below)
        damaged = self.text.encoding.damaged
        return iter(Records(blocks, self.split_at, line=self.below + 1, one_line=self.url, damaged=damaged))


@dataclass(frozen=True, slots=True)
class _Table:
    """A header in one reading of the first lines: it stands on line `at` (from 0) and takes `taken` lines."""

    at: int
    taken: int
    split_at: str
    header: Sequence[str]
    sample: Sequence[Sequence[str]]


def open_csv(text: Text, wanted: Wanted) -> CsvSource:
    """Find the delimiter and the header: the first of the first ten lines that has the columns.

    Of several delimiters that yield the columns, the one that yields most fields is taken. A header of one field has no
    delimiter; records are split at tabs then, because URLs hold commas, semicolons and bars, but no tabs. Where no line
    has the columns, the line with most fields passes for the header, so that the error can list its columns.
    Raises `TerminalError`: `manifest_empty` for what has no line, `manifest_not_csv` for what is not text.
    """
    lines = _first_lines(text)
    filled = [at for at, line in enumerate(lines) if line.strip("\ufeff \t\r\n")][:HEADER_WITHIN]
    sep = _SEP.fullmatch(lines[filled[0]]) if filled else None
    if len(filled) <= bool(sep):
        raise TerminalError(
            JobReason.MANIFEST_EMPTY, "the manifest is empty; it needs a header and a row with a creator and a URL"
        )
    if len(lines[filled[0]]) > MAX_LINE:
        raise not_csv(f"a file whose first line has more than {MAX_LINE} characters; begin it with a header")
    delimiters = ("\t" if sep[1] == "\\t" else sep[1],) if sep else DELIMITERS
    table, url = _find_table(lines, filled[1:] if sep else filled, delimiters, wanted)
    _refuse_binary(table.header)
    single = len(table.header) <= 1
    return CsvSource(
        text=text,
        delimiter=None if single else table.split_at,
        header=table.header,
        sample=table.sample,
        lines_above_the_header=filled.index(table.at) if table.header else 0,
        split_at="\t" if single else table.split_at,
        url=url,
        below=table.at + table.taken,
    )


def _find_table(lines: list[str], starts: list[int], delimiters: Sequence[str], wanted: Wanted) -> tuple[_Table, int]:
    """Return the first table that has the columns, and the index of its URL column; else the widest table."""
    widest = _Table(0, 0, delimiters[0], (), ())
    room = MAX_LINE
    for at in starts:
        room -= len(lines[at])
        if room < 0 and widest.header:
            break  # a header of a megabyte is looked at once, not ten times
        readings = [(*first_record(lines[at : at + _HEADER_LINES], each), each) for each in delimiters]
        for header, taken, delimiter in sorted(readings, key=lambda each: -len(each[0])):
            if _filled(header) > _filled(widest.header):
                widest = _Table(at, taken, delimiter, header, _sample(lines, at + taken, delimiter, url=0))
            found = wanted.find(header)
            if found is None:
                continue
            table = _Table(at, taken, delimiter, header, _sample(lines, at + taken, delimiter, url=found.url))
            columns = wanted.find(header, table.sample)
            if columns is not None:
                return table, columns.url
            widest = table
    return widest, 0


def _filled(header: Sequence[str]) -> int:
    return sum(1 for name in header if name.strip())


def _first_lines(text: Text) -> list[str]:
    found: list[str] = []
    size = 0
    for block in split_lines(text.pieces()):
        found += block
        size += sum(map(len, block))
        if len(found) > _LOOKED_AT or size > 2 * MAX_LINE:
            break
    return found[:_LOOKED_AT]


def _sample(lines: list[str], start: int, delimiter: str, *, url: int) -> list[Sequence[str]]:
    records = Records([lines[start:]], delimiter, line=1, one_line=url)
    filled = (each[1] for each in records if not isinstance(each, Reject) and any(map(str.strip, each[1])))
    return list(itertools.islice(filled, SAMPLE))


def _refuse_binary(header: Sequence[str]) -> None:
    text = "".join(header)
    if any(char < " " and char not in "\t\r\n" for char in text):
        raise not_csv("binary, or text with control characters in its header; save it as CSV in UTF-8")
    if BAD in text:
        raise not_csv("binary, or text in another encoding; save it as CSV in UTF-8")


def _without_first(blocks: Iterator[list[str]], count: int) -> Iterator[list[str]]:
    for block in blocks:
        if count < len(block):
            return itertools.chain([block[count:]], blocks)
        count -= len(block)
    return iter(())
