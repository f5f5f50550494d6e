"""A manifest: format, encoding and columns are found, rows and rejects are read. All of it blocks: use a thread."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from worker.errors import JobReason, RejectReason, TerminalError
from worker.manifest.bytes import MAX_BYTES, read_pieces, refuse_other_formats
from worker.manifest.columns import Columns, Wanted, likelier_url
from worker.manifest.csv_source import open_csv
from worker.manifest.encodings import detect_encoding
from worker.manifest.json_source import open_json
from worker.manifest.rows import Counts, LineBlock, Rows
from worker.manifest.source import Source
from worker.manifest.text import Text
from worker.manifest.values import EDGES
from worker.manifest.workbook import READER, Reader
from worker.manifest.xlsx_source import MAGIC, open_xlsx
from worker.model import Reject

_JSON = re.compile(r"\{|\[\s*[\[{\]]")


class Manifest:
    """A manifest whose columns are known. `group` is the one group of all rows, where that was asked."""

    def __init__(self, source: Source, columns: Columns, group: str | None) -> None:
        self._source = source
        self._columns = columns
        self._group = group
        self._counts = Counts()

    def told(self) -> dict[str, Any]:
        """Return how the manifest was read, as `source` of the summary tells it; complete after `blocks`."""
        header, columns, counts = self._source.header, self._columns, self._counts
        return {
            "format": self._source.format,
            "encoding": self._source.encoding,
            "delimiter": self._source.delimiter,
            "creator_column": None if columns.creator is None else header[columns.creator].strip(EDGES),
            "url_column": header[columns.url].strip(EDGES),
            "repairs": dict(sorted(counts.repairs.items())),
            "skipped": {
                "empty_lines": counts.empty_lines,
                "repeated_headers": counts.repeated_headers,
                "lines_above_the_header": self._source.lines_above_the_header,
            },
        }

    def columns_told(self) -> dict[str, str | None]:
        """Return the names of the columns `creator` and `url`, and of the one that is `likelier` to hold the covers."""
        told = self.told()
        likelier = likelier_url(self._source.header, self._source.sample, self._columns.url)
        return {"creator": told["creator_column"], "url": told["url_column"], "likelier": likelier}

    def blocks(self) -> Iterator[LineBlock]:
        """Read the rows and rejects, in file order, a few thousand at a time; may be called again.

        Raises `TerminalError`: `manifest_empty` at the end, after the last block, where no row was usable.
        """
        rows = Rows(self._source, self._columns, self._group)
        self._counts = rows.counts
        usable = False
        rejects: Counter[RejectReason] = Counter()
        first: Reject | None = None
        for block in rows.blocks():
            usable = usable or bool(block.entries)
            if not usable:
                rejects.update(reject.reason for reject in block.rejects)
                first = first or block.rejects[0]
            yield block
        if not usable:
            raise _no_usable_row(rejects, first)


def open_manifest(
    file: BinaryIO,
    *,
    creator_column: str | None = None,
    url_column: str | None = None,
    encoding: str | None = None,
    group: str | None = None,
    max_bytes: int = MAX_BYTES,
    is_stopped: Callable[[], bool] = lambda: False,
    reader: Reader = READER,
) -> Manifest:
    """Find out how to read the manifest in `file`, which is seekable and stays open as long as it is read.

    With `group` all rows belong to that one group, and a creator column is neither needed nor looked for. `encoding` is
    that of text without a byte order mark, where it is known. `max_bytes` bounds the manifest's size, decompressed.
    Reads the whole file to tell its encoding. A workbook is read by `reader`;
    while it is waited for, `is_stopped` is asked now and then.
    Raises `TerminalError`: `manifest_not_csv`, `manifest_too_large`, `manifest_columns`,
    `manifest_empty`.
    """
    wanted = Wanted(creator_column, url_column, with_creator=group is None)
    source = _open_source(file, wanted, encoding, max_bytes, is_stopped, reader)
    columns = wanted.find(source.header, source.sample)
    if columns is None:
        raise wanted.missing(source.header, source.sample)
    return Manifest(source, columns, group)


def _open_source(
    file: BinaryIO,
    wanted: Wanted,
    encoding: str | None,
    max_bytes: int,
    is_stopped: Callable[[], bool],
    reader: Reader,
) -> Source:
    """Look at the content, never at a name, and open it as what it is."""
    beginning = next(read_pieces(file, max_bytes), b"")
    if beginning.startswith(MAGIC):
        return open_xlsx(file, wanted, is_stopped, reader)
    refuse_other_formats(beginning, encoding=encoding)
    text = Text(file, detect_encoding(file, max_bytes, named=encoding), max_bytes)
    if _JSON.match(text.beginning()):
        return open_json(text, wanted)
    return open_csv(text, wanted)


def _no_usable_row(rejects: Counter[RejectReason], first: Reject | None) -> TerminalError:
    """Build the error for a manifest without a usable row: it counts the rejects and shows the first."""
    if first is None:
        text = "the manifest has a header and no row; add one row for each cover"
    else:
        by_reason = ", ".join(f"{reason} {count}" for reason, count in sorted(rejects.items()))
        text = (
            f"the manifest has no usable row: {rejects.total()} lines were refused ({by_reason}). "
            f"The first is line {first.line}, {first.reason}: {first.detail}"
        )
    return TerminalError(JobReason.MANIFEST_EMPTY, text)
