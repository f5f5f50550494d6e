"""Reading the results of a batch: its rows from their parts, its creators from their table.

A batch of an earlier version has a JSON document for each creator in place of parts; it is read alike.
"""

import json
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, TypeVar

from worker.errors import JobReason, RetryableError
from worker.jobs.part_lines import RowLine, RowOutcome, read_creator, read_row, unpacked
from worker.jobs.ports import ResultFiles
from worker.keys import creators_key, is_part, metadata_key, results_prefix
from worker.model import CreatorRecord

Line = TypeVar("Line")

HELD = 1 << 20
"""Bytes of a file of results that are held in memory; a larger one is read by way of the disk."""


class Parts:
    """The results of batches under one output prefix."""

    def __init__(self, files: ResultFiles, prefix: str) -> None:
        self._files = files
        self._prefix = prefix

    async def rows(self, batch_id: str) -> AsyncIterator[RowLine]:
        """Give every row of a batch, as far as the batch has come, part after part in the order of the plan.

        Raises `RetryableError(part_unreadable)` where a part is damaged.
        """
        async for key in self._files.keys(results_prefix(self._prefix, batch_id)):
            if key == creators_key(self._prefix, batch_id):
                continue
            async for row in self._rows_in(key):
                yield row

    async def rows_of(self, batch_id: str, record: CreatorRecord) -> AsyncIterator[RowLine]:
        """Give the rows of one creator; no other part than its own is read. Nothing is given where that is gone."""
        key = record.part_key or metadata_key(self._prefix, batch_id, record.creator)
        async for row in self._rows_in(key):
            if row.creator == record.creator:
                yield row

    async def creators(self, batch_id: str) -> AsyncIterator[CreatorRecord]:
        """Give every creator of a batch that is over, from its table; nothing where there is none (yet)."""
        key = creators_key(self._prefix, batch_id)
        async with self._fetched(key) as file:
            if file is not None:
                for record in _read(key, file, read_creator):
                    yield record

    async def _rows_in(self, key: str) -> AsyncIterator[RowLine]:
        async with self._fetched(key) as file:
            if file is not None:
                for row in part_rows(key, file) if is_part(key) else _rows_of_document(key, file):
                    yield row

    @asynccontextmanager
    async def _fetched(self, key: str) -> AsyncIterator[BinaryIO | None]:
        with tempfile.SpooledTemporaryFile(HELD, prefix="part-") as spooled:
            file: Any = spooled
            yield file if await self._files.fetch(key, file) else None


def part_rows(key: str, file: BinaryIO) -> Iterator[RowLine]:
    """Give the rows of a part one by one. Raises `RetryableError(part_unreadable)` where it is damaged."""
    return _read(key, file, read_row)


def _read(key: str, file: BinaryIO, read: Callable[[bytes], Line]) -> Iterator[Line]:
    try:
        yield from map(read, unpacked(file))
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise _unreadable(key, error) from error


def _rows_of_document(key: str, file: BinaryIO) -> Iterator[RowLine]:
    """Give the rows of a creator's document, as earlier versions wrote it."""
    try:
        told = json.loads(file.read())
        key_of_all = told["collages"][0] if len(told["collages"]) == 1 else None
        yield from [_row_of_image(told, image, key_of_all) for image in told["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(key, error) from error


def _row_of_image(told: Mapping[str, Any], image: Mapping[str, Any], collage_key: str | None) -> RowLine:
    is_repeat = image.get("reason") == "duplicate"
    outcome = RowOutcome.NOT_NEEDED if is_repeat else RowOutcome(image["outcome"])
    return RowLine(
        creator=told["creator"],
        line=image["line"],
        url=image["url"],
        outcome=outcome,
        reason=image.get("reason"),
        message=image.get("message"),
        format=image.get("format"),
        width=image.get("width"),
        height=image.get("height"),
        bytes=image.get("bytes"),
        fingerprint=image.get("fingerprint"),
        attempts=image.get("attempts"),
        seconds=image.get("seconds"),
        collage_key=collage_key if outcome is RowOutcome.USED else None,
        mode=told.get("mode", "normal"),
    )


def _unreadable(key: str, error: Exception) -> RetryableError:
    return RetryableError(JobReason.PART_UNREADABLE, f"{key} in the output bucket cannot be read: {error}")
