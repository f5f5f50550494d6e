"""The worker's gate: lets creators in as memory allows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from worker.jobs.admission import Thresholds, careful_mode, creator_limit, download_limit
from worker.model import Mode

log = structlog.get_logger(__name__)

LOOK_AGAIN = 0.5
"""Seconds between looks at memory while it is short."""

PATIENCE = 2.0
"""Seconds that a creator with nothing else in flight waits for memory to fall before it is done in a careful mode."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A reading: percent of the container's limit in use, and the bytes left (None without a limit)."""

    percent: float
    free_bytes: int | None


class Gate:
    """Counts the creators in flight of the whole worker."""

    def __init__(self, most: int, thresholds: Thresholds, read_memory: Callable[[], Memory]) -> None:
        self._most = most
        self._thresholds = thresholds
        self._read = read_memory
        self._in_flight = 0
        self._left = asyncio.Event()

    def downloads(self, images: int, max_workers: int) -> int:
        """Return how many downloads a job of so many images may have at a time, as memory stands."""
        memory = self._read()
        return download_limit(images, max_workers, memory.percent, self._thresholds, memory.free_bytes)

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[Mode]:
        """Wait until one more creator may be worked on, and say in which mode."""
        mode = await self._wait()
        try:
            yield mode
        finally:
            self._in_flight -= 1
            self._left.set()

    async def _wait(self) -> Mode:
        alone_since: float | None = None
        while True:
            memory = self._read().percent
            if self._in_flight < creator_limit(self._most, memory, self._thresholds):
                self._in_flight += 1
                return Mode.NORMAL
            now = asyncio.get_running_loop().time()
            alone_since = (alone_since or now) if self._in_flight == 0 else None
            if alone_since is not None and now - alone_since >= PATIENCE:
                # Nothing of ours is left whose end could free memory: waiting longer would be for ever.
                mode = careful_mode(memory, self._thresholds.critical)
                log.warning("memory.stayed_critical", percent=memory, mode=mode)
                self._in_flight += 1
                return mode
            self._left.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), LOOK_AGAIN)
