"""The addresses of hosts: each name is asked for once at a time and remembered, and no job can hold up the others.

Names are looked up before a try takes its slots. So names that nobody answers for keep no slot from anybody, and a job
waits for its own names only. Answers and failures alike are remembered for all jobs.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver, ResolveResult

from worker.limiter import Limiter

LOOKUPS_PER_JOB = 16
"""Names of one job that are asked for at a time."""

LOOKUP_SECONDS = 5.0
"""How long one look-up may take, with all that is asked again in it."""

REMEMBERED_SECONDS = 300.0
"""How long addresses are used: the VPC's resolver takes 1,024 packets a second from one network interface."""

UNKNOWN_SECONDS = 60.0
"""How long it is remembered that there is no such name."""

LONGEST_PAUSE_SECONDS = 60.0
"""How long a name that nobody answered for is not asked for again, at most. The first time it is as long as the look-up
took, and then doubled: what fails at once costs little, and may be asked again at once."""

STALE_SECONDS = 3_600.0
"""How long addresses that were known before are used on while nobody answers for their name (RFC 8767)."""

NAMES_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a name has no address, as a `socket.gaierror` has it."""

    code: int
    text: str


@dataclass(slots=True)
class _Answer:
    """What is known of a name: addresses or a failure, and until when that holds (seconds of the clock)."""

    until: float
    addresses: list[ResolveResult]
    answered_at: float = float("-inf")
    failure: _Failure | None = None
    pause: float = 0.0


@dataclass(slots=True)
class _Wish:
    """One job's wish to know one name: the task that waits for the job's turn, and how many wait for that task."""

    task: "asyncio.Task[_Answer]"
    waiting: int = 0


class HostNames(AbstractResolver):
    """What is known of names, on top of a resolver that asks. `clock` gives seconds that never go back.

    `look_up` is called before a connection may be needed; aiohttp then gets what is known from `resolve`.
    Belongs to one event loop.
    """

    def __init__(self, resolver: AbstractResolver, clock: Callable[[], float]) -> None:
        self._resolver = resolver
        self._clock = clock
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._lookups: dict[str, asyncio.Task[_Answer]] = {}
        self._wishes: dict[tuple[Hashable, str], _Wish] = {}
        self._turns: dict[Hashable, Limiter] = {}

    async def look_up(self, host: str, job: Hashable) -> None:
        """Make sure that the addresses of `host` are known. `job` is whatever tells one job from another.

        Raises `socket.gaierror` where there are none, with EAI_AGAIN where that may change soon.
        """
        if is_address(host):
            return
        name = _key(host)
        answer = self._answers.get(name)
        if answer is None or self._clock() >= answer.until:
            answer = await self._answer_for(name, job)
        if answer.failure is not None:
            raise socket.gaierror(answer.failure.code, answer.failure.text)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host`, a different one first each time. Those of `look_up`, however old by now."""
        name = _key(host)
        answer = self._answers.get(name)
        if answer is None or not answer.addresses:
            answer = await asyncio.shield(self._lookup(name))
        if answer.failure is not None:
            raise socket.gaierror(answer.failure.code, answer.failure.text)
        answer.addresses.append(answer.addresses.pop(0))
        return [
            ResolveResult(
                hostname=host,
                host=found["host"],
                port=port,
                family=found["family"],
                proto=found["proto"],
                flags=found["flags"],
            )
            for found in answer.addresses
            if family in (socket.AF_UNSPEC, found["family"])
        ]

    async def close(self) -> None:
        """End the look-ups that are under way, and the resolver."""
        tasks = [*self._lookups.values(), *(wish.task for wish in self._wishes.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._resolver.close()

    async def _answer_for(self, name: str, job: Hashable) -> _Answer:
        if name in self._lookups:  # under way already: that costs the job no turn
            return await asyncio.shield(self._lookups[name])
        wish = self._wishes.get((job, name))
        if wish is None:
            wish = self._wishes[job, name] = _Wish(asyncio.create_task(self._in_turn(name, job)))
        wish.waiting += 1
        try:
            return await asyncio.shield(wish.task)
        finally:
            wish.waiting -= 1
            if not wish.waiting:  # it is done, or nobody wants to know any more
                wish.task.cancel()
                del self._wishes[job, name]

    async def _in_turn(self, name: str, job: Hashable) -> _Answer:
        turns = self._turns.setdefault(job, Limiter(LOOKUPS_PER_JOB))
        try:
            async with turns:
                answer = self._answers.get(name)
                if answer is not None and self._clock() < answer.until:
                    return answer
                return await asyncio.shield(self._lookup(name))
        finally:
            if not (turns.in_use or turns.waiting):
                self._turns.pop(job, None)

    def _lookup(self, name: str) -> "asyncio.Task[_Answer]":
        """Return the task that asks for a name, which may be under way already. It raises nothing."""
        task = self._lookups.get(name)
        if task is None:
            task = self._lookups[name] = asyncio.create_task(self._ask(name))
            task.add_done_callback(lambda _: self._lookups.pop(name, None))
        return task

    async def _ask(self, name: str) -> _Answer:
        began = self._clock()
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                addresses = await self._resolver.resolve(name, 0, socket.AF_UNSPEC)
        except TimeoutError:
            failure = _Failure(socket.EAI_AGAIN, f"no name server answered within {LOOKUP_SECONDS:g} s")
        except OSError as error:
            failure = _Failure(error.errno or socket.EAI_FAIL, error.strerror or type(error).__name__)
        except Exception as error:  # noqa: BLE001 -- a resolver that fails in a new way costs this name only
            failure = _Failure(socket.EAI_FAIL, f"the resolver failed: {type(error).__name__}")
        else:
            now = self._clock()
            if addresses:
                return self._remember(name, _Answer(now + REMEMBERED_SECONDS, list(addresses), answered_at=now))
            failure = _Failure(socket.EAI_NONAME, "it has no address")
        return self._remember(name, _after_failure(self._answers.get(name), failure, began, self._clock()))

    def _remember(self, name: str, answer: _Answer) -> _Answer:
        self._answers[name] = answer
        self._answers.move_to_end(name)
        if len(self._answers) > NAMES_REMEMBERED:
            self._answers.popitem(last=False)
        return answer


def _after_failure(before: _Answer | None, failure: _Failure, began: float, now: float) -> _Answer:
    """Return what is known of a name after a look-up that began then has failed."""
    if failure.code != socket.EAI_AGAIN:
        return _Answer(now + UNKNOWN_SECONDS, [], failure=failure)
    pause = min(max(now - began, 2 * before.pause if before else 0.0), LONGEST_PAUSE_SECONDS)
    if before is not None and before.addresses and now - before.answered_at < STALE_SECONDS:
        return _Answer(now + pause, before.addresses, before.answered_at, pause=pause)
    return _Answer(now + pause, [], failure=failure, pause=pause)


def is_address(host: str) -> bool:
    """Say whether the host of a checked URL is an address: no name has a number as its last label, or a colon."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def _key(host: str) -> str:
    return host.lower().rstrip(".")
