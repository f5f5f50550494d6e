"""Memory in use, as percent of the container's limit: cgroup v2, cgroup v1, or the machine's where there is neither."""

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from worker.jobs.gate import Memory

CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60
"""cgroup v1 writes a number near 2^63 where there is no limit."""

READ_EVERY = 0.25
"""Seconds for which a reading stands: it is asked for at every creator."""


def spare_the_collector() -> None:
    """Let the garbage collector pass over what is loaded by now, and come by less often.

    With Python's own settings it takes a twentieth of the worker's process, and stops it for up to 50 ms.
    """
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


class MemoryGauge:
    """Reads memory; a reading is kept for a moment. The root and the process's own cgroups are passed by tests."""

    def __init__(
        self,
        root: Path = CGROUPS,
        own: Path = Path("/proc/self/cgroup"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = find_files(root, own)
        self._clock = clock
        self._last = Memory(0.0, None)
        self._read_at = float("-inf")

    def read(self) -> Memory:
        """Return the memory in use now, or a moment ago."""
        if self._clock() - self._read_at >= READ_EVERY:
            self._last, self._read_at = self._now(), self._clock()
        return self._last

    def _now(self) -> Memory:
        machine = psutil.virtual_memory()
        readings = [Memory(machine.percent, machine.available)]
        if self._files is not None:
            limit, used = (_number(path) for path in self._files[:2])
            if limit is not None and used is not None and limit < min(UNLIMITED, machine.total):
                # Pages of files that nobody uses are given back before anyone is killed.
                used = max(0, used - _inactive_file(self._files[2]))
                readings = [Memory(100.0 * used / limit, max(0, limit - used))]
        return readings[0]


def find_files(root: Path, own: Path) -> tuple[Path, Path, Path] | None:
    """Return the files that hold the limit, the use and the statistics of the cgroup that limits this process.

    In a container they stand at the root of the mount; on a machine, in the process's own group or one above it.
    """
    for group in _groups(root, own, ""):
        if _number(group / "memory.max") is not None:
            return group / "memory.max", group / "memory.current", group / "memory.stat"
    for group in _groups(root / "memory", own, "memory"):
        if (_number(group / "memory.limit_in_bytes") or UNLIMITED) < UNLIMITED:
            return group / "memory.limit_in_bytes", group / "memory.usage_in_bytes", group / "memory.stat"
    return None


def _groups(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """Give the process's group under `root` and those above it."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == controller or controller in controllers.split(","):
            group = root / path.lstrip("/")
            yield from (group, *(parent for parent in group.parents if parent.is_relative_to(root)))
    yield root


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or the word "max"
        return None


def _inactive_file(path: Path) -> int:
    try:
        found = dict(line.split(" ", 1) for line in path.read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return 0
    return int(found.get("inactive_file", found.get("total_inactive_file", "0")))
