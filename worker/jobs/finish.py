"""Finishing a batch: summary and report, archive, and the record's end; each step safe to repeat."""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

import structlog

from worker.errors import JobReason, LeaseHeld, TerminalError
from worker.failpoints import failpoint
from worker.jobs.chunk_files import ChunkFiles, Plan
from worker.jobs.creator_loop import Done
from worker.jobs.leasing import given_back, lease_kept
from worker.jobs.ports import Head, Ledger, Manifests, Results
from worker.jobs.report import SHOWN, report
from worker.jobs.summary import Rejects, Tally, creator_line, dumped, head, summary, write_summary
from worker.keys import iso, summary_key
from worker.model import (
    WHOLE,
    Batch,
    BatchRecord,
    BatchState,
    CreatorRecord,
    Lease,
    Outcome,
    Retryable,
    S3Manifest,
    Succeeded,
)

log = structlog.get_logger(__name__)

NEVER = 0.0
"""As the time of the last look: a batch that failed since it was found running stays failed."""

LOOK_AGAIN = 5.0
"""Seconds after which a worker looks again whether the one that is finishing a batch has done so."""


class Finisher:
    """Closes batches whose creators are all done."""

    def __init__(
        self,
        *,
        manifests: Manifests,
        results: Results,
        ledger: Ledger,
        chunks: ChunkFiles | None,
        owner: str,
        lease_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._manifests = manifests
        self._results = results
        self._ledger = ledger
        self._chunks = chunks
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._clock = clock

    async def sum_up(self, batch: Batch, done: Done, rejects: Rejects, worked: float) -> None:
        """Write summary and report of a batch that one worker did, and note that they are there."""
        records = sorted(done.records, key=lambda record: record.creator)
        document = summary(batch, done.tally, rejects, records, finished_at=self._now(), worked=worked)
        await self._write_report(batch, document)
        key = summary_key(batch.job.output_prefix, batch.id)
        await self._results.put_document(key, dumped(document), "application/json")
        failpoint("finish.summary_written")
        await self._ledger.note_summary(batch, summary_key=key, counts=done.tally.counts())
        failpoint("finish.summary_noted")

    async def close(self, batch: Batch) -> None:
        """Archive the manifest where an event started the batch, and close its record."""
        dropped = batch.job.dropped
        if dropped is not None and (found := await self._still_there(dropped)) is not None:
            await self._manifests.archive(dropped, found, failed=False)
            failpoint("finish.archived")
        await self._ledger.complete(batch)
        failpoint("finish.completed")
        log.info("batch.completed")

    async def finish_split(self, batch_id: str) -> Outcome:
        """Finish a split batch if all of its chunks are done and nobody else is at it."""
        record = await self._ledger.batch(batch_id)
        failpoint("finish.looked")
        if record is None or not all_done(record):
            return Succeeded()
        record, ours = await self._ledger.take(
            batch_id, owner=self._owner, source_csv=record.source_csv, lease=self._lease_seconds, as_of=NEVER
        )
        failpoint("finish.taken")
        if not ours:
            if record.state is not BatchState.RUNNING:
                return Succeeded()
            # Whoever holds it may die before the end: this message stays until the batch is closed.
            return Retryable(JobReason.LEASE_HELD, "another worker is finishing this batch", False, LOOK_AGAIN)
        try:
            await self.finish_taken(batch_id, record)
        except TerminalError as error:
            await self._fail_split(record, error)
            raise
        return Succeeded()

    async def finish_taken(self, batch_id: str, record: BatchRecord) -> None:
        """Finish a split batch whose lease is ours; a `TerminalError` leaves it to the caller to close it as failed."""
        if self._chunks is None:
            raise RuntimeError("a batch was split, but there is nothing to read its chunks with")
        plan = await self._chunks.read_plan(batch_id)
        failpoint("finish.plan_read")
        batch = plan.header.batch(owner=self._owner, fence=record.fence, part=WHOLE)
        async with given_back(self._ledger, batch):
            if not all_done(record):  # it failed since we looked, and whoever plans it anew will look again
                raise LeaseHeld(JobReason.LEASE_HELD, f"batch {batch_id} is being planned anew")
            async with lease_kept(self._ledger, batch, self._lease_seconds, lambda: record.counts):
                if record.summary_key is None:
                    await self._merge(batch, plan, record.chunks_total or 0)
            await self.close(batch)

    async def give_up(self, batch_id: str, error: TerminalError) -> None:
        """Close a split batch as failed: without one of its chunks it would never end.

        Raises `LeaseHeld` while another worker holds its lease: the chunk is looked at again, for no attempt.
        """
        known = await self._ledger.batch(batch_id)
        failpoint("finish.given_up_looked")
        if known is None or known.state is not BatchState.RUNNING:
            return
        record, ours = await self._ledger.take(
            batch_id, owner=self._owner, source_csv=known.source_csv, lease=self._lease_seconds, as_of=NEVER
        )
        failpoint("finish.given_up_taken")
        if not ours:
            raise LeaseHeld(
                JobReason.LEASE_HELD,
                f"batch {batch_id} cannot be closed yet: {record.owner} holds it",
                delay=LOOK_AGAIN,
            )
        await self._fail_split(record, error)

    async def fail(
        self, lease: Batch | Lease, error: TerminalError, dropped: S3Manifest | None, there: Head | None
    ) -> None:
        """Close a batch as failed: why goes beside the archived manifest and into the record.

        `dropped` is the manifest where an event started the batch, and `there` its head where it has not gone yet.
        """
        log.error("batch.failed", reason=error.reason, error=str(error))
        if dropped is not None:
            document = {
                "batch_id": lease.id,
                "error_code": error.reason,
                "error_message": str(error),
                "failed_at": iso(self._now()),
                "source": f"s3://{dropped.bucket}/{dropped.key}",
                "version": dropped.version,
                "etag": dropped.etag,
            }
            await self._manifests.put_error(dropped, json.dumps(document, indent=1).encode())
            failpoint("finish.error_written")
        # Before the manifest moves: whoever finds it gone has to find the reason in the record.
        await self._ledger.fail(lease, code=error.reason, message=str(error))
        failpoint("finish.failure_noted")
        if dropped is not None and there is not None:
            await self._manifests.archive(dropped, there, failed=True)
            failpoint("finish.failed_archived")

    async def archive_failed(self, record: BatchRecord) -> None:
        """Archive the manifest of a split batch that has failed: whoever failed it may have died before this."""
        if record.dropped is not None and (found := await self._still_there(record.dropped)) is not None:
            await self._manifests.archive(record.dropped, found, failed=True)
            failpoint("finish.failed_archived_again")

    async def _fail_split(self, record: BatchRecord, error: TerminalError) -> None:
        """Close a split batch whose lease is ours as failed. Its record tells the manifest: its files may be gone."""
        there = await self._still_there(record.dropped) if record.dropped else None
        await self.fail(Lease(record.id, self._owner, record.fence), error, record.dropped, there)

    async def _still_there(self, dropped: S3Manifest) -> Head | None:
        """Return the head of a manifest; None where it was moved already, or replaced by a newer upload."""
        found: Head | None = await self._manifests.head(dropped)
        failpoint("finish.manifest_seen")
        return found if found is not None and found.etag == dropped.etag else None

    async def _merge(self, batch: Batch, plan: Plan, chunks: int) -> None:
        """Write the summary from the parts, through a local file: memory does not grow with the batch."""
        assert self._chunks is not None  # noqa: S101 - checked by the caller; for the type checker
        tally = Tally(creators_total=plan.creators, rows_total=plan.rows, rejects_total=plan.rejects.total)
        tally.columns = plan.header.columns
        shown: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        with tempfile.TemporaryFile(prefix="parts-") as lines, tempfile.TemporaryFile(prefix="summary-") as whole:
            async for records in self._chunks.parts(batch.id, chunks):
                _gather(records, tally, lines, shown)
            failpoint("finish.parts_merged")
            worked = (self._now() - batch.started_at).total_seconds()
            top = head(batch, tally, plan.rejects, finished_at=self._now(), worked=worked)
            await self._write_report(batch, {**top, "creators": shown[True] + shown[False]})
            await asyncio.to_thread(write_summary, whole, top, lambda: _read_lines(lines))
            whole.seek(0)
            key = summary_key(batch.job.output_prefix, batch.id)
            await self._results.put_document(key, whole, "application/json")
            failpoint("finish.merged_summary_written")
        await self._ledger.note_summary(batch, summary_key=key, counts=tally.counts())
        failpoint("finish.merged_summary_noted")

    async def _write_report(self, batch: Batch, document: Mapping[str, Any]) -> None:
        page = report(document).encode()
        key = summary_key(batch.job.output_prefix, batch.id, "html")
        await self._results.put_document(key, page, "text/html; charset=utf-8")
        failpoint("finish.report_written")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def all_done(record: BatchRecord) -> bool:
    """Say whether a split batch has all of its chunks done, and is not closed yet."""
    return (
        record.state is BatchState.RUNNING
        and record.chunks_total is not None
        and record.chunks_done >= record.chunks_total
    )


def _gather(
    records: list[CreatorRecord], tally: Tally, lines: BinaryIO, shown: dict[bool, list[dict[str, Any]]]
) -> None:
    for record in records:
        tally.add(record)
        line = creator_line(record)
        lines.write(json.dumps(line).encode() + b"\n")
        if len(shown[bool(record.collage_keys)]) < SHOWN:
            shown[bool(record.collage_keys)].append(line)


def _read_lines(lines: BinaryIO) -> Iterator[dict[str, Any]]:
    lines.seek(0)
    for line in lines:
        yield json.loads(line)
