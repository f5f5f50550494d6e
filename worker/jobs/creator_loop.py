"""Working through creators, several at a time."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import structlog

from worker.errors import Interrupted, JobReason
from worker.failpoints import failpoint
from worker.jobs.advice import no_images
from worker.jobs.creator import CreatorWork
from worker.jobs.gate import CREATORS_PER_JOB, Gate
from worker.jobs.summary import Tally
from worker.limiter import Limiter
from worker.manifest.grouping import Grouping
from worker.model import Batch, CreatorGroup, CreatorRecord
from worker.tasks import unwrapped

log = structlog.get_logger(__name__)

GROUPS_AT_A_TIME = 64
"""Creator groups read from the plan in one go, off the event loop."""

MAX_ROWS = 10_000
"""Rows of one creator that are looked at; many times what a collage can show."""


@dataclass(slots=True)
class Done:
    """What a run has done so far."""

    tally: Tally = field(default_factory=Tally)
    records: list[CreatorRecord] = field(default_factory=list)
    warned: bool = False

    def add(self, record: CreatorRecord) -> None:
        """Count a finished creator. Warns, once, where the first covers are all no images."""
        self.records.append(record)
        self.tally.add(record)
        if not self.warned and not self.tally.images_processed and (text := no_images(self.tally.counts())):
            self.warned = True
            log.warning("batch.no_images", advice=text)


class Source(Protocol):
    """Gives creator groups one by one to several tasks."""

    async def next(self) -> CreatorGroup | None:
        """Return the next group, or None after the last."""


class PlanSource:
    """The groups of a plan, some of them read at a time off the event loop."""

    def __init__(self, plan: Grouping) -> None:
        self._groups = plan.groups(max_rows=MAX_ROWS)
        self._read: deque[CreatorGroup] = deque()
        self._lock = asyncio.Lock()

    async def next(self) -> CreatorGroup | None:
        """Return the next group, or None after the last."""
        async with self._lock:
            if not self._read:
                self._read.extend(await asyncio.to_thread(self._some))
            return self._read.popleft() if self._read else None

    def _some(self) -> list[CreatorGroup]:
        return [group for group, _ in islice(self._groups, GROUPS_AT_A_TIME)]


class ListSource:
    """Groups that are in memory already."""

    def __init__(self, groups: Iterable[CreatorGroup]) -> None:
        self._groups = iter(groups)

    async def next(self) -> CreatorGroup | None:
        """Return the next group, or None after the last."""
        return next(self._groups, None)


class CreatorLoop:
    """Takes creators from a source as memory allows, and has each worked on."""

    def __init__(
        self,
        creators: CreatorWork,
        gate: Gate,
        *,
        on_creator: Callable[[CreatorRecord], None] = lambda _record: None,
    ) -> None:
        self._creators = creators
        self._gate = gate
        self._on_creator = on_creator

    async def work_through(self, batch: Batch, source: Source, rows: int, done: Done, stop: asyncio.Event) -> None:
        """Work on every group of `source`, which holds so many rows.

        Where asked to stop, begin no more, finish those in flight, and raise `Interrupted`.
        """
        config = batch.job.config
        slots = Limiter(self._gate.downloads(rows, config.max_workers))

        async def hand() -> None:
            while not stop.is_set() and (group := await source.next()) is not None:
                async with self._gate.admitted() as mode:
                    if stop.is_set():
                        return
                    slots.limit = self._gate.downloads(rows, config.max_workers)
                    with structlog.contextvars.bound_contextvars(creator=group.name):
                        record = await self._creators.run(batch, group, mode, slots)
                done.add(record)
                failpoint("creator_loop.creator_done")
                self._on_creator(record)

        with unwrapped():
            async with asyncio.TaskGroup() as hands:
                for _ in range(min(CREATORS_PER_JOB, config.max_workers)):
                    hands.create_task(hand())
        if len(done.records) < done.tally.creators_total:
            raise Interrupted(
                JobReason.INTERRUPTED,
                f"the worker is stopping; {len(done.records)} of {done.tally.creators_total} creators are done",
            )
