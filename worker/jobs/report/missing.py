"""What a report shows of creators that somebody else did: read again from their parts and their collages.

Whoever does a creator hands on what a report shows of it. That is lost where the batch was cancelled, where a worker
ended before the end of its chunk, and where a chunk's result has expired.
"""

import asyncio
import tempfile
from dataclasses import replace
from typing import Any, BinaryIO

import structlog

from worker.errors import RetryableError
from worker.extract import Extract, PreviewSpec
from worker.images.preview import shrunk
from worker.jobs.part_lines import by_creator, record_of_rows
from worker.jobs.parts import HELD, part_rows
from worker.jobs.ports import ResultFiles
from worker.jobs.report.blocks import CREATORS, preview_spec
from worker.model import Batch, CreatorRecord

log = structlog.get_logger(__name__)

COLLAGES = 1_000
"""Collages that are read again for one report; further creators have no preview."""

AT_A_TIME = 8


class MissingExtracts:
    """Adds to the records of one batch what a report shows besides, where they lack it."""

    def __init__(self, results: ResultFiles, batch: Batch, creators: int) -> None:
        self._results = results
        self._batch = batch
        self._spec = preview_spec(creators)
        self._room = COLLAGES
        self._seen = 0
        self._read: set[str] = set()
        self._of_parts: dict[str, Extract] = {}

    async def added(self, records: list[CreatorRecord]) -> list[CreatorRecord]:
        """Return the records with their extracts, as far as a report has room for them."""
        records = [await self._with_rows(record) for record in records]
        complete: list[CreatorRecord] = []
        for first in range(0, len(records), AT_A_TIME):
            some = records[first : first + AT_A_TIME]
            complete += await asyncio.gather(*[self._with_previews(record) for record in some])
        return complete

    async def _with_rows(self, record: CreatorRecord) -> CreatorRecord:
        if record.extract is not None or record.part_key is None or len(self._of_parts) >= CREATORS:
            return record
        if record.part_key not in self._read:
            self._read.add(record.part_key)
            self._of_parts |= await self._extracts_in(record.part_key)
        return replace(record, extract=self._of_parts.get(record.creator))

    async def _extracts_in(self, key: str) -> dict[str, Extract]:
        """Return the extracts of the creators of a part; none where it is gone or cannot be read."""
        with tempfile.SpooledTemporaryFile(HELD, prefix="part-") as spooled:
            file: Any = spooled
            try:
                found = await self._results.fetch(key, file)
                return await asyncio.to_thread(_extracts, key, file) if found else {}
            except RetryableError as error:
                log.warning("report.part_unread", key=key, error=str(error))
                return {}

    async def _with_previews(self, record: CreatorRecord) -> CreatorRecord:
        extract = record.extract or Extract()
        self._seen += 1
        if extract.previews or not record.collage_keys or self._spec is None or self._seen > CREATORS:
            return record
        previews: list[bytes] = []
        for key in record.collage_keys:
            if self._room <= 0 or (preview := await self._preview(key, self._spec)) is None:
                break
            previews.append(preview)
        return replace(record, extract=replace(extract, previews=tuple(previews)))

    async def _preview(self, key: str, spec: PreviewSpec) -> bytes | None:
        """Return a small JPEG of a collage; None where it is gone, or no picture."""
        self._room -= 1
        with tempfile.SpooledTemporaryFile(HELD, prefix="collage-") as spooled:
            file: Any = spooled
            try:
                if not await self._results.fetch(key, file):
                    return None
                file_format = self._batch.job.config.format
                return await asyncio.to_thread(lambda: shrunk(file.read(), spec, file_format=file_format))
            except OSError as error:
                log.warning("report.collage_unread", key=key, error=str(error))
                return None


def _extracts(key: str, file: BinaryIO) -> dict[str, Extract]:
    found: dict[str, Extract] = {}
    for creator, rows in by_creator(part_rows(key, file)):
        extract = record_of_rows(creator, rows, hash_algorithm="sha256").extract
        if extract is not None:
            found[creator] = extract
    return found
