"""Working through creators, several at a time; those that may end their worker come last, alone."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from worker.errors import CreatorReason, Dependency, Interrupted, JobReason, Postponed, Unavailable
from worker.failpoints import failpoint
from worker.jobs.advice import no_images
from worker.jobs.creator import CreatorWork
from worker.jobs.creator_rows import CreatorRows
from worker.jobs.gate import CREATORS_PER_JOB, Gate
from worker.jobs.part_plan import Part, PartPlan
from worker.jobs.part_work import PartWork
from worker.jobs.ports import Ledger
from worker.jobs.report.blocks import CREATORS
from worker.jobs.summary import Tally
from worker.jobs.suspects import Suspects
from worker.limiter import Limiter
from worker.model import Batch, BatchRecord, CreatorGroup, CreatorRecord
from worker.tasks import unwrapped

log = structlog.get_logger(__name__)


KEPT_ROWS = 20_000
"""Failed rows of one run that are kept for its report."""


@dataclass(slots=True)
class Done:
    """What a run has done so far."""

    tally: Tally = field(default_factory=Tally)
    records: list[CreatorRecord] = field(default_factory=list)
    warned: bool = False
    failed_rows: int = 0

    def add(self, record: CreatorRecord) -> None:
        """Count a creator that is done. Warns, once, where the first covers are all no images."""
        self.records.append(self._without_what_has_no_room(record))
        self.tally.add(record)
        if not self.warned and not self.tally.images_processed and (text := no_images(self.tally.counts())):
            self.warned = True
            log.warning("batch.no_images", advice=text)

    def _without_what_has_no_room(self, record: CreatorRecord) -> CreatorRecord:
        """Drop what no report has room for, so that a batch of any size that is not split fits in memory."""
        extract = record.extract
        if extract is None:
            return record
        self.failed_rows += len(extract.failed)
        if len(self.records) >= CREATORS:
            return replace(record, extract=replace(extract, failed=(), latencies=(), previews=()))
        return record if self.failed_rows <= KEPT_ROWS else replace(record, extract=replace(extract, failed=()))


class CreatorLoop:
    """Takes creators one after the other as memory allows, and has each worked on."""

    def __init__(
        self,
        creators: CreatorWork,
        parts: PartWork,
        gate: Gate,
        ledger: Ledger,
        *,
        on_creator: Callable[[CreatorRecord], None] = lambda _record: None,
    ) -> None:
        self._creators = creators
        self._parts = parts
        self._gate = gate
        self._ledger = ledger
        self._on_creator = on_creator

    async def work_through(
        self, batch: Batch, taken: BatchRecord, plan: PartPlan, rows: int, done: Done, stop: asyncio.Event
    ) -> None:
        """Work on every creator of `plan`, which have so many rows. `taken` is the unit's record as it was taken.

        What is done already is counted, and done no second time. Where asked to stop, begin no more, finish those in
        flight, keep what stands in unfinished parts, and raise `Interrupted`.
        """
        suspects = Suspects(self._ledger, batch, taken, CREATORS_PER_JOB + plan.part_creators)
        steps = _Steps(self._creators, self._parts, self._gate, self._ledger, self._on_creator)
        work = _Work(steps, batch, taken, plan, suspects, rows, done, stop)
        try:
            await self._all_of(work)
        except Unavailable as error:
            if error.dependency is not Dependency.S3:
                with suppress(Postponed):  # what is in the way counts, and not that nothing could be kept
                    await work.save_unfinished()
            raise
        if len(done.records) < done.tally.creators_total:
            await work.save_unfinished()
            ended = len(done.records) + done.tally.creators_waiting
            raise Interrupted(
                JobReason.INTERRUPTED,
                f"the worker is stopping; {ended} of {done.tally.creators_total} creators are done",
            )

    async def give_up(self, batch: Batch, plan: PartPlan, done: Done, reason: CreatorReason) -> None:
        """Tell every creator of a plan as failed that is not done."""
        while (part := await plan.next()) is not None:
            records = await self._parts.adopt(batch, part)
            for group in part.groups:
                part.done[group.name] = await self._done_or_failed(batch, group, reason)
            for record in records + await self._parts.end(batch, part):
                done.add(record)

    async def _done_or_failed(self, batch: Batch, group: CreatorGroup, reason: CreatorReason) -> CreatorRows:
        if (saved := await self._parts.saved(batch, group.name)) is not None:
            return saved
        found, _ = await self._ledger.begin_creator(batch, group.name)
        failpoint("creator_loop.lost_begun")
        if found is not None:
            return await self._parts.recorded(batch, found)
        return await self._creators.give_up(group, reason)

    async def _all_of(self, work: "_Work") -> None:
        accused = work.suspects.tried_first
        if accused is not None and (group := await work.plan.named(accused)) is not None:
            await work.try_first(group)
        with unwrapped():
            async with asyncio.TaskGroup() as tasks:
                saving = tasks.create_task(work.save_when_stopped())
                turns = min(CREATORS_PER_JOB, work.batch.job.config.max_workers)
                async with asyncio.TaskGroup() as creators:
                    for _ in range(turns):
                        creators.create_task(work.take_turns())
                saving.cancel()
        for part, group in work.deferred:
            if work.stop.is_set():
                return
            await work.try_alone(part, group)
        await work.suspects.clear()


@dataclass(frozen=True, slots=True)
class _Steps:
    """What creators are done with."""

    creators: CreatorWork
    parts: PartWork
    gate: Gate
    ledger: Ledger
    on_creator: Callable[[CreatorRecord], None]


class _Work:
    """What the creators of one unit have in common while they are worked on."""

    def __init__(
        self,
        steps: _Steps,
        batch: Batch,
        taken: BatchRecord,
        plan: PartPlan,
        suspects: Suspects,
        rows: int,
        done: Done,
        stop: asyncio.Event,
    ) -> None:
        self.batch = batch
        self.plan = plan
        self.suspects = suspects
        self.stop = stop
        self.deferred: list[tuple[Part, CreatorGroup]] = []
        self._creators = steps.creators
        self._parts = steps.parts
        self._gate = steps.gate
        self._ledger = steps.ledger
        self._on_creator = steps.on_creator
        self._rows = rows
        self._done = done
        self._attempts = taken.attempts
        self._slots = Limiter(self._downloads())
        self._turns: deque[tuple[Part, CreatorGroup]] = deque()
        self._open: list[Part] = []
        self._out_of_turn: dict[str, CreatorRows] = {}
        self._opening = asyncio.Lock()

    async def take_turns(self) -> None:
        """Work on one group after another, until there are none or the worker stops."""
        while not self.stop.is_set() and (turn := await self._next_turn()) is not None:
            part, group = turn
            if not self.batch.first:
                known, is_deferred = await self._known(group)
                if is_deferred:
                    self.deferred.append(turn)
                    continue
                if known is not None:
                    await self._end_creator(part, known)
                    continue
            if (made := await self._work_on(group)) is not None:
                await self._end_creator(part, await self._kept(made))

    async def try_first(self, group: CreatorGroup) -> None:
        """Work on the accused before its part has its turn, unless it was done and saved before its worker ended."""
        if await self._parts.saved(self.batch, group.name) is None and (made := await self._alone(group)) is not None:
            self._out_of_turn[group.name] = await self._kept(made)

    async def try_alone(self, part: Part, group: CreatorGroup) -> None:
        """Work on a suspect while nothing else of this unit is in flight."""
        if (made := await self._alone(group)) is not None:
            await self._end_creator(part, await self._kept(made))

    async def _alone(self, group: CreatorGroup) -> CreatorRows | None:
        """Do a suspect, or give it up; None where the worker was asked to stop before it began."""
        found, _ = await self._ledger.begin_creator(self.batch, group.name)
        failpoint("creator_loop.suspect_begun")
        if found is not None:
            return await self._parts.recorded(self.batch, found)
        if await self.suspects.is_guilty(group.name):
            log.error("creator.given_up", creator=group.name)
            return await self._creators.give_up(group, CreatorReason.WORKER_CRASHED)
        async with self.suspects.on_trial(group.name):
            return await self._work_on(group)

    async def save_when_stopped(self) -> None:
        """Save at once what is done when the worker is asked to stop: those in flight may outlast its grace."""
        await self.stop.wait()
        with suppress(Postponed):  # tried again at the end, where there is time
            await self.save_unfinished()

    async def save_unfinished(self) -> None:
        """Keep the lines of those creators that are done while their parts are not."""
        for part in tuple(self._open):
            for rows in tuple(part.done.values()):
                await self._parts.save(self.batch, rows)

    async def _next_turn(self) -> tuple[Part, CreatorGroup] | None:
        """Return the next group with its part. Parts that are there already have their records written, and count."""
        async with self._opening:
            while not self._turns:
                part = await self.plan.next()
                if part is None or self.stop.is_set():
                    return None
                if not self.batch.first:
                    self._count(adopted := await self._parts.adopt(self.batch, part))
                    for record in adopted:
                        self._on_creator(record)
                if part.groups:
                    self._open.append(part)
                self._turns.extend((part, group) for group in part.groups)
            return self._turns.popleft()

    async def _known(self, group: CreatorGroup) -> tuple[CreatorRows | None, bool]:
        """Begin a creator of a unit that was taken over; returns its rows if it is done, and whether it is put off."""
        known = self._out_of_turn.pop(group.name, None) or await self._parts.saved(self.batch, group.name)
        if known is not None:
            return known, False
        found, is_deferred = await self.suspects.begin(group)
        return (await self._parts.recorded(self.batch, found) if found else None), is_deferred

    async def _work_on(self, group: CreatorGroup) -> CreatorRows | None:
        """Do a creator; None where the worker was asked to stop before it began."""
        async with self._gate.admitted() as mode:
            if self.stop.is_set():
                return None
            self._slots.limit = self._downloads()
            with structlog.contextvars.bound_contextvars(creator=group.name):
                return await self._creators.run(self.batch, group, mode, self._slots)

    async def _kept(self, made: CreatorRows) -> CreatorRows:
        """Note progress. Whoever took the unit over, or is to stop, saves the creator first: it stays done."""
        if not self.batch.first or self.stop.is_set():
            made = await self._parts.save(self.batch, made)
        if self._attempts:
            self._attempts = 0
            await self._ledger.note_progress(self.batch.lease)
            failpoint("creator_loop.progress_noted")
        return made

    async def _end_creator(self, part: Part, made: CreatorRows) -> None:
        """Count a creator that is done, and end its part where it was the last of it."""
        part.done[made.record.creator] = made
        self._on_creator(made.record)
        self._done.tally.creators_waiting += 1
        failpoint("creator_loop.creator_done")
        if part.is_done:
            self._open.remove(part)
            self._done.tally.creators_waiting -= len(part.groups)
            self._count(await self._parts.end(self.batch, part))

    def _count(self, records: list[CreatorRecord]) -> None:
        for record in records:
            self._done.add(record)
        failpoint("creator_loop.part_counted")

    def _downloads(self) -> int:
        return self._gate.downloads(self._rows, self.batch.job.config.max_workers)
