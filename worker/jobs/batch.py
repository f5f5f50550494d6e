"""One batch, from its manifest to its summary.

Every step is safe to repeat: keys and records are named after the batch's first start, collages are put where there
is none, creators that are done are found done. Deleting the message is the caller's, and the last step of all.
"""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

import structlog

from worker.errors import Interrupted, JobError, JobReason, Postponed, TerminalError
from worker.failpoints import failpoint
from worker.jobs.chunk_files import MESSAGES_AT_A_TIME, ChunkFiles
from worker.jobs.creator_loop import CreatorLoop, Done, PlanSource
from worker.jobs.finish import Finisher, all_done
from worker.jobs.leasing import given_back, lease_kept
from worker.jobs.messages import config_in_metadata
from worker.jobs.outcomes import outcome_of
from worker.jobs.ports import Head, Ledger, Manifests
from worker.jobs.summary import Rejects, Tally
from worker.keys import batch_id, iso, manifest_name, manifest_stem
from worker.manifest.bytes import inline_bytes
from worker.manifest.grouping import Grouping
from worker.manifest.manifest import Manifest, open_manifest
from worker.model import (
    Batch,
    BatchRecord,
    BatchState,
    InlineManifest,
    Job,
    Lease,
    Outcome,
    Retryable,
    Succeeded,
    Terminal,
)

log = structlog.get_logger(__name__)

NOTE_SENT_EVERY = 100
"""Chunk messages between two notes of how many are sent: what a planner that dies may send twice, without effect."""


class BatchWork:
    """Runs batches; everything it needs is handed in. Without `split` one message does its whole batch."""

    def __init__(
        self,
        *,
        manifests: Manifests,
        ledger: Ledger,
        hands: CreatorLoop,
        finisher: Finisher,
        owner: str,
        lease_seconds: float,
        chunks: ChunkFiles | None = None,
        split: bool = True,
        clock: Callable[[], float] = time.time,
        on_plan: Callable[[Tally], None] = lambda _tally: None,
    ) -> None:
        self._manifests = manifests
        self._ledger = ledger
        self._hands = hands
        self._finisher = finisher
        self._chunks = chunks
        self._split = split and chunks is not None
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._on_plan = on_plan

    async def run(self, job: Job, message_id: str, stop: asyncio.Event) -> Outcome:
        """Do the whole of a batch, or what is left of it, and say what becomes of its message.

        A batch of more than one chunk is planned and its chunks are sent; they are messages of their own. `stop` asks
        to begin no further creator. Cancelling gives the lease back and hands the rest to the next.
        """
        looked = self._clock()
        with structlog.contextvars.bound_contextvars(source_csv=manifest_name(job)):
            try:
                job, head = await self._identified(job)
            except JobError as error:
                return outcome_of(error, None)
            identifier = batch_id(job)
            with structlog.contextvars.bound_contextvars(batch_id=identifier):
                try:
                    return await self._run_identified(job, head, looked, identifier, message_id, stop)
                except JobError as error:
                    return outcome_of(error, identifier)

    async def refuse(self, message_id: str, error: TerminalError) -> str:
        """Record a message that could not be understood as a failed batch, so that `status` can tell why."""
        identifier = f"s3_message-{hashlib.sha256(message_id.encode()).hexdigest()[:8]}"
        try:
            record, ours = await self._ledger.take(
                identifier, owner=self._owner, source_csv="", lease=self._lease_seconds
            )
            failpoint("batch.refusal_taken")
            if ours:
                lease = Lease(identifier, self._owner, record.fence)
                await self._ledger.fail(lease, code=error.reason, message=str(error))
                failpoint("batch.refusal_noted")
        except Postponed as failure:  # the dead letter says the same
            log.warning("batch.record_failed", error=str(failure))
        return identifier

    async def _identified(self, job: Job) -> tuple[Job, Head | None]:
        """Look at the manifest, so that the batch can be named after the very version that will be read."""
        if isinstance(job.manifest, InlineManifest):
            return job, None
        head = await self._manifests.head(job.manifest)
        failpoint("batch.manifest_seen")
        if head is None:
            return job, None
        return replace(job, manifest=replace(job.manifest, version=head.version, etag=head.etag)), head

    async def _run_identified(
        self, job: Job, head: Head | None, looked: float, identifier: str, message_id: str, stop: asyncio.Event
    ) -> Outcome:
        if head is None and job.from_event:
            known = await self._ledger.batch(identifier)
            failpoint("batch.gone_looked_up")
            if known is not None and known.state is not BatchState.RUNNING:
                return await self._answered(job, None, known)
        record, ours = await self._ledger.take(
            identifier, owner=self._owner, source_csv=manifest_name(job), lease=self._lease_seconds, as_of=looked
        )
        failpoint("batch.taken")
        if not ours:
            return await self._answered(job, head, record)
        batch = Batch(
            identifier,
            job,
            record.started_at,
            self._owner,
            record.fence,
            message_id,
            manifest_name(job),
            first=record.takes == 1,
        )
        log.info("batch.started", fence=batch.fence, started_at=iso(batch.started_at))
        try:
            async with given_back(self._ledger, batch):
                return await self._run_leased(_configured(batch, head), head, record, stop)
        except TerminalError as error:
            await self._finisher.fail(batch, error, job.dropped, head)
            raise

    async def _answered(self, job: Job, head: Head | None, record: BatchRecord) -> Outcome:
        """Answer from the record: the batch is over, or another worker is at it."""
        if record.state is BatchState.RUNNING:
            left = max(1.0, record.lease_expires - self._clock())
            text = f"another worker ({record.owner}) holds the lease on this batch for {left:.0f} s more"
            return Retryable(JobReason.LEASE_HELD, text, costs_attempt=False, delay=left)
        if record.state is not BatchState.CANCELLED and head is not None and job.dropped is not None:
            # Whoever closed it may have died before this.
            await self._manifests.archive(job.dropped, head, failed=record.state is BatchState.FAILED)
            failpoint("batch.archived_again")
        if record.state is BatchState.FAILED:  # its dead letter may not have got away the first time
            reason = JobReason(record.error_code or JobReason.INTERNAL_ERROR)
            return Terminal(reason, record.error_message or "it failed before", record.id)
        log.info("batch.found_done", state=record.state, summary_key=record.summary_key)
        return Succeeded()

    # --- the work ---------------------------------------------------------------------------------------------------

    async def _run_leased(self, batch: Batch, head: Head | None, record: BatchRecord, stop: asyncio.Event) -> Outcome:
        """Go on from where the record says that an earlier run came to."""
        chunks = record.chunks_total
        if record.summary_key is None and chunks is None:
            chunks = await self._plan_and_do(batch, head, stop)
        if chunks:
            return await self._send_chunks(batch, record.chunks_sent, chunks, stop)
        await self._finisher.close(batch)
        return Succeeded()

    async def _plan_and_do(self, batch: Batch, head: Head | None, stop: asyncio.Event) -> int | None:
        """Plan the batch; split it, and return the number of chunks, or do it here and now, and return None."""
        done, started = Done(), time.monotonic()
        tally = done.tally
        with tempfile.TemporaryFile(prefix="manifest-") as file, Grouping() as plan:
            async with lease_kept(self._ledger, batch, self._lease_seconds, tally.counts):
                await self._fetch_manifest(batch.job, head, file)
                tally.creators_total, manifest = await _filled(plan, file, batch.job)
                tally.rows_total, tally.rejects_total = plan.rows, plan.reject_count
                source, tally.columns = manifest.told(), manifest.columns_told()
                rejects = Rejects({str(reason): n for reason, n in plan.rejects.items()}, plan.kept_rejects, source)
                self._on_plan(tally)
                log.info(
                    "batch.planned",
                    creators=tally.creators_total,
                    rows=plan.rows,
                    rejects=rejects.by_reason,
                    source=source,
                )
                failpoint("batch.planned")
                if self._chunks is not None and self._split and self._chunks.needed(tally.creators_total, plan.rows):
                    chunks = await self._chunks.write(
                        batch, plan, rejects, tally.creators_total, stop, columns=tally.columns
                    )
                    failpoint("batch.chunks_written")
                    await self._ledger.note_plan(batch, chunks=chunks, counts=tally.counts())
                    failpoint("batch.plan_noted")
                    return chunks
                await self._hands.work_through(batch, PlanSource(plan), plan.rows, done, stop)
                await self._finisher.sum_up(batch, done, rejects, time.monotonic() - started)
        return None

    async def _send_chunks(self, batch: Batch, sent: int, total: int, stop: asyncio.Event) -> Outcome:
        """Send the messages that were not sent yet; the worker that does the last chunk finishes the batch."""
        if self._chunks is None:
            raise RuntimeError("a batch was split, but there is nothing to send its chunks with")
        for first in range(sent + 1, total + 1, MESSAGES_AT_A_TIME):
            if stop.is_set():
                raise Interrupted(
                    JobReason.INTERRUPTED, f"the worker is stopping; {first - 1} of {total} chunks are sent"
                )
            last = min(first + MESSAGES_AT_A_TIME - 1, total)
            await self._chunks.send(batch.id, first, last)
            failpoint("batch.chunks_sent")
            if last == total or last % NOTE_SENT_EVERY < MESSAGES_AT_A_TIME:
                await self._ledger.note_sent(batch, chunks=last, lease=self._lease_seconds)
                failpoint("batch.sent_noted")
        log.info("batch.split", chunks=total)
        now = await self._ledger.batch(batch.id)
        failpoint("batch.looked_again")
        if now is not None and all_done(now):
            await self._finisher.finish_taken(batch.id, now)
        else:
            await self._ledger.release(batch)
            failpoint("batch.released")
        return Succeeded()

    async def _fetch_manifest(self, job: Job, head: Head | None, file: BinaryIO) -> None:
        if isinstance(job.manifest, InlineManifest):
            file.write(inline_bytes(job.manifest.text))
            file.seek(0)
        elif head is None:
            raise TerminalError(
                JobReason.MANIFEST_MISSING,
                f"there is no s3://{job.manifest.bucket}/{job.manifest.key}; upload it, or correct the job's s3_key",
            )
        else:
            await self._manifests.download(job.manifest, head, file)
            failpoint("batch.manifest_fetched")


def _configured(batch: Batch, head: Head | None) -> Batch:
    """Take into account what a dropped object asks for itself."""
    if head is None or not batch.job.from_event:
        return batch
    return replace(batch, job=replace(batch.job, config=config_in_metadata(head.metadata, batch.job.config)))


async def _filled(plan: Grouping, file: BinaryIO, job: Job) -> tuple[int, Manifest]:
    """Read the manifest into the plan, in a thread; where this is cancelled, end the thread before file and plan go."""
    reading = asyncio.create_task(asyncio.to_thread(_fill, plan, file, job))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        plan.interrupt()
        await asyncio.wait({reading})
        raise


def _fill(plan: Grouping, file: BinaryIO, job: Job) -> tuple[int, Manifest]:
    """Read the manifest into the plan; returns the number of creators. Blocks: it runs in a thread."""
    config = job.config
    manifest = open_manifest(
        file,
        creator_column=config.creator_column,
        url_column=config.url_column,
        encoding=config.encoding,
        group=None if config.group_by_creator else manifest_stem(job),
    )
    for some in manifest.batches():
        plan.add(some)
    return plan.count_creators(), manifest
