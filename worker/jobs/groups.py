"""Where the creator groups of a unit come from: the grouping of a manifest, or a chunk's file."""

import asyncio
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from worker.manifest.grouping import Grouping
from worker.model import CreatorGroup

GROUPS_AT_A_TIME = 64
"""Creator groups that are read from a grouping in one go, off the event loop."""

MAX_ROWS = 100_000
"""Rows of one creator that are looked at: some 25 MB of memory. What is beyond them is a reject, `too_many_rows`."""


class Groups(Protocol):
    """Gives creator groups one by one to several tasks."""

    async def next(self) -> CreatorGroup | None:
        """Return the next group, or None after the last."""

    async def named(self, name: str) -> CreatorGroup | None:
        """Return the group of this creator, out of turn; `next` gives it in its turn all the same."""


class ManifestGroups:
    """The groups of a grouping, some of them read at a time off the event loop."""

    def __init__(self, grouping: Grouping) -> None:
        self._grouping = grouping
        self._groups = grouping.groups(max_rows=MAX_ROWS)
        self._read: deque[CreatorGroup] = deque()
        self._lock = asyncio.Lock()

    async def next(self) -> CreatorGroup | None:
        """Return the next group, or None after the last."""
        async with self._lock:
            if not self._read:
                self._read.extend(await asyncio.to_thread(self._some))
            return self._read.popleft() if self._read else None

    async def named(self, name: str) -> CreatorGroup | None:
        """Return the group of this creator, out of turn."""
        async with self._lock:
            return await asyncio.to_thread(self._grouping.group, name, max_rows=MAX_ROWS)

    def _some(self) -> list[CreatorGroup]:
        return [group for group, _ in islice(self._groups, GROUPS_AT_A_TIME)]


class ChunkGroups:
    """Groups that are in memory already."""

    def __init__(self, groups: Iterable[CreatorGroup]) -> None:
        self._all = tuple(groups)
        self._groups = iter(self._all)

    async def next(self) -> CreatorGroup | None:
        """Return the next group, or None after the last."""
        return next(self._groups, None)

    async def named(self, name: str) -> CreatorGroup | None:
        """Return the group of this creator, out of turn."""
        return next((group for group in self._all if group.name == name), None)
