"""An XLSX workbook as a source: its first visible sheet that has the columns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from worker.errors import JobReason, RejectReason, TerminalError
from worker.manifest.bytes import not_csv
from worker.manifest.columns import Wanted
from worker.manifest.csv_source import HEADER_WITHIN
from worker.manifest.source import MAX_FIELD, SAMPLE, Record
from worker.manifest.values import EDGES
from worker.manifest.workbook import READER, Reader, Workbook
from worker.model import Reject

MAGIC = b"PK\x03\x04"
"""What a zip begins with, and so a workbook."""

MAX_SHEETS = 100
"""Visible sheets in which the columns are looked for."""


@dataclass(frozen=True, slots=True)
class XlsxSource:
    """A sheet whose header is known: it stands in row `header_row` (from 1) of the visible sheet `sheet` (from 0)."""

    file: BinaryIO
    wanted: Wanted
    is_stopped: Callable[[], bool]
    sheet: int
    header_row: int
    header: Sequence[str]
    sample: Sequence[Sequence[str]]
    lines_above_the_header: int
    reader: Reader
    format: str = "xlsx"
    encoding: None = None
    delimiter: None = None

    def records(self) -> Iterator[Record | Reject]:
        """Give the filled rows below the header. Of those with a creator or a URL only these two fields are filled."""
        columns = [at for at in self.wanted.find(self.header, self.sample) or () if at is not None]
        width = len(self.header)
        empty = [""] * width
        with Workbook(self.file, self.is_stopped, self.reader) as book:
            for number, texts, other in book.rows(self.sheet, columns, width=width, below=self.header_row):
                longest = max(map(len, texts))
                if longest > MAX_FIELD:
                    detail = f"a cell has more than the {MAX_FIELD} characters that are allowed"
                    yield Reject(number, RejectReason.FIELD_TOO_LONG, detail)
                elif any("\0" in text for text in texts):
                    yield Reject(number, RejectReason.NUL_BYTE, "a cell holds a NUL character; remove it")
                else:
                    fields = empty.copy()
                    for at, text in zip(columns, texts, strict=True):
                        fields[at] = text
                    if other >= 0:
                        fields[other] = "…"  # what it is does not matter: the row is not empty
                    yield number, fields


def open_xlsx(file: BinaryIO, wanted: Wanted, is_stopped: Callable[[], bool], reader: Reader = READER) -> XlsxSource:
    """Find the sheet and the header in it: the first of its first ten filled rows that has the columns.

    Hidden sheets are passed over: nobody sees what is in them. Where no sheet has the columns, the widest row of all
    passes for the header, so that the error can list its columns.
    Raises `TerminalError` (`manifest_empty` where nothing is filled, `manifest_not_csv` for what is no workbook), and
    what `Workbook` raises.
    """
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise not_csv("a workbook or a zip that is compressed with gzip; upload it as it was before")
    widest: XlsxSource | None = None
    with Workbook(file, is_stopped, reader) as book:
        for sheet in range(min(len(book.sheets), MAX_SHEETS)):
            rows = [(number, _trimmed(cells)) for number, cells in book.first_rows(sheet)]
            for at, (number, header) in enumerate(rows[:HEADER_WITHIN]):
                sample = [_aligned(cells, len(header)) for _, cells in rows[at + 1 :]][:SAMPLE]
                source = XlsxSource(file, wanted, is_stopped, sheet, number, header, sample, at, reader)
                if wanted.find(header, sample) is not None:
                    return source
                if widest is None or _filled(header) > _filled(widest.header):
                    widest = source
    if widest is None:
        text = "no visible sheet of the workbook has a filled cell; it needs a header and a row for each cover"
        raise TerminalError(JobReason.MANIFEST_EMPTY, text)
    return widest


def _trimmed(cells: Sequence[str]) -> Sequence[str]:
    """Leave out the empty cells at the end."""
    return cells[: max((at for at, cell in enumerate(cells, 1) if cell.strip(EDGES)), default=0)]


def _aligned(cells: Sequence[str], width: int) -> Sequence[str]:
    return [*cells[:width], *[""] * (width - len(cells))]


def _filled(header: Sequence[str]) -> int:
    return sum(1 for name in header if name.strip(EDGES))
