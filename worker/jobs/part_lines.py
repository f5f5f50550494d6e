"""The lines of a batch's results: one for each row of its manifest, one for each creator. JSON, gzipped.

Every line of a kind has the same keys in the same order; what is not known is null. So one schema fits all files, and
DuckDB, pandas and Athena read them as one table. The same lines give the same bytes: no file holds the time it was
written.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import groupby
from typing import Any, BinaryIO

from worker.errors import CreatorReason
from worker.images.fingerprint import content_hash
from worker.jobs.extracts import ExtractOfRows, extract_told, read_extract
from worker.model import CreatorRecord, CreatorStatus, Mode

LEVEL = 6
"""Of gzip."""

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_CREATOR_REASONS = frozenset(CreatorReason)


class RowOutcome(StrEnum):
    """What became of a row: it is in the collage, it could not be used, or it was not needed (a repeat, or beyond)."""

    USED = "used"
    FAILED = "failed"
    NOT_NEEDED = "not_needed"


@dataclass(frozen=True, slots=True)
class RowLine:
    """One row of the manifest and its fate: a line of a part. `line` is the manifest's, the header being line 1."""

    creator: str
    line: int
    url: str
    outcome: RowOutcome
    reason: str | None = None
    """Why it failed; `duplicate` for a repeat that was not needed."""
    message: str | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    """Of the downloaded file."""
    fingerprint: str | None = None
    """Hash of the downloaded file."""
    attempts: int | None = None
    seconds: float | None = None
    """Of the download that succeeded."""
    page: int | None = None
    """Of the collage, from 1."""
    position: int | None = None
    """On that page, from 1, row by row."""
    collage_key: str | None = None
    collage_hash: str | None = None
    """Hash of that page's bytes."""
    mode: str = Mode.NORMAL.value
    """How carefully the creator was done."""
    creator_seconds: float = 0.0
    """What the creator took, from its first row to its last page."""
    ended_at: str | None = None
    """When the row's fate was known: `2025-01-19T12:00:00Z`."""


ROW_FIELDS = tuple(field.name for field in fields(RowLine))


def row_json(row: RowLine) -> bytes:
    """Write a row as a line of a part, line feed included."""
    return _dumped({name: getattr(row, name) for name in ROW_FIELDS})


def read_row(line: bytes) -> RowLine:
    """Read what `row_json` wrote. Raises `ValueError` or `KeyError` for anything else."""
    told = json.loads(line)
    known = {name: told[name] for name in ROW_FIELDS if name in told}
    return RowLine(**{**known, "outcome": RowOutcome(told["outcome"])})


def creator_json(record: CreatorRecord) -> bytes:
    """Write a creator as a line of `creators.jsonl.gz`, line feed included."""
    return _dumped(_told(record))


def result_json(record: CreatorRecord) -> bytes:
    """Write a creator as a line of a chunk's result: its report is made from it, too."""
    return _dumped(_told(record) | ({"extract": extract_told(record.extract)} if record.extract else {}))


def _told(record: CreatorRecord) -> dict[str, Any]:
    return {
        "creator": record.creator,
        "status": record.status,
        "images_processed": record.images_processed,
        "error_count": record.error_count,
        "errors": dict(record.errors),
        "duplicates": record.duplicates,
        "collages": list(record.collage_keys),
        "content_hash": record.content_hash,
        "mode": record.mode,
        "seconds": round(record.duration, 3),
        "part": record.part_key,
    }


def read_creator(line: bytes) -> CreatorRecord:
    """Read what `creator_json` or `result_json` wrote, and what an earlier version did."""
    told = json.loads(line)
    return CreatorRecord(
        creator=told["creator"],
        status=CreatorStatus(told["status"]),
        images_processed=told["images_processed"],
        collage_keys=tuple(told["collages"]),
        errors=told["errors"],
        duplicates=told.get("duplicates", 0),
        duration=told["seconds"],
        content_hash=told.get("content_hash"),
        mode=Mode(told["mode"]),
        part_key=told.get("part"),
        extract=read_extract(told["extract"]) if "extract" in told else None,
    )


class Packer:
    """Gzips lines into a file as they come. Several such files, one after the other, are a gzip file again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)

    def add(self, lines: Iterable[bytes]) -> None:
        """Write some lines."""
        for line in lines:
            self._file.write(self._packer.compress(line))

    def end(self) -> None:
        """Write what is left, and go back to the file's beginning."""
        self._file.write(self._packer.flush())
        self._file.seek(0)


def packed(lines: Iterable[bytes]) -> bytes:
    """Gzip some lines."""
    file = io.BytesIO()
    packer = Packer(file)
    packer.add(lines)
    packer.end()
    return file.getvalue()


def unpacked(file: BinaryIO) -> Iterator[bytes]:
    """Give the lines of a gzipped file one by one. Raises `OSError`, `EOFError` or `zlib.error` where it is damaged."""
    with gzip.GzipFile(fileobj=file, mode="rb") as lines:
        yield from lines


def by_creator(rows: Iterable[RowLine]) -> Iterator[tuple[str, Iterator[RowLine]]]:
    """Give each creator of a part with its rows, which are read as they are asked for."""
    return groupby(rows, lambda row: row.creator)


def record_of_rows(
    creator: str, rows: Iterable[RowLine], *, hash_algorithm: str, part_key: str | None = None
) -> CreatorRecord:
    """Derive a creator's record from its rows: what the part tells is what the record says."""
    errors: dict[str, int] = {}
    pages: dict[int, tuple[str, str]] = {}
    used = duplicates = 0
    mode, seconds = Mode.NORMAL.value, 0.0
    extract = ExtractOfRows()
    for row in rows:
        mode, seconds = row.mode, row.creator_seconds
        extract.ended(row.ended_at)
        if row.outcome is RowOutcome.FAILED:
            extract.failed_row(row.line, row.url, row.reason, row.message)
        elif row.seconds is not None:
            extract.download(row.seconds)
        if row.outcome is RowOutcome.USED:
            used += 1
            pages[row.page or 1] = (row.collage_key or "", row.collage_hash or "")
        elif row.outcome is RowOutcome.FAILED and row.reason:
            # A creator that was given up is one failure, not one for each of its rows.
            errors[row.reason] = 1 if row.reason in _CREATOR_REASONS else errors.get(row.reason, 0) + 1
        elif row.reason:
            duplicates += 1
    in_order = [pages[page] for page in sorted(pages)]
    return CreatorRecord(
        creator=creator,
        status=CreatorStatus.COMPLETED if used else CreatorStatus.FAILED,
        images_processed=used,
        collage_keys=tuple(key for key, _ in in_order),
        errors=dict(sorted(errors.items())),
        duplicates=duplicates,
        duration=seconds,
        content_hash=hash_of_pages([page for _, page in in_order], hash_algorithm),
        mode=Mode(mode),
        part_key=part_key,
        extract=extract.made(),
    )


def hash_of_pages(hashes: Sequence[str], algorithm: str) -> str | None:
    """Return a collage's hash: its page's or, of several pages, that of their hashes joined; None without a page."""
    if len(hashes) > 1:
        return content_hash("".join(hashes).encode(), algorithm)
    return hashes[0] if hashes else None


def _dumped(document: Mapping[str, Any]) -> bytes:
    return _JSON.encode(document).encode("utf-8", "backslashreplace") + b"\n"
