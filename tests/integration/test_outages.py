"""A worker whose way to AWS breaks for a while, or for good."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.faulty import FORBIDDEN, SLOW_DOWN, Answer, Faulty, json_error, xml_error
from tests.integration.pictures import SMALL, Origin, manifest, token
from tests.integration.places import Place
from tests.integration.processes import Worker, command
from tests.integration.waiting import until

THROUGHPUT = json_error(400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException")
THROTTLED = json_error(400, "com.amazon.coral.availability#ThrottlingException")
BROKEN = json_error(500, "com.amazonaws.sqs#InternalError")


@pytest.fixture(scope="module")
def worker(shared_place: Place, session_proxy: Faulty, origin: Origin) -> Iterator[Worker]:
    """A worker whose way to AWS is the proxy."""
    session_proxy.mend()
    with Worker(shared_place.env(session_proxy.endpoint, VISIBILITY_TIMEOUT=6)) as found:
        yield found.ready()


@pytest.fixture
def place(shared_place: Place, worker: Worker) -> Place:
    return shared_place


def job(place: Place, origin: Origin) -> str:
    name = token()
    rows = [(f"{name}-{number}", origin.photo(photo, name)) for number in range(3) for photo in SMALL[:2]]
    place.send_job(manifest(rows), name)
    return name


def done(place: Place, name: str) -> None:
    batch_id, _ = place.batch(name, within=60)
    place.until_empty(within=60)
    records = place.records(batch_id).values()
    assert [record["status"] for record in records] == ["completed"] * 3
    assert all(place.head(record["collage_s3_key"])["Metadata"]["batch-id"] == batch_id for record in records)
    assert place.dead_count() == 0


@pytest.mark.parametrize(
    ("pattern", "answer", "times"),
    [
        (r"s3\.", SLOW_DOWN, 4),
        (r"s3\.PUT .*/by-creator/", SLOW_DOWN, 6),
        (r"dynamodb\.", THROUGHPUT, 4),
        (r"dynamodb\.PutItem", THROTTLED, 6),
        (r"sqs\.", THROTTLED, 3),
        (r"sqs\.ReceiveMessage", BROKEN, 3),
        (r"sqs\.DeleteMessage", BROKEN, 2),
    ],
)
def test_a_burst_of_refusals_is_sat_out(
    place: Place, worker: Worker, origin: Origin, proxy: Faulty, pattern: str, answer: Answer, times: int
) -> None:
    fault = proxy.refuse(pattern, answer, times=times)
    done(place, job(place, origin))
    until(lambda: fault.times == 0, "all of the refusals")
    assert worker.is_running


@pytest.mark.parametrize(
    ("dependency", "pattern", "answer", "reason"),
    [
        ("s3", r"s3\.PUT .*/by-creator/", FORBIDDEN, "aws_forbidden"),
        ("s3", r"^s3\.", xml_error(400, "ExpiredToken"), "aws_credentials"),
        ("dynamodb", r"^dynamodb\.", json_error(500, "InternalServerError"), "aws_unavailable"),
        ("dynamodb", r"^dynamodb\.", THROTTLED, "aws_throttled"),
        ("dynamodb", r"dynamodb\.PutItem", json_error(400, "AccessDeniedException"), "aws_forbidden"),
        ("sqs", r"sqs\.DeleteMessage", json_error(400, "AccessDeniedException"), "aws_forbidden"),
    ],
)
def test_a_worker_that_is_refused_takes_nothing_on_says_so_and_goes_on_when_it_is_answered(
    place: Place,
    worker: Worker,
    origin: Origin,
    proxy: Faulty,
    dependency: str,
    pattern: str,
    answer: Answer,
    reason: str,
) -> None:
    told = {"dependency": dependency, "reason": reason}
    down, up = len(worker.logged("dependency.down", **told)), len(worker.logged("dependency.up"))
    proxy.refuse(pattern, answer)
    names = [job(place, origin) for _ in range(6)]
    worker.until_logged("dependency.down", times=down + 1, within=60, **told)
    proxy.mend()
    worker.until_logged("dependency.up", times=up + 1, within=60)
    for name in names:
        done(place, name)
    assert worker.is_running


def test_a_worker_that_waits_is_told_of_by_status(place: Place, worker: Worker, origin: Origin, proxy: Faulty) -> None:
    proxy.refuse(r"s3\.PUT .*/by-creator/", FORBIDDEN)
    name = job(place, origin)
    batch_id, _ = place.batch(name, state="running", within=30)

    def looked() -> Any:
        return json.loads(command("status", batch_id, "--json", env=place.env()).stdout)["waits_for"].get("s3")

    assert until(looked, "what the worker waits for", within=60, every=1.0)["reason"] == "aws_forbidden"
    proxy.mend()
    done(place, name)


def test_a_table_that_lets_few_writes_through_slows_the_work_and_fails_none_of_it(
    place: Place, worker: Worker, origin: Origin, proxy: Faulty
) -> None:
    proxy.limit(r"dynamodb\.PutItem", THROUGHPUT, per_second=20)
    down = len(worker.logged("dependency.down"))
    names = [job(place, origin) for _ in range(12)]
    for name in names:
        done(place, name)
    assert len(worker.logged("dependency.down")) == down


def test_answers_that_get_lost_all_over_change_nothing(
    place: Place, worker: Worker, origin: Origin, proxy: Faulty
) -> None:
    for pattern in (r"dynamodb\.UpdateItem", r"dynamodb\.PutItem", r"s3\.PUT .*/by-creator/", r"s3\.GET"):
        proxy.lose_answer(pattern, times=1)
    done(place, job(place, origin))
    assert worker.is_running


def test_a_message_whose_receipt_got_lost_comes_again(
    place: Place, worker: Worker, origin: Origin, proxy: Faulty
) -> None:
    lost = proxy.lose_answer(r"sqs\.ReceiveMessage", times=None)
    until(lost.reached.is_set, "a poll whose answer got lost")  # so there is none any more whose answer comes
    name = job(place, origin)
    until(lambda: place.in_flight() == 1, "a poll that took the message")
    proxy.mend()
    done(place, name)


def test_a_worker_outlives_an_endpoint_that_is_gone_for_a_while(
    place: Place, worker: Worker, origin: Origin, proxy: Faulty
) -> None:
    before = len(worker.logged("queue.receive_failed"))
    proxy.go_away()
    name = job(place, origin)
    worker.until_logged("queue.receive_failed", times=before + 1, within=60)
    proxy.come_back()
    done(place, name)
    assert worker.is_running


def test_a_heartbeat_that_fails_for_good_ends_the_work(
    place: Place, worker: Worker, origin: Origin, proxy: Faulty
) -> None:
    beats = proxy.refuse(r"sqs\.ChangeMessageVisibility", BROKEN)
    held = proxy.hold(r"s3\.PUT .*/by-creator/", times=None)
    before = len(worker.logged("message.lost"))
    name = job(place, origin)
    worker.until_logged("message.lost", times=before + 1, within=20)
    assert beats.reached.is_set()
    assert held.reached.is_set()
    assert place.waiting() == 1, "it is neither deleted nor answered: whoever has it now decides"
    proxy.mend()
    done(place, name)


def test_a_lease_that_cannot_be_extended_ends_the_work_before_somebody_else_takes_it(
    place: Place, worker: Worker, origin: Origin, proxy: Faulty
) -> None:
    silent = proxy.hold(r"dynamodb\.UpdateItem.*lease_expires = :expires, counts", times=None)
    proxy.hold(r"s3\.PUT .*/by-creator/", times=None)
    before = len(worker.logged("message.handed_back", reason="lease_lost"))
    name = job(place, origin)
    worker.until_logged("message.handed_back", times=before + 1, within=15, reason="lease_lost")
    assert silent.reached.is_set()
    proxy.mend()
    done(place, name)


def test_a_worker_that_lost_its_lease_writes_no_record_over_the_new_owners(
    place: Place, worker: Worker, origin: Origin, proxy: Faulty
) -> None:
    held = proxy.hold(r'dynamodb\.PutItem.*"completed"', times=1)
    before = len(worker.logged("message.handed_back", reason="lease_lost"))
    name = job(place, origin)
    until(held.reached.is_set, "a finished creator's record")
    batch_id, batch = place.batch(name, state="running")
    place.aws.dynamodb.update_item(  # what another worker's taking over does
        TableName=place.table,
        Key={"creator_name": {"S": f" batch {batch_id}"}, "processing_date": {"S": "batch"}},
        UpdateExpression="SET lease_owner = :other, fence = fence + :one, lease_expires = :soon",
        ExpressionAttributeValues={":other": {"S": "another"}, ":one": {"N": "1"}, ":soon": {"N": "1"}},
    )
    worker.until_logged("message.handed_back", times=before + 1, reason="lease_lost", within=15)
    held.release()
    done(place, name)
    assert place.batches(name)[batch_id]["fence"] == batch["fence"] + 2
