"""The task is protected from scale-in from the first message to the end of the last; the work never waits for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from tests.simulation.clock import in_virtual_time, virtually
from tests.unit.fakes import message
from tests.unit.test_ecs import BLOCKED, SET, FakeAgent, served
from tests.unit.test_receive import WORK, Bench, Working
from worker.aws.ecs import DEADLINE, EXPIRES_MINUTES, EcsAgent, Protection
from worker.service.protection import LAST_TRIES, TIMES, ScaleIn, ScaleInTimes


class Agent(EcsAgent):
    """An agent without a network: what it was told, and what it answers."""

    def __init__(self, *answers: Protection) -> None:
        self.told: list[bool] = []
        self.answers = list(answers)
        self.called = asyncio.Event()
        self.stalled: asyncio.Event | None = None

    async def protect(self, *, enabled: bool) -> Protection:
        self.told.append(enabled)
        self.called.set()
        if self.stalled is not None:
            await self.stalled.wait()
        return self.answers.pop(0) if self.answers else Protection.SET

    async def until(self, *told: bool) -> None:
        async with asyncio.timeout(5):
            while self.told != list(told):
                self.called.clear()
                await self.called.wait()


@asynccontextmanager
async def kept(scale_in: ScaleIn) -> AsyncIterator[None]:
    task = asyncio.create_task(scale_in.keep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(600):
        while not look():
            await asyncio.sleep(0.01)


async def some_turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# --- when the agent is told -----------------------------------------------------------------------------------------


async def test_it_is_on_at_the_first_message_and_off_after_the_last_and_told_at_the_edges_only() -> None:
    agent = Agent()
    scale_in = ScaleIn(agent)
    async with kept(scale_in):
        scale_in.busy(True)
        await agent.until(True)
        for _ in range(5):
            scale_in.busy(True)
            await some_turns()
        scale_in.busy(False)
        await agent.until(True, False)
        scale_in.busy(False)
        await some_turns()
    assert agent.told == [True, False]


@virtually
async def test_an_idle_worker_says_nothing() -> None:
    agent = Agent()
    async with kept(ScaleIn(agent)):
        await asyncio.sleep(3_600)
    assert agent.told == []


@virtually
async def test_it_is_renewed_while_busy_and_not_any_more_afterwards() -> None:
    agent = Agent()
    scale_in = ScaleIn(agent)
    async with kept(scale_in):
        scale_in.busy(True)
        await until(lambda: len(agent.told) >= 4)
        scale_in.busy(False)
        await until(lambda: not agent.told[-1])
        count = len(agent.told)
        await asyncio.sleep(3_600)
    assert agent.told == [True] * (count - 1) + [False]


def test_it_is_renewed_well_before_it_ends() -> None:
    assert TIMES.renew_every <= EXPIRES_MINUTES * 60 / 2


async def test_the_last_of_several_changes_during_a_call_is_what_counts() -> None:
    agent = Agent()
    agent.stalled = asyncio.Event()
    scale_in = ScaleIn(agent)
    async with kept(scale_in):
        scale_in.busy(True)
        await agent.until(True)
        scale_in.busy(False)
        scale_in.busy(True)
        scale_in.busy(False)
        agent.stalled.set()
        await agent.until(True, False)


@virtually
async def test_a_call_that_fails_is_made_again_at_the_next_renewal() -> None:
    agent = Agent(Protection.UNKNOWN, Protection.UNKNOWN)
    scale_in = ScaleIn(agent)
    async with kept(scale_in):
        scale_in.busy(True)
        await until(lambda: len(agent.told) >= 3)
    assert not scale_in.blocked


async def test_a_change_is_told_at_once_although_the_last_call_failed() -> None:
    agent = Agent(Protection.UNKNOWN)
    scale_in = ScaleIn(agent)
    async with kept(scale_in):
        scale_in.busy(True)
        await agent.until(True)
        scale_in.busy(False)
        await agent.until(True, False)


@virtually
async def test_a_lift_that_was_not_confirmed_is_tried_again_until_it_is() -> None:
    agent = Agent(Protection.SET, Protection.UNKNOWN, Protection.BLOCKED, Protection.UNKNOWN)
    scale_in = ScaleIn(agent)
    async with kept(scale_in):
        scale_in.busy(True)
        await agent.until(True)
        scale_in.busy(False)
        await until(lambda: agent.told == [True, False, False, False, False])
        await asyncio.sleep(3_600)
    assert agent.told == [True, False, False, False, False], "confirmed, it is not told again"


@virtually
async def test_a_protection_that_was_not_confirmed_is_asked_for_again_soon() -> None:
    agent = Agent(Protection.UNKNOWN, Protection.UNKNOWN)
    scale_in = ScaleIn(agent)
    async with kept(scale_in):
        scale_in.busy(True)
        await until(lambda: agent.told == [True, True, True])


async def test_a_protection_that_may_have_been_set_is_lifted() -> None:
    agent = Agent(Protection.UNKNOWN)
    scale_in = ScaleIn(agent)
    async with kept(scale_in):
        scale_in.busy(True)
        await agent.until(True)
        scale_in.busy(False)
        await agent.until(True, False)


def test_an_agent_that_keeps_failing_is_asked_less_and_less_often() -> None:
    """In a time that jumps: an hour of failures."""
    agent = Agent(*[Protection.UNKNOWN] * 10_000)
    times: list[float] = []

    class Timed(Agent):
        async def protect(self, *, enabled: bool) -> Protection:
            times.append(asyncio.get_running_loop().time())
            return await agent.protect(enabled=enabled)

    async def an_hour() -> None:
        scale_in = ScaleIn(Timed())
        async with kept(scale_in):
            scale_in.busy(True)
            await asyncio.sleep(3_600)

    in_virtual_time(an_hour())
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert 2.5 <= pauses[0] <= 5
    assert all(TIMES.renew_every / 2 <= pause <= TIMES.renew_every for pause in pauses[6:])
    assert 30 <= len(times) <= 75


# --- the worker's end -----------------------------------------------------------------------------------------------


async def test_at_the_end_nothing_is_lifted_where_nothing_was_set() -> None:
    agent = Agent()
    scale_in = ScaleIn(agent)
    async with kept(scale_in):
        pass
    await scale_in.end()
    assert agent.told == []


async def test_after_a_drain_the_protection_is_lifted_though_nobody_told_the_agent_of_the_last_messages_end() -> None:
    agent = Agent()
    scale_in = ScaleIn(agent)
    async with kept(scale_in):
        scale_in.busy(True)
        await agent.until(True)
        scale_in.busy(False)  # and the worker ends before `keep` has its turn
    await scale_in.end()
    assert agent.told == [True, False]


async def test_a_worker_that_ends_in_the_middle_of_a_call_lifts_what_the_call_may_have_set() -> None:
    agent = Agent()
    agent.stalled = asyncio.Event()
    scale_in = ScaleIn(agent)
    async with kept(scale_in):
        scale_in.busy(True)
        await agent.until(True)
    agent.stalled = None
    await scale_in.end()
    assert agent.told == [True, False]


async def test_a_protection_that_was_lifted_already_is_not_lifted_again_at_the_end() -> None:
    agent = Agent()
    scale_in = ScaleIn(agent)
    async with kept(scale_in):
        scale_in.busy(True)
        await agent.until(True)
        scale_in.busy(False)
        await agent.until(True, False)
        await some_turns()
    await scale_in.end()
    assert agent.told == [True, False]


@virtually
async def test_a_throttled_lift_at_the_end_is_tried_again_and_not_for_ever() -> None:
    for failures, calls in ((1, 2), (100, LAST_TRIES)):
        agent = Agent(Protection.SET, *[Protection.UNKNOWN] * failures)
        scale_in = ScaleIn(agent)
        async with kept(scale_in):
            scale_in.busy(True)
            await agent.until(True)
        await scale_in.end()
        assert agent.told == [True, *[False] * calls]


def test_the_end_takes_less_than_what_ecs_leaves_after_the_grace_period() -> None:
    assert LAST_TRIES * (DEADLINE + TIMES.last_pause) < 20


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancellation_that_meets_a_change_is_not_lost(turns: int) -> None:
    """`asyncio.wait_for` loses it before Python 3.12, and the worker then hangs after SIGTERM."""
    scale_in = ScaleIn(Agent())
    task = asyncio.create_task(scale_in.keep())
    scale_in.busy(True)
    await some_turns()
    scale_in.busy(False)
    await some_turns(turns)
    task.cancel()
    await asyncio.wait({task}, timeout=1)
    assert task.cancelled()


# --- a deployment ---------------------------------------------------------------------------------------------------


@virtually
async def test_a_deployment_blocks_for_a_while_and_not_for_ever() -> None:
    agent = Agent(Protection.BLOCKED)
    scale_in = ScaleIn(agent)
    assert not scale_in.blocked
    async with kept(scale_in):
        scale_in.busy(True)
        await until(lambda: scale_in.blocked)
        await until(lambda: not scale_in.blocked)


@virtually
async def test_a_worker_that_stays_busy_asks_again_before_it_would_take_something_new() -> None:
    """Otherwise its next messages would keep the old revision running, and the deployment would be given up."""
    agent = Agent(*[Protection.BLOCKED] * 4)
    scale_in = ScaleIn(agent)
    async with kept(scale_in):
        scale_in.busy(True)
        await until(lambda: scale_in.blocked)
        await until(lambda: len(agent.told) > 4)
        await until(lambda: not scale_in.blocked)


def test_a_busy_worker_hears_of_a_deployment_within_minutes() -> None:
    assert TIMES.renew_every <= 300


async def test_while_a_deployment_blocks_the_work_at_hand_is_finished_and_none_is_asked_for() -> None:
    working = Working()
    fake = FakeAgent(BLOCKED)
    async with served(fake) as agent:
        scale_in = ScaleIn(agent, ScaleInTimes(blocked_pause=0.2))
        bench = Bench(working, scale_in=scale_in)
        async with kept(scale_in), bench.running():
            bench.queue.feed(message("m1", WORK))
            await working.began.acquire()
            await bench.polled(2)
            await until(lambda: scale_in.blocked)
            bench.queue.feed()  # the poll that was under way ends without a message
            await asyncio.sleep(0.05)
            assert len(bench.queue.polls) == 2, "no further poll"
            working.end.set()
            await bench.queue.until("delete", "m1")
            fake.answer = SET
            await bench.polled(3)
            assert not scale_in.blocked
    assert fake.asked[0]["ProtectionEnabled"] is True


async def test_a_worker_that_asks_for_nothing_because_of_a_deployment_does_not_count_as_deaf() -> None:
    class Blocked(ScaleIn):
        blocked = True

    seconds = 0.0
    bench = Bench(scale_in=Blocked(None), clock=lambda: seconds)
    seconds = 1_000.0
    assert bench.receiver.silent_for == 1_000.0
    async with bench.running():
        await until(lambda: bench.receiver.silent_for == 0.0)


# --- the work never waits -------------------------------------------------------------------------------------------


async def test_work_does_not_wait_for_an_agent_that_stalls() -> None:
    fake = FakeAgent(stall=True)
    async with served(fake) as agent:
        scale_in = ScaleIn(agent)
        bench = Bench(scale_in=scale_in)
        async with kept(scale_in), bench.running():
            for name in ("m1", "m2", "m3"):
                bench.queue.feed(message(name, WORK))
                async with asyncio.timeout(1):
                    await bench.queue.until("delete", name)
    assert len(fake.asked) <= 1, "the calls do not pile up either"


async def test_work_goes_on_where_the_agent_fails() -> None:
    async with served(FakeAgent("oops", status=500)) as agent:
        scale_in = ScaleIn(agent)
        bench = Bench(scale_in=scale_in)
        async with kept(scale_in), bench.running():
            for name in ("m1", "m2"):
                bench.queue.feed(message(name, WORK))
                await bench.queue.until("delete", name)
            assert not scale_in.blocked


async def test_outside_of_ecs_nothing_is_done() -> None:
    scale_in = ScaleIn(None)
    async with asyncio.timeout(1):
        await scale_in.keep()
    scale_in.busy(True)
    assert not scale_in.blocked
    await scale_in.end()


async def test_from_the_first_message_to_the_end_of_the_last_by_way_of_the_receiver() -> None:
    working = Working()
    agent = Agent()
    scale_in = ScaleIn(agent)
    bench = Bench(working, scale_in=scale_in)
    async with kept(scale_in), bench.running():
        bench.queue.feed(message("m1", WORK), message("m2", WORK))
        await agent.until(True)
        await bench.polled(2)
        bench.queue.feed(message("m3", WORK))
        await bench.polled(3)
        assert agent.told == [True]
        working.end.set()
        await agent.until(True, False)
