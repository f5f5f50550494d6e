"""Parts: put once, before their records, which follow from them whoever put them."""

import io

import pytest

from tests.unit.fakes import Clock, FakeLedger, FakeResults, FakeStore, batch_of, job
from worker.errors import JobReason, RetryableError
from worker.jobs.creator_rows import CreatorRows
from worker.jobs.part_lines import RowLine, RowOutcome, packed, record_of_rows, row_json
from worker.jobs.part_plan import Part
from worker.jobs.part_work import PartWork
from worker.jobs.parts import part_rows
from worker.keys import part_key, unfinished_key
from worker.model import CreatorGroup, CreatorRecord, CreatorStatus, Row

BATCH = batch_of(job(prefix="p/"))
KEY = part_key("p/", BATCH.id, 1, 1)


class Desk:
    """What parts are put with."""

    def __init__(self) -> None:
        self.results, self.store, self.ledger = FakeResults(), FakeStore(), FakeLedger(Clock())
        self.work = PartWork(self.results, self.store, self.ledger, hash_algorithm="sha256")

    @property
    def recorded(self) -> dict[str, CreatorRecord]:
        return {name: record for (_, name), (record, _) in self.ledger.creators.items()}

    def told(self) -> list[str]:
        """Return the creators of the part."""
        return [row.creator for row in part_rows(KEY, io.BytesIO(self.results.documents[KEY]))]


def rows(creator: str, reason: str = "expired") -> CreatorRows:
    row = RowLine(creator, 2, "u", RowOutcome.FAILED, reason)
    return CreatorRows(record_of_rows(creator, [row], hash_algorithm="sha256"), packed([row_json(row)]))


def part(*creators: str) -> Part:
    return Part(KEY, tuple(CreatorGroup(name, (Row(2, "u"),)) for name in creators))


async def test_a_part_stands_in_the_order_of_the_plan_however_its_creators_end() -> None:
    desk, done = Desk(), part("ann", "bob")
    done.done = {"bob": rows("bob"), "ann": rows("ann")}
    assert [record.creator for record in await desk.work.end(BATCH, done)] == ["ann", "bob"]
    assert desk.told() == ["ann", "bob"]
    assert {record.part_key for record in desk.recorded.values()} == {KEY}
    steps = desk.results.journal.steps + desk.ledger.journal.steps
    assert steps == ["put_part", "finish_creator", "finish_creator"]


async def test_where_a_part_is_there_the_records_follow_from_it_and_not_from_our_own_work() -> None:
    desk, ours = Desk(), part("ann")
    desk.results.documents[KEY] = rows("ann", "not_found").lines
    ours.done = {"ann": rows("ann", "expired")}
    (record,) = await desk.work.end(BATCH, ours)
    assert record.errors == {"not_found": 1}
    assert desk.recorded == {"ann": record}


async def test_a_part_that_is_there_is_adopted_and_leaves_nothing_to_do() -> None:
    desk, found = Desk(), part("ann", "bob")
    desk.results.documents[KEY] = rows("ann").lines + rows("bob").lines
    assert [record.creator for record in await desk.work.adopt(BATCH, found)] == ["ann", "bob"]
    assert found.groups == ()
    assert set(desk.recorded) == {"ann", "bob"}


async def test_where_no_part_is_there_nothing_is_recorded() -> None:
    desk, open_part = Desk(), part("ann")
    assert await desk.work.adopt(BATCH, open_part) == []
    assert [group.name for group in open_part.groups] == ["ann"]
    assert desk.recorded == {}


async def test_a_part_that_tells_of_others_is_told_and_nothing_is_lost_in_silence() -> None:
    desk, ours = Desk(), part("ann")
    desk.results.documents[KEY] = rows("bob").lines
    ours.done = {"ann": rows("ann")}
    with pytest.raises(RetryableError) as raised:
        await desk.work.end(BATCH, ours)
    assert raised.value.reason is JobReason.PART_UNREADABLE


async def test_a_creator_that_was_saved_is_found_with_its_record() -> None:
    desk = Desk()
    kept = await desk.work.save(BATCH, rows("ann/é"))
    assert kept.is_saved
    assert list(desk.store.objects) == [unfinished_key(BATCH.id, "ann/é")]
    assert await desk.work.saved(BATCH, "ann/é") == kept
    assert await desk.work.saved(BATCH, "bob") is None
    assert await desk.work.save(BATCH, kept) is kept, "once is enough"


async def test_a_creator_of_another_part_is_not_told_a_second_time() -> None:
    desk, done = Desk(), part("ann", "bob")
    elsewhere = CreatorRecord("ann", CreatorStatus.FAILED, part_key="p/other.jsonl.gz")
    done.done = {"ann": await desk.work.recorded(BATCH, elsewhere), "bob": rows("bob")}
    assert [record.part_key for record in await desk.work.end(BATCH, done)] == ["p/other.jsonl.gz", KEY]
    assert desk.told() == ["bob"]
    assert set(desk.recorded) == {"bob"}
