"""What happens to a message after its work. Only the outcome decides, and only this code deletes messages."""

import random
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from worker.aws.sqs import Message, Queue
from worker.errors import HeartbeatLost, JobError
from worker.failpoints import failpoint
from worker.model import Outcome, Retryable, Succeeded, Terminal

log = structlog.get_logger(__name__)

BACKOFF = 10.0
"""Seconds; doubled for each receive that the message already had."""

MAX_BACKOFF = 900.0


async def settle(queue: Queue, message: Message, outcome: Outcome) -> None:
    """Delete the message, send it to the dead-letter queue, or give it back.

    The steps are ordered so that a crash between two of them leaves one message too many, never one too few. Where SQS
    does not answer, the message comes back by itself when its visibility ends; its work can be repeated.
    """
    try:
        match outcome:
            case Succeeded():
                failpoint("fate.before_delete")
                await queue.delete(message)
                failpoint("fate.deleted")
                log.info("message.deleted")
            case Terminal():
                log.error("message.failed", reason=outcome.reason, error=outcome.message, batch_id=outcome.batch_id)
                failpoint("fate.before_dead_letter")
                await queue.send_dead_letter(
                    message,
                    code=outcome.reason,
                    text=outcome.message,
                    batch_id=outcome.batch_id,
                    failed_at=datetime.now(UTC),
                )
                failpoint("fate.dead_letter_sent")
                await queue.delete(message)
                failpoint("fate.failed_deleted")
            case Retryable(costs_attempt=False):
                failpoint("fate.before_copy")
                await queue.send_copy(message, delay=outcome.delay)
                failpoint("fate.copy_sent")
                await queue.delete(message)
                failpoint("fate.copied_deleted")
                log.info("message.handed_back", reason=outcome.reason, why=outcome.message, delay=outcome.delay)
            case Retryable():
                delay = retry_delay(message.receives)
                failpoint("fate.before_release")
                await queue.change_visibility(message, delay)
                failpoint("fate.released")
                log.warning(
                    "message.released",
                    reason=outcome.reason,
                    error=outcome.message,
                    delay=round(delay, 1),
                    receives=message.receives,
                )
    except (JobError, HeartbeatLost) as error:
        log.warning("message.fate_failed", error=str(error))


def retry_delay(receives: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Return the seconds until the next try: exponential by receive count (from 1), with full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return uniform(0.0, min(MAX_BACKOFF, BACKOFF * 2.0 ** min(receives, 16)))
