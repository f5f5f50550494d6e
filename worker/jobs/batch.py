"""One batch, from its manifest to its summary; what is more than one chunk is split, and its chunks are sent.

Every step is safe to repeat: keys and records are named after the batch's first start, collages are put where there
is none, creators that are done are found done. Deleting the message is the caller's, and the last step of all.
"""

import asyncio
import hashlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import structlog

from worker.errors import Interrupted, JobError, JobReason, Postponed, RejectReason, TerminalError
from worker.failpoints import failpoint
from worker.jobs.attempts import last_receive
from worker.jobs.chunk import ChunkWork
from worker.jobs.chunk_files import ChunkFiles, Plan, asked_of, chunk_bodies, spec_of, written_spec
from worker.jobs.creator_loop import CreatorLoop, Done
from worker.jobs.finish import NEVER, Finisher, all_done, was_there
from worker.jobs.groups import ManifestGroups
from worker.jobs.leasing import Leases
from worker.jobs.messages import config_in_metadata
from worker.jobs.outcomes import outcome_of
from worker.jobs.part_plan import PartPlan
from worker.jobs.planning import Planner
from worker.jobs.ports import Ledger, Manifests
from worker.jobs.report.blocks import preview_spec
from worker.jobs.summary import Rejects, Tally
from worker.keys import MORE_HASH_DIGITS, batch_digest, batch_id, iso, manifest_name
from worker.manifest.grouping import Grouping
from worker.model import (
    Asked,
    Batch,
    BatchRecord,
    BatchState,
    ChunkJob,
    InlineManifest,
    Job,
    Lease,
    ManifestHead,
    Outcome,
    S3Manifest,
    Succeeded,
    Terminal,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a job is told of the message that carried it.

    `asked_at` is when it was first sent, in epoch seconds. `is_last` says that the queue gives the message up where it
    is not deleted this time.
    """

    message_id: str
    asked_at: float
    is_last: bool = False


class BatchWork:
    """Runs batches; everything it needs is handed in. Without `chunk_work` one message does its whole batch.

    `chunks_at_a_time` chunks are written, noted and sent together.
    """

    def __init__(
        self,
        *,
        manifests: Manifests,
        ledger: Ledger,
        leases: Leases,
        planner: Planner,
        creator_loop: CreatorLoop,
        finisher: Finisher,
        chunk_files: ChunkFiles | None,
        chunk_work: ChunkWork | None,
        chunks_at_a_time: int = 100,
        on_plan: Callable[[Tally], None] = lambda _tally: None,
    ) -> None:
        self._manifests = manifests
        self._ledger = ledger
        self._leases = leases
        self._planner = planner
        self._creator_loop = creator_loop
        self._finisher = finisher
        self._chunk_files = chunk_files
        self._chunk_work = chunk_work
        self._chunks_at_a_time = chunks_at_a_time
        self._on_plan = on_plan

    async def run(self, job: Job | ChunkJob, delivery: Delivery, stop: asyncio.Event) -> Outcome:
        """Do the whole of a job, or what is left of it, and say what becomes of its message.

        A batch of more than one chunk is planned and its chunks are sent; they are messages of their own. `stop` asks
        to begin no further creator. Cancelling gives the lease back and hands the rest to the next.
        """
        if isinstance(job, ChunkJob):
            return await self._run_chunk(job, delivery, stop)
        with structlog.contextvars.bound_contextvars(source_csv=manifest_name(job)):
            named = job
            try:
                job, head = await self._identified(job)
            except TerminalError as error:
                return await self._close_unread(named, delivery, error)
            except JobError as error:
                return outcome_of(error, None)
            try:
                await self._close_replaced(named, head)
            except JobError as error:
                return outcome_of(error, batch_id(named))
            identifier = batch_id(job)
            with structlog.contextvars.bound_contextvars(batch_id=identifier):
                try:
                    return await self._run_identified(job, head, delivery, stop)
                except JobError as error:
                    return outcome_of(error, identifier)

    async def refuse(self, delivery: Delivery, error: TerminalError) -> str:
        """Record a message that could not be understood as a failed batch, so that `status` can tell why."""
        identifier = f"s3_message-{hashlib.sha256(delivery.message_id.encode()).hexdigest()[:8]}"
        try:
            _, lease = await self._leases.take(identifier, source_csv="")
            failpoint("batch.refusal_taken")
            if lease is not None:
                await self._ledger.fail(lease, code=error.reason, message=str(error))
                failpoint("batch.refusal_noted")
        except Postponed as failure:  # the dead letter says the same
            log.warning("batch.record_failed", error=str(failure))
        return identifier

    async def tell_unfinished(self, record: BatchRecord) -> None:
        """Write summary and report of what is done of a batch that was stopped."""
        await self._finisher.tell_unfinished(record)

    async def _run_chunk(self, job: ChunkJob, delivery: Delivery, stop: asyncio.Event) -> Outcome:
        if self._chunk_work is None:
            raise RuntimeError("a chunk came to a worker that does not split batches")
        return await self._chunk_work.run(job, delivery.is_last, stop)

    async def _identified(self, job: Job) -> tuple[Job, ManifestHead | None]:
        """Look at the manifest, so that the batch can be named after the very version that will be read."""
        if isinstance(job.manifest, InlineManifest):
            return job, None
        head = await self._manifests.head(job.manifest)
        failpoint("batch.manifest_seen")
        if head is None:
            return job, None
        config = head.config if job.from_event and head.version is None else None
        return replace(job, manifest=replace(job.manifest, version=head.version, etag=head.etag, config=config)), head

    async def _close_unread(self, job: Job, delivery: Delivery, error: TerminalError) -> Outcome:
        """Close the batch of a manifest that may not be looked at, so that `status` and the archive can tell why."""
        with structlog.contextvars.bound_contextvars(batch_id=batch_id(job)):
            try:
                record, lease = await self._taken(job, delivery)
                if lease is None:
                    return await self._answered(job, None, record)
                await self._finisher.fail(lease, error, job.dropped, None)
            except JobError as failure:
                return outcome_of(failure, batch_id(job))
            return outcome_of(error, lease.id)

    async def _close_replaced(self, named: Job, head: ManifestHead | None) -> None:
        """Close the batch of an upload that a newer one has replaced before it was planned: nobody can plan it now.

        Raises `LeaseHeld` while a worker is at it, which has read it in time, and `TerminalError` once it is closed:
        its message ends with it, and the newer upload has a message of its own.
        """
        manifest = named.manifest
        if head is None or not isinstance(manifest, S3Manifest) or manifest.version is not None:
            return
        if manifest.etag in {None, head.etag}:
            return
        known = await self._ledger.batch(batch_id(named))
        failpoint("batch.replaced_known")
        error = _replaced(manifest)
        if known is not None and known.error_code == error.reason:
            raise error  # its dead letter may not have got away the first time
        if known is not None and await self._end_replaced(known, named.dropped, error):
            raise error

    async def _end_replaced(self, known: BatchRecord, dropped: S3Manifest | None, error: TerminalError) -> bool:
        """Close a batch that is not planned, for its upload was replaced; says whether it was. Raises `LeaseHeld`."""
        if known.state is not BatchState.RUNNING or known.chunks_total is not None:
            return False
        _, lease = await self._leases.take(known.id, source_csv=known.source_csv, as_of=NEVER)
        failpoint("batch.replaced_taken")
        if lease is None:
            return False
        await self._finisher.fail(lease, error, dropped, None)
        return True

    async def _run_identified(
        self, job: Job, head: ManifestHead | None, delivery: Delivery, stop: asyncio.Event
    ) -> Outcome:
        if head is None and job.from_event:
            known = await self._ledger.batch(batch_id(job))
            failpoint("batch.gone_looked_up")
            if known is not None and known.state is not BatchState.RUNNING:
                return await self._answered(job, None, known)
        if delivery.is_last and await self._ledger.batch(batch_id(job)) is not None:
            # Not with the lease in hand: giving it back would hide that the last worker ended under it.
            raise last_receive()
        failpoint("batch.receives_left")
        job, wrong = _configured(job, head)
        record, lease = await self._taken(job, delivery)
        failpoint("batch.taken")
        if lease is None:
            return await self._answered(job, head, record)
        spec = spec_of(record)
        batch = replace(spec, job=job).batch(lease, first=record.takes == 1)
        log.info("batch.started", fence=lease.fence, started_at=iso(batch.started_at), attempts=record.attempts)
        try:
            async with self._leases.held(record, lease):
                if wrong is not None:
                    raise wrong
                if delivery.is_last:
                    raise last_receive()
                return await self._run_leased(batch, head, record, stop)
        except TerminalError as error:
            await self._finisher.fail(lease, error, job.dropped, head)
            raise

    async def _taken(self, job: Job, delivery: Delivery) -> tuple[BatchRecord, Lease | None]:
        """Take the batch's lease; a batch that would share its name with another gets a longer one."""
        record, lease = await self._take_as(batch_id(job), job, delivery)
        if lease is None and record.asked is not None and record.asked.digest != batch_digest(job):
            if job.dropped is not None and _is_same_object(spec_of(record).job.dropped, job.dropped):
                await self._end_replaced(record, job.dropped, _replaced(job.dropped))
            record, lease = await self._take_as(batch_id(job, MORE_HASH_DIGITS), job, delivery)
        return record, lease

    async def _take_as(self, identifier: str, job: Job, delivery: Delivery) -> tuple[BatchRecord, Lease | None]:
        name, files = manifest_name(job), self._chunk_files
        asked = Asked(
            digest=batch_digest(job),
            spec=written_spec(identifier, job, delivery.message_id, name),
            chunk_creators=files.creators if files else 0,
            chunk_rows=files.rows if files else 0,
            part_creators=self._planner.part_creators,
        )
        return await self._leases.take(identifier, source_csv=name, asked=asked, as_of=delivery.asked_at)

    async def _answered(self, job: Job, head: ManifestHead | None, record: BatchRecord) -> Outcome:
        """Answer from the record of a batch that is over."""
        if record.state is not BatchState.COMPLETED and record.summary_key is None and record.asked is not None:
            await self._finisher.tell_unfinished(record)
        is_over = record.state is not BatchState.COMPLETED
        if is_over and job.dropped is not None and head is not None and was_there(head, record):
            # Whoever closed it may have died before this.
            await self._manifests.archive(job.dropped, head, batch_id=record.id, failed=True)
            failpoint("batch.archived_again")
        if record.state is BatchState.FAILED:  # its dead letter may not have got away the first time
            reason = JobReason(record.error_code or JobReason.INTERNAL_ERROR)
            return Terminal(reason, record.error_message or "it failed before", record.id)
        if record.state is BatchState.COMPLETED and head is not None and job.dropped is not None:
            await self._manifests.archive(job.dropped, head, batch_id=record.id, failed=False)
            failpoint("batch.archived_late")
        log.info("batch.found_done", state=record.state, summary_key=record.summary_key)
        return Succeeded()

    # --- the work ---------------------------------------------------------------------------------------------------

    async def _run_leased(
        self, batch: Batch, head: ManifestHead | None, record: BatchRecord, stop: asyncio.Event
    ) -> Outcome:
        """Go on from where the record says that an earlier run came to."""
        if record.summary_key is not None:
            await self._finisher.close(batch)
            return Succeeded()
        if record.chunks_total is None:
            async with self._leases.kept(batch.lease, (done := Done()).tally.counts):
                is_split = await self._plan_and_do(batch, head, record, done, stop)
            if not is_split:
                await self._finisher.close(batch)
                return Succeeded()
        return await self._after_split(batch)

    async def _plan_and_do(
        self, batch: Batch, head: ManifestHead | None, record: BatchRecord, done: Done, stop: asyncio.Event
    ) -> bool:
        """Plan the batch; then send its chunks and return True, or do all of it here and now."""
        started, tally = time.monotonic(), done.tally
        async with self._planner.grouped(batch.job, head) as (grouping, creators, manifest):
            tally.creators_total, tally.columns = creators, manifest.columns_told()
            tally.rows_total, tally.rejects_total = grouping.rows, grouping.reject_count
            by_reason = {str(reason): count for reason, count in grouping.rejects.items()}
            rejects = Rejects(by_reason, grouping.kept_rejects, manifest.told())
            self._on_plan(tally)
            log.info("batch.planned", creators=creators, rows=grouping.rows, rejects=by_reason, source=rejects.source)
            failpoint("batch.planned")
            if self._chunk_files is not None and _is_split(record, creators, grouping.rows):
                chunks = await self._send_chunks(batch, record, grouping, tally, self._chunk_files, stop)
                rejects = _with_left_out(rejects, grouping.left_out)
                await self._chunk_files.write_plan(batch.id, Plan(rejects, grouping.rows, creators))
                await self._ledger.note_plan(batch.lease, chunks=chunks, counts=tally.counts())
                failpoint("batch.plan_noted")
                log.info("batch.split", chunks=chunks)
                return True
            batch = replace(batch, preview=preview_spec(creators))
            plan = PartPlan(batch, ManifestGroups(grouping), asked_of(record))
            await self._creator_loop.work_through(batch, record, plan, grouping.rows, done, stop)
            rejects = _with_left_out(rejects, grouping.left_out)
            tally.rejects_total = rejects.total
            await self._finisher.sum_up(batch, done, rejects, time.monotonic() - started)
        return False

    async def _send_chunks(
        self,
        batch: Batch,
        record: BatchRecord,
        grouping: Grouping,
        tally: Tally,
        chunk_files: ChunkFiles,
        stop: asyncio.Event,
    ) -> int:
        """Write the chunks and send their messages, some at a time: work begins long before the last is written.

        The record tells first how many are written, and then how many are sent: whoever takes over sends the rest.
        Returns how many there are.
        """
        size = asked_of(record)
        bodies = enumerate(chunk_bodies(grouping, creators=size.chunk_creators, rows=size.chunk_rows), start=1)
        sent = record.chunks_sent
        written = 0
        while some := dict(await asyncio.to_thread(_next, bodies, self._chunks_at_a_time)):
            written = max(some)
            if written <= sent:
                continue
            if stop.is_set():
                raise Interrupted(JobReason.INTERRUPTED, f"the worker is stopping; {sent} chunks are sent")
            await chunk_files.write(batch.id, some)
            await self._ledger.note_written(batch.lease, chunks=written, counts=tally.counts())
            failpoint("batch.written_noted")
            await chunk_files.send(batch.id, range(sent + 1, written + 1))
            failpoint("batch.chunks_sent")
            await self._ledger.note_sent(batch.lease, chunks=written)
            failpoint("batch.sent_noted")
            sent = written
        return written

    async def _after_split(self, batch: Batch) -> Outcome:
        """Leave the batch to those who do its chunks, unless they are done already."""
        now = await self._ledger.batch(batch.id)
        failpoint("batch.looked_again")
        if now is not None and all_done(now):
            await self._finisher.finish_taken(batch, now)
        else:
            await self._ledger.release(batch.lease)
            failpoint("batch.released")
        return Succeeded()


def _replaced(manifest: S3Manifest) -> TerminalError:
    told = f"s3://{manifest.bucket}/{manifest.key} was replaced by a newer upload, which is a batch of its own"
    return TerminalError(JobReason.MANIFEST_CHANGED, told)


def _is_same_object(one: S3Manifest | None, other: S3Manifest) -> bool:
    """Say whether two uploads have the same place and the same content, whatever settings they carry."""
    return one is not None and replace(one, config=None) == replace(other, config=None)


def _configured(job: Job, head: ManifestHead | None) -> tuple[Job, TerminalError | None]:
    """Take into account what a dropped object asks for itself; returns what is wrong with that, too."""
    if head is None or not job.from_event:
        return job, None
    try:
        return replace(job, config=config_in_metadata(head.metadata, job.config)), None
    except TerminalError as error:
        return job, error


def _with_left_out(rejects: Rejects, count: int) -> Rejects:
    """Count the rows of creators that have more than are looked at."""
    if not count:
        return rejects
    return replace(rejects, by_reason={**rejects.by_reason, RejectReason.TOO_MANY_ROWS.value: count})


def _is_split(record: BatchRecord, creators: int, rows: int) -> bool:
    """Say whether a batch is more than one chunk, as its first owner cut it."""
    size = asked_of(record)
    if not size.chunk_creators:
        return False
    return creators > size.chunk_creators or (creators > 1 and rows > size.chunk_rows)


def _next(bodies: Iterator[tuple[int, bytes]], count: int) -> list[tuple[int, bytes]]:
    return list(itertools.islice(bodies, count))
