"""The heartbeat: keeps a message invisible to others while it is worked on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from worker.aws.sqs import Message, Queue
from worker.errors import Interrupted, JobReason, RetryableError

log = structlog.get_logger(__name__)

LONGEST_HOLD = 11.5 * 3600
"""Seconds. SQS lets nobody hold a message longer than 12 hours from its receive."""


class HeartbeatLost(RetryableError):
    """The message's visibility could not be extended in time: another worker may have it, so its work must end."""


@asynccontextmanager
async def kept_invisible(queue: Queue, message: Message, visibility: float) -> AsyncIterator[None]:
    """Extend the message's visibility while the body runs; ends the body with `HeartbeatLost` or `Interrupted`."""
    async with asyncio.TaskGroup() as tasks:
        beat = tasks.create_task(_beat(queue, message, visibility))
        yield
        beat.cancel()


async def _beat(queue: Queue, message: Message, visibility: float) -> None:
    received = extended = time.monotonic()
    while True:
        await asyncio.sleep(visibility / 3)
        if time.monotonic() - received > LONGEST_HOLD:
            raise Interrupted(JobReason.INTERRUPTED, "the message was held as long as SQS allows")
        try:
            asked = time.monotonic()
            async with asyncio.timeout(min(visibility / 3, extended + visibility - asked)):
                await queue.change_visibility(message, visibility)
            extended = asked
        except (RetryableError, TimeoutError) as error:
            log.warning("heartbeat.failed", error=str(error) or "no answer in time")
            if time.monotonic() - extended > visibility * 0.9:
                raise HeartbeatLost(JobReason.AWS_UNAVAILABLE, "the message's visibility has run out") from error
