"""The limits that the kernel holds this process to: memory and CPU of its control groups, version 2 or 1.

In a container the groups stand at the root of the mount; on a machine, at the process's own path, and a group above it
may have the limit. https://docs.kernel.org/admin-guide/cgroup-v2.html, .../cgroup-v1/index.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")

UNLIMITED = 1 << 60
"""Version 1 writes a number of bytes near 2^63 where there is no limit."""


@dataclass(frozen=True, slots=True)
class MemoryFiles:
    """The files of the group that counts: with a limit if there is one, else the process's own without."""

    limit: Path | None
    usage: Path
    statistics: Path


class Cgroups:
    """The groups of this process. Tests pass a mount and a list of own groups that they have laid out."""

    def __init__(self, mount: Path = MOUNT, own: Path = OWN) -> None:
        self._mount = mount
        self._own = own

    def memory(self) -> MemoryFiles | None:
        """Return the memory files of the nearest group with a limit, or of the nearest without; None without groups."""
        version_2 = [
            MemoryFiles(group / "memory.max", group / "memory.current", group / "memory.stat")
            for group in self._groups(self._mount, "")
        ]
        version_1 = [
            MemoryFiles(group / "memory.limit_in_bytes", group / "memory.usage_in_bytes", group / "memory.stat")
            for group in self._groups(self._mount / "memory", "memory")
        ]
        for files in version_2 + version_1:
            if files.limit is not None and (number(files.limit) or UNLIMITED) < UNLIMITED:
                return files
        for files in version_2 + version_1:
            if number(files.usage) is not None:
                return MemoryFiles(None, files.usage, files.statistics)
        return None

    def cpus(self) -> float | None:
        """Return the CPUs that the process may use, as the smallest quota of its groups says; None without one."""
        quotas = [_quota_2(group) for group in self._groups(self._mount, "")]
        for mount in ("cpu", "cpu,cpuacct"):
            quotas += [_quota_1(group) for group in self._groups(self._mount / mount, "cpu")]
        return min((quota for quota in quotas if quota is not None), default=None)

    def _groups(self, root: Path, controller: str) -> Iterator[Path]:
        """Give the process's group under `root` and those above it."""
        try:
            lines = self._own.read_text(encoding="utf-8").splitlines()
        except OSError:
            lines = []
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if controllers == controller or controller in controllers.split(","):
                group = root / path.lstrip("/")
                yield from (group, *(parent for parent in group.parents if parent.is_relative_to(root)))
        yield root


def number(path: Path) -> int | None:
    """Return the number in a file; None where there is no such file, or it holds the word `max`."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _quota_2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # no such file, or `max 100000`
        return None


def _quota_1(group: Path) -> float | None:
    quota, period = number(group / "cpu.cfs_quota_us"), number(group / "cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None  # -1 is no quota
