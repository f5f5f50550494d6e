"""The worker's gate: lets creators in as memory allows. The rules are pure functions; `Gate` asks them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from worker.model import Mode, ProcessingConfig

log = structlog.get_logger(__name__)

CREATORS_PER_JOB = 8
"""Creators of one job in flight, enough for creators with a single cover to keep eight downloads busy."""

DOWNLOAD_COST = 8 * 1024 * 1024
"""Bytes that one download may come to hold: a large photo's file, twice while it is handed to the decoder."""

LOOK_AGAIN = 0.5
"""Seconds between looks at memory while it is short."""

PATIENCE = 2.0
"""Seconds that a creator with nothing else in flight waits for memory to fall before it is done in a careful mode."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Percent of the container's memory from which on less is admitted, and nothing."""

    warning: float
    critical: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What a creator may use in a mode. None leaves it to the job."""

    downloads: int | None
    quality: int | None
    images: int | None


LIMITS = {
    Mode.NORMAL: Limits(downloads=None, quality=None, images=None),
    Mode.SAFE: Limits(downloads=2, quality=75, images=20),
    Mode.MINIMAL: Limits(downloads=1, quality=75, images=10),
}


@dataclass(frozen=True, slots=True)
class Memory:
    """A reading: percent of the container's limit in use, and the bytes left (None without a limit)."""

    percent: float
    free_bytes: int | None


class Gate:
    """Counts the creators in flight of the whole worker. `patience` is in seconds."""

    def __init__(
        self,
        most: int,
        thresholds: Thresholds,
        read_memory: Callable[[], Memory],
        patience: float = PATIENCE,
    ) -> None:
        self._patience = patience
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
            if alone_since is not None and now - alone_since >= self._patience:
                # Nothing of ours is left whose end could free memory: waiting longer would be for ever.
                mode = careful_mode(memory, self._thresholds.critical)
                log.warning("memory.stayed_critical", percent=memory, mode=mode)
                self._in_flight += 1
                return mode
            self._left.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    await self._left.wait()


def creator_limit(most: int, memory: float, thresholds: Thresholds) -> int:
    """Return how many creators may be in flight: all below the warning threshold, none from the critical one on."""
    return max(1, _share(most, memory, thresholds)) if memory < thresholds.critical else 0


def download_limit(images: int, max_workers: int, memory: float, thresholds: Thresholds, free_bytes: int | None) -> int:
    """Return how many downloads a job may have at a time, from 1 to its `max_workers`.

    `images` is the job's size, `memory` the percent in use, `free_bytes` what is left of the container's limit (None
    where there is none).
    """
    fitting = max_workers if free_bytes is None else free_bytes // DOWNLOAD_COST
    return max(1, min(images, fitting, _share(max_workers, memory, thresholds)))


def careful_mode(memory: float, critical: float) -> Mode:
    """Return the mode of a creator that is done although memory stays critical: minimal in the upper half of it."""
    return Mode.SAFE if memory < (critical + 100) / 2 else Mode.MINIMAL


def next_mode(mode: Mode) -> Mode | None:
    """Return the mode to try after memory ran out in this one, or None after the last."""
    return {Mode.NORMAL: Mode.SAFE, Mode.SAFE: Mode.MINIMAL}.get(mode)


def limited(config: ProcessingConfig, mode: Mode) -> ProcessingConfig:
    """Return what is asked for, held to the limits of the mode."""
    limits = LIMITS[mode]
    return config.model_copy(
        update={
            "quality": min(config.quality, limits.quality or config.quality),
            "max_images_per_creator": min(
                config.max_images_per_creator, limits.images or config.max_images_per_creator
            ),
        }
    )


def _share(most: int, memory: float, thresholds: Thresholds) -> int:
    """Fall from `most` at the warning threshold in a line to nothing at the critical one."""
    if memory <= thresholds.warning:
        return most
    if memory >= thresholds.critical:
        return 0
    return round(most * (thresholds.critical - memory) / (thresholds.critical - thresholds.warning))
