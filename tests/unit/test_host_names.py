"""Looking up names: once at a time, remembered, and bounded for each job."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from worker.download.host_names import (
    LONGEST_PAUSE_SECONDS,
    LOOKUPS_PER_JOB,
    NAMES_REMEMBERED,
    REMEMBERED_SECONDS,
    STALE_SECONDS,
    UNKNOWN_SECONDS,
    HostNames,
    is_address,
)

NO_SUCH_NAME = socket.gaierror(socket.EAI_NONAME, "no such name")
NO_ANSWER = socket.gaierror(socket.EAI_AGAIN, "nobody answers")
Told = list[str] | Exception


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Asked(AbstractResolver):
    """A resolver that tells what it is told to tell, and where it is told nothing waits until it is."""

    told: dict[str, Told] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    under_way: set[str] = field(default_factory=set)
    closed: bool = False
    on_question: Callable[[], None] = lambda: None
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        self.under_way.add(host)
        try:
            async with self.news:
                await self.news.wait_for(lambda: host in self.told)
        finally:
            self.under_way.discard(host)
        self.on_question()
        told = self.told[host]
        if isinstance(told, Exception):
            raise told
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in told
        ]

    async def tell(self, host: str, told: Told) -> None:
        async with self.news:
            self.told[host] = told
            self.news.notify_all()

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def asked() -> Asked:
    return Asked({"cdn.example": ["192.0.2.1"]})


@pytest.fixture
async def names(asked: Asked, clock: Clock) -> AsyncIterator[HostNames]:
    names = HostNames(asked, clock)
    yield names
    await names.close()
    assert asked.closed
    assert not asked.under_way


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def addresses(names: HostNames, host: str, port: int = 443) -> list[tuple[str, int]]:
    return [(found["host"], found["port"]) for found in await names.resolve(host, port, socket.AF_UNSPEC)]


async def failure(names: HostNames, host: str, job: object = "job") -> int:
    with pytest.raises(socket.gaierror) as raised:
        await names.look_up(host, job)
    assert raised.value.errno is not None
    return raised.value.errno


async def test_a_name_is_asked_for_once_however_it_is_written(names: HostNames, asked: Asked) -> None:
    await asyncio.gather(*(names.look_up(host, "job") for host in ("cdn.example", "CDN.Example", "cdn.example.")))
    assert await addresses(names, "Cdn.example.") == [("192.0.2.1", 443)]
    assert asked.asked == ["cdn.example"]


async def test_addresses_hold_for_all_jobs_for_five_minutes(names: HostNames, asked: Asked, clock: Clock) -> None:
    await names.look_up("cdn.example", "job")
    clock.now += REMEMBERED_SECONDS - 1
    await names.look_up("cdn.example", "another job")
    assert len(asked.asked) == 1
    clock.now += 1
    asked.told["cdn.example"] = ["192.0.2.2"]
    await names.look_up("cdn.example", "job")
    assert await addresses(names, "cdn.example") == [("192.0.2.2", 443)]


async def test_addresses_are_used_in_turn(names: HostNames, asked: Asked) -> None:
    asked.told["cdn.example"] = ["192.0.2.1", "2001:db8::1", "192.0.2.2"]
    await names.look_up("cdn.example", "job")
    first = [(await addresses(names, "cdn.example"))[0][0] for _ in range(6)]
    assert sorted(first[:3]) == sorted(first[3:]) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    assert [found["host"] for found in await names.resolve("cdn.example", 443, socket.AF_INET6)] == ["2001:db8::1"]


async def test_a_connection_that_needs_a_name_nobody_looked_up_gets_it_looked_up(
    names: HostNames, asked: Asked
) -> None:
    assert await addresses(names, "cdn.example", 80) == [("192.0.2.1", 80)]
    asked.told["gone.example"] = NO_SUCH_NAME
    with pytest.raises(socket.gaierror):
        await names.resolve("gone.example", 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "2001:db8::7"])
async def test_an_address_is_not_looked_up(names: HostNames, asked: Asked, host: str) -> None:
    assert is_address(host)
    await names.look_up(host, "job")
    assert asked.asked == []


@pytest.mark.parametrize("host", ["localhost", "h1", "1.example", "127.0.0.1.example", "a-1"])
def test_a_name_is_no_address(host: str) -> None:
    assert not is_address(host)


async def test_that_there_is_no_such_name_is_remembered_for_a_minute(
    names: HostNames, asked: Asked, clock: Clock
) -> None:
    asked.told["gone.example"] = NO_SUCH_NAME
    for _ in range(100):
        assert await failure(names, "gone.example") == socket.EAI_NONAME
    assert len(asked.asked) == 1
    clock.now += UNKNOWN_SECONDS
    asked.told["gone.example"] = ["192.0.2.1"]
    await names.look_up("gone.example", "job")


async def test_a_name_without_any_address_does_not_resolve(names: HostNames, asked: Asked) -> None:
    asked.told["empty.example"] = []
    assert await failure(names, "empty.example") == socket.EAI_NONAME


@pytest.mark.parametrize("strange", [RuntimeError("why"), OSError(), KeyError("x")])
async def test_a_resolver_that_fails_in_a_new_way_costs_the_name_only(
    names: HostNames, asked: Asked, strange: Exception
) -> None:
    asked.told["odd.example"] = strange
    assert await failure(names, "odd.example") == socket.EAI_FAIL
    await names.look_up("cdn.example", "job")


async def test_a_name_that_fails_at_once_is_asked_for_again_at_once(names: HostNames, asked: Asked) -> None:
    asked.told["shaky.example"] = NO_ANSWER
    assert await failure(names, "shaky.example") == socket.EAI_AGAIN
    asked.told["shaky.example"] = ["192.0.2.1"]
    await names.look_up("shaky.example", "job")


async def test_a_name_that_nobody_answers_for_is_asked_for_ever_more_rarely(
    names: HostNames, asked: Asked, clock: Clock
) -> None:
    asked.told["dead.example"] = NO_ANSWER

    def takes_its_time() -> None:
        clock.now += 5

    asked.on_question = takes_its_time
    began = clock.now
    while clock.now < began + 600:
        await failure(names, "dead.example")
        clock.now += 0.5
    assert len(asked.asked) < 6 + 600 / LONGEST_PAUSE_SECONDS


async def test_known_addresses_are_used_on_while_nobody_answers(names: HostNames, asked: Asked, clock: Clock) -> None:
    await names.look_up("cdn.example", "job")
    asked.told["cdn.example"] = NO_ANSWER
    clock.now += REMEMBERED_SECONDS
    await names.look_up("cdn.example", "job")
    assert await addresses(names, "cdn.example") == [("192.0.2.1", 443)]
    clock.now += STALE_SECONDS
    assert await failure(names, "cdn.example") == socket.EAI_AGAIN


async def test_known_addresses_are_dropped_when_the_name_is_gone(names: HostNames, asked: Asked, clock: Clock) -> None:
    await names.look_up("cdn.example", "job")
    asked.told["cdn.example"] = NO_SUCH_NAME
    clock.now += REMEMBERED_SECONDS
    assert await failure(names, "cdn.example") == socket.EAI_NONAME


async def test_a_job_with_three_hundred_dead_names_delays_neither_other_jobs_nor_its_own_known_hosts(
    names: HostNames, asked: Asked
) -> None:
    await names.look_up("cdn.example", "job")
    asked.told["other.example"] = ["192.0.2.9"]
    dead = [asyncio.create_task(names.look_up(f"dead-{number}.example", "job")) for number in range(300)]
    await settle()
    assert len(asked.under_way) == LOOKUPS_PER_JOB
    async with asyncio.timeout(1):
        await names.look_up("other.example", "another job")
        await names.look_up("cdn.example", "job")
    for number in range(300):
        await asked.tell(f"dead-{number}.example", NO_SUCH_NAME)
    assert all(isinstance(end, socket.gaierror) for end in await asyncio.gather(*dead, return_exceptions=True))


async def test_a_thousand_covers_of_one_dead_host_take_one_turn_of_their_job(names: HostNames, asked: Asked) -> None:
    waiting = [asyncio.create_task(names.look_up("dead.example", "job")) for _ in range(1_000)]
    await settle()
    async with asyncio.timeout(1):
        await names.look_up("cdn.example", "job")
    await asked.tell("dead.example", ["192.0.2.3"])
    await asyncio.gather(*waiting)
    assert asked.asked == ["dead.example", "cdn.example"]


async def test_a_name_that_waits_for_the_turn_of_one_job_is_asked_for_by_another_at_once(
    names: HostNames, asked: Asked
) -> None:
    full = [asyncio.create_task(names.look_up(f"dead-{number}.example", "job")) for number in range(LOOKUPS_PER_JOB)]
    await settle()
    late = asyncio.create_task(names.look_up("cdn.example", "job"))
    await settle()
    async with asyncio.timeout(1):
        await names.look_up("cdn.example", "another job")
    assert not late.done()
    await asked.tell("dead-0.example", NO_SUCH_NAME)
    await late
    assert asked.asked.count("cdn.example") == 1
    for task in full:
        task.cancel()
    await asyncio.gather(*full, return_exceptions=True)


async def test_whoever_is_cancelled_leaves_at_once_and_takes_nothing_from_the_others(
    names: HostNames, asked: Asked
) -> None:
    tasks = [asyncio.create_task(names.look_up("slow.example", "job")) for _ in range(3)]
    await settle()
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    assert tasks[0].cancelled()
    await asked.tell("slow.example", ["192.0.2.1"])
    await asyncio.gather(*tasks[1:])
    assert asked.asked == ["slow.example"]


async def test_what_nobody_wants_to_know_any_more_is_not_asked(names: HostNames, asked: Asked) -> None:
    tasks = [asyncio.create_task(names.look_up(f"dead-{number}.example", "job")) for number in range(100)]
    await settle()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for number in range(LOOKUPS_PER_JOB):
        await asked.tell(f"dead-{number}.example", NO_SUCH_NAME)
    await settle()
    assert len(asked.asked) == LOOKUPS_PER_JOB
    async with asyncio.timeout(1):
        await names.look_up("cdn.example", "job")


async def test_a_name_is_looked_up_for_who_comes_in_the_turn_in_which_the_last_one_left(
    names: HostNames, asked: Asked
) -> None:
    full = [asyncio.create_task(names.look_up(f"dead-{number}.example", "job")) for number in range(LOOKUPS_PER_JOB)]
    await settle()
    leaves = asyncio.create_task(names.look_up("cdn.example", "job"))
    await settle()
    leaves.cancel()
    comes = asyncio.create_task(names.look_up("cdn.example", "job"))
    await settle()
    await asked.tell("dead-0.example", NO_SUCH_NAME)
    async with asyncio.timeout(1):
        await comes
    for task in full:
        task.cancel()
    await asyncio.gather(*full, return_exceptions=True)


async def test_what_is_remembered_of_names_does_not_grow_without_end(names: HostNames, asked: Asked) -> None:
    await names.look_up("cdn.example", "job")
    for number in range(NAMES_REMEMBERED):
        asked.told[f"h{number}.example"] = NO_SUCH_NAME
        await failure(names, f"h{number}.example")
    await names.look_up("cdn.example", "job")
    assert asked.asked.count("cdn.example") == 2, "the oldest is forgotten first"
