"""The gate: creators go in as memory allows, and whoever leaves it makes room, however it leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulation.clock import virtually
from worker.jobs.gate import (
    LIMITS,
    LOOK_AGAIN,
    PATIENCE,
    Gate,
    Limits,
    Memory,
    Thresholds,
    careful_mode,
    creator_limit,
    download_limit,
    limited,
    next_mode,
)
from worker.model import Mode, ProcessingConfig

USUAL = Thresholds(80.0, 90.0)


class Gauge:
    """Memory that is what it is set to. `looked` is set at every look."""

    def __init__(self, percent: float = 10.0, free_bytes: int | None = None) -> None:
        self.percent = percent
        self.free_bytes = free_bytes
        self.looks = 0
        self.looked = asyncio.Event()

    def __call__(self) -> Memory:
        self.looks += 1
        self.looked.set()
        return Memory(self.percent, self.free_bytes)

    async def looks_again(self) -> None:
        seen = self.looks
        while self.looks == seen:
            self.looked.clear()
            await self.looked.wait()


@asynccontextmanager
async def entering(gate: Gate) -> AsyncIterator["asyncio.Task[Mode]"]:
    """Have a creator at the gate that stays inside once it is admitted."""
    stack = AsyncExitStack()

    async def enter() -> Mode:
        return await stack.enter_async_context(gate.admitted())

    task = asyncio.create_task(enter())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stack.aclose()


@virtually
async def test_creators_are_admitted_up_to_the_limit_and_the_next_when_one_leaves() -> None:
    gauge = Gauge()
    gate = Gate(2, USUAL, gauge)
    async with AsyncExitStack() as one, AsyncExitStack() as two:
        assert await one.enter_async_context(gate.admitted()) is Mode.NORMAL
        assert await two.enter_async_context(gate.admitted()) is Mode.NORMAL
        async with entering(gate) as third:
            for _ in range(3):
                await gauge.looks_again()
            assert not third.done()
            await one.aclose()
            assert await asyncio.wait_for(third, 1) is Mode.NORMAL


@virtually
async def test_a_leaving_creator_wakes_the_next_at_once() -> None:
    began = asyncio.get_running_loop().time()
    gate = Gate(1, USUAL, Gauge())
    async with AsyncExitStack() as inside:
        await inside.enter_async_context(gate.admitted())
        async with entering(gate) as waiting:
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiting.done()
            await inside.aclose()
            assert await asyncio.wait_for(waiting, 1) is Mode.NORMAL
    assert asyncio.get_running_loop().time() - began < LOOK_AGAIN


@virtually
async def test_everyone_who_waits_gets_a_turn() -> None:
    gate = Gate(2, USUAL, Gauge())
    inside = most = 0

    async def visit() -> None:
        nonlocal inside, most
        async with gate.admitted():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.wait_for(asyncio.gather(*(visit() for _ in range(40))), 5)
    assert (inside, most) == (0, 2)


@virtually
async def test_while_memory_is_critical_a_creator_waits_for_those_in_flight_however_long() -> None:
    gauge = Gauge()
    gate = Gate(8, USUAL, gauge)
    async with gate.admitted():
        gauge.percent = 95.0
        async with entering(gate) as waiting:
            for _ in range(10):
                await gauge.looks_again()
            assert not waiting.done()
            gauge.percent = 10.0
            assert await asyncio.wait_for(waiting, 1) is Mode.NORMAL


@pytest.mark.parametrize(("percent", "mode"), [(90.0, Mode.SAFE), (97.0, Mode.MINIMAL)])
@virtually
async def test_alone_and_critical_a_creator_is_done_in_a_careful_mode_after_a_while(percent: float, mode: Mode) -> None:
    gauge = Gauge(percent)
    gate = Gate(8, USUAL, gauge)
    began = asyncio.get_running_loop().time()
    async with gate.admitted() as found:
        assert found is mode
        assert asyncio.get_running_loop().time() - began >= PATIENCE
        async with entering(gate) as second:
            for _ in range(10):
                await gauge.looks_again()
            assert not second.done(), "one at a time while memory is critical"


@virtually
async def test_waiting_for_others_is_not_counted_as_waiting_alone() -> None:
    gauge = Gauge()
    gate = Gate(8, USUAL, gauge)
    async with AsyncExitStack() as inside:
        await inside.enter_async_context(gate.admitted())
        gauge.percent = 95.0
        async with entering(gate) as waiting:
            await gauge.looks_again()
            await inside.aclose()
            await gauge.looks_again()
            await gauge.looks_again()
            assert not waiting.done()


@virtually
async def test_a_creator_that_fails_makes_room() -> None:
    gate = Gate(1, USUAL, Gauge())
    for _ in range(3):
        with pytest.raises(ValueError, match="a bug"):
            async with gate.admitted():
                raise ValueError("a bug")
    async with asyncio.timeout(1), gate.admitted():
        pass


@virtually
async def test_a_creator_that_is_cancelled_inside_makes_room() -> None:
    gate = Gate(1, USUAL, Gauge())
    inside = asyncio.Event()

    async def stay() -> None:
        async with gate.admitted():
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stay())
    await inside.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(1), gate.admitted():
        pass


@virtually
async def test_a_creator_that_is_cancelled_while_it_waits_takes_no_room() -> None:
    gauge = Gauge()
    gate = Gate(1, USUAL, gauge)
    async with gate.admitted(), entering(gate) as waiting:
        await gauge.looks_again()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
    async with asyncio.timeout(1), gate.admitted():
        pass


@pytest.mark.parametrize("turns", range(5))
@virtually
async def test_a_cancellation_that_meets_a_leaving_creator_is_not_lost(turns: int) -> None:
    gate = Gate(1, USUAL, Gauge())
    async with AsyncExitStack() as inside:
        await inside.enter_async_context(gate.admitted())
        async with entering(gate) as waiting:
            for _ in range(20):
                await asyncio.sleep(0)
            await inside.aclose()
            await inside.enter_async_context(gate.admitted())  # the room is taken again at once
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting}, timeout=1)
            assert waiting.cancelled()


@virtually
async def test_downloads_are_asked_of_memory_as_it_stands() -> None:
    gauge = Gauge(10.0, free_bytes=1 << 40)
    gate = Gate(8, USUAL, gauge)
    assert gate.downloads(1_000, 8) == 8
    gauge.percent = 85.0
    assert gate.downloads(1_000, 8) == 4
    gauge.percent, gauge.free_bytes = 10.0, 16 << 20
    assert gate.downloads(1_000, 8) == 2


# --- the rules, pure ---

MIB = 1 << 20

percents = st.floats(0, 100)
thresholds = st.tuples(percents, percents).map(lambda pair: Thresholds(*sorted(pair)))


@settings(deadline=None)
@given(st.integers(0, 10**7), st.integers(1, 256), percents, thresholds, st.none() | st.integers(0, 1 << 40))
def test_downloads_are_at_least_one_and_at_most_what_was_asked_for(
    images: int, max_workers: int, memory: float, limits: Thresholds, free: int | None
) -> None:
    assert 1 <= download_limit(images, max_workers, memory, limits, free) <= max_workers


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 256), percents, percents, thresholds, st.integers(0, 1 << 32))
def test_more_memory_in_use_never_means_more_downloads(
    images: int, max_workers: int, one: float, other: float, limits: Thresholds, free: int
) -> None:
    less, more = sorted((one, other))
    assert download_limit(images, max_workers, more, limits, free) <= download_limit(
        images, max_workers, less, limits, free
    )


@pytest.mark.parametrize(
    ("images", "max_workers", "memory", "free", "downloads"),
    [
        (1_000, 8, 50.0, None, 8),
        (1_000, 8, 80.0, None, 8),
        (1_000, 8, 85.0, None, 4),
        (1_000, 8, 90.0, None, 1),
        (1_000, 8, 100.0, None, 1),
        (3, 8, 50.0, None, 3),
        (0, 8, 50.0, None, 1),
        (1_000, 8, 50.0, 24 * MIB, 3),
        (1_000, 8, 50.0, 0, 1),
        (1_000, 1, 85.0, 1 << 40, 1),
    ],
)
def test_downloads_follow_the_job_the_memory_and_what_is_free(
    images: int, max_workers: int, memory: float, free: int | None, downloads: int
) -> None:
    assert download_limit(images, max_workers, memory, USUAL, free) == downloads


@settings(deadline=None)
@given(st.integers(1, 512), percents, thresholds)
def test_no_creator_is_admitted_from_the_critical_threshold_on_and_always_one_below(
    most: int, memory: float, limits: Thresholds
) -> None:
    found = creator_limit(most, memory, limits)
    assert (found == 0) is (memory >= limits.critical)
    assert found <= most


@settings(deadline=None)
@given(st.integers(1, 512), percents, percents, thresholds)
def test_more_memory_in_use_never_admits_more_creators(most: int, one: float, other: float, limits: Thresholds) -> None:
    less, more = sorted((one, other))
    assert creator_limit(most, more, limits) <= creator_limit(most, less, limits)


@pytest.mark.parametrize(
    ("memory", "creators"), [(0.0, 32), (79.9, 32), (80.0, 32), (85.0, 16), (89.99, 1), (90.0, 0), (100.0, 0)]
)
def test_creators_fall_in_a_line_between_the_thresholds(memory: float, creators: int) -> None:
    assert creator_limit(32, memory, USUAL) == creators


def test_thresholds_that_meet_are_a_plain_stop() -> None:
    assert [creator_limit(8, memory, Thresholds(90, 90)) for memory in (89.9, 90.0, 90.1)] == [8, 0, 0]


def test_the_modes_limits_are_the_designs() -> None:
    assert {
        Mode.NORMAL: Limits(downloads=None, quality=None, images=None),
        Mode.SAFE: Limits(downloads=2, quality=75, images=20),
        Mode.MINIMAL: Limits(downloads=1, quality=75, images=10),
    } == LIMITS


@pytest.mark.parametrize(
    ("mode", "quality", "images"), [(Mode.NORMAL, 95, 35), (Mode.SAFE, 75, 20), (Mode.MINIMAL, 75, 10)]
)
def test_a_mode_holds_what_is_asked_for_to_its_limits(mode: Mode, quality: int, images: int) -> None:
    found = limited(ProcessingConfig(rows=3), mode)
    assert (found.quality, found.max_images_per_creator, found.rows) == (quality, images, 3)


@pytest.mark.parametrize("mode", Mode)
def test_a_mode_never_raises_what_is_asked_for(mode: Mode) -> None:
    asked = ProcessingConfig(quality=40, max_images_per_creator=2)
    assert limited(asked, mode) == asked


@pytest.mark.parametrize(
    ("memory", "mode"), [(90.0, Mode.SAFE), (94.9, Mode.SAFE), (95.0, Mode.MINIMAL), (100.0, Mode.MINIMAL)]
)
def test_a_careful_mode_is_minimal_in_the_upper_half_of_the_critical_range(memory: float, mode: Mode) -> None:
    assert careful_mode(memory, 90.0) is mode


def test_after_memory_ran_out_the_next_mode_is_more_careful_until_none_is_left() -> None:
    assert [next_mode(mode) for mode in (Mode.NORMAL, Mode.SAFE, Mode.MINIMAL)] == [Mode.SAFE, Mode.MINIMAL, None]
