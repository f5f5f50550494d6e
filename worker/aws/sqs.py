"""SQS: the queue that jobs come from and the dead-letter queue that explains what could not be done."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError as HttpError
from botocore.exceptions import BotoCoreError, ClientError

from worker.aws.clients import aws_call
from worker.errors import Dependency, JobReason, Unavailable

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

MAX_DELAY = 900
"""Seconds; the longest delay that SQS gives a message."""

POLL_SLACK = 40
"""Seconds beyond what a poll asks SQS to wait, after which it counts as unanswered."""

MAX_RECEIVE = 10
MAX_ERROR_TEXT = 1_000

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""SQS refuses attributes with characters outside of XML 1.0."""


@dataclass(slots=True)
class Message:
    """One received message. `handle` is the newest receipt handle; `told` are its sender's attributes."""

    id: str
    body: str
    handle: str
    receives: int
    sent_at: float
    attributes: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)


class Queue:
    """The operations on one queue and its dead-letter queue."""

    def __init__(self, client: "SQSClient", url: str, dead_letter_url: str | None) -> None:
        self._client = client
        self.url = url
        self.dead_letter_url = dead_letter_url

    async def receive(self, limit: int, *, wait: int, visibility: float) -> list[Message]:
        """Wait up to `wait` seconds for up to `limit` messages, invisible to others for `visibility` seconds."""
        # A poll that never comes back makes a worker silently deaf: the deadline is a little above what SQS waits.
        async with aws_call(Dependency.SQS, "receiving messages", deadline=wait + POLL_SLACK):
            answer = await self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=min(limit, MAX_RECEIVE),
                WaitTimeSeconds=wait,
                VisibilityTimeout=round(visibility),
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        return [_message(found) for found in answer.get("Messages", [])]

    async def delete(self, message: Message) -> None:
        """Delete a message for good: the last step of everything."""
        async with aws_call(Dependency.SQS, "deleting the message"):
            await self._client.delete_message(QueueUrl=self.url, ReceiptHandle=message.handle)

    async def change_visibility(self, message: Message, seconds: float) -> None:
        """Make a message visible again in `seconds` from now."""
        async with aws_call(Dependency.SQS, "changing the message's visibility", deadline=20):
            await self._client.change_message_visibility(
                QueueUrl=self.url, ReceiptHandle=message.handle, VisibilityTimeout=max(0, min(43_200, round(seconds)))
            )

    async def send_copy(self, message: Message, *, delay: float) -> None:
        """Send a fresh copy of a message, with a receive count of its own."""
        group = message.attributes.get("MessageGroupId")
        async with aws_call(Dependency.SQS, "sending the message anew"):
            await self._client.send_message(
                QueueUrl=self.url,
                MessageBody=message.body,
                DelaySeconds=max(0, min(MAX_DELAY, round(delay))),
                **({"MessageGroupId": group} if group else {}),
            )

    async def send_many(self, bodies: list[str], *, group: str) -> None:
        """Send up to ten messages; `group` lets SQS treat one big batch and many small ones fairly.

        Raises `Unavailable` where one of them was refused; sending all of them again is safe.
        """
        async with aws_call(Dependency.SQS, "sending messages"):
            answer = await self._client.send_message_batch(
                QueueUrl=self.url,
                Entries=[
                    {"Id": str(number), "MessageBody": body, "MessageGroupId": group_id(group)}
                    for number, body in enumerate(bodies)
                ],
            )
        if answer.get("Failed"):
            refused = f"SQS refused {len(answer['Failed'])} messages"
            raise Unavailable(Dependency.SQS, JobReason.AWS_UNAVAILABLE, refused)

    async def send_dead_letter(
        self, message: Message, *, code: str, text: str, batch_id: str | None, failed_at: datetime
    ) -> None:
        """Send a message to the dead-letter queue, with the reason as its attributes."""
        attributes = {
            "error_code": code,
            "error_message": _legal(text)[:MAX_ERROR_TEXT] or code,
            "batch_id": batch_id or "none",
            "failed_at": failed_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "message_id": message.id,
        }
        async with aws_call(Dependency.SQS, "sending to the dead-letter queue"):
            await self._client.send_message(
                QueueUrl=self.dead_letter_url or self.url,
                MessageBody=message.body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            )


async def dead_letter_url_of(client: "SQSClient", url: str) -> str | None:
    """Return the URL of the queue that `url`'s redrive policy names, or None."""
    async with aws_call(Dependency.SQS, "reading the queue's redrive policy"):
        answer = await client.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
        policy = json.loads(answer.get("Attributes", {}).get("RedrivePolicy", "{}"))
        name = str(policy.get("deadLetterTargetArn", "")).rpartition(":")[2]
        if not name:
            return None
        try:
            return (await client.get_queue_url(QueueName=name))["QueueUrl"]
        except (ClientError, BotoCoreError, HttpError):
            return None  # its absence is reported with everything else that is missing at start


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
        sent_at=int(attributes.get("SentTimestamp", 0)) / 1000,
        attributes=attributes,
        told={name: value.get("StringValue", "") for name, value in found.get("MessageAttributes", {}).items()},
    )


def _legal(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)
