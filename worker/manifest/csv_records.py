"""From text to CSV records with the physical line that each starts on, in bounded memory and linear time.

A quote that opens and never closes costs its own line only: the lines after it are read again. A record over several
lines counts only if its quoting is exactly correct; otherwise the next stray quote would seem to end it. On a single
line, incorrect quotes are accepted.

The bounds: a closing quote is looked for within `MAX_RECORD` characters, plus one piece. Characters that are read again
come out of an allowance (`Rereading`), which grows with what has been read; where it is used up, a quote must be closed
on its own line. So n characters cost at most about 10·n steps and the free ones, whatever they are.
"""

import csv
import io
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from worker.errors import RejectReason
from worker.manifest.encodings import BAD
from worker.manifest.source import MAX_FIELD, Record
from worker.model import Reject

if TYPE_CHECKING:
    from _csv import Reader

MAX_LINE = 1_048_576
"""Characters of one line; a longer one is skipped without being held."""

MAX_RECORD = 1_048_576
"""Characters of a record over several lines."""


class Rereading(NamedTuple):
    """How many characters may be read again: `free` in all, and `factor` times as many as have been read."""

    free: int = 16 * 1_048_576
    factor: int = 4


REREADING = Rereading()

_UNCLOSED = (
    f"a quote that opens on this line is not closed as it should be within {MAX_RECORD} characters (a field may have "
    f"{MAX_FIELD}); close it, and write a quote inside a field twice"
)


class _OutOfLines(Exception):
    """There is no further line. It passes through the C reader, and never leaves this module."""


def split_lines(pieces: Iterable[str]) -> Iterator[list[str]]:
    """Split text at LF, CRLF and CR, in lists as the pieces come; `str.splitlines` would split at a dozen more.

    Lines keep their ends. One longer than `MAX_LINE` comes cut to `MAX_LINE + 1` characters.
    """
    begun = ""
    for piece in pieces:
        if not piece:
            continue
        lines = io.StringIO(piece, newline="").readlines()
        ended = lines[-1].endswith(("\n", "\r"))
        if begun:
            lines[0] = begun + lines[0][: MAX_LINE + 1 - len(begun)]
        begun = "" if ended else lines.pop()
        if lines:
            yield lines
    if begun:
        yield [begun]


def first_record(lines: list[str], delimiter: str) -> tuple[list[str], int]:
    """Read the record that `lines` begin with; returns its fields and how many lines it takes.

    Where its quoting is not correct, only its first line counts; no fields are returned where that is of no use either.
    """
    reader = _reader(_until(lines, 0, len(lines)), delimiter, strict=True)
    try:
        return next(reader), reader.line_num
    except (csv.Error, _OutOfLines):
        return _read_alone(lines[0], delimiter) or [], 1


def _reader(lines: Iterable[str], delimiter: str, *, strict: bool = False) -> "Reader":
    # skipinitialspace: `name, "http://…"` is common, and creators and URLs are trimmed anyway
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=strict)


def _plain_reader(lines: Iterable[str], delimiter: str) -> "Reader":
    """Read lines without a quote. Spaces are kept: they tell a URL that was cut at its commas from several fields."""
    return csv.reader(lines, delimiter=delimiter)


def _read_alone(line: str, delimiter: str) -> list[str] | None:
    """Read one line whose quoting need not be correct (`"so "called" names",…`); None where a quote stays open."""
    try:
        return next(_reader(_until([line], 0, 1), delimiter))
    except (csv.Error, _OutOfLines):
        return None


class Records:
    """The records of a manifest, to be iterated over once; a blank line is a record without fields.

    `blocks` are lists of lines as `split_lines` gives them, `line` is the number of their first line. A record over
    several lines whose field `one_line` (an index) is not there or holds a line end is badly quoted: a URL is on one.
    In `damaged` text a record with bytes that are no text is a reject.
    """

    def __init__(
        self,
        blocks: Iterable[list[str]],
        delimiter: str,
        *,
        line: int,
        one_line: int,
        damaged: bool = False,
        rereading: Rereading = REREADING,
    ) -> None:
        self._blocks = blocks
        self._delimiter = delimiter
        self._line = line
        self._one_line = one_line
        self._damaged = damaged
        self._rereading = rereading
        self._allowance = rereading.free

    def __iter__(self) -> Iterator[Record | Reject]:
        rest: list[str] = []
        for block in self._blocks:
            text = "".join(block)
            self._allowance += self._rereading.factor * len(text)
            if not rest and _is_plain(text, block) and not (self._damaged and BAD in text):
                yield from enumerate(_plain_reader(block, self._delimiter), self._line)
                self._line += len(block)
            else:
                rest = yield from self._quoted(rest + block, last=False)
        yield from self._quoted(rest, last=True)

    def _quoted(self, lines: list[str], *, last: bool) -> Generator[Record | Reject, None, list[str]]:
        """Yield the records of `lines`; returns the lines of one at the end that needs further lines."""
        at = 0
        odd = _is_odd(lines) or (self._damaged and BAD in "".join(lines))
        while at < len(lines):
            alone = self._allowance <= 0
            reader = _reader(_until(lines, at, at + 1 if alone else len(lines)), self._delimiter, strict=True)
            start = at
            try:
                for fields in reader:
                    end = start + reader.line_num
                    if end - at > 1 and not self._is_sound(fields, lines[at:end]):
                        break
                    if lines[at].isspace():
                        yield self._line, []
                    else:
                        yield _checked(self._line, fields, lines[at:end]) if odd else (self._line, fields)
                    self._line += end - at
                    at = end
            except _OutOfLines:
                if at == start + reader.line_num:
                    continue
                if not (last or alone) and sum(map(len, lines[at:])) <= MAX_RECORD:
                    return lines[at:]
            except csv.Error:
                # a quote that strict reading refuses, or a field beyond the module's own bound of 131,072 characters
                if sloppy := _read_alone(lines[at], self._delimiter):
                    yield _checked(self._line, sloppy, lines[at : at + 1])
                    self._line, at = self._line + 1, at + 1
                    continue
            ahead = lines[at + 1 : start + reader.line_num]
            self._allowance -= sum(map(len, ahead))
            yield _too_long(self._line) if _is_too_long(lines[at], ahead) else _unclosed(self._line)
            self._line, at = self._line + 1, at + 1
        return []

    def _is_sound(self, fields: list[str], lines: list[str]) -> bool:
        """Say whether a record over several lines is one, and not the work of a stray quote."""
        if max(map(len, fields)) > MAX_FIELD or sum(map(len, lines)) > MAX_RECORD or self._one_line >= len(fields):
            return False
        one_line = fields[self._one_line].strip()
        return "\n" not in one_line and "\r" not in one_line


def _is_plain(text: str, lines: list[str]) -> bool:
    """Say whether each line is one record that needs no closer look."""
    return '"' not in text and not any(map(str.isspace, lines)) and not _is_odd(lines)


def _is_odd(lines: list[str]) -> bool:
    """Say whether something in the lines may have to be refused for its NULs or its length."""
    return "\0" in "".join(lines) or max(map(len, lines), default=0) > MAX_FIELD


def _is_too_long(first: str, ahead: list[str]) -> bool:
    """Say whether a record failed by the length of its first line, rather than by a quote."""
    return len(first) > (MAX_LINE if ahead else MAX_FIELD)


def _until(lines: list[str], start: int, stop: int) -> Iterator[str]:
    for index in range(start, stop):
        yield lines[index]
    raise _OutOfLines


def _checked(line: int, fields: list[str], lines: list[str]) -> Record | Reject:
    if any("\0" in each for each in lines):
        return Reject(line, RejectReason.NUL_BYTE, "the line holds a NUL byte; remove it")
    if any(BAD in each for each in lines):
        return bad_encoding(line)
    if len(lines[0]) > MAX_LINE or max(map(len, fields), default=0) > MAX_FIELD:
        return _too_long(line)
    return line, fields


def bad_encoding(line: int) -> Reject:
    """Build the reject for a line, or record, with bytes that are no text."""
    return Reject(line, RejectReason.BAD_ENCODING, "the line holds bytes that are no text in the manifest's encoding")


def _too_long(line: int) -> Reject:
    allowed = f"{MAX_FIELD} characters in a field and {MAX_LINE} in a line"
    return Reject(line, RejectReason.FIELD_TOO_LONG, f"the line is too long; allowed are {allowed}")


def _unclosed(line: int) -> Reject:
    return Reject(line, RejectReason.BAD_QUOTING, _UNCLOSED)
