"""Which creators stand in which part: that follows from the plan alone, so a part has one name and one content."""

from collections import deque
from dataclasses import dataclass, field

from worker.jobs.creator_rows import CreatorRows
from worker.jobs.groups import Groups
from worker.keys import part_key
from worker.model import Asked, Batch, CreatorGroup

PART_ROWS = 2_000
"""The most rows of a part that has more than one creator: its lines are held in memory until all are done."""


@dataclass(slots=True)
class Part:
    """A part under work: its creators in the order of the plan, and what became of those that are done."""

    key: str
    groups: tuple[CreatorGroup, ...]
    done: dict[str, CreatorRows] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether all of its creators are done."""
        return len(self.done) == len(self.groups)

    def in_order(self) -> list[CreatorRows]:
        """Return what became of its creators, in the order of the plan."""
        return [self.done[group.name] for group in self.groups]


class PartPlan:
    """Cuts the creator groups of a unit into parts, as the first owner of the batch fixed it (`size`).

    `chunk` is the number of the unit's chunk; None for a whole batch. That begins with chunk 1, and with the next one
    wherever it would if it were split. So the names of the parts are the same whether a batch is split or not.
    """

    def __init__(self, batch: Batch, groups: Groups, size: Asked, *, chunk: int | None = None) -> None:
        self._batch = batch
        self._groups = groups
        self._size = size
        self._is_whole = chunk is None
        self._chunk = chunk or 1
        self._held: deque[CreatorGroup] = deque()
        self._number = self._creators = self._rows = 0

    @property
    def part_creators(self) -> int:
        """The most creators of a part."""
        return self._size.part_creators

    async def next(self) -> Part | None:
        """Return the next part, or None after the last."""
        groups: list[CreatorGroup] = []
        rows = 0
        while len(groups) < self._size.part_creators and (group := await self._next_group()) is not None:
            begins_chunk = self._begins_chunk(group)
            if groups and (begins_chunk or rows + len(group.rows) > PART_ROWS):
                self._held.append(group)
                break
            if begins_chunk:
                self._chunk, self._number, self._creators, self._rows = self._chunk + 1, 0, 0, 0
            groups.append(group)
            rows += len(group.rows)
            self._creators += 1
            self._rows += len(group.rows)
        if not groups:
            return None
        self._number += 1
        key = part_key(self._batch.job.output_prefix, self._batch.id, self._chunk, self._number)
        return Part(key, tuple(groups))

    async def named(self, creator: str) -> CreatorGroup | None:
        """Return the group of a creator, out of turn; its part gives it in its turn all the same."""
        return await self._groups.named(creator)

    async def _next_group(self) -> CreatorGroup | None:
        return self._held.popleft() if self._held else await self._groups.next()

    def _begins_chunk(self, group: CreatorGroup) -> bool:
        """Say whether a chunk would end before this group, as `chunk_files` cuts them."""
        if not (self._is_whole and self._size.chunk_creators and self._creators):
            return False
        return self._creators >= self._size.chunk_creators or self._rows + len(group.rows) > self._size.chunk_rows
