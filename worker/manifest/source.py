"""What a manifest is once its format is known: named columns, and records to iterate over.

Everything that is the same for all formats works on a `Source`: finding the columns, judging and cleaning values,
counting, grouping. Everything that only one format has stays behind it: encodings, delimiters, widths of lines, nested
keys, sheets.

A module of a format has one function that opens it::

    open_...(text or file, wanted) -> Source

`text` (`worker.manifest.text.Text`) is the manifest of a text format, with gzip and encoding undone; `wanted`
(`worker.manifest.columns.Wanted`) says which columns are looked for. A format with several places where the table
could begin (lines above the header, sheets) takes the first for which `wanted.find(header, sample)` is not None. Where
there is none, it returns the place that looks most like a table: the error then lists the columns of that header.
`worker.manifest.manifest.open_manifest` looks at the content and calls the one that fits.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from worker.model import Reject

SAMPLE = 50
"""Records at the beginning by whose values columns are told apart."""

MAX_FIELD = 32_768
"""Characters of one field, in any format."""

Record = tuple[int, Sequence[str]]
"""The line that a record starts on (counted from 1; the row of a sheet, the number of an array's element), and its
fields, aligned with the source's `header`. A field without a value is "". A line of text may have fewer fields than the
header, or more; other formats have exactly as many, and of a record that has a wanted value they may leave the other
fields empty. Values are as the manifest has them: nothing is trimmed or repaired."""


class Source(Protocol):
    """A manifest whose format is known. To be read from one thread at a time; all of it blocks."""

    @property
    def format(self) -> str:
        """`csv` (any delimited text), `jsonl`, `json` or `xlsx`: what `source.format` of the summary says."""

    @property
    def encoding(self) -> str | None:
        """Name of the text's encoding; None where the format has none of its own."""

    @property
    def delimiter(self) -> str | None:
        """The character between fields; None where the format has none."""

    @property
    def header(self) -> Sequence[str]:
        """Names of the columns, as written. Keys of nested objects are joined with dots: `author.uniqueId`."""

    @property
    def sample(self) -> Sequence[Sequence[str]]:
        """Fields of the first records, up to `SAMPLE`."""

    @property
    def lines_above_the_header(self) -> int:
        """Lines that are not empty and stand above the header: titles, comments, `sep=;`."""

    def records(self) -> Iterator[Record | Reject]:
        """Give the records and what cannot be one, in file order, from the beginning; may be called again.

        A record without any value may be left out or given: either way it is no row and no reject, but only the ones
        that are given are counted as `empty_lines`. Raises `TerminalError` for what ends the whole manifest.
        """
