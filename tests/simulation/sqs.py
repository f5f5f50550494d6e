"""SQS in memory: visibility, receive counts, delays, the dead-letter queue; at least once, in no order."""

import asyncio
import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.clock import EPOCH, WORLD, Life, VirtualLoop
from tests.simulation.dynamodb import client_error

QUEUE, DEAD_LETTERS = "https://sqs/work", "https://sqs/dead"


@dataclass(slots=True)
class Stored:
    """One message as the queue keeps it. `receives` tells of each delivery: when, and to whom."""

    id: str
    body: str
    sent_at: float
    visible_at: float
    group: str | None
    attributes: Mapping[str, Any]
    handle: str = ""
    receives: list[tuple[float, Life | None]] = field(default_factory=list)


@dataclass(slots=True)
class Poll:
    """A ReceiveMessage that waits."""

    life: Life | None
    limit: int
    visibility: float
    until: float
    answer: "asyncio.Future[Any]"


class Sqs:
    """The queue and its dead-letter queue. `duplicates` is the chance that a delivery leaves the message visible."""

    def __init__(self, loop: VirtualLoop, rng: random.Random, *, most_receives: int = 3) -> None:
        self.messages: dict[str, Stored] = {}
        self.dead: list[Stored] = []
        self.duplicates = 0.0
        self.duplicated: set[str] = set()
        self._loop = loop
        self._rng = rng
        self._most = most_receives
        self._polls: list[Poll] = []
        self._wake: asyncio.TimerHandle | None = None
        self._count = 0

    # --- the API ----------------------------------------------------------------------------------------------------

    def receive_message(self, life: Life | None, **asked: Any) -> "asyncio.Future[Any]":
        answer = self._loop.create_future()
        until = self._loop.now + asked["WaitTimeSeconds"]
        self._polls.append(Poll(life, asked["MaxNumberOfMessages"], asked["VisibilityTimeout"], until, answer))
        self._serve()
        return answer

    def send_message(self, life: Life | None, *, QueueUrl: str, MessageBody: str, **asked: Any) -> Any:  # noqa: N803
        self._count += 1
        name = hashlib.md5(f"{self._count}".encode(), usedforsecurity=False).hexdigest()[:12]
        now = self._loop.now
        stored = Stored(
            name,
            MessageBody,
            now,
            now + asked.get("DelaySeconds", 0),
            asked.get("MessageGroupId"),
            {key: value["StringValue"] for key, value in asked.get("MessageAttributes", {}).items()},
        )
        if QueueUrl == DEAD_LETTERS:
            self.dead.append(stored)
        else:
            self.messages[name] = stored
            self._serve()
        return {"MessageId": name}

    def send_message_batch(self, life: Life | None, *, QueueUrl: str, Entries: Any) -> Any:  # noqa: N803
        failed = []
        for entry in Entries:
            if life is not None and life.troubled_at == self._loop.now and self._rng.random() < 0.5:
                failed.append({"Id": entry["Id"], "Code": "InternalError"})  # some are refused when trouble is about
            else:
                self.send_message(life, QueueUrl=QueueUrl, **{k: v for k, v in entry.items() if k != "Id"})
        return {"Failed": failed}

    def get_queue_attributes(self, life: Life | None, **_: Any) -> Any:
        return {"Attributes": {}}

    def delete_message(self, life: Life | None, *, QueueUrl: str, ReceiptHandle: str) -> Any:  # noqa: N803
        name = ReceiptHandle.partition("#")[0]
        there = self.messages.get(name)
        if there is not None and (there.handle == ReceiptHandle or self._rng.random() < 0.5):
            del self.messages[name]  # an old handle may or may not do
        return {}

    def change_message_visibility(
        self,
        life: Life | None,
        *,
        QueueUrl: str,  # noqa: N803
        ReceiptHandle: str,  # noqa: N803
        VisibilityTimeout: float,  # noqa: N803
    ) -> Any:
        there = self.messages.get(ReceiptHandle.partition("#")[0])
        if there is None or there.visible_at <= self._loop.now:
            raise client_error("InvalidParameterValue", 400)  # it is not in flight
        if there.handle != ReceiptHandle and self._rng.random() < 0.5:
            raise client_error("ReceiptHandleIsInvalid", 400)
        there.visible_at = self._loop.now + VisibilityTimeout
        self._serve()
        return {}

    # --- behind it --------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Answer the polls that can be answered, and wake up when the next one may be."""
        now = self._loop.now
        for poll in [*self._polls]:
            found = self._take(poll, now)
            if found or poll.until <= now:
                self._polls.remove(poll)
                poll.answer.set_result({"Messages": found} if found else {})
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if self._polls:
            times = [poll.until for poll in self._polls]
            times += [stored.visible_at for stored in self.messages.values() if stored.visible_at > now]
            self._wake = self._loop.call_at(min(times), self._serve, context=WORLD)

    def _take(self, poll: Poll, now: float) -> list[Any]:
        visible = [stored for stored in self.messages.values() if stored.visible_at <= now]
        if not visible:
            return []
        self._rng.shuffle(visible)
        most = min(poll.limit, self._rng.randint(1, 10))  # an answer may hold less than there is
        found = []
        for stored in visible[:most]:
            if len(stored.receives) >= self._most:
                del self.messages[stored.id]
                self.dead.append(stored)
                continue
            stored.receives.append((now, poll.life))
            stored.handle = f"{stored.id}#{len(stored.receives)}"
            if self.duplicates and self._rng.random() < self.duplicates:
                stored.visible_at = now + self._rng.choice([0.0, 0.01, 1.0, 5.0])
                self.duplicated.add(stored.id)
            else:
                stored.visible_at = now + poll.visibility
            found.append(self._told(stored))
        return found

    def _told(self, stored: Stored) -> Any:
        group = {"MessageGroupId": stored.group} if stored.group else {}
        return {
            "MessageId": stored.id,
            "Body": stored.body,
            "ReceiptHandle": stored.handle,
            "Attributes": {
                "ApproximateReceiveCount": str(len(stored.receives)),
                "SentTimestamp": str(round((EPOCH + stored.sent_at) * 1000)),
                **group,
            },
        }


def body_of(stored: Stored) -> Any:
    """Return a message's JSON, or None where it is none."""
    try:
        return json.loads(stored.body)
    except ValueError:
        return None
