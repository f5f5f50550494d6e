"""Who may hold how many large bodies at a time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.download.body_budget import BodyBudget, BodyClaim


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def asking(budget: BodyBudget, wishes: list[tuple[str, str]]) -> AsyncIterator[list[BodyClaim]]:
    """Have a task for each (job, host) make its claim; gives the claims once nothing moves any more."""
    claims = [budget.claim_for(job) for job, _ in wishes]
    tasks = [asyncio.create_task(claim.make(host)) for claim, (_, host) in zip(claims, wishes, strict=True)]
    await settle()
    yield claims
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for claim in claims:
        claim.release()
    assert budget.held == 0


def held(claims: list[BodyClaim]) -> list[BodyClaim]:
    return [claim for claim in claims if claim.is_made]


async def test_one_job_holds_half_of_them_however_many_hosts_it_has() -> None:
    async with asking(BodyBudget(10), [("job", f"host-{number}") for number in range(20)]) as claims:
        assert len(held(claims)) == 5


async def test_one_host_of_a_job_leaves_one_to_the_job_s_other_hosts() -> None:
    wishes = [("job", "slow")] * 9 + [("job", "good")] * 2
    async with asking(BodyBudget(10), wishes) as claims:
        assert Counter(claim.host for claim in held(claims)) == {"slow": 4, "good": 1}


async def test_four_jobs_each_hold_one_whatever_the_others_ask_for() -> None:
    wishes = [(f"job-{job}", "cdn") for job in range(4) for _ in range(10)]
    async with asking(BodyBudget(10), wishes) as claims:
        per_job = Counter(claim.job for claim in held(claims))
        assert set(per_job) == {"job-0", "job-1", "job-2", "job-3"}


async def test_who_is_let_go_makes_place_for_who_came_first_of_those_that_may() -> None:
    budget = BodyBudget(2)
    async with asking(budget, [("a", "x"), ("a", "x"), ("b", "y"), ("b", "y")]) as claims:
        assert [claim.is_made for claim in claims] == [True, False, True, False]
        claims[2].release()
        await settle()
        assert [claim.is_made for claim in claims] == [True, False, False, True]


async def test_a_claim_is_made_and_released_once() -> None:
    budget = BodyBudget(10)
    claim = budget.claim_for("job")
    claim.release()
    await claim.make("host")
    await claim.make("host")
    assert budget.held == 1
    claim.release()
    claim.release()
    assert budget.held == 0


async def test_who_is_cancelled_in_the_turn_in_which_its_place_comes_takes_none() -> None:
    budget = BodyBudget(1)
    first, second = budget.claim_for("a"), budget.claim_for("b")
    await first.make("x")
    waiting = asyncio.create_task(second.make("y"))
    await settle()
    first.release()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert budget.held == 0


async def test_who_is_cancelled_just_before_its_place_comes_leaves_it_to_the_next() -> None:
    budget = BodyBudget(1)
    first, second, third = (budget.claim_for(job) for job in "abc")
    await first.make("x")
    waiting = [asyncio.create_task(claim.make("host")) for claim in (second, third)]
    await settle()
    waiting[0].cancel()
    first.release()
    await asyncio.wait(waiting)
    assert (second.is_made, third.is_made, budget.held) == (False, True, 1)


STEPS = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("xyz"), st.sampled_from(["make", "end"])))


@given(steps=STEPS)
@settings(max_examples=200, deadline=None)
def test_it_never_holds_more_than_it_has_nor_forgets_who_waits(steps: list[tuple[str, str, str]]) -> None:
    async def run() -> None:
        budget = BodyBudget(4)
        tasks: list[tuple[BodyClaim, asyncio.Task[None]]] = []
        for job, host, step in steps:
            if step == "make":
                claim = budget.claim_for(job)
                tasks.append((claim, asyncio.create_task(claim.make(host))))
            elif tasks:
                claim, task = tasks.pop(0)
                task.cancel()
                await asyncio.wait([task])
                claim.release()
            await settle()
            assert budget.held == sum(claim.is_made for claim, _ in tasks) <= 4
        while tasks:
            made = [claim for claim, _ in tasks if claim.is_made]
            assert made, "somebody waits though nobody holds anything"
            for claim in made:
                claim.release()
            tasks = [(claim, task) for claim, task in tasks if claim not in made]
            await settle()
        assert budget.held == 0

    asyncio.run(run())
