"""A semaphore whose limit can be changed while it is in use, for example when memory runs short."""

import asyncio
from collections import deque
from contextlib import suppress
from types import TracebackType


class Limiter:
    """Lets at most `limit` tasks in at a time, first come first served: `async with limiter: ...`.

    Lowering the limit interrupts nobody; it takes effect as slots come free. Raising it wakes waiters at once.
    Belongs to one event loop, like any asyncio primitive.
    """

    def __init__(self, limit: int) -> None:
        self._limit = _checked(limit)
        self._in_use = 0
        # A slot that comes free goes straight to the first waiter, so that nobody can overtake it. While a task waits,
        # no slot is free.
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """How many slots there are; at least 1."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = _checked(limit)
        self._hand_over()

    @property
    def in_use(self) -> int:
        """How many slots are taken. More than `limit` for a while, after the limit was lowered."""
        return self._in_use

    @property
    def waiting(self) -> int:
        """Tasks that wait for a slot."""
        return len(self._waiters)

    def enter_now(self) -> bool:
        """Take a slot if one is free; return whether one was. `leave` gives it back."""
        if self._in_use >= self._limit:
            return False
        self._in_use += 1
        return True

    def leave(self) -> None:
        """Give a slot back; the first waiter gets it."""
        self._in_use -= 1
        self._hand_over()

    async def __aenter__(self) -> None:
        if self.enter_now():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with suppress(ValueError):  # `_hand_over` has removed it meanwhile
                    self._waiters.remove(waiter)
            else:
                self.leave()  # the slot and the cancellation came in the same turn of the event loop
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def _hand_over(self) -> None:
        while self._waiters and self._in_use < self._limit:
            waiter = self._waiters.popleft()
            if not waiter.done():  # a cancelled waiter stays in the queue until its task runs
                self._in_use += 1
                waiter.set_result(None)


def _checked(limit: int) -> int:
    if limit < 1:
        raise ValueError(f"the limit is {limit}; allowed is 1 or more, because with less all tasks would wait for ever")
    return limit
