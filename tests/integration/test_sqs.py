"""`worker.aws.sqs` against an emulator."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.integration.emulator import Aws
from tests.integration.faulty import Answer, Faulty, json_error
from tests.integration.pictures import token
from tests.integration.places import Place
from worker.aws.calls import Patience
from worker.aws.clients import Clients
from worker.aws.sqs import Message, Queue, RedrivePolicy, group_id, large_file, redrive_policy_of
from worker.errors import HeartbeatLost, JobReason, Unavailable

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOON = datetime(2025, 1, 19, 13, tzinfo=timezone(timedelta(hours=1)))


@pytest.fixture
def place(shared_place: Place) -> Place:
    """Queues that only this test uses."""
    return shared_place.with_queue(shared_place.aws)


@pytest.fixture
def queue(clients: Clients, place: Place) -> Queue:
    return Queue(clients.sqs, place.queue_url, place.dlq_url)


async def one(queue: Queue, place: Place, body: str = '{"a": "ü \U0001f408"}', *, visibility: float = 60) -> Message:
    place.send(body)
    (message,) = await queue.receive(1, wait=5, visibility=visibility)
    assert message.body == body
    return message


async def test_a_receive_brings_what_a_message_is_known_by(queue: Queue, place: Place) -> None:
    message = await one(queue, place)
    assert message.receives == 1
    assert abs(message.sent_at - datetime.now(UTC).timestamp()) < 60
    assert await queue.receive(10, wait=0, visibility=60) == [], "it is invisible to others"
    await queue.delete(message)
    assert place.waiting() == 0


async def test_a_receive_asks_for_no_more_than_there_is_room_for(queue: Queue, place: Place) -> None:
    for number in range(4):
        place.send({"n": number})
    assert len(await queue.receive(3, wait=0, visibility=60)) <= 3
    assert await queue.receive(50, wait=1, visibility=60), "more than SQS gives at a time is asked for as ten"


async def test_a_message_made_visible_comes_again_with_its_count(queue: Queue, place: Place) -> None:
    message = await one(queue, place)
    await queue.change_visibility(message, 0)
    (again,) = await queue.receive(1, wait=5, visibility=60)
    assert (again.id, again.receives) == (message.id, 2)


async def test_messages_of_a_group_stay_in_it_when_they_are_sent_anew(queue: Queue, place: Place) -> None:
    """A batch is a group of a fair queue: its many chunks do not hold up the few of others."""
    await queue.send_many(["1", "2"], group="s3_covers-12345678")
    found = [message for _ in range(2) for message in await queue.receive(10, wait=1, visibility=60)]
    assert sorted(message.body for message in found) == ["1", "2"]
    for message in found:
        await queue.send_copy(message, delay=0)
        await queue.delete(message)
    copies = [message for _ in range(2) for message in await queue.receive(10, wait=1, visibility=60)]
    groups = [message.attributes.get("MessageGroupId") for message in (*found, *copies)]
    assert groups == ["s3_covers-12345678"] * 4


async def test_a_group_has_no_more_characters_than_sqs_takes() -> None:
    names = [f"s3_{'x' * 200}-{number:08d}" for number in range(3)]
    assert {len(group_id(name)) for name in names} == {128}
    assert len({group_id(name) for name in names}) == 3


async def test_a_dead_letter_explains_itself(queue: Queue, place: Place) -> None:
    message = await one(queue, place)
    await queue.send_dead_letter(
        message, code="manifest_empty", text="no usable row", batch_id="s3_x-12345678", failed_at=NOON
    )
    letter = place.dead_letter(message.body)
    assert letter.attributes == {
        "error_code": "manifest_empty",
        "error_message": "no usable row",
        "batch_id": "s3_x-12345678",
        "failed_at": "2025-01-19T12:00:00Z",
        "message_id": message.id,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x00b\x1bc\x7f\ufffe\ud800d", "a\ufffdb\ufffdc\x7f\ufffd\ufffdd"),
        ("tab\tnewline\n ü \U0001f408", "tab\tnewline\n ü \U0001f408"),
        ("", "bad_json"),
        ("y" * 5_000, "y" * 1_000),
    ],
)
async def test_an_error_text_of_any_characters_arrives(queue: Queue, place: Place, text: str, expected: str) -> None:
    message = await one(queue, place, f'{{"t": "{token()}"}}')
    await queue.send_dead_letter(message, code="bad_json", text=text, batch_id=None, failed_at=NOON)
    attributes = place.dead_letter(message.body).attributes
    assert attributes["error_message"] == expected
    assert attributes["batch_id"] == "none"


async def test_a_body_that_leaves_no_room_for_the_reason_lies_in_an_object_that_the_dead_letter_names(
    clients: Clients, place: Place
) -> None:
    kept: dict[str, str] = {}

    async def keep(name: str, body: str) -> str:
        kept[name] = body
        return f"s3://temp/large-files/{name}.json"

    place.aws.sqs.set_queue_attributes(QueueUrl=place.dlq_url, Attributes={"MaximumMessageSize": "1024"})
    queue = Queue(clients.sqs, place.queue_url, place.dlq_url, keep_large=keep)
    large = json.dumps({"csv_data": "x" * 2_000})
    message = await one(queue, place, large)
    await queue.send_dead_letter(message, code="bad_json", text="no", batch_id=None, failed_at=NOON)
    letter = place.dead_letter(f'{{"large_file": "s3://temp/large-files/{message.id}.json"}}')
    assert letter.attributes["error_code"] == "bad_json"
    assert kept == {message.id: large}
    assert large_file(letter.body) == f"s3://temp/large-files/{message.id}.json"
    assert large_file(large) is None


async def test_a_copy_that_leaves_no_room_goes_without_the_time_of_the_first(
    shaky_clients: Clients, place: Place, proxy: Faulty
) -> None:
    queue = Queue(shaky_clients.sqs, place.queue_url, place.dlq_url)
    message = await one(queue, place)
    told = "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes."
    refusal = json_error(400, "com.amazonaws.sqs#InvalidParameterValueException", message=told)
    proxy.refuse(r"sqs\.SendMessage", refusal, times=1)
    await queue.send_copy(message, delay=0)
    (copy,) = await queue.receive(1, wait=5, visibility=60)
    assert (copy.body, copy.told) == (message.body, {})


async def test_a_copy_keeps_the_body_and_counts_anew(queue: Queue, place: Place) -> None:
    message = await one(queue, place)
    await queue.change_visibility(message, 0)
    (message,) = await queue.receive(1, wait=5, visibility=60)
    assert message.receives == 2
    await queue.send_copy(message, delay=0)
    await queue.delete(message)
    (copy,) = await queue.receive(1, wait=5, visibility=60)
    assert (copy.body, copy.receives) == (message.body, 1)
    assert copy.id != message.id


async def test_a_delayed_copy_is_not_there_yet(queue: Queue, place: Place) -> None:
    message = await one(queue, place)
    await queue.send_copy(message, delay=5_000)
    await queue.delete(message)
    assert await queue.receive(1, wait=0, visibility=60) == []
    assert place.waiting() == 1


async def test_after_three_receives_sqs_itself_moves_a_message_to_the_dead_letters(queue: Queue, place: Place) -> None:
    message = await one(queue, place, f'{{"t": "{token()}"}}')
    for _ in range(2):
        await queue.change_visibility(message, 0)
        (message,) = await queue.receive(1, wait=5, visibility=60)
    await queue.change_visibility(message, 0)
    assert await queue.receive(1, wait=1, visibility=60) == []
    assert place.dead_letter(message.body).attributes == {}


async def test_the_dead_letter_queue_is_found_by_the_redrive_policy(clients: Clients, place: Place) -> None:
    found = await redrive_policy_of(clients.sqs, place.queue_url)
    assert found.dead_letter_url is not None
    assert found.max_receives == 3
    assert found.dead_letter_url.rpartition("/")[2] == place.dlq_url.rpartition("/")[2]


async def test_a_queue_without_a_redrive_policy_has_no_dead_letter_queue(clients: Clients, place: Place) -> None:
    assert await redrive_policy_of(clients.sqs, place.dlq_url) == RedrivePolicy()


async def test_a_redrive_policy_that_names_a_deleted_queue_is_none(clients: Clients, place: Place, aws: Aws) -> None:
    aws.sqs.delete_queue(QueueUrl=place.dlq_url)
    assert (await redrive_policy_of(clients.sqs, place.queue_url)).dead_letter_url is None


async def test_a_queue_that_is_not_there_is_waited_for_and_named_by_its_setting(clients: Clients, place: Place) -> None:
    queue = Queue(clients.sqs, place.queue_url + "-not", None, patience=Patience(moment=0.1))
    with pytest.raises(Unavailable, match=re.escape("receiving messages")) as caught:
        await queue.receive(1, wait=0, visibility=60)
    assert caught.value.reason is JobReason.AWS_RESOURCE_MISSING
    assert "SQS_QUEUE_URL" in str(caught.value)


async def test_a_receipt_that_has_expired_is_told_as_such(queue: Queue, place: Place) -> None:
    place.send({"a": 1})
    (message,) = await queue.receive(1, wait=2, visibility=60)
    await queue.delete(message)
    with pytest.raises(HeartbeatLost) as caught:
        await queue.change_visibility(message, 60)
    assert caught.value.reason is JobReason.MESSAGE_LOST


async def test_of_many_messages_those_that_sqs_refuses_are_sent_again(
    shaky_clients: Clients, proxy: Faulty, place: Place
) -> None:
    refused = {"Id": "1", "SenderFault": False, "Code": "InternalError", "Message": "injected"}
    answer = json.dumps({"Successful": [], "Failed": [refused]})
    proxy.refuse(r"sqs\.SendMessageBatch", Answer(200, answer.encode(), "application/x-amz-json-1.0"), times=1)
    queue = Queue(shaky_clients.sqs, place.queue_url, place.dlq_url)
    await queue.send_many(["first", "second", "third"], group="b")
    (message,) = await queue.receive(10, wait=2, visibility=60)
    assert message.body == "second"


async def test_throttling_of_receives_is_sat_out(shaky_clients: Clients, proxy: Faulty, place: Place) -> None:
    place.send({"a": 1})
    proxy.refuse(r"sqs\.ReceiveMessage", json_error(400, "com.amazon.coral.availability#ThrottlingException"), times=2)
    queue = Queue(shaky_clients.sqs, place.queue_url, place.dlq_url)
    (message,) = await queue.receive(1, wait=2, visibility=60)
    await queue.delete(message)
    assert proxy.seen(r"sqs\.ReceiveMessage") == 3
