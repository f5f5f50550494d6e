"""The parts of one unit of work: each is put when all of its creators are done, and before their records.

The part is the truth, the record its index: whoever finds a part derives the records from it and does no creator of it
again. A creator that is done while its part is not yet is saved in the temp bucket, by whoever took the unit over, and
by everyone who is asked to stop.
"""

import asyncio
import io
import tempfile
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO

import structlog

from worker.errors import CreatorReason, JobReason, RetryableError, TerminalError
from worker.failpoints import failpoint
from worker.jobs.creator_rows import CreatorRows
from worker.jobs.part_lines import by_creator, packed, record_of_rows, row_json
from worker.jobs.part_plan import Part
from worker.jobs.parts import HELD, Parts, part_rows
from worker.jobs.ports import Ledger, Results, TempStore
from worker.keys import unfinished_key
from worker.model import Batch, CreatorRecord, CreatorStatus

log = structlog.get_logger(__name__)


class PartWork:
    """Opens, saves and ends the parts of batches. Without a `store` nothing is saved."""

    def __init__(self, results: Results, store: TempStore | None, ledger: Ledger, *, hash_algorithm: str) -> None:
        self._results = results
        self._store = store
        self._ledger = ledger
        self._hash_algorithm = hash_algorithm

    async def adopt(self, batch: Batch, part: Part) -> list[CreatorRecord]:
        """Write the records that follow from a part that is there already, and return them; none where it is not.

        Its creators are left with those of whom it does not tell: such as are recorded, and stand in another part.
        """
        told = await self._record(batch, await self._told(part.key))
        if told:
            log.info("part.found_done", key=part.key, creators=len(told))
        names = {record.creator for record in told}
        part.groups = tuple(group for group in part.groups if group.name not in names)
        return told

    async def end(self, batch: Batch, part: Part) -> list[CreatorRecord]:
        """Put a part whose creators are all done, then write their records; returns them in the order of the plan.

        Where another worker has put it meanwhile, the records follow from that one.
        """
        in_order = part.in_order()
        body = b"".join(done.lines for done in in_order)
        records = [replace(done.record, part_key=done.record.part_key or part.key) for done in in_order]
        if body and not await self._results.put_part(part.key, body):
            failpoint("parts.found_put")
            return await self._as_told(batch, part)
        failpoint("parts.put")
        new = [record for record, done in zip(records, in_order, strict=True) if not done.is_recorded]
        written = {record.creator: record for record in await self._record(batch, new)}
        return [written.get(record.creator, record) for record in records]

    async def _as_told(self, batch: Batch, part: Part) -> list[CreatorRecord]:
        """Write the records that follow from the part that is there, in place of those of our own work."""
        told = await self.adopt(batch, part)
        if strangers := [group.name for group in part.groups if not part.done[group.name].is_recorded]:
            why = f"{part.key} in the output bucket does not tell of {strangers[0]!r}, who stands in it by the plan"
            raise RetryableError(JobReason.PART_UNREADABLE, why)
        return told + [part.done[group.name].record for group in part.groups]

    async def save(self, batch: Batch, done: CreatorRows) -> CreatorRows:
        """Keep the lines of a creator whose part is not done: whoever takes over need not do it again."""
        if self._store is None or done.is_saved or done.is_recorded:
            return done
        await self._store.put(unfinished_key(batch.id, done.record.creator), done.lines)
        failpoint("parts.creator_saved")
        return replace(done, is_saved=True)

    async def saved(self, batch: Batch, creator: str) -> CreatorRows | None:
        """Return what `save` kept of a creator, or None."""
        if self._store is None:
            return None
        key = unfinished_key(batch.id, creator)
        lines = await self._store.get(key)
        failpoint("parts.saved_read")
        if lines is None:
            return None
        [record] = await asyncio.to_thread(self._derived, key, io.BytesIO(lines))
        return CreatorRows(replace(record, part_key=None), lines, is_saved=True)

    async def recorded(self, batch: Batch, record: CreatorRecord) -> CreatorRows:
        """Return what is known of a creator that has its record, but no part here.

        Where an earlier version did it, its document becomes lines of the part. Else its lines stand in another part.
        """
        if record.part_key is not None:
            return CreatorRows(record, b"", is_recorded=True)
        rows = Parts(self._results, batch.job.output_prefix).rows_of(batch.id, record)
        lines = [row_json(row) async for row in rows]
        failpoint("parts.document_read")
        return CreatorRows(record, packed(lines) if lines else b"", is_recorded=True)

    async def _told(self, key: str) -> list[CreatorRecord]:
        """Return the records that follow from a part; none where there is no such part."""
        with tempfile.SpooledTemporaryFile(HELD, prefix="part-") as spooled:
            file: Any = spooled
            found = await self._results.fetch(key, file)
            failpoint("parts.looked")
            return await asyncio.to_thread(self._derived, key, file) if found else []

    def _derived(self, key: str, file: BinaryIO) -> list[CreatorRecord]:
        """Derive a record from the lines of each creator."""
        derive = partial(record_of_rows, hash_algorithm=self._hash_algorithm, part_key=key)
        return [derive(name, rows) for name, rows in by_creator(part_rows(key, file))]

    async def _record(self, batch: Batch, records: list[CreatorRecord]) -> list[CreatorRecord]:
        """Write records; returns them as they stand now: what no item can hold is told as failed."""
        try:
            if records:
                await self._ledger.finish_creators(batch, records)
                failpoint("parts.recorded")
        except TerminalError as error:
            if error.reason is not JobReason.RECORD_TOO_LARGE:
                raise
            if len(records) > 1:
                return [written for record in records for written in await self._record(batch, [record])]
            log.error("creator.record_too_large", creator=records[0].creator, error=str(error))  # noqa: TRY400 -- the text says it all
            return await self._record(batch, [_too_large(records[0])])
        return records


def _too_large(record: CreatorRecord) -> CreatorRecord:
    """Return what is told of a creator whose record would be more than an item may hold. Its part has it all."""
    reason = CreatorReason.RECORD_TOO_LARGE.value
    return CreatorRecord(record.creator, CreatorStatus.FAILED, errors={reason: 1}, part_key=record.part_key)
