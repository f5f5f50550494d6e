"""The heartbeat: keeps a message invisible while it is worked on, and ends the work when it cannot."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.unit.fakes import FakeQueue, message, outage
from worker.errors import Interrupted, JobReason
from worker.service import heartbeat as module
from worker.service.heartbeat import HeartbeatLost, kept_invisible
from worker.tasks import first_failure

VISIBILITY = 0.03


async def work_for_ever(queue: FakeQueue, ended: list[str]) -> None:
    async with kept_invisible(queue, message(), VISIBILITY):  # type: ignore[arg-type]
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("work")
            raise


async def failure_of(work: "asyncio.Task[None]") -> BaseException:
    async with asyncio.timeout(5):
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


async def test_an_extension_that_fails_in_between_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = FakeQueue()
    failures = 0
    extend = queue.change_visibility

    async def sometimes(*args: object) -> None:
        nonlocal failures
        if failures % 2 == 0:
            failures += 1
            raise outage("sqs")
        failures += 1
        await extend(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(queue, "change_visibility", sometimes)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: failures * VISIBILITY / 3))
    async with asyncio.timeout(5), kept_invisible(queue, message(), VISIBILITY):  # type: ignore[arg-type]
        while len(queue.done) < 2:
            queue.did.clear()
            await queue.did.wait()
    assert failures >= 3


async def test_a_message_held_as_long_as_sqs_allows_is_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_HOLD", 10 * VISIBILITY)
    queue, ended = FakeQueue(), []
    error = await failure_of(asyncio.create_task(work_for_ever(queue, ended)))
    assert isinstance(error, Interrupted)
    assert error.reason is JobReason.INTERRUPTED
    assert ended == ["work"]
    assert queue.done, "until then it was extended"


def test_the_longest_hold_is_below_what_sqs_allows() -> None:
    assert module.LONGEST_HOLD == 11.5 * 3600


async def test_cancelling_the_work_ends_the_heartbeat() -> None:
    queue, ended = FakeQueue(), []
    work = asyncio.create_task(work_for_ever(queue, ended))
    await queue.until("change_visibility")
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert ended == ["work"]
    assert asyncio.all_tasks() == {asyncio.current_task()}
