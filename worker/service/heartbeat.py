"""The heartbeat: keeps a message invisible to others while it is worked on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from worker.aws.sqs import Message, Queue
from worker.errors import HeartbeatLost, Interrupted, JobError, JobReason

log = structlog.get_logger(__name__)

LONGEST_HOLD = 11.5 * 3600
"""Seconds. SQS lets a consumer hold a message for 12 hours from its receive, and no longer."""

MARGIN = 0.1
"""Share of the visibility that is left when a message that could not be extended counts as lost: in that time its work
ends, before another worker can receive the message."""


@asynccontextmanager
async def kept_invisible(queue: Queue, message: Message, visibility: float) -> AsyncIterator[None]:
    """Extend the message's visibility while the body runs; ends the body with `HeartbeatLost` or `Interrupted`."""
    async with asyncio.TaskGroup() as tasks:
        beat = tasks.create_task(_beat(queue, message, visibility))
        yield
        beat.cancel()


async def _beat(queue: Queue, message: Message, visibility: float) -> None:
    pause = max(0.0, message.extended + visibility / 3 - time.monotonic())
    while True:
        await asyncio.sleep(pause)
        if time.monotonic() - message.received > LONGEST_HOLD:
            raise Interrupted(JobReason.INTERRUPTED, "the message was held as long as SQS allows")
        lost_at = message.extended + visibility * (1 - MARGIN)
        try:
            asked = time.monotonic()
            async with asyncio.timeout(min(visibility / 3, lost_at - asked)):
                await queue.change_visibility(message, visibility)
            message.extended, pause = asked, visibility / 3
        except (JobError, TimeoutError) as error:  # whatever it is: it says nothing of the work
            log.warning("heartbeat.failed", error=str(error) or "no answer in time")
            left = lost_at - time.monotonic()
            if left <= 0:
                raise HeartbeatLost(JobReason.AWS_UNAVAILABLE, "the message's visibility is about to end") from error
            pause = min(visibility / 12, left)
