"""A manifest: which of its records are rows, and why the others are not. All of it blocks: call it in a thread."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, NamedTuple

from worker.errors import JobReason, RejectReason, TerminalError
from worker.manifest.bytes import MAX_BYTES, not_csv, read_pieces, refuse_other_formats
from worker.manifest.columns import Columns, Wanted, likelier_url, plain_name
from worker.manifest.csv_source import open_csv
from worker.manifest.encodings import detect_encoding
from worker.manifest.rules import MAX_CREATOR_BYTES, MAX_URL, judge
from worker.manifest.source import Source
from worker.manifest.text import Text
from worker.manifest.values import EDGES, NO_VALUES, cover_url, creator_key, creator_name
from worker.model import Reject

BATCH = 2_048
"""Rows and rejects that are handed on at a time."""

_ANY_ENCODING = MAX_CREATOR_BYTES // 4  # characters that fit whatever they are: UTF-8 has at most 4 bytes for each
_ONE_URL = re.compile(r"https?://(?:(?!https?://)\S)+", re.IGNORECASE)
_JSON = re.compile(r"\{\s*[\"}]|\[\s*[\[{\]]")


class Entry(NamedTuple):
    """A usable record: its creator's key (the same for all Unicode forms of a name), its line, and its URL."""

    creator: str
    line: int
    url: str


_entry: Callable[[tuple[str, int, str]], Entry] = partial(tuple.__new__, Entry)
"""Makes an entry at half the cost of calling its class."""


@dataclass(slots=True)
class LineBlock:
    """Some consecutive records of a manifest, the usable ones and the others, each in file order.

    `names` has the entries again whose creator is written in another form than its key: key, line, name as written.
    """

    entries: list[Entry] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    names: list[tuple[str, int, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Counts:
    """What one pass over a manifest has met so far."""

    rows: int = 0
    rejects: Counter[RejectReason] = field(default_factory=Counter)
    first_reject: Reject | None = None
    repairs: Counter[str] = field(default_factory=Counter)
    empty_lines: int = 0
    repeated_headers: int = 0


class Manifest:
    """A manifest whose columns are known. `group` is the one group of all rows, where that was asked."""

    def __init__(self, source: Source, columns: Columns, group: str | None) -> None:
        self._source = source
        self._columns = columns
        self._group = group
        self._width = max((at for at, name in enumerate(source.header, 1) if name.strip(EDGES)), default=0)
        self._header = [plain_name(name) for name in source.header]
        self._counts = _Counts()

    def told(self) -> dict[str, Any]:
        """Return how the manifest was read, as `source` of the summary tells it; complete after `batches`."""
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

    def batches(self) -> Iterator[LineBlock]:
        """Read the rows and rejects, in file order, a few thousand at a time; may be called again.

        Raises `TerminalError`: `manifest_empty` at the end, after the last batch, where no row was usable.
        """
        self._counts = counts = _Counts()
        for batch in self._blocks():
            counts.rows += len(batch.entries)
            counts.rejects.update(reject.reason for reject in batch.rejects)
            if counts.first_reject is None and batch.rejects:
                counts.first_reject = batch.rejects[0]
            yield batch
        if not counts.rows:
            raise _no_usable_row(counts)

    def _blocks(self) -> Iterator[LineBlock]:
        """The hot loop: what is plainly right is told here, everything else by `_look_closely`.

        Plainly right is a record of the header's width whose URL has nothing to repair and whose creator, where there
        is one, is made of ASCII letters, digits, underscores and dots.
        """
        url_at, creator_at, width = self._columns.url, self._columns.creator or 0, len(self._header)
        if self._width < width or self._columns.creator is None:
            width = -1  # no record has this width: all are looked at closely
        records = iter(self._source.records())
        more = True
        while more:
            more = False
            block = LineBlock()
            entries, rejects = block.entries, block.rejects
            for item in itertools.islice(records, BATCH):
                more = True
                if isinstance(item, Reject):
                    rejects.append(item)
                    continue
                line, fields = item
                if (
                    len(fields) == width
                    and (url := fields[url_at]).startswith(("https://", "http://"))
                    and url.isascii()
                    and len(url) <= MAX_URL
                    and url[-1] > " "
                    and "\\" not in url
                    and "&amp;" not in url
                    and "&#" not in url
                    and url.find("://", 8) < 0
                    and (creator := fields[creator_at]).isascii()
                    and creator.replace(".", "_").isidentifier()
                    and len(creator) <= _ANY_ENCODING
                    and creator.lower() not in NO_VALUES
                ):
                    entries.append(_entry((creator, line, url)))
                else:
                    self._look_closely(line, fields, block)
            if entries or rejects:
                yield block

    def _look_closely(self, line: int, fields: Sequence[str], block: LineBlock) -> None:
        """Sort a record into `block`, or count it where it is none."""
        cells = [cell.strip(EDGES) for cell in fields]
        if not any(cells):
            self._counts.empty_lines += 1
            return
        if self._repeats_header(cells):
            self._counts.repeated_headers += 1
            return
        given, joined = _field(fields, self._columns.url), False
        if any(cells[self._width :]):
            rest = self._joined(fields)
            if rest is None:
                block.rejects.append(Reject(line, RejectReason.EXTRA_FIELDS, self._too_many(cells)))
                return
            given, joined = rest, True
        url, repairs = cover_url(given)
        if self._columns.creator is None:
            name = key = self._group or ""
        else:
            name = creator_name(_field(fields, self._columns.creator))
            key = creator_key(name)
        problem = judge(name, url)
        if problem is not None:
            block.rejects.append(Reject(line, *problem))
            return
        block.entries.append(Entry(key, line, url))
        self._counts.repairs.update(repairs)
        if joined:
            self._counts.repairs["unquoted_delimiters"] += 1
        if key != name:
            block.names.append((key, line, name))

    def _repeats_header(self, cells: Sequence[str]) -> bool:
        columns = [at for at in self._columns if at is not None]
        return all(at < len(cells) and plain_name(cells[at]) == self._header[at] for at in columns)

    def _joined(self, fields: Sequence[str]) -> str | None:
        """Join a URL again that was cut at its delimiters, where its column is the last; None where that is no URL."""
        last = self._columns.url == self._width - 1 == len(self._header) - 1
        rest = (self._source.delimiter or "").join(fields[self._columns.url :]).strip(EDGES)
        return rest if last and len(rest) <= MAX_URL and _ONE_URL.fullmatch(rest) else None

    def _too_many(self, cells: Sequence[str]) -> str:
        return (
            f"the line has {sum(map(bool, cells))} filled fields and the header {sum(map(bool, self._header))}; put a "
            "field that holds a delimiter in quotes, or give the column a name"
        )


def open_manifest(
    file: BinaryIO,
    *,
    creator_column: str | None = None,
    url_column: str | None = None,
    encoding: str | None = None,
    group: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Manifest:
    """Find out how to read the manifest in `file`, which is seekable and stays open as long as it is read.

    With `group` all rows belong to that one group, and a creator column is neither needed nor looked for. `encoding` is
    that of text without a byte order mark, where it is known. `max_bytes` bounds the manifest's size, decompressed.
    Reads the whole file to tell its encoding.
    Raises `TerminalError`: `manifest_not_csv`, `manifest_too_large`, `manifest_columns`,
    `manifest_empty`.
    """
    wanted = Wanted(creator_column, url_column, with_creator=group is None)
    source = _open_source(file, wanted, encoding, max_bytes)
    columns = wanted.find(source.header, source.sample)
    if columns is None:
        raise wanted.missing(source.header, source.sample)
    return Manifest(source, columns, group)


def _open_source(file: BinaryIO, wanted: Wanted, encoding: str | None, max_bytes: int) -> Source:
    """Look at the content, never at a name, and open it as what it is."""
    refuse_other_formats(next(read_pieces(file, max_bytes), b""))
    text = Text(file, detect_encoding(file, max_bytes, named=encoding), max_bytes)
    if _JSON.match(text.beginning()):
        raise not_csv("JSON; export the table as CSV")
    return open_csv(text, wanted)


def _field(fields: Sequence[str], at: int) -> str:
    return fields[at] if at < len(fields) else ""


def _no_usable_row(counts: _Counts) -> TerminalError:
    """Build the error for a manifest without a usable row: it counts the rejects and shows the first."""
    total, first = counts.rejects.total(), counts.first_reject
    if first is None:
        text = "the manifest has a header and no row; add one row for each cover"
    else:
        by_reason = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.rejects.items()))
        text = (
            f"the manifest has no usable row: {total} lines were refused ({by_reason}). "
            f"The first is line {first.line}, {first.reason}: {first.detail}"
        )
    return TerminalError(JobReason.MANIFEST_EMPTY, text)
