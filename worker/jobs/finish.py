"""Finishing a batch: summary and report, archive, and the record's end; each step safe to repeat."""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO

import structlog

from worker.errors import CreatorReason, JobReason, Postponed, TerminalError
from worker.failpoints import failpoint
from worker.jobs.chunk_files import ChunkFiles, Plan, batch_of, spec_of
from worker.jobs.creator_loop import Done
from worker.jobs.disk import room_on_disk
from worker.jobs.leasing import Leases
from worker.jobs.part_lines import Packer, creator_json
from worker.jobs.ports import Ledger, Manifests, Results
from worker.jobs.report.blocks import Blocks
from worker.jobs.report.missing import MissingExtracts
from worker.jobs.report.page import add_creator, write_report
from worker.jobs.summary import Rejects, Tally, creator_line, summary_top, write_summary
from worker.keys import creators_key, iso, report_key, summary_key
from worker.model import (
    Batch,
    BatchRecord,
    BatchState,
    CreatorRecord,
    CreatorStatus,
    Lease,
    ManifestHead,
    Outcome,
    S3Manifest,
    Succeeded,
    Terminal,
)

log = structlog.get_logger(__name__)

NEVER = 0.0
"""As the time of the last look: a batch that failed since it was found running stays failed."""

RESULTS_AT_A_TIME = 16
"""Chunks' results that are read ahead."""

INDEX_DELAY = 5.0
"""Seconds until the index is looked at again where it is behind the table."""

RECORDS_AT_A_TIME = 500
"""Creators' records that are held while a summary is written from them."""


class Finisher:
    """Closes batches whose creators are all done, and those that cannot be done."""

    def __init__(
        self,
        *,
        manifests: Manifests,
        results: Results,
        ledger: Ledger,
        leases: Leases,
        chunk_files: ChunkFiles | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._manifests = manifests
        self._results = results
        self._ledger = ledger
        self._leases = leases
        self._chunk_files = chunk_files
        self._clock = clock

    # --- a batch that came to its end -------------------------------------------------------------------------------

    async def sum_up(self, batch: Batch, done: Done, rejects: Rejects, worked: float) -> None:
        """Write summary and report of a batch that one worker did in `worked` seconds; note that they are there."""

        async def records() -> AsyncIterator[list[CreatorRecord]]:
            yield sorted(done.records, key=lambda record: record.creator)

        await self._sum_up(batch, done.tally.totals(), rejects, records(), worked)

    async def close(self, batch: Batch) -> None:
        """Archive the manifest where an event started the batch, and close its record."""
        dropped = batch.job.dropped
        if dropped is not None and (found := await self._still_there(dropped)) is not None:
            await self._manifests.archive(dropped, found, batch_id=batch.id, failed=False)
            failpoint("finish.archived")
        await self._ledger.complete(batch.lease)
        failpoint("finish.completed")
        log.info("batch.completed")

    async def finish_split(self, batch_id: str) -> Outcome:
        """Finish a split batch if all of its chunks are done. Raises `LeaseHeld` while another worker is at it."""
        record = await self._ledger.batch(batch_id)
        failpoint("finish.looked")
        if record is None or not all_done(record):
            return Succeeded()
        taken, lease = await self._leases.take(batch_id, source_csv=record.source_csv, as_of=NEVER)
        failpoint("finish.taken")
        if lease is None:
            return Succeeded()
        batch = spec_of(taken).batch(lease)
        try:
            async with self._leases.held(taken, lease):
                await self.finish_taken(batch, taken)
        except TerminalError as error:
            await self.fail(lease, error, batch.job.dropped, await self._there(batch))
            raise
        return Succeeded()

    async def finish_taken(self, batch: Batch, record: BatchRecord) -> None:
        """Finish a split batch whose lease is ours."""
        async with self._leases.kept(batch.lease, lambda: record.counts):
            if record.summary_key is None:
                await self._sum_up_split(batch, record)
        await self.close(batch)

    # --- a batch that cannot be done --------------------------------------------------------------------------------

    async def fail(
        self, lease: Lease, error: TerminalError, dropped: S3Manifest | None, there: ManifestHead | None
    ) -> None:
        """Close a batch as failed: why goes beside the archived manifest and into the record.

        `dropped` is the manifest where an event started the batch, and `there` its head where it has not gone yet.
        """
        log.error("batch.failed", reason=error.reason, error=str(error))
        async with self._leases.given_back(lease), self._leases.kept(lease, dict):
            if dropped is not None:
                await self._put_error(lease.id, error, dropped)
            # Before the manifest moves: whoever finds it gone has to find the reason in the record.
            await self._ledger.fail(lease, code=error.reason, message=str(error))
            failpoint("finish.failure_noted")
        record = await self._ledger.batch(lease.id)
        failpoint("finish.failure_known")
        if record is not None and record.asked is not None:
            await self.tell_unfinished(record)
        if dropped is not None:
            await self._archive_failed(lease.id, dropped, there)

    async def close_cancelled(self, record: BatchRecord) -> None:
        """Tell what was done of a batch that was cancelled, and archive its manifest where an event started it."""
        await self.tell_unfinished(record)
        dropped = spec_of(record).job.dropped
        if dropped is None:
            return
        text = f"batch {record.id} was cancelled; drop its manifest again to begin it anew"
        error = TerminalError(JobReason.CANCELLED, text)
        await self._put_error(record.id, error, dropped)
        await self._archive_failed(record.id, dropped, await self._still_there(dropped))

    async def close_left_over(self, record: BatchRecord) -> None:
        """Do what whoever failed or cancelled a batch may not have come to: its summary, and its manifest's move."""
        if record.summary_key is None:
            await self.tell_unfinished(record)
        dropped = spec_of(record).job.dropped
        if dropped is None:
            return
        there = await self._still_there(dropped)
        if there is not None and was_there(there, record):
            await self._archive_failed(record.id, dropped, there)

    async def _archive_failed(self, batch_id: str, dropped: S3Manifest, there: ManifestHead | None) -> None:
        if there is not None:
            await self._manifests.archive(dropped, there, batch_id=batch_id, failed=True)
            failpoint("finish.failed_archived")

    async def _put_error(self, batch_id: str, error: TerminalError, dropped: S3Manifest) -> None:
        document = {
            "batch_id": batch_id,
            "error_code": error.reason,
            "error_message": str(error),
            "failed_at": iso(self._now()),
            "source": f"s3://{dropped.bucket}/{dropped.key}",
            "version": dropped.version,
            "etag": dropped.etag,
        }
        await self._manifests.put_error(dropped, json.dumps(document, indent=1).encode(), batch_id=batch_id)
        failpoint("finish.error_written")

    async def _there(self, batch: Batch) -> ManifestHead | None:
        return await self._still_there(batch.job.dropped) if batch.job.dropped else None

    async def _still_there(self, dropped: S3Manifest) -> ManifestHead | None:
        """Return the head of a manifest; None where it was moved already, or replaced by a newer upload."""
        found = await self._manifests.head(dropped)
        failpoint("finish.manifest_seen")
        return found if found is not None and found.is_of(dropped) else None

    # --- what is told of it -----------------------------------------------------------------------------------------

    async def tell_unfinished(self, record: BatchRecord) -> None:
        """Write summary and report of what was done of a batch that is not done, from its records."""
        batch = batch_of(record)
        tally = _tally_of(record)
        records = self._recorded(record.id)
        key = await self._summarise(
            batch, tally, _rejects_of(record), records, self._since(batch), record.state, why=_why_it_ended(record)
        )
        await self._ledger.note_unfinished(record.id, summary_key=key, counts=tally.counts())
        failpoint("finish.unfinished_noted")

    async def write_report_so_far(self, record: BatchRecord, page: BinaryIO) -> None:
        """Write into a file what a batch that goes on has done so far; nothing else is written."""
        batch = batch_of(record)
        tally, rejects, worked = _tally_of(record), _rejects_of(record), self._since(batch)
        missing = MissingExtracts(self._results, batch, tally.creators_total)
        with Blocks() as blocks:
            async for some in self._recorded(record.id):
                _gather(await missing.added(some), tally, blocks, batch.job.output_prefix)
            top = summary_top(batch, tally, rejects, finished_at=self._now(), worked=worked, status=record.state)
            await asyncio.to_thread(write_report, page, {**top, "warnings": _why_it_ended(record)}, blocks)

    async def _sum_up_split(self, batch: Batch, record: BatchRecord) -> None:
        """Write the summary from the chunks' results or, where one has expired, from the creators' records."""
        if self._chunk_files is None:
            raise RuntimeError("a batch was split, but there is nothing to read its chunks with")
        plan = await self._chunk_files.read_plan(batch.id) or Plan(_rejects_of(record), 0, 0)
        failpoint("finish.plan_read")
        try:
            records = self._results_of(batch.id, record.chunks_total or 0, self._chunk_files)
            await self._sum_up(batch, _tally_of(record, plan), plan.rejects, records, self._since(batch))
        except _ResultGone:
            log.warning("finish.results_expired")
            records = self._all_recorded(record)
            await self._sum_up(batch, _tally_of(record, plan), plan.rejects, records, self._since(batch))

    async def _results_of(
        self, batch_id: str, chunks: int, chunk_files: ChunkFiles
    ) -> AsyncIterator[list[CreatorRecord]]:
        """Give what came of each chunk, in order; some are read ahead."""
        for first in range(1, chunks + 1, RESULTS_AT_A_TIME):
            numbers = range(first, min(first + RESULTS_AT_A_TIME, chunks + 1))
            for records in await asyncio.gather(*[chunk_files.read_result(batch_id, number) for number in numbers]):
                if records is None:
                    raise _ResultGone
                yield records

    async def _all_recorded(self, record: BatchRecord) -> AsyncIterator[list[CreatorRecord]]:
        """Give the creators' records. Raises `Postponed` where the index does not show all that the chunks counted."""
        counted = record.counts.get("creators_completed", 0) + record.counts.get("creators_failed", 0)
        found = 0
        async for some in self._recorded(record.id):
            found += len(some)
            yield some
        if found < counted:
            told = f"the index shows {found} of {counted} creators of batch {record.id} so far"
            raise Postponed(JobReason.INDEX_BEHIND, told, delay=INDEX_DELAY)

    async def _recorded(self, batch_id: str) -> AsyncIterator[list[CreatorRecord]]:
        some: list[CreatorRecord] = []
        async for record in self._ledger.all_creator_records(batch_id):
            if record.status is CreatorStatus.PROCESSING:
                continue
            some.append(record)
            if len(some) >= RECORDS_AT_A_TIME:
                yield some
                some = []
        yield some

    async def _sum_up(
        self,
        batch: Batch,
        tally: Tally,
        rejects: Rejects,
        records: AsyncIterator[list[CreatorRecord]],
        worked: float,
    ) -> None:
        """Write report and summary of a batch that came to its end, and note that they are there."""
        key = await self._summarise(batch, tally, rejects, records, worked, BatchState.COMPLETED)
        await self._ledger.note_summary(batch.lease, summary_key=key, counts=tally.counts())
        failpoint("finish.summary_noted")

    async def _summarise(
        self,
        batch: Batch,
        tally: Tally,
        rejects: Rejects,
        records: AsyncIterator[list[CreatorRecord]],
        worked: float,
        state: BatchState,
        why: Sequence[str] = (),
    ) -> str:
        """Write report and summary through a local file, so that memory does not grow with the batch; returns the key.

        The tally counts the records then. `why` stands first among the warnings.
        """
        with (
            room_on_disk("writing the summary"),
            tempfile.TemporaryFile(prefix="lines-") as lines,
            tempfile.TemporaryFile(prefix="creators-") as table,
            tempfile.TemporaryFile(prefix="summary-") as whole,
            tempfile.TemporaryFile(prefix="report-") as page,
            Blocks() as blocks,
        ):
            packer = Packer(table)
            missing = MissingExtracts(self._results, batch, tally.creators_total)
            async for some in records:
                _gather(await missing.added(some), tally, blocks, batch.job.output_prefix)
                lines.writelines(json.dumps(creator_line(record)).encode() + b"\n" for record in some)
                packer.add(map(creator_json, some))
            failpoint("finish.creators_gathered")
            packer.end()
            await self._results.put_document(creators_key(batch.job.output_prefix, batch.id), table, "application/gzip")
            failpoint("finish.creators_written")
            if state is BatchState.COMPLETED:
                why = [*why, *_count_lost(tally)]
            top = summary_top(batch, tally, rejects, finished_at=self._now(), worked=worked, status=state)
            top["warnings"] = [*why, *top["warnings"]]
            key = summary_key(batch.job.output_prefix, batch.id)
            await asyncio.to_thread(write_report, page, top, blocks)
            await self._results.put_document(report_key(key), page, "text/html; charset=utf-8")
            failpoint("finish.report_written")
            await asyncio.to_thread(write_summary, whole, top, lambda: _read_lines(lines))
            whole.seek(0)
            await self._results.put_document(key, whole, "application/json")
            failpoint("finish.summary_written")
        return key

    def _since(self, batch: Batch) -> float:
        return (self._now() - batch.started_at).total_seconds()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


class _ResultGone(Exception):
    """A chunk's result has expired."""


def all_done(record: BatchRecord) -> bool:
    """Say whether a split batch has all of its chunks done, and is not closed yet."""
    return (
        record.state is BatchState.RUNNING
        and record.chunks_total is not None
        and record.chunks_done >= record.chunks_total
    )


def was_there(head: ManifestHead, record: BatchRecord) -> bool:
    """Say whether a manifest is the one that its batch ended with, and no later upload of the same bytes."""
    return head.modified < record.lease_expires


def failure_of(record: BatchRecord) -> Terminal | None:
    """Return what becomes of the message of a unit that is over, where it could not be done."""
    if record.error_code is None:
        return None
    return Terminal(JobReason(record.error_code), record.error_message or "it failed before", record.id)


def _why_it_ended(record: BatchRecord) -> list[str]:
    if record.state is BatchState.CANCELLED:
        return ["The batch was cancelled; this is what was done by then. Drop its manifest again to begin it anew."]
    if record.state is BatchState.RUNNING:
        return ["The batch is not at its end; this is what was done by then."]
    return [f"The batch failed: {record.error_code}: {record.error_message}"]


def _count_lost(tally: Tally) -> list[str]:
    """Count the creators whose names nobody knows any more; returns what is told of them."""
    lost = tally.creators_total - tally.creators_completed - tally.creators_failed
    if lost <= 0:
        return []
    tally.creators_failed += lost
    tally.errors[CreatorReason.WORK_LOST] = tally.errors.get(CreatorReason.WORK_LOST, 0) + lost
    return [f"{lost} creators are not named here: their chunk's file and the manifest were gone before they were done."]


def _tally_of(record: BatchRecord, plan: Plan | None = None) -> Tally:
    counts = record.counts
    return Tally(
        creators_total=(plan and plan.creators) or counts.get("creators_total", 0),
        rows_total=(plan and plan.rows) or counts.get("rows_total", 0),
        rejects_total=(plan and plan.rejects.total) or counts.get("rejects_total", 0),
        columns=counts.get("columns", {}),
    )


def _rejects_of(record: BatchRecord) -> Rejects:
    """Return the rejects where only their number is known."""
    total = record.counts.get("rejects_total", 0)
    return Rejects({"not_listed": total} if total else {}, [])


def _gather(records: list[CreatorRecord], tally: Tally, blocks: Blocks, prefix: str) -> None:
    for record in records:
        tally.add(record)
        add_creator(blocks, record, prefix)


def _read_lines(lines: BinaryIO) -> Iterator[dict[str, Any]]:
    lines.seek(0)
    for line in lines:
        yield json.loads(line)
