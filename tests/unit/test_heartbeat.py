"""The heartbeat: keeps a message invisible while it is worked on, and ends the work when it cannot."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.simulation.clock import in_virtual_time
from tests.unit.fakes import FakeQueue, message, outage
from worker.errors import Interrupted, JobReason
from worker.service.heartbeat import LONGEST_HOLD, HeartbeatLost, kept_invisible
from worker.tasks import first_failure

VISIBILITY = 0.03


async def work_for_ever(queue: FakeQueue, ended: list[str], visibility: float = VISIBILITY) -> None:
    async with kept_invisible(queue, message(), visibility):  # type: ignore[arg-type]
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("work")
            raise


async def failure_of(work: "asyncio.Task[None]", seconds: float = 5) -> BaseException:
    async with asyncio.timeout(seconds):
        with pytest.raises(BaseExceptionGroup) as caught:
            await work
    return first_failure(caught.value)


async def test_the_visibility_is_extended_again_and_again_while_the_work_goes_on() -> None:
    queue = FakeQueue()
    async with asyncio.timeout(5), kept_invisible(queue, message(), VISIBILITY):  # type: ignore[arg-type]
        while len(queue.done) < 3:
            queue.did.clear()
            await queue.did.wait()
    assert set(queue.done) == {("change_visibility", "m1", VISIBILITY)}


async def test_after_the_work_nothing_is_extended_any_more() -> None:
    queue = FakeQueue()
    async with kept_invisible(queue, message(), VISIBILITY):  # type: ignore[arg-type]
        await queue.until("change_visibility")
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_works_own_failure_comes_out() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with kept_invisible(FakeQueue(), message(), 60):  # type: ignore[arg-type]
            raise ValueError("a bug")
    assert str(first_failure(caught.value)) == "a bug"


async def test_when_extending_fails_until_the_visibility_is_over_the_work_is_ended() -> None:
    queue, ended = FakeQueue(), []
    queue.failing["change_visibility"] = outage("sqs")
    error = await failure_of(asyncio.create_task(work_for_ever(queue, ended)))
    assert isinstance(error, HeartbeatLost)
    assert ended == ["work"]


async def refused_at_once() -> None:
    raise outage("sqs")


async def refused_after_a_while() -> None:
    await asyncio.sleep(7)
    raise outage("sqs")


async def never_answered() -> None:
    await asyncio.Event().wait()


async def answered_once_and_never_again(calls: list[float]) -> None:
    if len(calls) > 1:
        await asyncio.Event().wait()


def lost_after(visibility: float, answer: Callable[[list[float]], Awaitable[None]]) -> tuple[float, list[float]]:
    """Return when the work ended, and when each call began: seconds, in a time that jumps."""
    calls: list[float] = []

    class Failing(FakeQueue):
        async def change_visibility(self, *_: object) -> None:
            calls.append(time.monotonic())
            await answer(calls)

    async def run() -> float:
        with pytest.raises(BaseExceptionGroup) as caught:
            async with kept_invisible(Failing(), message(), visibility):  # type: ignore[arg-type]
                await asyncio.Event().wait()
        assert isinstance(first_failure(caught.value), HeartbeatLost)
        return asyncio.get_running_loop().time()

    return in_virtual_time(run()), calls


@pytest.mark.parametrize("visibility", [4, 30, 120, 900])
@pytest.mark.parametrize("answer", [refused_at_once, refused_after_a_while, never_answered])
def test_the_loss_is_told_a_margin_before_the_visibility_ends_however_the_calls_fail(
    visibility: float, answer: Callable[[], Awaitable[None]]
) -> None:
    ended, calls = lost_after(visibility, lambda _calls: answer())
    assert 0.8 * visibility <= ended <= 0.95 * visibility
    assert len(calls) >= 2, "one failure is not the end"


def test_the_margin_is_counted_from_the_last_call_that_was_answered() -> None:
    ended, calls = lost_after(120, answered_once_and_never_again)
    assert ended - calls[0] <= 0.95 * 120


def test_a_call_that_failed_is_made_again_sooner_than_the_next_was_due() -> None:
    _, calls = lost_after(120, lambda _calls: refused_at_once())
    assert calls[1] - calls[0] < 120 / 3


def test_an_extension_that_fails_in_between_ends_nothing() -> None:
    calls: list[float] = []

    class Sometimes(FakeQueue):
        async def change_visibility(self, *given: Any) -> None:
            calls.append(time.monotonic())
            if len(calls) % 2:
                raise outage("sqs")
            await super().change_visibility(*given)

    async def an_hour() -> None:
        async with kept_invisible(Sometimes(), message(), 120):  # type: ignore[arg-type]
            await asyncio.sleep(3_600)

    in_virtual_time(an_hour())
    assert len(calls) > 2 * 3_600 / 120


def test_a_message_held_as_long_as_sqs_allows_is_handed_back() -> None:
    queue, ended = FakeQueue(), list[str]()

    async def run() -> float:
        began = time.monotonic()
        error = await failure_of(asyncio.create_task(work_for_ever(queue, ended, 120)), seconds=12 * 3600)
        assert isinstance(error, Interrupted)
        assert error.reason is JobReason.INTERRUPTED
        return time.monotonic() - began

    assert LONGEST_HOLD <= in_virtual_time(run()) <= LONGEST_HOLD + 120
    assert ended == ["work"]
    assert queue.done, "until then it was extended"


def test_the_longest_hold_is_below_what_sqs_allows() -> None:
    assert LONGEST_HOLD == 11.5 * 3600


async def test_cancelling_the_work_ends_the_heartbeat() -> None:
    queue, ended = FakeQueue(), []
    work = asyncio.create_task(work_for_ever(queue, ended))
    await queue.until("change_visibility")
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert ended == ["work"]
    assert asyncio.all_tasks() == {asyncio.current_task()}
