"""What happens to a message after its work. Only the outcome decides, and only this code deletes messages."""

import random
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from worker.aws.sqs import Message, Queue
from worker.failpoints import failpoint
from worker.model import Outcome, Retryable, Succeeded, Terminal

log = structlog.get_logger(__name__)

BACKOFF = 10.0
"""Seconds; doubled for each receive that the message already had."""

MAX_BACKOFF = 900.0


class Settlement:
    """What remains to be done with one message: delete it, send it to the dead-letter queue, or give it back.

    The steps are ordered so that a crash between two of them leaves one message too many, never one too few.
    """

    def __init__(self, queue: Queue, message: Message, outcome: Outcome) -> None:
        self._queue = queue
        self._message = message
        self._outcome = outcome
        self._sent = False
        """Whether the copy or the dead letter is sent: it is not sent again."""

    @property
    def only_delete_left(self) -> bool:
        """Whether the message only has to be deleted: everything else is done."""
        return self._sent or isinstance(self._outcome, Succeeded)

    async def settle(self) -> None:
        """Take the steps that remain; called again after a failure, go on where it failed.

        Raises `JobError` where SQS refuses, and `HeartbeatLost` where the message is not ours any more.
        """
        match self._outcome:
            case Succeeded():
                await self._delete()
            case Terminal():
                await self._bury(self._outcome)
            case Retryable(costs_attempt=False):
                await self._replace(self._outcome)
            case Retryable():
                await self._release(self._outcome)

    async def _delete(self) -> None:
        failpoint("fate.before_delete")
        await self._queue.delete(self._message)
        failpoint("fate.deleted")
        log.info("message.deleted")

    async def _bury(self, outcome: Terminal) -> None:
        if not self._sent:
            log.error("message.failed", reason=outcome.reason, error=outcome.message, batch_id=outcome.batch_id)
            failpoint("fate.before_dead_letter")
            await self._queue.send_dead_letter(
                self._message,
                code=outcome.reason,
                text=outcome.message,
                batch_id=outcome.batch_id,
                failed_at=datetime.now(UTC),
            )
            failpoint("fate.dead_letter_sent")
            self._sent = True
        await self._queue.delete(self._message)
        failpoint("fate.failed_deleted")

    async def _replace(self, outcome: Retryable) -> None:
        if not self._sent:
            failpoint("fate.before_copy")
            await self._queue.send_copy(self._message, delay=outcome.delay)
            failpoint("fate.copy_sent")
            self._sent = True
        await self._queue.delete(self._message)
        failpoint("fate.copied_deleted")
        log.info("message.handed_back", reason=outcome.reason, why=outcome.message, delay=outcome.delay)

    async def _release(self, outcome: Retryable) -> None:
        delay = retry_delay(self._message.receives)
        failpoint("fate.before_release")
        await self._queue.change_visibility(self._message, delay)
        failpoint("fate.released")
        log.warning(
            "message.released",
            reason=outcome.reason,
            error=outcome.message,
            delay=round(delay, 1),
            receives=self._message.receives,
        )


def retry_delay(receives: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Return the seconds until the next try: exponential by receive count (from 1), with full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return uniform(0.0, min(MAX_BACKOFF, BACKOFF * 2.0 ** min(receives, 16)))
