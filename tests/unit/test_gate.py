"""The gate: creators go in as memory allows, and whoever leaves it makes room, however it leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from worker.jobs import gate as module
from worker.jobs.admission import Thresholds
from worker.jobs.gate import Gate, Memory
from worker.model import Mode

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


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN", 0.001)
    monkeypatch.setattr(module, "PATIENCE", 0.005)


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


async def test_a_leaving_creator_wakes_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN", 60.0)
    gate = Gate(1, USUAL, Gauge())
    async with AsyncExitStack() as inside:
        await inside.enter_async_context(gate.admitted())
        async with entering(gate) as waiting:
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiting.done()
            await inside.aclose()
            assert await asyncio.wait_for(waiting, 1) is Mode.NORMAL


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
async def test_alone_and_critical_a_creator_is_done_in_a_careful_mode_after_a_while(percent: float, mode: Mode) -> None:
    gauge = Gauge(percent)
    gate = Gate(8, USUAL, gauge)
    began = asyncio.get_running_loop().time()
    async with gate.admitted() as found:
        assert found is mode
        assert asyncio.get_running_loop().time() - began >= module.PATIENCE
        async with entering(gate) as second:
            for _ in range(10):
                await gauge.looks_again()
            assert not second.done(), "one at a time while memory is critical"


async def test_waiting_for_others_is_not_counted_as_waiting_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    gauge = Gauge()
    gate = Gate(8, USUAL, gauge)
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    async with AsyncExitStack() as inside:
        await inside.enter_async_context(gate.admitted())
        gauge.percent = 95.0
        async with entering(gate) as waiting:
            await gauge.looks_again()
            await inside.aclose()
            await gauge.looks_again()
            await gauge.looks_again()
            assert not waiting.done()


async def test_a_creator_that_fails_makes_room() -> None:
    gate = Gate(1, USUAL, Gauge())
    for _ in range(3):
        with pytest.raises(ValueError, match="a bug"):
            async with gate.admitted():
                raise ValueError("a bug")
    async with asyncio.timeout(1), gate.admitted():
        pass


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


async def test_downloads_are_asked_of_memory_as_it_stands() -> None:
    gauge = Gauge(10.0, free_bytes=1 << 40)
    gate = Gate(8, USUAL, gauge)
    assert gate.downloads(1_000, 8) == 8
    gauge.percent = 85.0
    assert gate.downloads(1_000, 8) == 4
    gauge.percent, gauge.free_bytes = 10.0, 16 << 20
    assert gate.downloads(1_000, 8) == 2
