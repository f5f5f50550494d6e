"""JSON Lines or a JSON array of objects as a source: keys become columns, nested ones joined with dots.

The header has the keys of the first objects, in the order in which they appear. If the wanted columns are not among
them, the search for known names goes on to the end of the file.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from worker.errors import JobReason, RejectReason, TerminalError
from worker.manifest.bytes import not_csv
from worker.manifest.columns import Wanted, shown_name
from worker.manifest.json_values import Numbered, array_of_json, is_object, lines_of_json, texts_of_json
from worker.manifest.source import MAX_FIELD, SAMPLE, Record
from worker.manifest.text import Text
from worker.model import Reject

HEADER_OBJECTS = 300
"""Objects whose keys all go into the header; of later ones only those that are known names, where they are needed."""

MAX_COLUMNS = 10_000
MAX_NAME = 1_024
MAX_DEPTH = 16
"""Columns of a header, characters of a name, and levels of nesting that are looked at: the rest makes no column."""

LISTED = 10
"""Elements of a list that are columns of their own: `covers.0` to `covers.9`."""

_Path = tuple[str | int, ...]
_Reader = Callable[[Text], Iterator[Numbered | Reject]]


@dataclass(frozen=True)
class JsonSource:
    """Objects whose columns are known: `paths` leads to the values of each, `read` reads the objects."""

    text: Text
    format: str
    read: _Reader
    wanted: Wanted
    paths: Mapping[str, Sequence[_Path]]
    sample: Sequence[Sequence[str]]
    delimiter: None = None
    lines_above_the_header: int = 0

    @property
    def encoding(self) -> str:
        """Name of the text's encoding."""
        return self.text.encoding.name

    @cached_property
    def header(self) -> Sequence[str]:
        """Names of the columns: keys, nested ones joined with dots."""
        return tuple(self.paths)

    def records(self) -> Iterator[Record | Reject]:
        """Give the objects as records. Of one that has a wanted value, the other fields stay empty."""
        columns = self.wanted.find(self.header, self.sample) or ()
        ways = [(at, self.paths[self.header[at]]) for at in columns if at is not None]
        empty = [""] * len(self.header)
        for item in self.read(self.text):
            if isinstance(item, Reject):
                yield item
                continue
            number, found = item
            fields = empty.copy()
            longest, zeros = 0, False
            for at, paths in ways:
                fields[at] = text = _found(found, paths)
                longest = max(longest, len(text))
                zeros = zeros or "\0" in text
            if 0 < longest <= MAX_FIELD and not zeros:
                yield number, fields
            elif longest == 0:
                yield number, [_found(found, paths) for paths in self.paths.values()]  # is it empty, or lacks it both?
            elif zeros:
                yield Reject(number, RejectReason.NUL_BYTE, "a value holds a NUL character; remove it")
            else:
                detail = f"a value has {longest} characters; allowed are {MAX_FIELD}"
                yield Reject(number, RejectReason.FIELD_TOO_LONG, detail)


def open_json(text: Text, wanted: Wanted) -> JsonSource:
    """Find the columns of JSON Lines, of objects over several lines each, or of an array of objects.

    Raises `TerminalError`: `manifest_empty` for what has no object, `manifest_not_csv` for an object around the rows.
    """
    beginning = text.beginning()
    array = beginning.startswith("[")
    read = _array if array else _lines if _is_in_lines(beginning) else _texts
    header = _Header(wanted)
    header.take(read(text))
    if not header.objects:
        raise _empty(header.first_reject)
    source = JsonSource(text, "json" if array else "jsonl", read, wanted, header.paths, header.rows())
    if header.objects == 1 and header.is_by_columns:
        way = "write a row for each: to_json(orient='records', lines=True)"
        raise not_csv(f"one JSON object with a list of values for each column, as pandas writes it; {way}")
    if header.objects == 1 and header.rows_within and wanted.find(source.header, source.sample) is None:
        raise _rows_are_within(header.rows_within)
    return source


def _is_by_columns(found: Mapping[str, Any]) -> bool:
    """Say whether an object has the values of each column, by the number of the row."""
    return bool(found) and all(isinstance(value, dict) and "0" in value for value in found.values())


def _rows_are_within(way: tuple[str, ...]) -> TerminalError:
    """Build the error for an object around the rows, which are the list at the end of this way."""
    name = shown_name(".".join(way))
    keys = "".join(f'["{key}"]' if re.fullmatch(r"[\w.-]{1,40}", key) else '["…"]' for key in way)
    advice = f"save that list alone, for example with jq -c '.{keys}[]' FILE"
    return not_csv(f"one JSON object, and the rows seem to be the list {name} in it; {advice}")


def _lists_of_objects(found: Mapping[str, Any], way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Give the ways to the lists of objects in an object, the outer ones first."""
    within = [(key, value) for key, value in found.items() if type(value) is dict and len(way) < MAX_DEPTH]
    yield from ((*way, key) for key, value in found.items() if type(value) is list and {dict} == {*map(type, value)})
    for key, value in within:
        yield from _lists_of_objects(value, (*way, key))


def _lines(text: Text) -> Iterator[Numbered | Reject]:
    return lines_of_json(text.pieces(), damaged=text.encoding.damaged)


def _array(text: Text) -> Iterator[Numbered | Reject]:
    return array_of_json(text.pieces(), damaged=text.encoding.damaged)


def _texts(text: Text) -> Iterator[Numbered | Reject]:
    return texts_of_json(text.pieces(), damaged=text.encoding.damaged)


def _is_in_lines(beginning: str) -> bool:
    """Say whether each object is on a line of its own: some line is one, or there is one line only."""
    lines = [line for line in beginning.splitlines() if not line.isspace()]
    return len(lines) == 1 or any(map(is_object, lines))


def _empty(reject: Reject | None) -> TerminalError:
    first = f" The first reject is number {reject.line}, {reject.reason}: {reject.detail}" if reject else ""
    return TerminalError(
        JobReason.MANIFEST_EMPTY, f"the manifest has no JSON object; it needs one for each cover.{first}"
    )


class _Header:
    """What is known of the columns so far: the ways to the values of each name, and the first records."""

    def __init__(self, wanted: Wanted) -> None:
        self.paths: dict[str, list[_Path]] = {}
        self.objects = 0
        self.is_by_columns = False
        self.rows_within: tuple[str, ...] | None = None
        self.first_reject: Reject | None = None
        self._sample: list[dict[str, str]] = []
        self._wanted = wanted

    def take(self, read: Iterator[Numbered | Reject]) -> None:
        """Read objects until the header is complete and has the wanted columns, or to the end."""
        for item in read:
            if isinstance(item, Reject):
                self.first_reject = self.first_reject or item
            elif item[1] and self._add(item[1]) and self._wanted.find(tuple(self.paths), self.rows()):
                return

    def rows(self) -> list[Sequence[str]]:
        """Return the first records, aligned with the names."""
        return [[record.get(name, "") for name in self.paths] for record in self._sample]

    def _add(self, found: Mapping[str, Any]) -> bool:
        """Add an object's keys; says whether the columns that are known now may be all that are needed."""
        self.objects += 1
        if self.objects == 1:
            self.is_by_columns = _is_by_columns(found)
            self.rows_within = next(_lists_of_objects(found), None)
        before = len(self.paths)
        record: dict[str, str] = {}
        for name, path, value in _columns_of(found, self._wanted):
            if name not in self.paths and self._belongs(name):
                self.paths[name] = []
            if (paths := self.paths.get(name)) is not None:
                record.setdefault(name, as_text(value)[: MAX_FIELD + 1])
                if path not in paths:
                    paths.append(path)
        late = self.objects > HEADER_OBJECTS and len(self.paths) > before
        if len(self._sample) < SAMPLE or late:
            self._sample[SAMPLE - 1 :] = [record]
        return late or self.objects == HEADER_OBJECTS

    def _belongs(self, name: str) -> bool:
        if self.objects <= HEADER_OBJECTS and len(self.paths) < MAX_COLUMNS:
            return True
        return len(self.paths) < 2 * MAX_COLUMNS and self._wanted.knows(name)


def _columns_of(
    value: Mapping[str, Any] | Sequence[Any], wanted: Wanted, name: str = "", path: _Path = ()
) -> Iterator[tuple[str, _Path, Any]]:
    """Give the columns that an object has: their names, the ways to their values, and these.

    A list of texts is a column, and so is each of its elements. A list of objects, or an object, is one only where its
    name is known, and none of those within: a cell may hold such things (`worker.manifest.values`).
    """
    for key, each in value.items() if isinstance(value, Mapping) else enumerate(value[:LISTED]):
        full, way = f"{name}.{key}" if path else str(key), (*path, key)
        if not full or len(full) > MAX_NAME:
            continue
        if not isinstance(each, dict | list):
            yield full, way, each
            continue
        within = list(_columns_of(each, wanted, full, way)) if len(way) < MAX_DEPTH else []
        if _holds_texts(each) or (wanted.knows(full) and not any(wanted.knows(inner) for inner, *_ in within)):
            yield full, way, each
        yield from within


def _holds_texts(value: Sequence[Any] | Mapping[str, Any]) -> bool:
    return isinstance(value, list) and not any(isinstance(each, dict | list) for each in value)


def _found(found: Mapping[str, Any], paths: Sequence[_Path]) -> str:
    """Return the first value that there is on one of the ways."""
    for path in paths:
        value: Any = found
        for key in path:
            if type(value) is dict:
                value = value.get(key)
            elif type(value) is list and type(key) is int and key < len(value):
                value = value[key]
            else:
                value = None
                break
        if value is not None:
            return value if type(value) is str else as_text(value)
    return ""


def as_text(value: Any) -> str:
    """Return a JSON value as the text of a cell; of a list of texts the first that is not empty."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if _holds_texts(value):
        return next(filter(None, map(as_text, value)), "")
    return json.dumps(value, ensure_ascii=False) if value else ""
