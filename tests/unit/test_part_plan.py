"""Which creators stand in which part follows from the plan alone."""

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fakes import batch_of, job
from worker.jobs.groups import ChunkGroups
from worker.jobs.part_plan import PART_ROWS, Part, PartPlan
from worker.model import Asked, CreatorGroup, Row

BATCH = batch_of(job(prefix="p/"))


def groups(*rows: int) -> list[CreatorGroup]:
    """Return a creator with so many rows for each number."""
    return [CreatorGroup(f"c{n:04}", tuple(Row(2, "u") for _ in range(count))) for n, count in enumerate(rows)]


async def parts(some: list[CreatorGroup], size: Asked, chunk: int | None = None) -> list[Part]:
    plan = PartPlan(BATCH, ChunkGroups(some), size, chunk=chunk)
    found = []
    while (part := await plan.next()) is not None:
        found.append(part)
    return found


def told(found: list[Part]) -> list[tuple[str, int]]:
    return [(part.key.rpartition("part-")[2].removesuffix(".jsonl.gz"), len(part.groups)) for part in found]


async def test_parts_have_so_many_creators_and_the_last_has_the_rest() -> None:
    found = await parts(groups(*[1] * 35), Asked("", ""), chunk=7)
    assert told(found) == [("000007-000001", 16), ("000007-000002", 16), ("000007-000003", 3)]
    assert found[0].key == f"p/results/metadata/{BATCH.id}/part-000007-000001.jsonl.gz"


async def test_a_part_ends_before_it_has_too_many_rows() -> None:
    found = await parts(groups(PART_ROWS - 1, 1, 1, PART_ROWS * 2, 5), Asked("", ""))
    assert [len(part.groups) for part in found] == [2, 1, 1, 1], "a creator with more is a part of its own"


async def test_without_creators_there_is_no_part() -> None:
    assert await parts([], Asked("", "")) == []


@given(st.lists(st.integers(1, 9), max_size=60), st.integers(1, 12), st.integers(1, 20), st.integers(1, 9))
async def test_a_whole_batch_has_the_parts_that_its_chunks_would_have(
    rows: list[int], chunk_creators: int, chunk_rows: int, part_creators: int
) -> None:
    size, some = Asked("", "", chunk_creators, chunk_rows, part_creators), groups(*rows)
    split: list[Part] = []
    for number, chunk in enumerate(chunks(some, chunk_creators, chunk_rows), start=1):
        split += await parts(chunk, size, chunk=number)
    assert await parts(some, size) == split


def chunks(some: list[CreatorGroup], creators: int, rows: int) -> list[list[CreatorGroup]]:
    """Cut groups as the chunks of a split batch are cut."""
    found: list[list[CreatorGroup]] = []
    held = 0
    for group in some:
        if not found or len(found[-1]) >= creators or held + len(group.rows) > rows:
            found.append([])
            held = 0
        found[-1].append(group)
        held += len(group.rows)
    return found
