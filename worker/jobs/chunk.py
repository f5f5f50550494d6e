"""One chunk of a split batch: its creators, its result, and the batch's end where it was the last."""

import asyncio
from dataclasses import replace

import structlog

from worker.errors import CreatorReason, JobError, JobReason, TerminalError
from worker.failpoints import failpoint
from worker.jobs.attempts import last_receive
from worker.jobs.chunk_files import ChunkFiles, asked_of, chunk_bodies, chunk_unit, spec_of
from worker.jobs.creator_loop import CreatorLoop, Done
from worker.jobs.finish import Finisher, failure_of
from worker.jobs.groups import ChunkGroups
from worker.jobs.leasing import Leases
from worker.jobs.outcomes import outcome_of
from worker.jobs.part_plan import PartPlan
from worker.jobs.planning import Planner
from worker.jobs.ports import Ledger, Manifests
from worker.jobs.report.blocks import preview_spec
from worker.model import (
    Batch,
    BatchRecord,
    BatchState,
    ChunkJob,
    CreatorGroup,
    InlineManifest,
    Outcome,
    Succeeded,
)

log = structlog.get_logger(__name__)


class ChunkWork:
    """Runs chunks; everything it needs is handed in."""

    def __init__(
        self,
        *,
        manifests: Manifests,
        ledger: Ledger,
        leases: Leases,
        planner: Planner,
        chunk_files: ChunkFiles,
        creator_loop: CreatorLoop,
        finisher: Finisher,
    ) -> None:
        self._manifests = manifests
        self._ledger = ledger
        self._leases = leases
        self._planner = planner
        self._chunk_files = chunk_files
        self._creator_loop = creator_loop
        self._finisher = finisher

    async def run(self, chunk: ChunkJob, is_last: bool, stop: asyncio.Event) -> Outcome:
        """Do a chunk, or what is left of it, and say what becomes of its message.

        `is_last` says that the queue gives the message up when it is not deleted this time.
        """
        with structlog.contextvars.bound_contextvars(batch_id=chunk.batch_id, chunk=chunk.number):
            try:
                return await self._run(chunk, is_last, stop)
            except JobError as error:
                return outcome_of(error, chunk.batch_id)

    async def _run(self, chunk: ChunkJob, is_last: bool, stop: asyncio.Event) -> Outcome:
        known = await self._ledger.batch(chunk.batch_id)
        failpoint("chunk.batch_known")
        if known is None:
            raise TerminalError(
                JobReason.BATCH_UNKNOWN, f"there is no batch {chunk.batch_id}; submit its manifest again"
            )
        if chunk.number > known.chunks_written:  # written by hand: it touches no batch
            told = f"chunk is {chunk.number}; batch {chunk.batch_id} has {known.chunks_written} chunks"
            raise TerminalError(JobReason.BAD_VALUE, told)
        if known.state is not BatchState.RUNNING:
            log.info("chunk.found_unneeded", state=known.state)
            if known.state is not BatchState.COMPLETED and known.asked is not None:
                await self._finisher.close_left_over(known)
            own = await self._ledger.batch(chunk.batch_id, unit=chunk_unit(chunk.number))
            failpoint("chunk.own_known")
            return (own and failure_of(own)) or Succeeded()  # its dead letter may not have got away the first time
        if is_last and await self._ledger.batch(chunk.batch_id, unit=chunk_unit(chunk.number)) is not None:
            # Not with the lease in hand: giving it back would hide that the last worker ended under it.
            raise last_receive()
        failpoint("chunk.receives_left")
        record, lease = await self._leases.take(
            chunk.batch_id, source_csv=known.source_csv, unit=chunk_unit(chunk.number), fence_above=known.fence
        )
        failpoint("chunk.taken")
        if lease is None:
            log.info("chunk.found_done")
            failure: Outcome | None = failure_of(record)
        else:
            # A batch that was planned twice may have had its creators in other chunks the first time.
            is_first = record.takes == 1 and known.takes == 1
            before = (chunk.number - 1) * asked_of(known).chunk_creators
            preview = preview_spec(known.counts.get("creators_total", 0), before=before)
            batch = replace(spec_of(known).batch(lease, first=is_first), preview=preview)
            failure = await self._do(chunk, batch, known, record, is_last, stop)
        # Who finishes the batch may die before its end: until it is closed, this message stays, and so does its reason.
        outcome = await self._finisher.finish_split(chunk.batch_id)
        return failure or outcome if isinstance(outcome, Succeeded) else outcome

    async def _do(
        self, chunk: ChunkJob, batch: Batch, known: BatchRecord, record: BatchRecord, is_last: bool, stop: asyncio.Event
    ) -> Outcome | None:
        """Do the chunk under its lease; returns what becomes of its message where it can never be done."""
        groups: list[CreatorGroup] = []
        done = Done()
        try:
            async with self._leases.held(record, batch.lease):
                if is_last:
                    raise last_receive()
                groups += await self._groups(chunk, batch, known)
                done.tally.creators_total, done.tally.columns = len(groups), known.counts.get("columns", {})
                log.info("chunk.started", creators=len(groups), fence=batch.fence, attempts=record.attempts)
                async with self._leases.kept(batch.lease, done.tally.counts):
                    rows = sum(len(group.rows) for group in groups)
                    plan = PartPlan(batch, ChunkGroups(groups), asked_of(known), chunk=chunk.number)
                    await self._creator_loop.work_through(batch, record, plan, rows, done, stop)
                    failpoint("chunk.worked")
                    await self._close(chunk, batch, done)
        except TerminalError as error:
            async with self._leases.given_back(batch.lease), self._leases.kept(batch.lease, dict):
                await self._lose(chunk, batch, known, groups, error)
            return outcome_of(error, batch.id)
        log.info("chunk.completed", **done.tally.counts())
        return None

    async def _close(self, chunk: ChunkJob, batch: Batch, done: Done, error: TerminalError | None = None) -> None:
        """Write the chunk's result, and then count it."""
        await self._chunk_files.write_result(batch.id, chunk.number, done.records)
        failpoint("chunk.result_written")
        await self._ledger.complete_chunk(
            batch.lease, counts=done.tally.sums(), errors=done.tally.errors, failure=error
        )
        failpoint("chunk.completed")

    async def _groups(self, chunk: ChunkJob, batch: Batch, known: BatchRecord) -> list[CreatorGroup]:
        """Return the chunk's groups. Where its file has expired it is written once more, from the manifest."""
        groups = await self._chunk_files.read(batch.id, chunk.number)
        failpoint("chunk.read")
        if groups is None:
            await self._restore(chunk, batch, known)
            groups = await self._chunk_files.read(batch.id, chunk.number)
            failpoint("chunk.read_again")
        if groups is None:
            raise TerminalError(
                JobReason.CHUNK_MISSING,
                f"the file of chunk {chunk.number} of batch {batch.id} has expired (such files are kept for 7 days), "
                "and its manifest is not there any more; submit the manifest again",
            )
        return groups

    async def _restore(self, chunk: ChunkJob, batch: Batch, known: BatchRecord) -> None:
        """Write the chunk's file anew where its manifest is still there, as the first owner cut it."""
        manifest = batch.job.manifest
        if isinstance(manifest, InlineManifest):
            return
        head = await self._manifests.head(manifest)
        failpoint("chunk.manifest_seen")
        if head is None or (head.etag, head.version) != (manifest.etag, manifest.version):
            return
        size = asked_of(known)
        async with self._planner.grouped(batch.job, head) as (grouping, _, _):
            bodies = enumerate(chunk_bodies(grouping, creators=size.chunk_creators, rows=size.chunk_rows), start=1)
            body = await asyncio.to_thread(lambda: next((found for number, found in bodies if number == chunk.number)))
        await self._chunk_files.write(batch.id, {chunk.number: body})
        log.warning("chunk.restored")

    async def _lose(
        self, chunk: ChunkJob, batch: Batch, known: BatchRecord, groups: list[CreatorGroup], error: TerminalError
    ) -> None:
        """Close a chunk that cannot be done: its creators are recorded as failed, so that the batch can end."""
        log.error("chunk.lost", reason=error.reason, error=str(error), creators=len(groups))
        done = Done()
        if not groups and error.reason is not JobReason.CHUNK_MISSING:
            groups = await self._readable(chunk, batch)
        plan = PartPlan(batch, ChunkGroups(groups), asked_of(known), chunk=chunk.number)
        await self._creator_loop.give_up(batch, plan, done, CreatorReason.WORK_LOST)
        await self._close(chunk, batch, done, error)

    async def _readable(self, chunk: ChunkJob, batch: Batch) -> list[CreatorGroup]:
        """Return the groups of a chunk if its file can be read."""
        try:
            groups = await self._chunk_files.read(batch.id, chunk.number)
            failpoint("chunk.lost_read")
        except JobError:
            return []
        return groups or []
