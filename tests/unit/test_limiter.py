"""The limiter under many tasks, changed limits and cancellation; tasks are stepped, never slept for."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.limiter import Limiter


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


class Visitors:
    """Tasks that each hold a slot until they are told to leave."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.entered: list[int] = []
        self.doors: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def arrive(self, *names: int) -> None:
        for name in names:
            self.doors[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._visit(name))

    async def _visit(self, name: int) -> None:
        async with self.limiter:
            self.entered.append(name)
            await self.doors[name].wait()

    async def all_leave(self) -> None:
        for door in self.doors.values():
            door.set()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def test_no_more_tasks_than_the_limit_are_inside_and_they_come_in_order() -> None:
    limiter = Limiter(3)
    visitors = Visitors(limiter)
    visitors.arrive(*range(50))
    await settle()
    assert visitors.entered == [0, 1, 2]
    assert (limiter.in_use, limiter.waiting) == (3, 47)
    for name in range(47):
        visitors.doors[name].set()
        await settle()
        assert limiter.in_use == 3
    await visitors.all_leave()
    assert visitors.entered == list(range(50))
    assert (limiter.in_use, limiter.waiting) == (0, 0)


async def test_raising_the_limit_wakes_waiters_at_once() -> None:
    limiter = Limiter(1)
    visitors = Visitors(limiter)
    visitors.arrive(*range(5))
    await settle()
    limiter.limit = 4
    assert limiter.in_use == 4
    await settle()
    assert visitors.entered == [0, 1, 2, 3]
    await visitors.all_leave()


async def test_lowering_the_limit_takes_effect_as_slots_come_free() -> None:
    limiter = Limiter(4)
    visitors = Visitors(limiter)
    visitors.arrive(*range(6))
    await settle()
    limiter.limit = 2
    assert limiter.in_use == 4
    for name, inside in ((0, 3), (1, 2)):
        visitors.doors[name].set()
        await settle()
        assert limiter.in_use == inside
        assert visitors.entered == [0, 1, 2, 3]
    visitors.doors[2].set()
    await settle()
    assert visitors.entered == [0, 1, 2, 3, 4]
    await visitors.all_leave()


async def test_a_newcomer_does_not_overtake_a_waiter() -> None:
    limiter = Limiter(1)
    visitors = Visitors(limiter)
    visitors.arrive(0, 1)
    await settle()
    visitors.doors[0].set()
    visitors.arrive(2)  # starts in the same turn in which task 0 leaves
    await settle()
    assert visitors.entered == [0, 1]
    await visitors.all_leave()


async def test_a_waiter_that_is_cancelled_gives_up_its_place() -> None:
    limiter = Limiter(1)
    visitors = Visitors(limiter)
    visitors.arrive(0, 1, 2)
    await settle()
    visitors.tasks[1].cancel()
    await settle()
    assert limiter.waiting == 1
    visitors.doors[0].set()
    await settle()
    assert visitors.entered == [0, 2]
    await visitors.all_leave()
    assert limiter.in_use == 0


async def test_a_waiter_cancelled_in_the_turn_in_which_a_slot_comes_free_is_passed_over() -> None:
    limiter = Limiter(1)
    visitors = Visitors(limiter)
    visitors.arrive(1, 2)
    async with limiter:
        await settle()
        visitors.tasks[1].cancel()  # its future is cancelled, but it stands in the queue still
    await settle()
    assert visitors.entered == [2]
    await visitors.all_leave()
    assert (limiter.in_use, limiter.waiting) == (0, 0)


async def test_a_slot_handed_to_a_task_that_is_cancelled_before_it_runs_goes_on_to_the_next() -> None:
    limiter = Limiter(1)
    visitors = Visitors(limiter)
    visitors.arrive(1, 2)
    async with limiter:
        await settle()
    visitors.tasks[1].cancel()  # the slot is its own by now
    await settle()
    assert visitors.entered == [2]
    await visitors.all_leave()
    assert (limiter.in_use, limiter.waiting) == (0, 0)


async def test_a_task_that_fails_or_is_cancelled_inside_gives_its_slot_back() -> None:
    limiter = Limiter(1)
    with pytest.raises(KeyError):
        async with limiter:
            raise KeyError
    visitors = Visitors(limiter)
    visitors.arrive(0)
    await settle()
    visitors.tasks[0].cancel()
    await settle()
    assert limiter.in_use == 0


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_would_let_nobody_in_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="allowed is 1 or more"):
        Limiter(limit)
    limiter = Limiter(1)
    with pytest.raises(ValueError, match="allowed is 1 or more"):
        limiter.limit = limit
    assert limiter.limit == 1


@given(
    steps=st.lists(
        st.one_of(
            st.just(("arrive", 0)),
            st.tuples(st.sampled_from(["leave", "cancel"]), st.integers(0, 30)),
            st.tuples(st.just("limit"), st.integers(1, 6)),
            st.just(("settle", 0)),
        ),
        max_size=60,
    )
)
def test_slots_are_neither_lost_nor_made_whatever_happens_in_whatever_order(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_walk(steps))


async def _walk(steps: list[tuple[str, int]]) -> None:
    limiter = Limiter(2)
    visitors = Visitors(limiter)
    for kind, number in steps:
        if kind == "arrive":
            visitors.arrive(len(visitors.tasks))
            await asyncio.sleep(0)  # it asks now; one that has not run yet stands in no queue
        elif kind == "limit":
            limiter.limit = number
        elif kind == "leave" and number in visitors.doors:
            visitors.doors[number].set()
        elif kind == "cancel" and number in visitors.tasks:
            visitors.tasks[number].cancel()
        elif kind == "settle":
            await settle()
        assert limiter.waiting == 0 or limiter.in_use >= limiter.limit
    await visitors.all_leave()
    assert (limiter.in_use, limiter.waiting) == (0, 0)
    assert all(earlier < later for earlier, later in pairwise(visitors.entered))
