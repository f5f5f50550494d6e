"""The receive loop: takes messages while there are free slots, works on them, and drains when asked to stop."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from worker.aws.emf import Metrics
from worker.aws.sqs import Message, Queue
from worker.errors import Dependency, HeartbeatLost, JobError, JobReason, TerminalError, Unavailable
from worker.failpoints import failpoint
from worker.jobs.batch import Delivery
from worker.jobs.messages import JobDefaults, parse
from worker.jobs.outcomes import combined, outcome_of
from worker.model import ChunkJob, Job, Outcome, Retryable, Terminal
from worker.service.breaker import Breakers
from worker.service.fate import Settlement
from worker.service.heartbeat import kept_invisible
from worker.service.protection import ScaleIn
from worker.tasks import first_failure, unwrapped

log = structlog.get_logger(__name__)

Poll = asyncio.Task[list[Message]]


@dataclass(frozen=True, slots=True)
class ReceiverTimes:
    """How long a receiver waits, in seconds."""

    wait: int
    """For messages, in one call to SQS."""
    visibility: float
    """For which a message stays invisible to others; the heartbeat extends it."""
    grace: float
    """From the signal to stop until unfinished work is handed back."""
    hand_back: float = 5.0
    """The part of the grace period that is kept for handing messages back."""
    last_settlements: float = 10.0
    """That giving leases and messages back may take after that; a message that is not settled then comes back by itself
    when its visibility ends."""
    settle_again: float = 10.0
    """Between two tries to settle a message while SQS does not answer, at most; sooner where a probe says so."""
    look_again: float = 5.0
    """Between looks whether a deployment still wants to replace this task."""


class RunsJobs(Protocol):
    """Does jobs; see `worker.jobs.batch.BatchWork`."""

    async def run(self, job: Job | ChunkJob, delivery: Delivery, stop: asyncio.Event) -> Outcome:
        """Do the job and say what becomes of its message."""

    async def refuse(self, delivery: Delivery, error: TerminalError) -> str:
        """Record a message that cannot be understood; return the id of its record."""


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
        times: ReceiverTimes,
        scale_in: ScaleIn | None = None,
        breakers: Breakers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._jobs = jobs
        self._defaults = defaults
        self._metrics = metrics
        self._slots = slots
        self._times = times
        self._scale_in = scale_in or ScaleIn(None)
        self._breakers = breakers or Breakers()
        self._clock = clock
        self._trial: asyncio.Task[None] | None = None
        """The message that was let through to see whether a dependency answers again."""
        self._messages: set[asyncio.Task[None]] = set()
        self._work: set[asyncio.Task[Outcome | None]] = set()
        self._polled_at = self._clock()

    @property
    def in_flight(self) -> int:
        """Messages being worked on."""
        return len(self._messages)

    @property
    def waits_for(self) -> dict[str, dict[str, Any]]:
        """The dependencies that are refused, by name: for how long, and why. Nothing new is taken on meanwhile."""
        return self._breakers.down()

    @property
    def silent_for(self) -> float:
        """Seconds since a poll last came to its end, with messages or with an error; 0 while every slot is taken.

        Not whether SQS answers: a restart mends no outage of AWS, and ends the work at hand.
        """
        return 0.0 if self.in_flight >= self._slots else self._clock() - self._polled_at

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """Receive until `stop` is set, then drain. `hurry` ends the grace period at once."""
        stopping, hurrying = asyncio.create_task(stop.wait()), asyncio.create_task(hurry.wait())
        try:
            async with asyncio.TaskGroup() as group:
                poll = await self._receive(group, stop, stopping)
                log.info("worker.draining", in_flight=self.in_flight, grace=self._times.grace)
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, self._times.grace - self._times.hand_back)):
                        await self._drain(group, poll, stop, hurrying)
                await self._end_work()
        finally:
            for work in self._work:  # none is left unless something crashed: then leases are given back at least
                work.cancel()
            stopping.cancel()
            hurrying.cancel()

    async def _end_work(self) -> None:
        """End the work that is left, and leave a while for its messages to be settled."""
        for work in self._work:
            work.cancel()
        if self._messages:
            await asyncio.wait(self._messages, timeout=self._times.last_settlements)
        for message in self._messages:
            message.cancel()

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
                await asyncio.wait({stopping}, timeout=self._times.look_again)
                self._polled_at = self._clock()
                continue
            if free <= 0:
                await asyncio.wait({*self._messages, stopping}, return_when=asyncio.FIRST_COMPLETED)
                self._polled_at = self._clock()
                continue
            if self._breakers.open or self._trial is not None:
                await self._wait_for_dependencies(stopping)
                self._polled_at = self._clock()
                continue
            limit = 1 if self._breakers.on_trial else free
            poll = asyncio.create_task(
                self._queue.receive(limit, wait=self._times.wait, visibility=self._times.visibility), name="poll"
            )
            try:
                await asyncio.wait({poll, stopping}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:  # something crashed: nobody is left to take up what this poll brings
                poll.cancel()
                raise
            if not poll.done():
                return poll
            self._take_up(poll, group, stop)
        return None

    async def _wait_for_dependencies(self, stopping: "asyncio.Task[Any]") -> None:
        """Wait for the next probe of a dependency that is refused, or for the end of a trial."""
        if self._breakers.open or self._trial is None:
            self._trial = None
            await self._breakers.probe(stopping)
            return
        await asyncio.wait(
            {self._trial, stopping}, timeout=self._breakers.trial_seconds_left, return_when=asyncio.FIRST_COMPLETED
        )
        if self._trial.done() or self._breakers.trial_seconds_left <= 0:
            self._trial = None
            self._breakers.trial_passed()  # unless the message met a refusal: then it is open again

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

    def _take_up(self, poll: Poll, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        """Begin to work on what a poll brought."""
        self._polled_at = self._clock()
        try:
            received = poll.result()
        except JobError as error:
            log.warning("queue.receive_failed", error=str(error))
            self._breakers.refused(Dependency.SQS, error.reason, str(error))
            return
        on_trial = self._breakers.on_trial
        for message in received:
            task = group.create_task(self._see_through(message, stop))
            self._messages.add(task)
            task.add_done_callback(self._message_done)
            self._trial = task if on_trial else None
        if on_trial and received:
            self._breakers.trial_begun()
        elif on_trial:
            self._breakers.trial_passed()  # SQS answered, and there is nothing that could be refused
        self._scale_in.busy(bool(self._messages))

    def _message_done(self, task: "asyncio.Task[None]") -> None:
        self._messages.discard(task)
        self._scale_in.busy(bool(self._messages))

    async def _see_through(self, message: Message, stop: asyncio.Event) -> None:
        """Work on one message and settle its fate. The work is a task of its own, so that it alone can be ended."""
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
                self._note_refusal(outcome)
                await self._settle(message, outcome)

    def _note_refusal(self, outcome: Outcome) -> None:
        if isinstance(outcome, Retryable) and outcome.refused_by is not None:
            self._breakers.refused(outcome.refused_by, outcome.reason, outcome.message)

    async def _settle(self, message: Message, outcome: Outcome) -> None:
        """Settle a message. If SQS does not answer, keep the message invisible, and settle it later."""
        settlement = Settlement(self._queue, message, outcome)
        try:
            await self._try_to_settle(settlement)
        except Unavailable:
            await self._settle_later(message, settlement)
        except (JobError, HeartbeatLost) as error:
            log.warning("message.fate_failed", error=str(error))

    async def _settle_later(self, message: Message, settlement: Settlement) -> None:
        try:
            with unwrapped():
                async with kept_invisible(self._queue, message, self._times.visibility):
                    await self._settle_when_answered(settlement)
        except (JobError, HeartbeatLost) as error:
            log.warning("message.fate_failed", error=str(error))
            if error.reason is JobReason.MESSAGE_LOST or not settlement.only_delete_left:
                return  # it comes back by itself
            with suppress(JobError, HeartbeatLost):
                await self._settle_when_answered(settlement)

    async def _settle_when_answered(self, settlement: Settlement) -> None:
        while True:
            patience = self._times.settle_again * random.uniform(0.1, 1.0)  # noqa: S311 -- jitter
            await self._breakers.answers(Dependency.SQS, patience=patience)
            with suppress(Unavailable):
                return await self._try_to_settle(settlement)

    async def _try_to_settle(self, settlement: Settlement) -> None:
        try:
            await settlement.settle()
        except Unavailable as error:
            log.warning("message.fate_failed", error=str(error))
            self._breakers.refused(error.dependency, error.reason, str(error))
            raise

    async def _outcome(self, message: Message, stop: asyncio.Event) -> Outcome | None:
        """Do what a message asks for; return None if it is not ours any more."""
        if stop.is_set():
            return Retryable(JobReason.INTERRUPTED, "the worker is stopping", costs_attempt=False)
        if (refused := self._breakers.refusing_work()) is not None:  # it came with a poll that was under way
            return refused
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
        delivery = Delivery(message.id, message.sent_at, self._queue.is_last(message))
        async with kept_invisible(self._queue, message, self._times.visibility):
            try:
                parsed = parse(message.body, self._defaults)
            except TerminalError as error:
                identifier = await self._jobs.refuse(delivery, error)
                failpoint("receive.refused")
                return Terminal(error.reason, str(error), identifier)
            for reason in parsed.ignored:
                log.info("message.asks_for_nothing", reason=reason)
            failpoint("receive.understood")
            return combined([await self._jobs.run(job, delivery, stop) for job in parsed.jobs])
