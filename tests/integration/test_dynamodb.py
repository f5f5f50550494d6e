"""`worker.aws.state_table` against an emulator: who may write what, and what an item looks like."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.integration.faulty import Faulty, cancelled, json_error
from tests.integration.pictures import token
from tests.integration.places import Place, plain
from worker.aws.batch_records import may_be_taken_over
from worker.aws.calls import Patience
from worker.aws.clients import Clients
from worker.aws.state_table import StateTable
from worker.errors import JobReason, LeaseLost, RetryableError, TerminalError, Unavailable
from worker.model import (
    WHOLE,
    Asked,
    Batch,
    BatchRecord,
    BatchState,
    CreatorRecord,
    CreatorStatus,
    InlineManifest,
    Job,
    Mode,
    ProcessingConfig,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

LEASE = 120.0
JOB = Job(InlineManifest("a,b\n"), "", ProcessingConfig(), from_event=False)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_737_288_000.25  # 2025-01-19T12:00:00.25Z

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clients: Clients, shared_place: Place, clock: Clock) -> StateTable:
    return StateTable(clients.dynamodb, shared_place.table, ttl_days=30, clock=clock)


@pytest.fixture
def shaky_table(shaky_clients: Clients, shared_place: Place, clock: Clock) -> StateTable:
    return StateTable(shaky_clients.dynamodb, shared_place.table, ttl_days=30, clock=clock)


@pytest.fixture
def name() -> str:
    return f"s3_{token()}-{token()[:8]}"


async def taken(table: StateTable, name: str, owner: str = "first") -> Batch:
    record, ours = await table.take(name, owner=owner, source_csv="rows.csv", lease_seconds=LEASE)
    assert ours
    return batch_of(record)


def batch_of(record: BatchRecord) -> Batch:
    return Batch(record.id, JOB, record.started_at, record.owner, record.fence, "m-1", record.source_csv)


async def taken_chunk(table: StateTable, name: str, owner: str = "first") -> Batch:
    record, ours = await table.take(name, owner=owner, source_csv="rows.csv", lease_seconds=LEASE, unit="chunk 000001")
    assert ours
    return replace(batch_of(record), unit="chunk 000001")


def done(creator: str, **more: object) -> CreatorRecord:
    record = CreatorRecord(
        creator,
        CreatorStatus.COMPLETED,
        images_processed=35,
        collage_keys=("collages/by-creator/a/collage_20250119_120000.jpg",),
        errors={"expired": 2},
        duration=23.5,
        content_hash="c0ffee",
    )
    return replace(record, **more)  # type: ignore[arg-type]


# --- the lease ------------------------------------------------------------------------------------------------------


async def test_the_first_taker_gets_the_lease_and_names_the_start(table: StateTable, name: str, clock: Clock) -> None:
    record, ours = await table.take(name, owner="first", source_csv="rows.csv", lease_seconds=LEASE)
    assert ours
    assert record == await table.batch(name)
    assert (record.state, record.owner, record.fence) == (BatchState.RUNNING, "first", 1)
    assert record.started_at == datetime(2025, 1, 19, 12, tzinfo=UTC)
    assert record.lease_expires == pytest.approx(clock.now + LEASE)
    assert record.source_csv == "rows.csv"


async def test_there_is_no_batch_before_it_is_taken(table: StateTable, name: str) -> None:
    assert await table.batch(name) is None


@pytest.mark.parametrize("written", range(6))
async def test_a_record_whose_first_write_is_not_whole_yet_is_none_and_not_taken(
    table: StateTable, clients: Clients, shared_place: Place, name: str, written: int
) -> None:
    """DynamoDB shows a write whole or not at all; emulators that put one attribute after another do not."""
    await taken(table, name)
    key = {"creator_name": {"S": f" batch {name}"}, "processing_date": {"S": WHOLE}}
    missing = ["started_at", "source_csv", "state", "lease_owner", "lease_expires", "fence"][written:]
    await clients.dynamodb.update_item(
        TableName=shared_place.table,
        Key=key,
        UpdateExpression="REMOVE " + ", ".join(f"#{attribute}" for attribute in missing),
        ExpressionAttributeNames={f"#{attribute}": attribute for attribute in missing},
    )
    assert await table.batch(name) is None
    with pytest.raises(Unavailable, match="is being taken by another worker"):
        await table.take(name, owner="second", source_csv="", lease_seconds=LEASE)


async def test_a_second_owner_is_refused_until_the_lease_ends(table: StateTable, name: str, clock: Clock) -> None:
    first = await taken(table, name)
    clock.now += LEASE - 1
    record, ours = await table.take(name, owner="second", source_csv="rows.csv", lease_seconds=LEASE)
    assert not ours
    assert (record.owner, record.fence) == ("first", 1)
    clock.now += 2
    second = await taken(table, name, "second")
    assert second.fence == 2
    assert second.started_at == first.started_at, "keys are named after the first start"


async def test_of_many_takers_at_once_one_gets_the_lease(table: StateTable, name: str) -> None:
    async with asyncio.TaskGroup() as group:
        takes = [
            group.create_task(table.take(name, owner=f"o-{i}", source_csv="", lease_seconds=LEASE)) for i in range(6)
        ]
    assert sum(task.result()[1] for task in takes) == 1


async def test_extending_keeps_the_lease_and_reports_progress(table: StateTable, name: str, clock: Clock) -> None:
    first = await taken(table, name)
    clock.now += LEASE - 1
    await table.extend(first, lease_seconds=LEASE, counts={"creators_total": 3, "errors": {"expired": 1}})
    clock.now += LEASE - 1
    record, ours = await table.take(name, owner="second", source_csv="rows.csv", lease_seconds=LEASE)
    assert not ours
    assert record.counts == {"creators_total": 3, "errors": {"expired": 1}}


async def test_a_released_lease_can_be_taken_at_once(table: StateTable, name: str) -> None:
    await table.release(await taken(table, name))
    assert (await taken(table, name, "second")).fence == 2


async def test_a_completed_batch_is_never_taken_again(table: StateTable, name: str, clock: Clock) -> None:
    first = await taken(table, name)
    await table.note_summary(first, summary_key="results/x.json", counts={"creators_total": 1})
    await table.complete(first)
    clock.now += 10 * LEASE
    record, ours = await table.take(name, owner="second", source_csv="rows.csv", lease_seconds=LEASE)
    assert not ours
    assert (record.state, record.summary_key) == (BatchState.COMPLETED, "results/x.json")
    assert record.counts == {"creators_total": 1}


async def test_a_failed_batch_tells_why_and_may_be_tried_again(table: StateTable, name: str) -> None:
    await table.fail(await taken(table, name), code=JobReason.MANIFEST_EMPTY, message="no rows")
    record = await table.batch(name)
    assert record is not None
    assert (record.state, record.error_code, record.error_message) == (BatchState.FAILED, "manifest_empty", "no rows")
    again = await taken(table, name, "second")
    assert again.fence == 2
    record = await table.batch(name)
    assert record is not None
    assert (record.state, record.error_code, record.error_message) == (BatchState.RUNNING, None, None)


WRITES: dict[str, Callable[[StateTable, Batch], Awaitable[object]]] = {
    "extend": lambda table, batch: table.extend(batch, lease_seconds=LEASE, counts={}),
    "release": lambda table, batch: table.release(batch),
    "note_summary": lambda table, batch: table.note_summary(batch, summary_key="k", counts={}),
    "complete": lambda table, batch: table.complete(batch),
    "fail": lambda table, batch: table.fail(batch, code="bad_json", message="m"),
    "begin_creator": lambda table, batch: table.begin_creator(batch, "alice"),
    "finish_creator": lambda table, batch: table.finish_creators(batch, [done("alice")]),
}


@pytest.mark.parametrize("write", WRITES)
async def test_after_a_take_over_the_old_owner_can_write_nothing(
    table: StateTable, shared_place: Place, name: str, clock: Clock, write: str
) -> None:
    first = await taken(table, name)
    assert (await table.begin_creator(first, "alice"))[0] is None
    clock.now += LEASE + 1
    second = await taken(table, name, "second")
    assert (await table.begin_creator(second, "alice"))[0] is None
    before = (await table.batch(name), shared_place.records(name))
    with pytest.raises(LeaseLost):
        await WRITES[write](table, first)
    assert (await table.batch(name), shared_place.records(name)) == before
    await table.finish_creators(second, [done("alice")])
    await table.complete(second)


async def test_the_same_owner_with_an_older_fence_can_write_nothing(table: StateTable, name: str, clock: Clock) -> None:
    first = await taken(table, name)
    clock.now += LEASE + 1
    await taken(table, name, "first")
    with pytest.raises(LeaseLost):
        await table.complete(first)


async def test_an_old_owner_does_not_overwrite_what_the_new_one_finished(
    table: StateTable, shared_place: Place, name: str, clock: Clock
) -> None:
    first = await taken(table, name)
    await table.begin_creator(first, "alice")
    clock.now += LEASE + 1
    second = await taken(table, name, "second")
    await table.begin_creator(second, "alice")
    await table.finish_creators(second, [done("alice", images_processed=7)])
    await table.finish_creators(first, [done("alice", images_processed=1)])
    assert shared_place.records(name)["alice"]["images_processed"] == 7


async def test_a_taking_whose_answer_got_lost_is_ours_all_the_same(
    shaky_table: StateTable, proxy: Faulty, name: str
) -> None:
    lost = proxy.lose_answer(rf"dynamodb\.UpdateItem.*{name}")
    assert (await taken(shaky_table, name)).fence == 1
    assert lost.reached.is_set()


async def test_throttling_is_sat_out(shaky_table: StateTable, proxy: Faulty, name: str) -> None:
    slow = json_error(400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException")
    proxy.refuse(rf"dynamodb\.UpdateItem.*{name}", slow, times=2)
    assert (await taken(shaky_table, name)).fence == 1


@pytest.mark.parametrize("code", ["TransactionConflictException", "ReplicatedWriteConflictException"])
async def test_a_plain_write_that_meets_a_transaction_is_made_again(
    shaky_table: StateTable, proxy: Faulty, name: str, code: str
) -> None:
    conflict = json_error(400, f"com.amazonaws.dynamodb.v20120810#{code}")
    proxy.refuse(rf"dynamodb\.UpdateItem.*{name}", conflict, times=3)
    batch = await taken(shaky_table, name)
    proxy.refuse(rf"dynamodb\.PutItem.*{name}", conflict, times=3)
    assert (await shaky_table.begin_creator(batch, "alice"))[0] is None


async def test_hundreds_of_throttles_in_a_row_are_no_failure(shaky_table: StateTable, proxy: Faulty, name: str) -> None:
    """The SDK's own retries draw on a quota, which some dozens of failures use up for every call of the client."""
    slow = json_error(400, "com.amazon.coral.availability#ThrottlingException")
    proxy.refuse(r"dynamodb\.", slow, times=300)

    async def take_one(number: int) -> None:
        assert (await taken(shaky_table, f"{name}-{number}")).fence == 1

    await asyncio.gather(*map(take_one, range(60)))


async def test_a_table_that_lets_few_writes_through_slows_the_writers_and_fails_none(
    shaky_table: StateTable, proxy: Faulty, name: str
) -> None:
    batch = await taken(shaky_table, name)
    slow = json_error(400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException")
    proxy.limit(r"dynamodb\.PutItem", slow, per_second=50)
    await asyncio.gather(*(shaky_table.finish_creators(batch, [done(f"creator {number}")]) for number in range(100)))
    assert proxy.seen(r"dynamodb\.PutItem") > 100


async def test_a_lease_is_kept_while_writes_of_creators_wait(shaky_table: StateTable, proxy: Faulty, name: str) -> None:
    batch = await taken(shaky_table, name)
    held = proxy.hold(r"dynamodb\.PutItem", times=None)
    writes = [asyncio.create_task(shaky_table.finish_creators(batch, [done(f"creator {n}")])) for n in range(100)]
    assert await asyncio.to_thread(held.reached.wait, 5)
    async with asyncio.timeout(5):
        await shaky_table.extend(batch.lease, lease_seconds=LEASE, counts={})
    proxy.mend()
    await asyncio.gather(*writes)


# --- what closes a chunk --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reasons",
    [
        ("None", "TransactionConflict"),
        ("ConditionalCheckFailed", "TransactionConflict"),
        ("None", "ThrottlingError"),
        ("ProvisionedThroughputExceeded", "None"),
        ("None", "InternalServerError"),
    ],
)
async def test_a_chunk_is_closed_and_counted_however_its_transaction_was_put_off(
    shaky_table: StateTable, proxy: Faulty, name: str, reasons: tuple[str, ...]
) -> None:
    await taken(shaky_table, name)
    chunk = await taken_chunk(shaky_table, name)
    proxy.refuse(rf"dynamodb\.TransactWriteItems.*{name}", cancelled(*reasons), times=4)
    await shaky_table.complete_chunk(chunk, counts={"creators_completed": 2}, errors={})
    whole = await shaky_table.batch(name)
    assert whole is not None
    assert (whole.chunks_done, whole.counts["creators_completed"]) == (1, 2)


@pytest.mark.parametrize("reasons", [("None", "SomethingNew"), ("None", "None"), ()])
async def test_a_transaction_cancelled_for_reasons_that_nobody_knows_is_an_error_and_no_success(
    shaky_table: StateTable, proxy: Faulty, name: str, reasons: tuple[str, ...]
) -> None:
    await taken(shaky_table, name)
    chunk = await taken_chunk(shaky_table, name)
    proxy.refuse(rf"dynamodb\.TransactWriteItems.*{name}", cancelled(*reasons))
    with pytest.raises(RetryableError) as caught:
        await shaky_table.complete_chunk(chunk, counts={}, errors={})
    assert caught.value.reason is JobReason.AWS_UNKNOWN


async def test_a_chunk_that_another_worker_took_over_is_not_closed(table: StateTable, name: str, clock: Clock) -> None:
    await taken(table, name)
    chunk = await taken_chunk(table, name)
    clock.now += LEASE + 1
    await taken_chunk(table, name, owner="second")
    with pytest.raises(LeaseLost):
        await table.complete_chunk(chunk, counts={}, errors={})


# --- what workers wait for ------------------------------------------------------------------------------------------


async def test_what_a_worker_waits_for_is_told_for_a_minute(clients: Clients, place: Place, clock: Clock) -> None:
    table = StateTable(clients.dynamodb, place.table, ttl_days=30, clock=clock)
    assert await table.waits() == {}
    why = {"state": "open", "seconds": 12.5, "reason": "aws_forbidden", "error": "writing s3://b/k: denied"}
    await table.note_waits({"s3": why})
    assert await table.waits() == {"s3": why}
    clock.now += 61
    assert await table.waits() == {}


# --- permanent errors -----------------------------------------------------------------------------------------------


async def test_a_record_that_no_item_can_hold_is_terminal(table: StateTable, name: str) -> None:
    batch = await taken(table, name)
    keys = tuple(f"collages/by-creator/{'a' * 200}/collage_20250119_120000_p{number}.jpg" for number in range(2_000))
    with pytest.raises(TerminalError) as caught:
        await table.finish_creators(batch, [done("alice", collage_keys=keys)])
    assert caught.value.reason is JobReason.RECORD_TOO_LARGE


async def test_a_table_that_is_not_there_is_waited_for_and_named_by_its_setting(clients: Clients, name: str) -> None:
    patience = Patience(moment=0.1)
    table = StateTable(clients.dynamodb, f"not-there-{name}", ttl_days=30, patience=patience)
    with pytest.raises(Unavailable, match="DYNAMODB_TABLE_NAME") as caught:
        await taken(table, name)
    assert caught.value.reason is JobReason.AWS_RESOURCE_MISSING


# --- creators -------------------------------------------------------------------------------------------------------


async def test_a_creator_is_begun_once_and_then_answered_from_its_record(table: StateTable, name: str) -> None:
    batch = await taken(table, name)
    assert (await table.begin_creator(batch, "alice"))[0] is None
    assert (await table.begin_creator(batch, "alice"))[0] is None, "begun but not finished: to be done"
    record = done("alice", collage_keys=("k1", "k2"), mode=Mode.SAFE)
    await table.finish_creators(batch, [record])
    assert (await table.begin_creator(batch, "alice"))[0] == record


async def test_the_first_owner_may_finish_a_creator_that_it_did_not_begin(table: StateTable, name: str) -> None:
    batch, creator = await taken(table, name), token()
    record = done(creator)
    await table.finish_creators(batch, [record])
    assert (await table.begin_creator(batch, creator))[0] == record


async def test_the_first_owner_does_not_finish_what_a_later_one_has_begun(
    table: StateTable, shared_place: Place, name: str, clock: Clock
) -> None:
    first, creator = await taken(table, name), token()
    clock.now += LEASE + 1
    second = await taken(table, name, "second")
    assert (await table.begin_creator(second, creator))[0] is None
    with pytest.raises(LeaseLost):
        await table.finish_creators(first, [done(creator)])
    assert shared_place.records(name)[creator]["status"] == "processing"


async def test_a_record_tells_how_often_its_lease_was_taken(table: StateTable, name: str, clock: Clock) -> None:
    found = []
    for owner in ("first", "second"):
        record, _ = await table.take(name, owner=owner, source_csv="rows.csv", lease_seconds=LEASE)
        found.append(record.takes)
        clock.now += LEASE + 1
    assert found == [1, 2]


async def test_a_failed_creator_is_answered_from_its_record_too(table: StateTable, name: str) -> None:
    batch = await taken(table, name)
    await table.begin_creator(batch, "alice")
    record = CreatorRecord("alice", CreatorStatus.FAILED, errors={"expired": 2, "not_found": 1}, duration=0.5)
    await table.finish_creators(batch, [record])
    assert (await table.begin_creator(batch, "alice"))[0] == record


async def test_a_creator_left_by_a_crash_is_begun_by_the_next_owner(table: StateTable, name: str, clock: Clock) -> None:
    await table.begin_creator(await taken(table, name), "alice")
    clock.now += LEASE + 1
    second = await taken(table, name, "second")
    assert (await table.begin_creator(second, "alice"))[0] is None
    await table.finish_creators(second, [done("alice")])


@pytest.mark.parametrize("what", ["processing", "completed"])
async def test_a_creators_write_whose_answer_got_lost_counts_once(
    shaky_table: StateTable, proxy: Faulty, shared_place: Place, name: str, what: str
) -> None:
    batch, creator = await taken(shaky_table, name), token()
    lost = proxy.lose_answer(rf'dynamodb\.PutItem.*"{what}"')
    assert (await shaky_table.begin_creator(batch, creator))[0] is None
    await shaky_table.finish_creators(batch, [done(creator)])
    assert lost.reached.is_set()
    assert list(shared_place.records(name)) == [creator]
    assert shared_place.records(name)[creator]["status"] == "completed"


async def test_two_batches_of_the_same_second_both_keep_a_record_of_the_same_creator(
    table: StateTable, shared_place: Place, name: str
) -> None:
    other = f"s3_{token()}-{token()[:8]}"
    creator = token()
    for each in (name, other):
        batch = await taken(table, each)
        assert (await table.begin_creator(batch, creator))[0] is None
        await table.finish_creators(batch, [done(creator, images_processed=len(each))])
    first, second = shared_place.records(name)[creator], shared_place.records(other)[creator]
    assert (first["batch_id"], second["batch_id"]) == (name, other)
    assert first["processing_date"] == "2025-01-19T12:00:00Z"
    assert second["processing_date"] != first["processing_date"]
    assert second["processing_date"].startswith("2025-01-19T12:00:00")
    assert second["processing_date"].endswith("Z")
    assert await table.begin_creator(await fresh(table, other), creator) is not None, "found again under its own date"


async def fresh(table: StateTable, name: str) -> Batch:
    record = await table.batch(name)
    assert record is not None
    return batch_of(record)


# --- items ----------------------------------------------------------------------------------------------------------


async def test_a_creators_item_has_the_keys_and_types_of_the_contract(
    table: StateTable, shared_place: Place, name: str, clock: Clock
) -> None:
    creator = token()
    batch = await taken(table, name)
    await table.begin_creator(batch, creator)
    await table.finish_creators(batch, [done(creator)])
    raw = shared_place.aws.dynamodb.get_item(
        TableName=shared_place.table,
        Key={"creator_name": {"S": creator}, "processing_date": {"S": "2025-01-19T12:00:00Z"}},
    )["Item"]
    fence = raw.pop("fence")
    assert fence == {"N": "1"}
    assert raw == {
        "creator_name": {"S": creator},
        "processing_date": {"S": "2025-01-19T12:00:00Z"},
        "batch_id": {"S": name},
        "status": {"S": "completed"},
        "images_processed": {"N": "35"},
        "collage_s3_key": {"S": "collages/by-creator/a/collage_20250119_120000.jpg"},
        "processing_duration": {"N": "23.5"},
        "error_count": {"N": "2"},
        "errors": {"M": {"expired": {"N": "2"}}},
        "content_hash": {"S": "c0ffee"},
        "updated_at": {"S": "2025-01-19T12:00:00Z"},
        "metadata": {"M": {"source_csv": {"S": "rows.csv"}, "message_id": {"S": "m-1"}, "mode": {"S": "normal"}}},
        "ttl": {"N": str(int(clock.now) + 30 * 86_400)},
    }


async def test_a_creator_of_several_pages_lists_them_all_and_one_of_none_lists_none(
    table: StateTable, shared_place: Place, name: str
) -> None:
    batch = await taken(table, name)
    for record in (
        done("many", collage_keys=("k1", "k2", "k3")),
        CreatorRecord("none", CreatorStatus.FAILED, errors={"not_found": 1}),
    ):
        await table.begin_creator(batch, record.creator)
        await table.finish_creators(batch, [record])
    found = shared_place.records(name)
    assert (found["many"]["collage_s3_key"], found["many"]["collage_s3_keys"]) == ("k1", ["k1", "k2", "k3"])
    assert not {"collage_s3_key", "collage_s3_keys", "content_hash"} & found["none"].keys()
    assert found["none"]["status"] == "failed"


async def test_a_batchs_item_shows_up_in_neither_index(table: StateTable, shared_place: Place, name: str) -> None:
    batch = await taken(table, name)
    await table.begin_creator(batch, "alice")
    await table.note_summary(batch, summary_key="k", counts={})
    await table.complete(batch)
    assert list(shared_place.records(name)) == ["alice"]
    for index in ("batch-id-index", "status-date-index"):
        found = shared_place.aws.dynamodb.scan(TableName=shared_place.table, IndexName=index)["Items"]
        assert [plain(item)["creator_name"] for item in found if plain(item)["creator_name"].startswith(" ")] == []


async def test_creators_are_found_by_status_and_date(table: StateTable, shared_place: Place, name: str) -> None:
    creator = token()
    batch = await taken(table, name)
    await table.begin_creator(batch, creator)
    found = shared_place.aws.dynamodb.query(
        TableName=shared_place.table,
        IndexName="status-date-index",
        KeyConditionExpression="#s = :s AND processing_date BETWEEN :a AND :b",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={
            ":s": {"S": "processing"},
            ":a": {"S": "2025-01-19T00:00:00Z"},
            ":b": {"S": "2025-01-20T00:00:00Z"},
        },
    )["Items"]
    assert creator in {plain(item)["creator_name"] for item in found}


async def test_the_table_forgets_by_its_ttl_attribute(table: StateTable, shared_place: Place, name: str) -> None:
    told = shared_place.aws.dynamodb.describe_time_to_live(TableName=shared_place.table)["TimeToLiveDescription"]
    assert (told["TimeToLiveStatus"], told["AttributeName"]) == ("ENABLED", "ttl")
    real = StateTable(table._client, shared_place.table, ttl_days=2)
    await real.take(name, owner="o", source_csv="", lease_seconds=1)
    ttl = shared_place.batches(name)[name]["ttl"]
    assert int(ttl) == ttl
    assert abs(int(ttl) - time.time() - 2 * 86_400) < 60


async def test_names_with_any_characters_are_kept_as_they_are(
    table: StateTable, shared_place: Place, name: str
) -> None:
    batch = await taken(table, name)
    names = ["a/b", "..", "\U0001f408 café", "x" * 1_000, 'quo"te', "batch " + name]
    for creator in names:
        assert (await table.begin_creator(batch, creator))[0] is None
        await table.finish_creators(batch, [done(creator)])
    assert set(shared_place.records(name)) == set(names)


@pytest.mark.parametrize("state", [BatchState.FAILED, BatchState.CANCELLED])
async def test_a_batch_that_is_over_is_begun_anew_by_who_asks_for_it_later(state: BatchState) -> None:
    record = BatchRecord("b", state, datetime(2025, 1, 19, 12, tzinfo=UTC), "me", 1, 100.0, "covers.csv")
    assert may_be_taken_over(record, None, now=200.0, as_of=150.0)
    assert not may_be_taken_over(record, None, now=200.0, as_of=50.0), "its message was sent before the end"


@pytest.mark.parametrize("state", [BatchState.FAILED, BatchState.CANCELLED])
async def test_a_message_that_comes_twice_begins_nothing_anew_though_clocks_differ(state: BatchState) -> None:
    ours, later = Asked("digest", '{"message_id":"m1"}'), Asked("digest", '{"message_id":"m2"}')
    record = BatchRecord("b", state, datetime(2025, 1, 19, 12, tzinfo=UTC), "me", 1, 100.0, "covers.csv", asked=ours)
    assert not may_be_taken_over(record, ours, now=200.0, as_of=150.0)
    assert may_be_taken_over(record, later, now=200.0, as_of=150.0)
