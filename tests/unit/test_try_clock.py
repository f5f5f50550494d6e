"""The time of a try: what counts, what does not, and how it ends."""

import asyncio
from contextlib import suppress

import pytest

from worker.download.try_clock import TryClock


async def test_what_takes_longer_than_the_try_may_is_ended() -> None:
    clock = TryClock(0.01)
    with pytest.raises(TimeoutError):
        async with clock:
            await asyncio.Event().wait()
    assert clock.spent >= 0.01


async def test_its_runs_are_counted_together() -> None:
    clock = TryClock(0.06)
    runs = 0

    async def run() -> None:
        async with clock:
            await asyncio.sleep(0.02)  # the behaviour under test is time itself, here and below

    with suppress(TimeoutError):
        while runs < 10:
            await run()
            runs += 1
    assert 1 <= runs <= 3


async def test_what_lies_between_its_runs_does_not_count() -> None:
    clock = TryClock(0.05)
    async with clock:
        pass
    await asyncio.sleep(0.1)
    async with clock:
        await asyncio.sleep(0)
    assert clock.spent < 0.05


async def test_a_pause_neither_counts_nor_ends_the_try() -> None:
    clock = TryClock(0.1)
    async with clock:
        with clock.paused():
            await asyncio.sleep(0.2)
        assert clock.spent < 0.1
        await asyncio.sleep(0)


async def test_after_a_pause_only_what_was_left_is_left() -> None:
    clock = TryClock(0.05)
    loop = asyncio.get_running_loop()

    async def work() -> None:
        async with clock:
            with clock.paused():
                await asyncio.sleep(0.1)
            await asyncio.Event().wait()

    began = loop.time()
    with pytest.raises(TimeoutError):
        await work()
    assert 0.14 < loop.time() - began < 2


async def test_a_cancellation_during_a_pause_is_a_cancellation() -> None:
    clock, paused = TryClock(60), asyncio.Event()

    async def work() -> None:
        async with clock:
            with clock.paused():
                paused.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await paused.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_pause_that_begins_when_the_time_has_just_run_out_ends_the_try() -> None:
    clock = TryClock(0.001)
    loop = asyncio.get_running_loop()

    async def work() -> None:
        async with clock:
            woken = loop.create_future()
            loop.call_at(loop.time() + 0.001, woken.set_result, None)  # in the same turn of the loop as the end
            await woken
            with clock.paused():
                await asyncio.Event().wait()

    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await work()
