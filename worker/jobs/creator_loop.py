"""Working through creators, several at a time; those that may end their worker come last, alone."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import structlog

from worker.errors import CreatorReason, Interrupted, JobReason
from worker.failpoints import failpoint
from worker.jobs.advice import no_images
from worker.jobs.creator import CreatorWork
from worker.jobs.gate import CREATORS_PER_JOB, Gate
from worker.jobs.ports import Ledger
from worker.jobs.summary import Tally
from worker.jobs.suspects import Suspects
from worker.limiter import Limiter
from worker.manifest.grouping import Grouping
from worker.model import Batch, BatchRecord, CreatorGroup, CreatorRecord
from worker.tasks import unwrapped

log = structlog.get_logger(__name__)

GROUPS_AT_A_TIME = 64
"""Creator groups that are read from a grouping in one go, off the event loop."""

MAX_ROWS = 100_000
"""Rows of one creator that are looked at: some 25 MB of memory. What is beyond them is a reject, `too_many_rows`."""


@dataclass(slots=True)
class Done:
    """What a run has done so far."""

    tally: Tally = field(default_factory=Tally)
    records: list[CreatorRecord] = field(default_factory=list)
    warned: bool = False

    def add(self, record: CreatorRecord) -> None:
        """Count a creator that is done. Warns, once, where the first covers are all no images."""
        self.records.append(record)
        self.tally.add(record)
        if not self.warned and not self.tally.images_processed and (text := no_images(self.tally.counts())):
            self.warned = True
            log.warning("batch.no_images", advice=text)


class Groups(Protocol):
    """Gives creator groups one by one to several tasks."""

    async def next(self) -> CreatorGroup | None:
        """Return the next group, or None after the last."""

    async def named(self, name: str) -> CreatorGroup | None:
        """Return the group of this creator, out of turn; `next` gives it in its turn all the same."""


class ManifestGroups:
    """The groups of a grouping, some of them read at a time off the event loop."""

    def __init__(self, grouping: Grouping) -> None:
        self._grouping = grouping
        self._groups = grouping.groups(max_rows=MAX_ROWS)
        self._read: deque[CreatorGroup] = deque()
        self._lock = asyncio.Lock()

    async def next(self) -> CreatorGroup | None:
        """Return the next group, or None after the last."""
        async with self._lock:
            if not self._read:
                self._read.extend(await asyncio.to_thread(self._some))
            return self._read.popleft() if self._read else None

    async def named(self, name: str) -> CreatorGroup | None:
        """Return the group of this creator, out of turn."""
        async with self._lock:
            return await asyncio.to_thread(self._grouping.group, name, max_rows=MAX_ROWS)

    def _some(self) -> list[CreatorGroup]:
        return [group for group, _ in islice(self._groups, GROUPS_AT_A_TIME)]


class ChunkGroups:
    """Groups that are in memory already."""

    def __init__(self, groups: Iterable[CreatorGroup]) -> None:
        self._all = tuple(groups)
        self._groups = iter(self._all)

    async def next(self) -> CreatorGroup | None:
        """Return the next group, or None after the last."""
        return next(self._groups, None)

    async def named(self, name: str) -> CreatorGroup | None:
        """Return the group of this creator, out of turn."""
        return next((group for group in self._all if group.name == name), None)


class CreatorLoop:
    """Takes creators one after the other as memory allows, and has each worked on."""

    def __init__(
        self,
        creators: CreatorWork,
        gate: Gate,
        ledger: Ledger,
        *,
        on_creator: Callable[[CreatorRecord], None] = lambda _record: None,
    ) -> None:
        self._creators = creators
        self._gate = gate
        self._ledger = ledger
        self._on_creator = on_creator

    async def work_through(
        self, batch: Batch, taken: BatchRecord, groups: Groups, rows: int, done: Done, stop: asyncio.Event
    ) -> None:
        """Work on all `groups`, which have so many rows. `taken` is the unit's record as it was taken.

        What is done already is counted, and done no second time. Where asked to stop, begin no more, finish those in
        flight, and raise `Interrupted`.
        """
        suspects = Suspects(self._ledger, batch, taken, CREATORS_PER_JOB)
        steps = (self._creators, self._gate, self._ledger, self._on_creator)
        await self._all_of(groups, _Work(*steps, batch, taken, suspects, rows, done, stop))
        if len(done.records) < done.tally.creators_total:
            raise Interrupted(
                JobReason.INTERRUPTED,
                f"the worker is stopping; {len(done.records)} of {done.tally.creators_total} creators are done",
            )

    async def _all_of(self, groups: Groups, work: "_Work") -> None:
        accused = work.suspects.tried_first
        if accused is not None and (group := await groups.named(accused)) is not None:
            await work.try_alone(group)
        with unwrapped():
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(CREATORS_PER_JOB, work.batch.job.config.max_workers)):
                    tasks.create_task(work.take_turns(groups))
        for group in work.suspects.deferred:
            if work.stop.is_set():
                return
            if group.name != accused:  # it has had its trial
                await work.try_alone(group)
        await work.suspects.clear()


class _Work:
    """What the creators of one unit have in common while they are worked on."""

    def __init__(
        self,
        creators: CreatorWork,
        gate: Gate,
        ledger: Ledger,
        on_creator: Callable[[CreatorRecord], None],
        batch: Batch,
        taken: BatchRecord,
        suspects: Suspects,
        rows: int,
        done: Done,
        stop: asyncio.Event,
    ) -> None:
        self.batch = batch
        self.suspects = suspects
        self.stop = stop
        self._creators = creators
        self._gate = gate
        self._ledger = ledger
        self._on_creator = on_creator
        self._rows = rows
        self._done = done
        self._attempts = taken.attempts
        self._slots = Limiter(self._downloads())

    async def take_turns(self, groups: Groups) -> None:
        """Work on one group after another, until there are none or the worker stops."""
        while not self.stop.is_set() and (group := await groups.next()) is not None:
            if not self.batch.first:
                found, is_deferred = await self.suspects.begin(group)
                if found is not None:
                    self._count(found)
                    continue
                if is_deferred:
                    continue
            await self._work_on(group)

    async def try_alone(self, group: CreatorGroup) -> None:
        """Work on a suspect while nothing else of this unit is in flight."""
        found, _ = await self._ledger.begin_creator(self.batch, group.name)
        failpoint("creator_loop.suspect_begun")
        if found is not None:
            self._count(found)
        elif await self.suspects.is_guilty(group.name):
            log.error("creator.given_up", creator=group.name)
            await self._finished(await self._creators.give_up(self.batch, group, CreatorReason.WORKER_CRASHED))
        else:
            async with self.suspects.on_trial(group.name):
                await self._work_on(group)

    async def _work_on(self, group: CreatorGroup) -> None:
        async with self._gate.admitted() as mode:
            if self.stop.is_set():
                return
            self._slots.limit = self._downloads()
            with structlog.contextvars.bound_contextvars(creator=group.name):
                record = await self._creators.run(self.batch, group, mode, self._slots)
        await self._finished(record)

    async def _finished(self, record: CreatorRecord) -> None:
        self._count(record)
        if self._attempts:
            self._attempts = 0
            await self._ledger.note_progress(self.batch.lease)
            failpoint("creator_loop.progress_noted")

    def _count(self, record: CreatorRecord) -> None:
        self._done.add(record)
        failpoint("creator_loop.creator_done")
        self._on_creator(record)

    def _downloads(self) -> int:
        return self._gate.downloads(self._rows, self.batch.job.config.max_workers)
