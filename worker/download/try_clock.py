"""The time of one try: it ends the try when it is used up, and stands still while the worker waits for itself."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType


class TryClock:
    """Counts the seconds of one try: `async with clock: ...` lets it run, and `with clock.paused(): ...` does not.

    It may be entered several times, one after the other, for example on one host and then on that of a redirect. What
    is inside is cancelled and `TimeoutError` is raised as soon as all runs together have lasted `seconds`.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._now = asyncio.get_running_loop().time
        self._spent_before = 0.0
        self._running_since: float | None = None

    @property
    def spent(self) -> float:
        """Seconds that have been counted so far."""
        since = self._running_since
        return self._spent_before if since is None else self._spent_before + self._now() - since

    async def __aenter__(self) -> None:
        now = self._now()
        self._running_since = now
        self._timeout = asyncio.timeout_at(now + self.seconds - self._spent_before)
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        await self._timeout.__aexit__(kind, error, trace)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count nothing while the body runs: the worker waits for something of its own."""
        self._stop()
        self._move_end(None)
        try:
            yield
        finally:
            now = self._now()
            self._running_since = now
            self._move_end(now + self.seconds - self._spent_before)

    def _stop(self) -> None:
        self._spent_before = self.spent
        self._running_since = None

    def _move_end(self, when: float | None) -> None:
        if not self._timeout.expired():  # else its cancellation is under way and cannot be taken back
            self._timeout.reschedule(when)
