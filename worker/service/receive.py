"""The receive loop: takes messages while there are free slots, works on them, and drains when asked to stop."""

import asyncio
import random
import time
from contextlib import suppress
from typing import Any, Protocol

import structlog

from worker.aws.emf import Metrics
from worker.aws.sqs import Message, Queue
from worker.errors import HeartbeatLost, JobError, JobReason, TerminalError, Unavailable
from worker.failpoints import failpoint
from worker.jobs.messages import JobDefaults, parse
from worker.jobs.outcomes import combined, outcome_of
from worker.model import ChunkJob, Job, Outcome, Retryable, Terminal
from worker.service.fate import settle
from worker.service.heartbeat import kept_invisible
from worker.service.protection import ScaleIn
from worker.tasks import first_failure

log = structlog.get_logger(__name__)

HAND_BACK = 5.0
"""Seconds of the grace period that are kept for handing messages back."""

PAUSE_AFTER_FAILURE = 2.0
"""Seconds, give or take a half, between polls while SQS does not answer; the SDK has retried by then."""

PAUSE_WHILE_BLOCKED = 5.0
"""Seconds between looks whether a deployment still wants to replace this task."""

Poll = asyncio.Task[list[Message]]


class RunsJobs(Protocol):
    """Does jobs; see `worker.jobs.dispatch.JobWork`."""

    async def run(self, job: Job | ChunkJob, message_id: str, stop: asyncio.Event) -> Outcome:
        """Do the job and say what becomes of its message."""

    async def refuse(self, message_id: str, error: TerminalError) -> str:
        """Record a message that asks for nothing that can be done; returns the id it is recorded under."""


class Receiver:
    """Works on messages until `stop` is set; then hands back what does not finish within the grace period."""

    def __init__(
        self,
        queue: Queue,
        jobs: RunsJobs,
        defaults: JobDefaults,
        metrics: Metrics,
        *,
        slots: int,
        wait: int,
        visibility: float,
        grace: float,
        scale_in: ScaleIn | None = None,
    ) -> None:
        self._queue = queue
        self._jobs = jobs
        self._defaults = defaults
        self._metrics = metrics
        self._slots = slots
        self._wait = wait
        self._visibility = visibility
        self._grace = grace
        self._scale_in = scale_in or ScaleIn(None)
        self._messages: set[asyncio.Task[None]] = set()
        self._work: set[asyncio.Task[Outcome | None]] = set()
        self._polled_at = time.monotonic()

    @property
    def in_flight(self) -> int:
        """Messages being worked on."""
        return len(self._messages)

    @property
    def silent_for(self) -> float:
        """Seconds since a poll last came to its end, with messages or with an error; 0 while every slot is taken.

        Not whether SQS answers: a restart mends no outage of AWS, and ends the work at hand.
        """
        return 0.0 if self.in_flight >= self._slots else time.monotonic() - self._polled_at

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """Receive until `stop` is set, then drain. `hurry` ends the grace period at once."""
        stopping, hurrying = asyncio.create_task(stop.wait()), asyncio.create_task(hurry.wait())
        try:
            async with asyncio.TaskGroup() as group:
                poll = await self._receive(group, stop, stopping)
                log.info("worker.draining", in_flight=self.in_flight, grace=self._grace)
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, self._grace - HAND_BACK)):
                        await self._drain(group, poll, stop, hurrying)
                for work in self._work:
                    work.cancel()
        finally:
            for work in self._work:  # none is left unless something crashed: then leases are given back at least
                work.cancel()
            stopping.cancel()
            hurrying.cancel()

    async def _receive(
        self, group: asyncio.TaskGroup, stop: asyncio.Event, stopping: "asyncio.Task[Any]"
    ) -> Poll | None:
        """Poll while there are free slots, until stopped; returns the poll that was under way then.

        A poll is never cut off: SQS may be handing out a message at that very moment, which nobody would see until
        its visibility ends.
        """
        while not stop.is_set():
            free = self._slots - self.in_flight
            if self._scale_in.blocked:
                await asyncio.wait({stopping}, timeout=PAUSE_WHILE_BLOCKED)
                self._polled_at = time.monotonic()
                continue
            if free <= 0:
                await asyncio.wait({*self._messages, stopping}, return_when=asyncio.FIRST_COMPLETED)
                self._polled_at = time.monotonic()
                continue
            poll = asyncio.create_task(
                self._queue.receive(free, wait=self._wait, visibility=self._visibility), name="poll"
            )
            try:
                await asyncio.wait({poll, stopping}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:  # something crashed: nobody is left to take up what this poll brings
                poll.cancel()
                raise
            if not poll.done():
                return poll
            if not self._take_up(poll, group, stop):
                await asyncio.wait({stopping}, timeout=PAUSE_AFTER_FAILURE * random.uniform(0.5, 1.5))  # noqa: S311 -- jitter
        return None

    async def _drain(
        self, group: asyncio.TaskGroup, poll: Poll | None, stop: asyncio.Event, hurrying: "asyncio.Task[Any]"
    ) -> None:
        """Wait for the last poll and the messages in flight; those that come with the poll are handed back at once."""
        try:
            if poll is not None:
                await asyncio.wait({poll, hurrying}, return_when=asyncio.FIRST_COMPLETED)
                if poll.done():
                    self._take_up(poll, group, stop)
            while self._messages and not hurrying.done():
                await asyncio.wait({*self._messages, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if poll is not None:
                poll.cancel()

    def _take_up(self, poll: Poll, group: asyncio.TaskGroup, stop: asyncio.Event) -> bool:
        """Begin to work on what a poll brought; False where it failed."""
        self._polled_at = time.monotonic()
        try:
            received = poll.result()
        except Unavailable as error:
            log.warning("queue.receive_failed", error=str(error))
            return False
        for message in received:
            task = group.create_task(self._see_through(message, stop))
            self._messages.add(task)
            task.add_done_callback(self._message_done)
        self._scale_in.busy(bool(self._messages))
        return True

    def _message_done(self, task: "asyncio.Task[None]") -> None:
        self._messages.discard(task)
        self._scale_in.busy(bool(self._messages))

    async def _see_through(self, message: Message, stop: asyncio.Event) -> None:
        """Work on one message and settle its fate. The work is a task of its own: it can be ended, the fate not."""
        with structlog.contextvars.bound_contextvars(message_id=message.id):
            self._metrics.record("QueueDelay", max(0.0, time.time() - message.sent_at))
            log.info("message.received", receives=message.receives)
            failpoint("receive.received")
            work = asyncio.create_task(self._outcome(message, stop))
            self._work.add(work)
            work.add_done_callback(self._work.discard)
            await asyncio.wait({work})
            if work.cancelled():
                outcome: Outcome | None = Retryable(JobReason.INTERRUPTED, "the worker is stopping", False)
            else:
                outcome = work.result()
            if outcome is not None:
                failpoint("receive.decided")
                await settle(self._queue, message, outcome)

    async def _outcome(self, message: Message, stop: asyncio.Event) -> Outcome | None:
        """Do what a message asks for; None where it is not ours any more."""
        if stop.is_set():
            return Retryable(JobReason.INTERRUPTED, "the worker is stopping", costs_attempt=False)
        try:
            return await self._do(message, stop)
        except BaseExceptionGroup as failures:
            match first_failure(failures):
                case HeartbeatLost() as error:
                    log.error("message.lost", error=str(error))  # noqa: TRY400 -- the text says it all
                    return None
                case JobError() as error:
                    return outcome_of(error, None)
                case Exception() as error:
                    log.error("message.failed_unexpectedly", exc_info=error)  # noqa: TRY400 -- it is the error within the group
                    return Retryable(JobReason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")
                case error:
                    raise error from None

    async def _do(self, message: Message, stop: asyncio.Event) -> Outcome:
        async with kept_invisible(self._queue, message, self._visibility):
            try:
                parsed = parse(message.body, self._defaults)
            except TerminalError as error:
                identifier = await self._jobs.refuse(message.id, error)
                failpoint("receive.refused")
                return Terminal(error.reason, str(error), identifier)
            for reason in parsed.ignored:
                log.info("message.asks_for_nothing", reason=reason)
            failpoint("receive.understood")
            return combined([await self._jobs.run(job, message.id, stop) for job in parsed.jobs])
