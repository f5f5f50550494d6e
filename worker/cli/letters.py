"""Dead letters as commands see them: held for a look, told in words, chosen by id, cause or batch."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from worker.aws.sqs import MAX_RECEIVE, Message, Queue
from worker.errors import JobReason
from worker.keys import iso
from worker.masks import without_signatures, written_out

HELD_SECONDS = 300.0
"""Seconds that messages are out of sight while they are looked at; given back earlier."""

WAIT_SECONDS = 2
"""Seconds of a poll. One that brings nothing was the last: a long poll asks every server of the queue."""

EXHAUSTED = "attempts_exhausted"
"""The cause of what SQS moved here by itself: it came without a reason, after three failed attempts."""

CAUSES = frozenset({*map(str, JobReason), EXHAUSTED})

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, and what it tells."""

    message: Message
    id: str
    """That of the message as it first came, where the worker wrote it down."""
    cause: str
    text: str
    batch_id: str
    failed_at: str
    asks_for: str

    def told(self) -> dict[str, str]:
        """Tell it for programs."""
        return {
            "message_id": self.id,
            "error_code": self.cause,
            "error_message": self.text,
            "batch_id": self.batch_id,
            "failed_at": self.failed_at,
            "asks_for": self.asks_for,
            "body": without_signatures(self.message.body),
        }

    def line(self) -> str:
        """Tell it in a line; nothing that somebody sent may steer the terminal."""
        return "  ".join(map(written_out, (self.id, f"{self.cause:<20}", self.batch_id, self.asks_for)))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters a command is about: all, or those with one of the causes, of the batch, with one of the ids."""

    causes: frozenset[str] = frozenset()
    batch: str | None = None
    limit: int = 1_000
    ids: tuple[str, ...] = ()

    @property
    def unknown_causes(self) -> list[str]:
        """The causes that there are not."""
        return sorted(self.causes - CAUSES)

    def fits(self, letter: Letter) -> bool:
        """Say whether a letter is among them."""
        return (
            (not self.causes or letter.cause in self.causes)
            and (self.batch is None or letter.batch_id.startswith((self.batch, f"s3_{self.batch}")))
            and (not self.ids or any(letter.id.startswith(each) or letter.message.id == each for each in self.ids))
        )


@dataclass(slots=True)
class Held:
    """The messages that a command holds, by their ids, and how many others were in flight before it looked."""

    queue: Queue
    messages: dict[str, Message]
    elsewhere: int

    def letters(self) -> list[Letter]:
        """Return them as letters, the oldest failure first."""
        return sorted(map(letter_of, self.messages.values()), key=lambda letter: (letter.failed_at, letter.id))

    async def take_up(self, limit: int, *, wait: int) -> list[Message]:
        """Hold what more is there; returns it."""
        some = await self.queue.receive(min(limit, MAX_RECEIVE), wait=wait, visibility=HELD_SECONDS)
        self.messages |= {message.id: message for message in some}
        return some

    async def delete(self, letter: Letter) -> None:
        """Take a letter away for good."""
        await self.queue.delete(letter.message)
        self.messages.pop(letter.message.id, None)

    async def hold_on(self) -> None:
        """Hold them for as long again from now. One that is lost by then is seen by others, too, and no more."""
        await self._each(HELD_SECONDS)

    async def give_back(self) -> None:
        """Let them be seen at once. One that cannot be given back comes back by itself."""
        await self._each(0)

    async def _each(self, seconds: float) -> None:
        await asyncio.gather(
            *[self.queue.change_visibility(message, seconds) for message in self.messages.values()],
            return_exceptions=True,
        )


@asynccontextmanager
async def held(queue: Queue, limit: int) -> AsyncIterator[Held]:
    """Receive up to `limit` messages; those that are left at the end can be seen again at once."""
    found = Held(queue, {}, (await queue.counts()).in_flight)
    try:
        while (free := limit - len(found.messages)) > 0:
            if not await found.take_up(free, wait=WAIT_SECONDS):
                break
        yield found
    finally:
        await found.give_back()


def letter_of(message: Message) -> Letter:
    """Read a message of the dead-letter queue."""
    told = message.told
    sent = iso(datetime.fromtimestamp(message.sent_at, UTC))
    return Letter(
        message,
        told.get("message_id", message.id),
        told.get("error_code", EXHAUSTED),
        told.get("error_message") or "SQS moved it here after the last attempt failed; the log says why",
        told.get("batch_id") or _batch_of(message.body),
        told.get("failed_at", sent),
        asks_for(message.body),
    )


def _batch_of(body: str) -> str:
    try:
        return str(json.loads(body).get("batch_id", "none"))
    except (ValueError, AttributeError):
        return "none"


def asks_for(body: str) -> str:
    """Say in a few words what a message asks for, as far as it can be told."""
    try:
        asked = json.loads(body)
        if "Message" in asked:
            asked = json.loads(asked["Message"])
        if "Records" in asked:
            return ", ".join(
                f"s3://{one['s3']['bucket']['name']}/{one['s3']['object']['key']}" for one in asked["Records"]
            )
        if "detail" in asked:
            return f"s3://{asked['detail']['bucket']['name']}/{asked['detail']['object']['key']}"
        if asked.get("processing_type") == "csv_s3":
            return f"s3://{asked.get('s3_bucket', '')}/{asked['s3_key']}"
        if asked.get("processing_type") == "batch_chunk":
            return f"chunk {asked['chunk']}"
        return str(asked["processing_type"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return without_signatures(body[:_SHOWN].replace("\n", " "))


def counted(letters: Iterable[Letter]) -> dict[str, int]:
    """Count letters by their causes, the most first."""
    counts: dict[str, int] = {}
    for letter in letters:
        counts[letter.cause] = counts.get(letter.cause, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
