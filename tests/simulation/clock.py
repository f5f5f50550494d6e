"""An event loop in which time is a number, and in which a process can be killed, frozen and thawed.

Nothing sleeps: when nothing is ready, time jumps to the next timer. What runs in threads elsewhere runs at once here.
Every callback belongs to the `Life` (a worker process) in whose context it was made: those of a dead life are never
run again, those of a frozen one wait until it is thawed.
"""

import asyncio
import contextvars
import functools
import heapq
import itertools
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from enum import Enum, auto
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

EPOCH = 1_737_288_000.0  # 2025-01-19T12:00:00Z
WORLD = contextvars.Context()
"""The context of everything that belongs to no worker: servers, the wire, the one who makes trouble."""


class State(Enum):
    RUNNING = auto()
    FROZEN = auto()
    DEAD = auto()
    GHOST = auto()
    """Dead, and its coroutines are being closed so that Python can forget them; nothing of it leaves any more."""


class Life:
    """One process of a worker, from start to end."""

    def __init__(self, name: str, skew: float = 0.0) -> None:
        self.name = name
        self.skew = skew
        self.part_creators = 16
        self.state = State.RUNNING
        self.parked: list[asyncio.Handle] = []
        self.steps = 0
        self.die_at: int | None = None
        self.troubled_at = -1.0
        """When something was last done to it, or to one of its calls."""
        self.unhurt = True
        """Nothing was done to it that may keep it from giving a lease back: it was asked twice at the most."""

    def __repr__(self) -> str:
        return self.name


LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)


class NothingLeft(Exception):
    """Nothing is ready and no timer is set: everybody waits for something that never comes."""


class VirtualTask(asyncio.Task):  # type: ignore[type-arg]
    """A task with a hash that is the same in every run, so that sets of tasks have the same order."""

    numbers = itertools.count(1)

    def __init__(self, *given: Any, **named: Any) -> None:
        self._number = next(VirtualTask.numbers)
        super().__init__(*given, **named)
        self._log_destroy_pending = False

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module. `max_steps` ends a run that does not come to rest."""

    def __init__(self, rng: random.Random, max_steps: int = 600_000) -> None:
        self.now = 0.0
        super().__init__()
        self._rng = rng
        self._left = max_steps
        self._clock_resolution = 1e-9
        VirtualTask.numbers = itertools.count(1)
        self.set_task_factory(lambda loop, coroutine, **named: VirtualTask(coroutine, loop=loop, **named))
        self.failures: list[str] = []
        self.set_exception_handler(self._note_failure)

    def time(self) -> float:
        return self.now

    def _note_failure(self, _loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
        self.failures.append(f"{told.get('message')}: {told.get('exception')!r}")

    def _write_to_self(self) -> None:
        """No other thread wakes this loop."""

    def _process_events(self, event_list: Any) -> None:
        """There are no sockets."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        """Run it now; its result comes a little later, as from a thread."""
        future = self.create_future()
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001 -- the future carries it
            self.call_later(self._rng.uniform(0.0005, 0.02), _fail, future, error)
        else:
            self.call_later(self._rng.uniform(0.0005, 0.02), _give, future, result)
        return future

    def thaw(self, life: Life) -> None:
        """Let a frozen process go on: first with what came meanwhile."""
        if life.state is State.FROZEN:
            life.state = State.RUNNING
            self._ready.extend(life.parked)  # type: ignore[attr-defined]
            life.parked = []

    def haunt(self, life: Life) -> None:
        """Let a process's coroutines be closed."""
        life.state = State.GHOST
        self._ready.extend(life.parked)  # type: ignore[attr-defined]
        life.parked = []

    def _run_once(self) -> None:  # noqa: C901 -- as the one it replaces, in one piece for speed
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise NothingLeft
            self.now = max(self.now, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self.now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            life = handle._context.get(LIFE)
            if life is not None and life.state is not State.RUNNING:
                if life.state is not State.GHOST:
                    life.parked.append(handle)
                    continue
            elif life is not None:
                life.steps += 1
                if life.steps == life.die_at:
                    life.state = State.DEAD
                    life.parked.append(handle)
                    continue
            handle._run()
            self._left -= 1
        if self._left < 0:
            raise NothingLeft("too many steps: something goes round in circles")
        handle = None

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers fall out of the heap when their time comes."""


def _give(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


@contextmanager
def time_of(loop: VirtualLoop) -> Iterator[None]:
    """Have `time.time` and `time.monotonic` tell the loop's time; a worker's wall clock may be a little off."""
    wall, monotonic = time.time, time.monotonic

    calls = itertools.count()

    def told() -> float:
        life = LIFE.get()
        # Two looks at a real clock never tell the same: `StateTable.take` knows its own lease by that.
        return EPOCH + loop.now + (life.skew if life else 0.0) + next(calls) * 1e-6

    time.time, time.monotonic = told, loop.time
    try:
        yield
    finally:
        time.time, time.monotonic = wall, monotonic


def in_virtual_time(run: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own whose time jumps, and return what it returns."""
    with closing(VirtualLoop(random.Random(0))) as loop, time_of(loop):
        return loop.run_until_complete(run)


def virtually(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of a coroutine function, whose hours take no time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        in_virtual_time(test(*args, **kwargs))

    return run
