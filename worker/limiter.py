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
        # A slot is handed to the first waiter when it comes free, never put up for grabs: nobody jumps the queue.
        # So while anyone waits, no slot is free.
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Slots there are, at least 1."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = _checked(limit)
        self._hand_over()

    @property
    def in_use(self) -> int:
        """Slots taken; above `limit` for a while after that was lowered."""
        return self._in_use

    @property
    def waiting(self) -> int:
        """Tasks that wait for a slot."""
        return len(self._waiters)

    def enter_now(self) -> bool:
        """Take a slot if one is free, and tell whether there was; `leave` gives it back."""
        if self._in_use >= self._limit:
            return False
        self._in_use += 1
        return True

    def leave(self) -> None:
        """Give a slot back, to the first who waits."""
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
                with suppress(ValueError):  # passed over meanwhile
                    self._waiters.remove(waiter)
            else:
                self.leave()  # the slot came in the same turn of the loop as the cancellation
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def _hand_over(self) -> None:
        while self._waiters and self._in_use < self._limit:
            waiter = self._waiters.popleft()
            if not waiter.done():  # a cancelled one stays in the queue until its task runs
                self._in_use += 1
                waiter.set_result(None)


def _checked(limit: int) -> int:
    if limit < 1:
        raise ValueError(f"a limiter's limit is {limit}; allowed are 1 and more, or its waiters would wait for ever")
    return limit
