"""Working through creators: what is done is not done again, and what ends its worker three times is given up."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.fakes import (
    NOON,
    Clock,
    FakeDecoder,
    FakeFetcher,
    FakeLedger,
    FakeResults,
    FakeStore,
    Here,
    batch_of,
    job,
)
from worker.errors import Interrupted, LeaseLost
from worker.images.collage import compose_with_preview
from worker.jobs.creator import CreatorWork, ImageRules
from worker.jobs.creator_loop import CreatorLoop, Done
from worker.jobs.gate import Gate, Memory, Thresholds
from worker.jobs.groups import ChunkGroups
from worker.jobs.part_plan import PartPlan
from worker.jobs.part_work import PartWork
from worker.model import Asked, Batch, BatchState, CreatorGroup, CreatorRecord, CreatorStatus, Lease, Row

RULES = ImageRules(min_side=50, keep_side=800, max_pixels=1_000_000, dedupe=True, hash_algorithm="sha256")
NAMES = [f"creator {number:02}" for number in range(20)]


class WorkerEnded(BaseException):
    """The whole process ended: nothing after it is done."""


class Unit:
    """One unit of work, and workers that come and go. Fetching `killers` ends the worker."""

    def __init__(self, names: list[str], killers: frozenset[str] = frozenset()) -> None:
        self.groups = [CreatorGroup(name, (Row(line, f"https://h/{name}"),)) for line, name in enumerate(names, 2)]
        self.killers = killers
        self.part_creators = 16
        self.clock = Clock()
        self.results = FakeResults()
        self.store = FakeStore()
        self.ledger = FakeLedger(self.clock)
        self.ends = 0
        self.in_flight: list[list[str]] = []

    async def life(self) -> Done:
        """Have a worker take the unit and work through it; raises `WorkerEnded` where it ended."""
        record, ours = await self.ledger.take("b", owner="w", source_csv="covers.csv", lease_seconds=60)
        assert ours
        batch = Batch("b", job(max_workers=8), NOON, "w", record.fence, "m", "covers.csv", first=record.takes == 1)
        fetcher = FakeFetcher()
        running: set[str] = set()

        async def fetched(url: str) -> None:
            name = url.rpartition("/")[2]
            running.add(name)
            await asyncio.sleep(0)
            if name in self.killers:
                self.ends += 1
                self.in_flight.append(sorted(running))
                raise WorkerEnded
            running.discard(name)

        fetcher.gate = fetched
        creators = CreatorWork(
            fetcher=fetcher,
            decoder=FakeDecoder(),
            composer=Here(),
            compose=compose_with_preview,
            results=self.results,
            ledger=self.ledger,
            rules=RULES,
            record_metric=lambda _name, _value: None,
            clock=self.clock,
        )
        parts = PartWork(self.results, self.store, self.ledger, hash_algorithm="sha256")
        loop = CreatorLoop(creators, parts, Gate(8, Thresholds(80, 90), lambda: Memory(1.0, None)), self.ledger)
        done = Done()
        done.tally.creators_total = len(self.groups)
        plan = PartPlan(batch, ChunkGroups(self.groups), Asked("", "", part_creators=self.part_creators))
        await loop.work_through(batch, record, plan, len(self.groups), done, asyncio.Event())
        return done

    async def lives(self, most: int = 50) -> Done:
        """Have one worker after the other until the unit is done."""
        for _ in range(most):
            try:
                return await self.life()
            except WorkerEnded:
                self.clock.now += 61
        raise AssertionError(f"not done after {most} workers")

    @property
    def statuses(self) -> Mapping[str, str]:
        return {name: record.status for (_, name), (record, _) in self.ledger.creators.items()}

    def record(self, name: str) -> CreatorRecord:
        return self.ledger.creators["b", name][0]


async def test_what_is_done_is_counted_and_not_done_again() -> None:
    unit = Unit(["ann", "bob"])
    await unit.life()
    unit.clock.now += 61
    again = await unit.life()
    assert [record.creator for record in again.records] == ["ann", "bob"]
    assert unit.ledger.finished == {"ann": 1, "bob": 1}


@pytest.mark.parametrize("killer", ["creator 00", "creator 07", "creator 19"])
async def test_a_creator_that_ends_its_worker_each_time_costs_three_and_the_rest_is_done(killer: str) -> None:
    unit = Unit(NAMES, frozenset({killer}))
    done = await unit.lives()
    assert unit.ends <= 3
    assert unit.record(killer).errors == {"worker_crashed": 1}
    assert {name for name, status in unit.statuses.items() if status == "completed"} == set(NAMES) - {killer}
    assert len(done.records) == len(NAMES)
    assert unit.ledger.batches["b"].strikes == {}, "nobody is suspected any more"


async def test_from_the_second_end_on_the_killer_is_alone() -> None:
    unit = Unit(NAMES, frozenset({"creator 05"}))
    await unit.lives()
    assert unit.in_flight[1:] == [["creator 05"], ["creator 05"]]


async def test_several_killers_are_each_found() -> None:
    killers = frozenset({"creator 01", "creator 02", "creator 15"})
    unit = Unit(NAMES, killers)
    await unit.lives()
    failed = {name for name, status in unit.statuses.items() if status == "failed"}
    assert failed == killers
    assert unit.ends <= 3 * len(killers)


async def test_an_attempt_is_forgotten_at_the_first_creator_that_is_done() -> None:
    unit = Unit(NAMES, frozenset({"creator 03"}))
    with pytest.raises(WorkerEnded):
        await unit.life()
    unit.clock.now += 61
    unit.killers = frozenset()
    await unit.life()
    assert unit.ledger.batches["b"].attempts == 0
    assert unit.ledger.journal.steps.count("note_progress") == 1


async def test_a_take_over_after_the_lease_was_given_back_suspects_nobody() -> None:
    unit = Unit(NAMES)
    record, _ = await unit.ledger.take("b", owner="w", source_csv="covers.csv", lease_seconds=60)
    await unit.ledger.release(Lease("b", "w", record.fence))
    await unit.life()
    assert "note_suspects" not in unit.ledger.journal.steps


async def test_a_creator_that_a_later_owner_has_begun_is_left_to_it() -> None:
    unit = Unit(["ann"])
    await unit.ledger.take("b", owner="x", source_csv="covers.csv", lease_seconds=60)
    unit.ledger.creators["b", "ann"] = CreatorRecord("ann", CreatorStatus.PROCESSING), 9
    unit.clock.now += 61
    with pytest.raises(LeaseLost):
        await unit.life()


async def test_a_worker_that_stops_hands_the_rest_back() -> None:
    unit = Unit(["ann", "bob"])
    record, _ = await unit.ledger.take("b", owner="w", source_csv="covers.csv", lease_seconds=60)
    stopped = asyncio.Event()
    stopped.set()
    nothing: Any = None
    loop = CreatorLoop(nothing, nothing, Gate(8, Thresholds(80, 90), lambda: Memory(1.0, None)), unit.ledger)
    done = Done()
    done.tally.creators_total = 2
    plan = PartPlan(batch_of(job(), "b"), ChunkGroups(unit.groups), Asked("", ""))
    with pytest.raises(Interrupted, match="0 of 2 creators are done"):
        await loop.work_through(batch_of(job(), "b"), record, plan, 2, done, stopped)
    assert record.state is BatchState.RUNNING


async def test_a_slow_creator_holds_back_the_records_of_its_part_alone_and_the_others_count_as_waiting() -> None:
    unit = Unit([f"creator {number:02}" for number in range(8)])
    unit.part_creators = 4
    seen = dict[str, Any]()
    done = Done()
    done.tally.creators_total = 8

    async def life() -> None:
        record, _ = await unit.ledger.take("b", owner="w", source_csv="covers.csv", lease_seconds=60)
        batch = Batch("b", job(max_workers=8), NOON, "w", record.fence, "m", "covers.csv", first=True)
        fetcher = FakeFetcher()

        async def fetched(url: str) -> None:
            if url.endswith("creator 01"):
                while len(unit.ledger.finished) < 4 or done.tally.creators_waiting < 3:
                    await asyncio.sleep(0)
                seen["recorded"], seen["counts"] = set(unit.ledger.finished), done.tally.counts()

        fetcher.gate = fetched
        creators = CreatorWork(
            fetcher=fetcher,
            decoder=FakeDecoder(),
            composer=Here(),
            compose=compose_with_preview,
            results=unit.results,
            ledger=unit.ledger,
            rules=RULES,
            record_metric=lambda _name, _value: None,
            clock=unit.clock,
        )
        parts = PartWork(unit.results, unit.store, unit.ledger, hash_algorithm="sha256")
        loop = CreatorLoop(creators, parts, Gate(8, Thresholds(80, 90), lambda: Memory(1.0, None)), unit.ledger)
        plan = PartPlan(batch, ChunkGroups(unit.groups), Asked("", "", part_creators=4))
        await loop.work_through(batch, record, plan, 8, done, asyncio.Event())

    async with asyncio.timeout(20):
        await life()
    assert seen["recorded"] == {f"creator {number:02}" for number in range(4, 8)}
    assert seen["counts"]["creators_waiting"] == 3
    assert "creators_waiting" not in done.tally.counts(), "in the end nobody waits"
    assert len(done.records) == 8
