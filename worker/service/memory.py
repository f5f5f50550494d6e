"""Memory in use, as percent of what the worker may use: its cgroup's limit, its ECS task's, or the machine's memory."""

import gc
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from worker.jobs.gate import Memory
from worker.service.cgroups import Cgroups, number

READ_EVERY = 0.25
"""Seconds for which a reading is used again; the gate asks before each creator."""


def spare_the_collector() -> None:
    """Leave the objects that exist now out of garbage collection, and collect less often.

    With Python's own settings, collections take 5% of the worker's CPU, and stop it for up to 50 ms each.
    """
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


class MemoryGauge:
    """Reads the memory in use; a reading is kept for a moment.

    `task_bytes` is the ECS task's limit: it counts where no cgroup of ours shows a lower one.
    """

    def __init__(
        self,
        cgroups: Cgroups | None = None,
        task_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = (cgroups or Cgroups()).memory()
        self._task_bytes = task_bytes
        self._clock = clock
        self._last = Memory(0.0, None)
        self._read_at = float("-inf")

    @property
    def limit_bytes(self) -> int | None:
        """Bytes that the worker may use; None if no limit is known: then it is the memory of the whole machine."""
        cgroup = number(self._files.limit) if self._files is not None and self._files.limit is not None else None
        told = [limit for limit in (cgroup, self._task_bytes) if limit is not None]
        return min((limit for limit in told if limit < psutil.virtual_memory().total), default=self._task_bytes)

    def read(self) -> Memory:
        """Return the memory in use now, or a moment ago."""
        if self._clock() - self._read_at >= READ_EVERY:
            self._last, self._read_at = self._now(), self._clock()
        return self._last

    def _now(self) -> Memory:
        machine, limit, used = psutil.virtual_memory(), self.limit_bytes, self._used_bytes()
        if used is None and limit == self._task_bytes:
            used = machine.total - machine.available  # on Fargate a machine holds one task
        if limit is None or used is None:
            return Memory(machine.percent, machine.available)
        return Memory(100.0 * used / limit, max(0, limit - used))

    def _used_bytes(self) -> int | None:
        used = number(self._files.usage) if self._files is not None else None
        if self._files is None or used is None:
            return None
        # The kernel gives up unused pages of files before it kills a process.
        return max(0, used - _inactive_file(self._files.statistics))


def _inactive_file(path: Path) -> int:
    try:
        found = dict(line.split(" ", 1) for line in path.read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return 0
    return int(found.get("inactive_file", found.get("total_inactive_file", "0")))
