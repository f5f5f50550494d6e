"""A manifest: which of its lines are rows, and why the others are not. All of it blocks: call it in a thread."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from worker.errors import JobReason, RejectReason, TerminalError
from worker.manifest.bytes import MAX_BYTES, Encoding, detect_encoding, read_text
from worker.manifest.columns import Columns, find_columns
from worker.manifest.csv_records import Records, split_lines
from worker.manifest.rules import MAX_CREATOR_BYTES, MAX_URL, judge
from worker.model import Reject

BATCH = 2_048
"""Rows and rejects that are handed on at a time."""

_ANY_ENCODING = MAX_CREATOR_BYTES // 4  # characters that fit whatever they are: UTF-8 has at most 4 bytes for each


class Entry(NamedTuple):
    """A usable line: its creator, the line it starts on (the header is line 1) and its URL, the texts trimmed."""

    creator: str
    line: int
    url: str


@dataclass(slots=True)
class LineBlock:
    """Some consecutive lines of a manifest, the usable ones and the others, each in file order."""

    entries: list[Entry] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest whose encoding and columns are known. `group` is the one group of all rows, where that was asked."""

    file: BinaryIO
    encoding: Encoding
    columns: Columns
    header_line: int
    group: str | None
    max_bytes: int

    def batches(self) -> Iterator[LineBlock]:
        """Read the rows and rejects, in file order, a few thousand at a time; may be called again.

        Raises `TerminalError`: `manifest_empty` at the end, after the last batch, where no row was usable.
        """
        batch = LineBlock()
        rejects: Counter[RejectReason] = Counter()
        rows = 0
        for item in self._items():
            if isinstance(item, Entry):
                batch.entries.append(item)
            else:
                batch.rejects.append(item)
            if len(batch.entries) + len(batch.rejects) == BATCH:
                rows += len(batch.entries)
                rejects.update(reject.reason for reject in batch.rejects)
                yield batch
                batch = LineBlock()
        rows += len(batch.entries)
        rejects.update(reject.reason for reject in batch.rejects)
        if batch.entries or batch.rejects:
            yield batch
        if not rows:
            raise no_usable_row(rejects)

    def _items(self) -> Iterator[Entry | Reject]:
        """The hot loop: what is plainly right is told here, everything else by `judge`."""
        url_at, creator_at, group = self.columns.url, self.columns.creator, self.group
        lossy = self.encoding.damaged
        for record in self._records():
            if isinstance(record, Reject):
                yield record
                continue
            line, fields = record
            if not fields:
                continue
            url = fields[url_at].strip() if url_at < len(fields) else ""
            if creator_at is None:
                creator = group or ""
            else:
                creator = fields[creator_at].strip() if creator_at < len(fields) else ""
            if (
                0 < len(creator) <= _ANY_ENCODING
                and len(url) <= MAX_URL
                and url.startswith(("https://", "http://"))
                and creator.isascii()
                and url.isascii()
            ):
                yield Entry(creator, line, url)
            else:
                problem = judge(creator, url, lossy=lossy)
                yield Reject(line, *problem) if problem else Entry(creator, line, url)

    def _records(self) -> Records:
        blocks = split_lines(read_text(self.file, self.encoding, self.max_bytes))
        skipped = self.header_line - 1 + self.columns.lines
        return Records(
            _without_first(blocks, skipped), self.columns.delimiter, line=skipped + 1, one_line=self.columns.url
        )


def open_manifest(
    file: BinaryIO,
    *,
    creator_column: str | None = None,
    url_column: str | None = None,
    group: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Manifest:
    """Find out how to read the manifest in `file`, which is seekable and stays open as long as it is read.

    With `group` all rows belong to that one group, and a creator column is neither needed nor looked for. `max_bytes`
    bounds the manifest's size, decompressed. Reads the whole file to tell its encoding.
    Raises `TerminalError`: `manifest_not_csv`, `manifest_too_large`, `manifest_columns`, `manifest_empty`.
    """
    encoding = detect_encoding(file, max_bytes)
    line, lines = _header_lines(split_lines(read_text(file, encoding, max_bytes)))
    columns = find_columns(lines, creator_column=creator_column, url_column=url_column, with_creator=group is None)
    return Manifest(file, encoding, columns, line, group, max_bytes)


def _header_lines(blocks: Iterator[list[str]]) -> tuple[int, list[str]]:
    """Find the first line that is not blank; returns its number and the lines from there to the end of its block."""
    before = 0
    for block in blocks:
        for index, line in enumerate(block):
            if line.strip("\ufeff \t\r\n"):
                return before + index + 1, block[index:]
        before += len(block)
    raise TerminalError(
        JobReason.MANIFEST_EMPTY, "the manifest is empty; it needs a header and a row with a creator and a URL"
    )


def _without_first(blocks: Iterator[list[str]], count: int) -> Iterator[list[str]]:
    for block in blocks:
        if count < len(block):
            return itertools.chain([block[count:]], blocks)
        count -= len(block)
    return iter(())


def no_usable_row(rejects: Mapping[RejectReason, int]) -> TerminalError:
    """Build the error for a manifest without a usable row, from the number of rejects by reason."""
    total = sum(rejects.values())
    if not total:
        text = "the manifest has a header and no row; add one row for each cover"
    else:
        by_reason = ", ".join(f"{reason} {count}" for reason, count in sorted(rejects.items()))
        text = f"the manifest has no usable row: {total} lines were refused ({by_reason})"
    return TerminalError(JobReason.MANIFEST_EMPTY, text)
