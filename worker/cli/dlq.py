"""`dlq list` and `dlq redrive`: what is in the dead-letter queue and why, and the way back."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from operator import itemgetter

from worker.aws.clients import Clients, open_clients
from worker.aws.sqs import MAX_RECEIVE, Message, Queue, redrive_policy_of
from worker.cli.terminal import stderr, stdout
from worker.errors import JobReason, SettingsError
from worker.keys import iso
from worker.masks import without_signatures
from worker.settings import Settings

HELD = 300.0
"""Seconds that messages are out of sight while they are looked at; given back earlier."""

WAIT = 2
"""Seconds of a poll. One that brings nothing was the last: a long poll asks every server of the queue."""

EXHAUSTED = "attempts_exhausted"
"""The cause of what SQS moved here by itself: it came without a reason, after three failed attempts."""

_SHOWN = 200


async def list_dead_letters(settings: Settings, *, as_json: bool, limit: int) -> int:
    """Show the messages and their causes; returns the exit code."""
    async with open_clients(region=settings.aws_region, endpoint_url=settings.aws_endpoint_url) as clients:
        queue = await _dead_letters(settings, clients)
        async with _held(queue, limit) as found:
            letters = sorted(map(_told, found.values()), key=itemgetter("failed_at"))
    causes = Counter(letter["error_code"] for letter in letters)
    if as_json:
        stdout.print(json.dumps({"by_cause": causes, "messages": letters}, ensure_ascii=False), markup=False)
        return 0
    for letter in letters:
        _show("{failed_at}  {error_code:<20} {batch_id}  {asks_for}\n    {error_message}", letter)
    _sum_up(causes, "in the dead-letter queue", limit)
    return 0


async def redrive(settings: Settings, causes: frozenset[str], *, dry_run: bool, limit: int) -> int:
    """Send the messages with these causes back, all where none is named; returns the exit code.

    Each is sent before it is deleted: should this end in between, there is one too many, which costs nothing. All are
    received before the first is sent, so that one that fails again at once is not sent twice.
    """
    known = {*JobReason, EXHAUSTED}
    if unknown := sorted(causes - known):
        stderr.print(f"unknown cause {', '.join(unknown)}; there are {', '.join(sorted(known))}", markup=False)
        return 2
    done: Counter[str] = Counter()
    async with open_clients(region=settings.aws_region, endpoint_url=settings.aws_endpoint_url) as clients:
        queue = await _dead_letters(settings, clients)
        back = Queue(clients.sqs, str(settings.sqs_queue_url), None)
        async with _held(queue, limit) as found:
            for message in list(found.values()):
                letter = _told(message)
                if causes and letter["error_code"] not in causes:
                    continue
                if not dry_run:
                    await back.send_copy(message, delay=0)
                    await queue.delete(message)
                    del found[message.id]
                done[letter["error_code"]] += 1
                _show("{message_id}  {error_code:<20} {batch_id}  {asks_for}", letter)
    _sum_up(done, "would be sent back" if dry_run else "sent back", limit)
    return 0


async def _dead_letters(settings: Settings, clients: Clients) -> Queue:
    url = settings.sqs_dlq_url
    if url is None and settings.sqs_queue_url is not None:
        url = (await redrive_policy_of(clients.sqs, settings.sqs_queue_url)).dead_letter_url
    if url is None:
        raise SettingsError(
            "SQS_DLQ_URL: it is not set, and no SQS_QUEUE_URL has a redrive policy that names the queue"
        )
    return Queue(clients.sqs, url, None)


@asynccontextmanager
async def _held(queue: Queue, limit: int) -> AsyncIterator[dict[str, Message]]:
    """Receive up to `limit` messages by their ids; those that are left at the end can be seen again at once."""
    held: dict[str, Message] = {}
    try:
        while (free := limit - len(held)) > 0:
            some = await queue.receive(min(free, MAX_RECEIVE), wait=WAIT, visibility=HELD)
            if not some:
                break
            held |= {message.id: message for message in some}
        yield held
    finally:
        # One that cannot be given back comes back by itself.
        await asyncio.gather(
            *[queue.change_visibility(message, 0) for message in held.values()], return_exceptions=True
        )


def _told(message: Message) -> dict[str, str]:
    sent = iso(datetime.fromtimestamp(message.sent_at, UTC))
    code = message.told.get("error_code", EXHAUSTED)
    text = message.told.get("error_message") or "SQS moved it here after the last attempt failed; the log says why"
    return {
        "message_id": message.told.get("message_id", message.id),
        "error_code": code,
        "error_message": text,
        "batch_id": message.told.get("batch_id", "none"),
        "failed_at": message.told.get("failed_at", sent),
        "asks_for": _asks_for(message.body),
        "body": without_signatures(message.body),
    }


def _asks_for(body: str) -> str:
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


def _show(form: str, letter: Mapping[str, str]) -> None:
    """Print what is told of a message; nothing that somebody sent may steer the terminal."""
    safe = {name: "".join(char if char.isprintable() else "?" for char in text) for name, text in letter.items()}
    stdout.print(form.format_map(safe), markup=False)


def _sum_up(causes: Counter[str], what: str, limit: int) -> None:
    total = causes.total()
    by_cause = ", ".join(f"{count} {cause}" for cause, count in causes.most_common())
    stderr.print(f"{total} {what}{': ' if total else ''}{by_cause}", markup=False)
    if total == limit:
        stderr.print(f"there may be more than these {limit}: --limit looks at more", markup=False)
