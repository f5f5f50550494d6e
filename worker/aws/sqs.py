"""SQS: the queue that jobs come from and the dead-letter queue that explains what could not be done."""

import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from worker.aws.calls import NONE, PROBE_DEADLINE, USUAL, AwsCall, Patience, aws_call, code_of, meaning_of_failure
from worker.aws.failures import Meaning
from worker.errors import Dependency, HeartbeatLost, JobReason

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

MAX_DELAY = 900
"""Seconds; the longest delay that SQS gives a message."""

POLL_SLACK = 40
"""Seconds beyond what a poll asks SQS to wait, after which it counts as unanswered."""

MAX_RECEIVE = 10

MAX_RECEIVES = 3
"""Receives after which SQS gives a message up, unless the queue says otherwise."""

SENT_AT = "first_sent_at"
"""The attribute of a fresh copy that tells when the first one was sent, in epoch seconds."""

MAX_ERROR_TEXT = 1_000

LARGE_FILE = "large_file"
"""The key of a dead letter's body that names the object in which the message's own body lies."""

KeepsLarge = Callable[[str, str], Awaitable[str]]
"""Keeps a body that SQS cannot carry with its reason: takes a name and the body, returns an `s3://` address."""

RECEIPT_GONE = frozenset(
    {
        "ReceiptHandleIsInvalid",
        "MessageNotInflight",
        "AWS.SimpleQueueService.MessageNotInflight",
        "InvalidParameterValue",  # of the parameters of these calls, only the receipt can become invalid
    }
)
"""How SQS refuses a receipt: the message was received again since, was deleted, or was held for too long."""

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""SQS refuses attributes with characters outside of XML 1.0."""


def _now() -> float:
    return time.monotonic()  # looked up at each call: the simulation replaces it


@dataclass(slots=True)
class Message:
    """One received message. `handle` is the newest receipt handle; `told` are its sender's attributes.

    `received` and `extended` are seconds of the monotonic clock: when it came, and when its visibility was last set.
    """

    id: str
    body: str
    handle: str
    receives: int
    sent_at: float
    attributes: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)
    received: float = field(default_factory=_now)
    extended: float = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many messages a queue has; SQS's counts are approximate."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.visible + self.in_flight + self.delayed


_KINDS = ("", "NotVisible", "Delayed")


class Queue:
    """The operations on one queue and its dead-letter queue. Each waits out what passes, for as long as `patience`."""

    def __init__(
        self,
        client: "SQSClient",
        url: str,
        dead_letter_url: str | None,
        *,
        patience: Patience = USUAL,
        max_receives: int = MAX_RECEIVES,
        setting: str = "SQS_QUEUE_URL",
        keep_large: KeepsLarge | None = None,
    ) -> None:
        self._client = client
        self._keep_large = keep_large
        self._setting = setting
        self._max_receives = max_receives
        self.url = url
        self.dead_letter_url = dead_letter_url
        self._patience = patience

    def is_last(self, message: Message) -> bool:
        """Say whether SQS gives the message up where it is not deleted this time, and a copy could go on in its place.

        A queue that gives up after a single receive leaves nothing to be done: a copy would be on its last one, too.
        """
        return 1 < self._max_receives <= message.receives

    async def receive(self, limit: int, *, wait: int, visibility: float) -> list[Message]:
        """Wait up to `wait` seconds for up to `limit` messages, invisible to others for `visibility` seconds."""
        # A poll that never comes back makes a worker silently deaf: the deadline is a little above what SQS waits.
        async with self._call("receiving messages", deadline=wait + POLL_SLACK, patience=self._poll_patience) as call:
            answer = await call(
                self._client.receive_message,
                QueueUrl=self.url,
                MaxNumberOfMessages=min(limit, MAX_RECEIVE),
                WaitTimeSeconds=wait,
                VisibilityTimeout=round(visibility),
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        return [_message(found) for found in answer.get("Messages", [])]

    async def delete(self, message: Message) -> None:
        """Delete a message for good: the last step of everything.

        Raises `HeartbeatLost` where the receipt has expired: the message will come again, or was deleted already.
        """
        async with self._call("deleting the message") as call:
            with _receipt_known(message):
                await call(self._client.delete_message, QueueUrl=self.url, ReceiptHandle=message.handle)

    async def change_visibility(self, message: Message, seconds: float) -> None:
        """Make a message visible again in `seconds` from now.

        Raises `HeartbeatLost` where the receipt has expired: the message may be with another worker.
        """
        async with self._call("changing the message's visibility", deadline=20, patience=self._patience.urgent) as call:
            with _receipt_known(message):
                await call(
                    self._client.change_message_visibility,
                    QueueUrl=self.url,
                    ReceiptHandle=message.handle,
                    VisibilityTimeout=max(0, min(43_200, round(seconds))),
                )

    async def send_copy(self, message: Message, *, delay: float) -> None:
        """Send a fresh copy of a message, with a receive count of its own; it tells when the first one was sent.

        A body that leaves no room for that goes without it.
        """
        group = message.attributes.get("MessageGroupId")
        copy: Any = {
            "QueueUrl": self.url,
            "MessageBody": message.body,
            "DelaySeconds": max(0, min(MAX_DELAY, round(delay))),
            **({"MessageGroupId": group} if group else {}),
        }
        first_sent: Any = {SENT_AT: {"DataType": "Number", "StringValue": f"{message.sent_at:.3f}"}}
        async with self._call("sending the message anew") as call:
            try:
                await call(self._client.send_message, **copy, MessageAttributes=first_sent)
            except ClientError as error:
                if not _is_too_long(error):
                    raise
                await call(self._client.send_message, **copy)

    async def send_many(self, bodies: list[str], *, group: str) -> None:
        """Send up to ten messages; `group` lets SQS treat one big batch and many small ones fairly.

        What SQS refuses of them is sent again. Raises as `aws_call`; sending all of them again is safe.
        """
        left: list[SendMessageBatchRequestEntryTypeDef] = [
            {"Id": str(number), "MessageBody": body, "MessageGroupId": group_id(group)}
            for number, body in enumerate(bodies)
        ]

        async def send_what_is_left() -> None:
            answer = await self._client.send_message_batch(QueueUrl=self.url, Entries=left)
            if refused := {entry["Id"]: entry for entry in answer.get("Failed", [])}:
                left[:] = [entry for entry in left if entry["Id"] in refused]
                first = next(iter(refused.values()))
                told: Any = {"Code": first.get("Code", ""), "Message": first.get("Message", "")}
                raise ClientError({"Error": told}, "SendMessageBatch")

        async with self._call("sending messages") as call:
            await call(send_what_is_left)

    async def send_dead_letter(
        self, message: Message, *, code: str, text: str, batch_id: str | None, failed_at: datetime
    ) -> None:
        """Send a message to the dead-letter queue, with the reason as its attributes.

        Where its body leaves no room for the reason, the body goes into an object, and the dead letter names that.
        """
        attributes = {
            "error_code": code,
            "error_message": _legal(text)[:MAX_ERROR_TEXT] or code,
            "batch_id": batch_id or "none",
            "failed_at": failed_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "message_id": message.id,
        }
        letter: Any = {
            "QueueUrl": self.dead_letter_url or self.url,
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        }
        async with self._call("sending to the dead-letter queue", setting="SQS_DLQ_URL") as call:
            try:
                await call(self._client.send_message, **letter, MessageBody=message.body)
            except ClientError as error:
                if self._keep_large is None or not _is_too_long(error):
                    raise
                pointer = {LARGE_FILE: await self._keep_large(message.id, message.body)}
                await call(self._client.send_message, **letter, MessageBody=json.dumps(pointer))

    async def counts(self) -> "QueueCounts":
        """Count the queue's messages, as far as SQS knows at this moment."""
        async with self._call("counting the queue's messages") as call:
            answer = await call(self._client.get_queue_attributes, QueueUrl=self.url, AttributeNames=["All"])
        told: Mapping[str, str] = {str(name): value for name, value in answer.get("Attributes", {}).items()}
        return QueueCounts(*(int(told.get(f"ApproximateNumberOfMessages{kind}", 0)) for kind in _KINDS))

    async def probe(self) -> None:
        """Ask whether SQS answers and knows the queue. Raises as `aws_call`, at once."""
        async with self._call("looking at the queue", deadline=PROBE_DEADLINE, patience=NONE) as call:
            await call(self._client.get_queue_attributes, QueueUrl=self.url, AttributeNames=["QueueArn"])

    @property
    def _poll_patience(self) -> Patience:
        """A poll that fails is followed by another: short of that, only a moment is waited out."""
        return replace(self._patience, throttle=self._patience.moment, outage=self._patience.moment)

    def _call(self, doing: str, **more: Any) -> AbstractAsyncContextManager[AwsCall]:
        return aws_call(Dependency.SQS, doing, **{"setting": self._setting, "patience": self._patience, **more})


def large_file(body: str) -> str | None:
    """Return the `s3://` address of the object in which the body of a dead letter lies; None where it lies in it."""
    if not body.startswith(f'{{"{LARGE_FILE}": "s3://'):
        return None
    return str(json.loads(body)[LARGE_FILE])


def _is_too_long(error: ClientError) -> bool:
    """Say whether SQS refuses a message for its length, body and attributes together."""
    return code_of(error).startswith("InvalidParameterValue") and "must be shorter than" in str(error)


@contextmanager
def _receipt_known(message: Message) -> Iterator[None]:
    """Tell a receipt that SQS does not take any more."""
    try:
        yield
    except ClientError as error:
        if code_of(error) not in RECEIPT_GONE:
            raise
        raise HeartbeatLost(JobReason.MESSAGE_LOST, f"the receipt of message {message.id} has expired") from error


@dataclass(frozen=True, slots=True)
class RedrivePolicy:
    """What becomes of a queue's messages that are received too often; None and 0 where nothing does."""

    dead_letter_url: str | None = None
    max_receives: int = 0


async def redrive_policy_of(client: "SQSClient", url: str) -> RedrivePolicy:
    """Return the redrive policy of a queue."""
    async with aws_call(Dependency.SQS, "reading the queue's redrive policy", setting="SQS_QUEUE_URL") as call:
        answer = await call(client.get_queue_attributes, QueueUrl=url, AttributeNames=["RedrivePolicy"])
        policy = json.loads(answer.get("Attributes", {}).get("RedrivePolicy", "{}"))
        most = int(policy.get("maxReceiveCount", 0))
        name = str(policy.get("deadLetterTargetArn", "")).rpartition(":")[2]
        if not name:
            return RedrivePolicy()
        try:
            return RedrivePolicy((await call(client.get_queue_url, QueueName=name))["QueueUrl"], most)
        except ClientError as error:
            if meaning_of_failure(Dependency.SQS, error) not in {Meaning.MISSING, Meaning.FORBIDDEN}:
                raise
            return RedrivePolicy(None, most)  # what is missing is reported together, at the start


def group_id(text: str) -> str:
    """Return a fair-queue group: up to 128 characters of letters, digits and punctuation."""
    return text if len(text) <= 128 else text[:119] + text[-9:]


def _message(found: Mapping[str, Any]) -> Message:
    attributes = found.get("Attributes", {})
    return Message(
        id=found["MessageId"],
        body=found.get("Body", ""),
        handle=found["ReceiptHandle"],
        receives=int(attributes.get("ApproximateReceiveCount", 1)),
        sent_at=_first_sent_at(found, int(attributes.get("SentTimestamp", 0)) / 1000),
        attributes=attributes,
        told={name: value.get("StringValue", "") for name, value in found.get("MessageAttributes", {}).items()},
    )


def _first_sent_at(found: Mapping[str, Any], sent_at: float) -> float:
    """Return when the first copy of a message was sent; anybody can write the attribute, so it is never later."""
    try:
        told = float(found.get("MessageAttributes", {}).get(SENT_AT, {}).get("StringValue", sent_at))
    except ValueError:
        return sent_at
    return told if 0 < told < sent_at else sent_at


def _legal(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)
