"""One chunk of a split batch: its creators, its part of the results, and the batch's end where it was the last."""

import asyncio
import time
from collections.abc import Callable

import structlog

from worker.errors import JobError, JobReason, TerminalError
from worker.failpoints import failpoint
from worker.jobs.chunk_files import ChunkFiles, chunk_unit
from worker.jobs.creator_loop import CreatorLoop, Done, ListSource
from worker.jobs.finish import Finisher
from worker.jobs.leasing import given_back, lease_kept
from worker.jobs.outcomes import outcome_of
from worker.jobs.ports import Ledger
from worker.model import BatchState, ChunkJob, Outcome, Retryable, Succeeded, Terminal

log = structlog.get_logger(__name__)


class ChunkWork:
    """Runs chunks; everything it needs is handed in."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        chunks: ChunkFiles,
        hands: CreatorLoop,
        finisher: Finisher,
        owner: str,
        lease_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._chunks = chunks
        self._hands = hands
        self._finisher = finisher
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._clock = clock

    async def run(self, chunk: ChunkJob, stop: asyncio.Event) -> Outcome:
        """Do a chunk, or what is left of it, and say what becomes of its message."""
        with structlog.contextvars.bound_contextvars(batch_id=chunk.batch_id, chunk=chunk.number):
            try:
                try:
                    return await self._run(chunk, stop)
                except TerminalError as error:
                    await self._finisher.give_up(chunk.batch_id, error)
                    raise
            except JobError as error:
                return outcome_of(error, chunk.batch_id)

    async def _run(self, chunk: ChunkJob, stop: asyncio.Event) -> Outcome:
        known = await self._ledger.batch(chunk.batch_id)
        failpoint("chunk.batch_known")
        if known is None:
            raise TerminalError(
                JobReason.BATCH_UNKNOWN, f"there is no batch {chunk.batch_id}; submit its manifest again"
            )
        part = chunk_unit(chunk.number)
        if known.state is BatchState.FAILED:
            begun = await self._ledger.batch(chunk.batch_id, part=part)
            failpoint("chunk.failure_seen")
            if begun is not None:  # whoever failed the batch over it may have died before the dead letter got away
                await self._finisher.archive_failed(known)
                reason = JobReason(known.error_code or JobReason.INTERNAL_ERROR)
                return Terminal(reason, known.error_message or "it failed before", chunk.batch_id)
        if known.state is not BatchState.RUNNING:
            log.info("chunk.found_unneeded", state=known.state)
            return Succeeded()
        record, ours = await self._ledger.take(
            chunk.batch_id,
            owner=self._owner,
            source_csv=known.source_csv,
            lease=self._lease_seconds,
            part=part,
            fence_above=known.fence,
        )
        failpoint("chunk.taken")
        if ours:
            # A batch that was planned twice may have had its creators in other chunks the first time.
            first = record.takes == 1 and known.takes == 1
            await self._do(chunk, record.fence, part, stop, first=first)
        elif record.state is BatchState.RUNNING:
            text = f"another worker ({record.owner}) holds the lease on this chunk"
            left = max(1.0, record.lease_expires - self._clock())
            return Retryable(JobReason.LEASE_HELD, text, costs_attempt=False, delay=left)
        else:
            log.info("chunk.found_done")
        return await self._finisher.finish_split(chunk.batch_id)

    async def _do(self, chunk: ChunkJob, fence: int, part: str, stop: asyncio.Event, *, first: bool) -> None:
        header, groups = await self._chunks.read(chunk)
        failpoint("chunk.read")
        batch = header.batch(owner=self._owner, fence=fence, part=part, first=first)
        done = Done()
        done.tally.creators_total, done.tally.columns = len(groups), header.columns
        log.info("chunk.started", creators=len(groups), fence=fence)
        async with given_back(self._ledger, batch):
            async with lease_kept(self._ledger, batch, self._lease_seconds, done.tally.counts):
                rows = sum(len(group.rows) for group in groups)
                await self._hands.work_through(batch, ListSource(groups), rows, done, stop)
                failpoint("chunk.worked")
                await self._chunks.write_part(batch.id, chunk.number, done.records)
            failpoint("chunk.part_written")
            await self._ledger.complete_chunk(batch, counts=done.tally.sums(), errors=done.tally.errors)
            failpoint("chunk.completed")
        log.info("chunk.completed", **done.tally.counts())
