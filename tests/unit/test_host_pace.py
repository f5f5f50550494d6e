"""How many tries a host in trouble gets: the rule for one host, and many tries at once over several hosts."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.download.host_pace import AllOf, HostPace, HostPaces
from worker.download.http_answers import HostBusy
from worker.errors import ImageError, ImageReason
from worker.limiter import Limiter

SECONDS = 30.0
BUSY = HostBusy(ImageReason.RATE_LIMITED, "slow down", transient=True)
LATE = ImageError(ImageReason.TIMEOUT, "too late", transient=True)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def fail(pace: HostPace, now: float, began: float | None = None) -> None:
    pace.failed(ImageReason.TIMEOUT, began=now if began is None else began, now=now, patience=2 * SECONDS)


# One host


def grown(most: int) -> HostPace:
    pace = HostPace(most)
    for _ in range(most):
        pace.succeeded()
    assert pace.slots.limit == most
    return pace


def test_a_new_host_is_given_little_and_soon_more() -> None:
    pace = HostPace(32)
    assert pace.slots.limit == 4
    for _ in range(4):
        pace.succeeded()
    assert pace.slots.limit == 8


def test_a_host_that_has_never_answered_is_asked_one_thing_at_a_time_and_left_alone_after_two_time_outs() -> None:
    pace = HostPace(32)
    for _ in range(4):
        fail(pace, 30.0, began=0.0)
    assert pace.slots.limit == 1
    assert not pace.is_closed(30.0), "those of the first round prove no more than one does"
    fail(pace, 60.0, began=30.0)
    assert pace.is_closed(60.0)


def test_a_new_host_that_says_it_is_busy_is_asked_half_as_much() -> None:
    pace = HostPace(32)
    pace.failed(ImageReason.RATE_LIMITED, began=0.0, now=0.1, patience=60.0)
    assert pace.slots.limit == 2


def test_a_failure_halves_and_a_round_of_successes_adds_one() -> None:
    pace = grown(32)
    fail(pace, 1.0)
    assert pace.slots.limit == 16
    for _ in range(17):
        pace.succeeded()
    assert pace.slots.limit == 17
    for _ in range(10_000):
        pace.succeeded()
    assert pace.slots.limit == 32


def test_tries_that_failed_together_halve_once() -> None:
    pace = grown(32)
    for _ in range(32):
        fail(pace, 10.0, began=0.0)
    assert pace.slots.limit == 16
    fail(pace, 20.0, began=11.0)
    assert pace.slots.limit == 8


def test_it_never_falls_below_one() -> None:
    pace = HostPace(4)
    for now in range(50):
        fail(pace, float(now))
    assert pace.slots.limit == 1


def test_a_host_that_keeps_failing_alone_is_left_alone_and_then_asked_once() -> None:
    pace = grown(4)
    times = [0.0, 30.0, 60.0, 90.0]
    for now in times:
        assert not pace.is_closed(now)
        fail(pace, now)
    assert pace.is_closed(90.0 + 59)
    assert not pace.is_closed(90.0 + 60)
    pace.begin(151.0, 60.0)
    assert pace.is_closed(152.0), "the others wait for what the first one finds"
    pace.succeeded()
    assert not pace.is_closed(152.0)


def test_a_short_outage_closes_no_host_however_many_fail_in_it() -> None:
    pace = HostPace(4)
    for step in range(1_000):
        fail(pace, 59.0 * step / 1_000)
    assert not pace.is_closed(59.0)


def test_a_success_in_between_starts_the_count_anew() -> None:
    pace = HostPace(2)
    for now in range(0, 600, 30):
        fail(pace, float(now))
        fail(pace, float(now) + 1)
        pace.succeeded()
    assert not pace.is_closed(600.0)


@given(steps=st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=80), most=st.integers(1, 64))
def test_the_limit_stays_between_one_and_the_most_whatever_happens(steps: list[tuple[bool, float]], most: int) -> None:
    pace, now = HostPace(most), 0.0
    for good, seconds in steps:
        now += seconds
        if good:
            pace.succeeded()
        else:
            fail(pace, now, began=now - seconds / 2)
        assert 1 <= pace.slots.limit <= most


# Many hosts


async def test_no_host_has_more_tries_at_a_time_than_it_may() -> None:
    paces, job = HostPaces(3, Clock()), Limiter(100)
    inside, most, door = 0, 0, asyncio.Event()

    async def one() -> None:
        nonlocal inside, most
        async with paces.admitted("cdn.example", 443, SECONDS, job):
            inside += 1
            most = max(most, inside)
            await door.wait()
            inside -= 1

    tasks = [asyncio.create_task(one()) for _ in range(20)]
    await settle()
    assert inside == 3
    door.set()
    await asyncio.gather(*tasks)
    assert most == 3
    assert job.in_use == 0


async def test_whoever_waits_for_a_slow_host_holds_no_slot_of_the_job() -> None:
    paces, job, worker = HostPaces(1, Clock()), Limiter(2), Limiter(2)
    door = asyncio.Event()

    async def stuck() -> None:
        async with paces.admitted("slow.example", 443, SECONDS, job, worker):
            await door.wait()

    slow = [asyncio.create_task(stuck()) for _ in range(10)]
    await settle()
    assert (job.in_use, worker.in_use) == (1, 1)
    for _ in range(50):
        async with asyncio.timeout(1), paces.admitted("good.example", 443, SECONDS, job, worker):
            pass
    door.set()
    await asyncio.gather(*slow)
    assert (job.in_use, worker.in_use) == (0, 0)


async def test_whoever_waits_for_a_full_job_holds_no_slot_of_the_host() -> None:
    paces, full, other = HostPaces(2, Clock()), Limiter(1), Limiter(2)
    async with full:
        waiting = [asyncio.create_task(_visit(paces, full)) for _ in range(5)]
        await settle()
        async with asyncio.timeout(1), paces.admitted("cdn.example", 443, SECONDS, other):
            pass
    await asyncio.gather(*waiting)


async def _visit(paces: HostPaces, job: Limiter) -> None:
    async with paces.admitted("cdn.example", 443, SECONDS, job):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (BUSY, 2),
        (HostBusy(ImageReason.SERVER_ERROR, "503", transient=True), 2),
        (LATE, 1),
        (ImageError(ImageReason.SERVER_ERROR, "500", transient=True), 4),
        (ImageError(ImageReason.NOT_FOUND, "404"), 4),
        (ImageError(ImageReason.CONNECT, "refused", transient=True), 4),
    ],
    ids=["429", "503", "time-out", "500", "404", "connection refused"],
)
async def test_what_slows_a_host_down(error: ImageError, limit: int) -> None:
    paces = HostPaces(4, Clock())
    with pytest.raises(ImageError):
        async with paces.admitted("cdn.example", 443, SECONDS, Limiter(1)):
            raise error
    assert paces.pace("CDN.example.", 443).slots.limit == limit
    assert paces.pace("cdn.example", 8443).slots.limit == 4


async def _time_out(paces: HostPaces, clock: Clock) -> None:
    async with paces.admitted("bad.example", 443, SECONDS, Limiter(1)):
        clock.now += SECONDS
        raise LATE


async def test_a_host_that_is_left_alone_fails_at_once_with_its_last_reason_and_is_not_tried_again() -> None:
    clock = Clock()
    paces = HostPaces(2, clock)
    for _ in range(9):
        with pytest.raises(ImageError):
            await _time_out(paces, clock)
        if paces.pace("bad.example", 443).is_closed(clock.now):
            break
    with pytest.raises(ImageError, match="was not asked") as refused:
        async with paces.admitted("bad.example", 443, SECONDS, Limiter(1)):
            pytest.fail("it was asked")
    assert (refused.value.reason, refused.value.transient) == (ImageReason.TIMEOUT, False)
    clock.now += 61
    async with paces.admitted("bad.example", 443, SECONDS, Limiter(1)):
        pass
    async with paces.admitted("bad.example", 443, SECONDS, Limiter(1)):
        pass


async def test_what_is_remembered_of_hosts_does_not_grow_without_end() -> None:
    paces = HostPaces(8, Clock(), remembered=10)
    async with paces.admitted("busy.example", 443, SECONDS, Limiter(1)):
        for number in range(1_000):
            async with paces.admitted(f"h{number}.example", 443, SECONDS, Limiter(1)):
                pass
        assert len(paces) == 10
        assert paces.pace("busy.example", 443).slots.in_use == 1


async def test_slots_are_neither_lost_nor_made_when_those_who_wait_are_cancelled() -> None:
    limiters = [Limiter(2), Limiter(3), Limiter(1)]

    async def one(turn: int) -> None:
        async with AllOf(*limiters[turn % 3 :], *limiters[: turn % 3]):
            await asyncio.sleep(0)

    for victim in range(30):
        tasks = [asyncio.create_task(one(turn)) for turn in range(30)]
        for _ in range(victim % 7):
            await asyncio.sleep(0)
        tasks[victim].cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert [(limiter.in_use, limiter.waiting) for limiter in limiters] == [(0, 0)] * 3
