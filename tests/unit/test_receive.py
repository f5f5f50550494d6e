"""The receive loop: what it asks for, what becomes of messages, and how it stops."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from tests.unit.fakes import FakeBatches, FakeQueue, message, outage
from worker.aws.emf import Metrics
from worker.errors import Dependency, JobReason, Unavailable
from worker.jobs.messages import JobDefaults
from worker.model import Job, Outcome, ProcessingConfig, Retryable, Succeeded, Terminal
from worker.service.breaker import Breakers, BreakerTimes, Probe
from worker.service.protection import ScaleIn
from worker.service.receive import Receiver, ReceiverTimes

BUCKET = "tiktok-image-input"
DEFAULTS = JobDefaults(ProcessingConfig(), "", BUCKET, frozenset({BUCKET}))
WORK = json.dumps({"processing_type": "csv_s3", "s3_key": "a.csv"})

Answer = Callable[[Job, asyncio.Event], Awaitable[Outcome]]

QUICK = BreakerTimes(first_pause=0.001, longest_pause=0.001)
SLOW = BreakerTimes(first_pause=1_000.0, longest_pause=1_000.0)
TIMES = ReceiverTimes(wait=20, visibility=60.0, grace=65.0, settle_again=0.001, look_again=0.001)


async def succeed(_job: Job, _stop: asyncio.Event) -> Outcome:
    return Succeeded()


class Working:
    """Work that goes on until it is told to end; `began` counts."""

    def __init__(self) -> None:
        self.began = asyncio.Semaphore(0)
        self.end = asyncio.Event()
        self.cancelled = 0

    async def __call__(self, _job: Job, _stop: asyncio.Event) -> Outcome:
        self.began.release()
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Succeeded()


class Bench:
    """A receiver at work, its queue and its switches."""

    def __init__(
        self,
        answer: Answer = succeed,
        *,
        slots: int = 4,
        scale_in: ScaleIn | None = None,
        probes: Mapping[Dependency, Probe] | None = None,
        pauses: BreakerTimes = QUICK,
        times: ReceiverTimes = TIMES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.queue = FakeQueue()
        self.stop, self.hurry = asyncio.Event(), asyncio.Event()
        self.out = io.StringIO()
        self.metrics = Metrics("Test", self.out)
        self.breakers = Breakers({Dependency.SQS: self.queue.probe} if probes is None else probes, times=pauses)
        self.receiver = Receiver(
            self.queue,  # type: ignore[arg-type]
            FakeBatches(answer),  # type: ignore[arg-type]
            DEFAULTS,
            self.metrics,
            slots=slots,
            times=times,
            scale_in=scale_in,
            breakers=self.breakers,
            clock=clock,
        )

    async def polled(self, times: int) -> None:
        async with asyncio.timeout(5):
            while len(self.queue.polls) < times:
                self.queue.polled.clear()
                await self.queue.polled.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        task = asyncio.create_task(self.receiver.run(self.stop, self.hurry))
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, BaseExceptionGroup):
                await task

    async def stopped(self, task: "asyncio.Task[None]") -> None:
        async with asyncio.timeout(5):
            await task


async def test_a_message_is_worked_on_and_deleted() -> None:
    bench = Bench()
    async with bench.running():
        bench.queue.feed(message("m1", WORK))
        await bench.queue.until("delete", "m1")
    bench.metrics.flush()
    assert "QueueDelay" in bench.out.getvalue()


async def test_it_asks_for_no_more_than_there_are_free_slots_and_not_at_all_when_there_are_none() -> None:
    working = Working()
    bench = Bench(working, slots=3)
    async with bench.running():
        bench.queue.feed(message("m1", WORK), message("m2", WORK))
        await bench.polled(2)
        bench.queue.feed(message("m3", WORK))
        for _ in range(3):
            await working.began.acquire()
        assert (bench.queue.polls, bench.receiver.in_flight) == ([3, 1], 3)
        assert bench.receiver.silent_for == 0.0, "there is nothing to poll for"
        working.end.set()
        await bench.polled(3)
        assert 1 <= bench.queue.polls[2] <= 3
        for name in ("m1", "m2", "m3"):
            await bench.queue.until("delete", name)


@pytest.mark.parametrize(
    ("body", "done"),
    [
        ("oops", ["send_dead_letter", "delete"]),
        (json.dumps({"Event": "s3:TestEvent"}), ["delete"]),
        (json.dumps({"processing_type": "csv_s3", "s3_key": "a", "oops": 1}), ["send_dead_letter", "delete"]),
    ],
)
async def test_a_message_that_asks_for_nothing_that_can_be_done_never_reaches_the_batches(
    body: str, done: list[str]
) -> None:
    async def never(_job: Job, _stop: asyncio.Event) -> Outcome:
        raise AssertionError

    bench = Bench(never)
    async with bench.running():
        bench.queue.feed(message("m1", body))
        await bench.queue.until("delete", "m1")
    assert [operation for operation, *_ in bench.queue.done] == done
    if "send_dead_letter" in done:
        assert bench.queue.done[0][-1] == "s3_message-m1", "it is recorded under an id of its own"


@pytest.mark.parametrize(
    ("outcome", "operation"),
    [
        (Succeeded(), "delete"),
        (Terminal(JobReason.MANIFEST_EMPTY, "empty", "b1"), "send_dead_letter"),
        (Retryable(JobReason.AWS_UNAVAILABLE, "no answer"), "change_visibility"),
        (Retryable(JobReason.LEASE_HELD, "held", costs_attempt=False, delay=3.0), "send_copy"),
    ],
)
async def test_the_outcome_decides_what_happens_to_the_message(outcome: Outcome, operation: str) -> None:
    async def answer(_job: Job, _stop: asyncio.Event) -> Outcome:
        return outcome

    bench = Bench(answer)
    async with bench.running():
        bench.queue.feed(message("m1", WORK))
        await bench.queue.until(operation)
    assert bench.queue.done[0][0] == operation


async def test_an_error_nobody_thought_of_gives_the_message_back_and_the_worker_goes_on() -> None:
    errors = [RuntimeError("a bug")]

    async def answer(_job: Job, _stop: asyncio.Event) -> Outcome:
        if errors:
            raise errors.pop()
        return Succeeded()

    bench = Bench(answer)
    async with bench.running():
        bench.queue.feed(message("m1", WORK))
        await bench.queue.until("change_visibility", "m1")
        bench.queue.feed(message("m2", WORK))
        await bench.queue.until("delete", "m2")


async def test_a_message_whose_heartbeat_is_lost_is_left_alone() -> None:
    working = Working()
    bench = Bench(working, times=replace(TIMES, visibility=0.03))
    bench.queue.failing["change_visibility"] = outage("sqs")
    async with bench.running():
        bench.queue.feed(message("m1", WORK))
        await working.began.acquire()
        async with asyncio.timeout(5):
            while bench.receiver.in_flight:
                await asyncio.sleep(0.001)
    assert working.cancelled == 1
    assert bench.queue.done == [], "another worker may have it"


async def test_one_message_with_several_jobs_has_one_fate() -> None:
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": BUCKET}, "object": {"key": "csv-files/a.csv", "eTag": "e"}},
    }
    outcomes: list[Outcome] = [Succeeded(), Retryable(JobReason.AWS_UNAVAILABLE, "no answer")]

    async def answer(_job: Job, _stop: asyncio.Event) -> Outcome:
        return outcomes.pop()

    bench = Bench(answer)
    async with bench.running():
        bench.queue.feed(message("m1", json.dumps({"Records": [record, record]})))
        await bench.queue.until("change_visibility", "m1")
    assert outcomes == []
    assert len(bench.queue.done) == 1


async def test_a_poll_that_fails_is_followed_by_a_pause_and_another() -> None:
    bench = Bench()
    async with bench.running():
        for _ in range(3):
            bench.queue.feed_failure(outage("sqs"))
        bench.queue.feed(message("m1", WORK))
        await bench.queue.until("delete", "m1")


async def test_a_pause_after_a_failed_poll_ends_at_once_when_asked_to_stop() -> None:
    bench = Bench(pauses=SLOW)
    async with bench.running() as task:
        bench.queue.feed_failure(outage("sqs"))
        await bench.polled(1)
        bench.stop.set()
        await bench.stopped(task)


async def test_a_worker_whose_polls_fail_is_alive_and_one_whose_poll_does_not_end_is_silent() -> None:
    """A restart mends no outage of AWS, and it ends the work at hand."""
    seconds = 0.0
    bench = Bench(clock=lambda: seconds)
    async with bench.running():
        await bench.polled(1)
        seconds = 100.0
        assert bench.receiver.silent_for == 100.0
        bench.queue.feed_failure(outage("sqs"))
        await bench.polled(2)
        assert bench.receiver.silent_for == 0.0


# --- dependencies that refuse ---------------------------------------------------------------------------------------

REFUSED = Retryable(
    JobReason.AWS_UNAVAILABLE, "no answer", costs_attempt=False, delay=0.0, refused_by=Dependency.DYNAMODB
)


class Away:
    """A dependency that is away until it is told to come back, its probe, and the work that needs it."""

    def __init__(self) -> None:
        self.away = True
        self.probes = 0
        self.probed = asyncio.Event()

    async def probe(self) -> None:
        self.probes += 1
        self.probed.set()
        if self.away:
            raise Unavailable(Dependency.DYNAMODB, JobReason.AWS_UNAVAILABLE, "no answer")

    async def work(self, _job: Job, _stop: asyncio.Event) -> Outcome:
        return REFUSED if self.away else Succeeded()

    async def until_probed(self, times: int) -> None:
        async with asyncio.timeout(5):
            while self.probes < times:
                self.probed.clear()
                await self.probed.wait()


async def test_while_a_dependency_refuses_nothing_is_taken_and_then_one_message_first() -> None:
    database = Away()
    bench = Bench(database.work, probes={Dependency.DYNAMODB: database.probe})
    async with bench.running():
        bench.queue.feed(message("m1", WORK))
        await bench.queue.until("delete", "m1")
        await bench.polled(2)  # the one that was under way
        bench.queue.feed(message("m2", WORK), message("m3", WORK))
        await bench.queue.until("delete", "m3")
        await database.until_probed(3)
        assert [len(bench.queue.polls), *bench.receiver.waits_for] == [2, "dynamodb"]
        database.away = False
        await bench.polled(3)
        bench.queue.feed(message("m4", WORK))
        await bench.queue.until("delete", "m4")
        await bench.polled(4)
    assert bench.queue.polls[2:] == [1, 4], "first one message, then as many as there are slots"
    assert bench.receiver.waits_for == {}
    copies = [name for operation, name, *_ in bench.queue.done if operation == "send_copy"]
    assert copies == ["m1", "m2", "m3"], "what was here is handed back, at no cost"


async def test_a_trial_whose_message_is_refused_is_followed_by_another() -> None:
    database = Away()
    bench = Bench(database.work, probes={})  # without probes, each of them is a trial
    async with bench.running():
        bench.queue.feed(message("m1", WORK))
        await bench.queue.until("delete", "m1")
        await bench.polled(2)
        bench.queue.feed()
        for number in range(3, 6):
            await bench.polled(number)
            bench.queue.feed(message(f"m{number}", WORK))
        await bench.queue.until("delete", "m5")
    assert bench.queue.polls[2:5] == [1, 1, 1]


async def test_a_trial_whose_message_goes_on_for_a_while_is_passed() -> None:
    working, refused = Working(), [REFUSED]

    async def work(job: Job, stop: asyncio.Event) -> Outcome:
        return refused.pop() if refused else await working(job, stop)

    bench = Bench(work, probes={}, pauses=replace(QUICK, trial=0.01))
    async with bench.running():
        bench.queue.feed(message("m1", WORK))
        await bench.queue.until("delete", "m1")
        await bench.polled(2)
        bench.queue.feed()
        await bench.polled(3)
        bench.queue.feed(message("m2", WORK))
        await working.began.acquire()
        await bench.polled(4)
        assert bench.queue.polls[2:] == [1, 3]
        assert working.cancelled == 0


@pytest.mark.parametrize(
    ("outcome", "failing", "done"),
    [
        (Succeeded(), "delete", ["delete"]),
        (Terminal(JobReason.MANIFEST_EMPTY, "empty", "b1"), "send_dead_letter", ["send_dead_letter", "delete"]),
        (Terminal(JobReason.MANIFEST_EMPTY, "empty", "b1"), "delete", ["send_dead_letter", "delete"]),
        (Retryable(JobReason.LEASE_HELD, "held", costs_attempt=False), "send_copy", ["send_copy", "delete"]),
        (Retryable(JobReason.LEASE_HELD, "held", costs_attempt=False), "delete", ["send_copy", "delete"]),
    ],
)
async def test_a_message_that_could_not_be_settled_is_kept_invisible_and_settled_when_sqs_answers(
    outcome: Outcome, failing: str, done: list[str]
) -> None:
    async def answer(_job: Job, _stop: asyncio.Event) -> Outcome:
        return outcome

    bench = Bench(answer, times=replace(TIMES, visibility=0.3))
    bench.queue.failing = {failing: outage("sqs"), "probe": outage("sqs")}
    async with bench.running():
        bench.queue.feed(message("m1", WORK))
        await bench.queue.until("change_visibility", "m1")
        assert "sqs" in bench.receiver.waits_for
        bench.queue.failing.clear()
        await bench.queue.until("delete", "m1")
    assert [operation for operation, *_ in bench.queue.done if operation != "change_visibility"] == done


async def test_a_message_that_is_not_ours_any_more_is_deleted_where_its_work_is_done_and_else_left_alone() -> None:
    outcomes: list[Outcome] = [Retryable(JobReason.LEASE_HELD, "held", costs_attempt=False), Succeeded()]

    async def answer(_job: Job, _stop: asyncio.Event) -> Outcome:
        return outcomes.pop()

    bench = Bench(answer, times=replace(TIMES, visibility=0.03))
    operations = ("delete", "send_copy", "probe", "change_visibility")
    bench.queue.failing = {operation: outage("sqs") for operation in operations}
    async with bench.running():
        bench.queue.feed(message("m1", WORK), message("m2", WORK))
        async with asyncio.timeout(5):
            while bench.receiver.in_flight != 1:  # the other is given up: its visibility has ended
                await asyncio.sleep(0.01)
        bench.queue.failing.clear()
        await bench.queue.until("delete")
    assert len(bench.queue.done) == 1


async def test_a_message_that_cannot_be_settled_does_not_keep_a_worker_from_stopping() -> None:
    bench = Bench(times=replace(TIMES, grace=0.02, hand_back=0.01, last_settlements=0.01))
    bench.queue.failing = {"delete": outage("sqs"), "probe": outage("sqs")}
    async with bench.running() as task:
        bench.queue.feed(message("m1", WORK))
        async with asyncio.timeout(5):
            while "sqs" not in bench.receiver.waits_for:
                await asyncio.sleep(0.01)
        bench.stop.set()
        await bench.stopped(task)
    assert bench.queue.done == []


async def test_a_poll_that_fails_as_nobody_thought_of_ends_the_worker() -> None:
    bench = Bench()
    async with bench.running() as task:
        bench.queue.feed_failure(RuntimeError("a bug"))
        with pytest.raises(BaseExceptionGroup) as caught:
            await bench.stopped(task)
        assert caught.group_contains(RuntimeError, match="a bug")


async def test_a_crash_while_a_fate_is_settled_ends_the_worker_loudly() -> None:
    bench = Bench()
    bench.queue.failing["delete"] = RuntimeError("a bug")
    async with bench.running() as task:
        bench.queue.feed(message("m1", WORK))
        with pytest.raises(BaseExceptionGroup) as caught:
            await bench.stopped(task)
        assert caught.group_contains(RuntimeError, match="a bug")


async def test_neither_poll_nor_work_outlives_a_worker_that_ends_loudly() -> None:
    working = Working()

    async def answer(job: Job, stop: asyncio.Event) -> Outcome:
        return await (working if job.output_prefix == "long/" else succeed)(job, stop)

    bench = Bench(answer)
    bench.queue.failing["delete"] = RuntimeError("a bug")
    long = json.dumps({"processing_type": "csv_s3", "s3_key": "a.csv", "output_prefix": "long/"})
    async with bench.running() as task:
        bench.queue.feed(message("m1", long))
        await working.began.acquire()
        bench.queue.feed(message("m2", WORK))
        with pytest.raises(BaseExceptionGroup):
            await bench.stopped(task)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*left, return_exceptions=True), 5)
    assert working.cancelled == 1


async def test_while_a_deployment_wants_to_replace_the_task_nothing_new_is_asked_for() -> None:
    looked = asyncio.Semaphore(0)

    class Blocking(ScaleIn):
        is_blocked = True

        @property
        def blocked(self) -> bool:
            looked.release()
            return self.is_blocked

    scale_in = Blocking(None)
    bench = Bench(scale_in=scale_in)
    async with bench.running(), asyncio.timeout(5):
        for _ in range(3):
            await looked.acquire()
        assert bench.queue.polls == []
        scale_in.is_blocked = False
        await bench.polled(1)


async def test_the_task_is_busy_from_the_first_message_to_the_end_of_the_last() -> None:
    told: list[bool] = []
    idle = asyncio.Event()

    class Noting(ScaleIn):
        def busy(self, is_busy: bool) -> None:
            told.append(is_busy)
            if not is_busy:
                idle.set()

    working = Working()
    bench = Bench(working, scale_in=Noting(None))
    async with bench.running():
        bench.queue.feed(message("m1", WORK), message("m2", WORK))
        await working.began.acquire()
        await bench.polled(2)
        assert told == [True]
        working.end.set()
        await asyncio.wait_for(idle.wait(), 5)
    assert told == [True, True, False]


# --- stopping -------------------------------------------------------------------------------------------------------


async def test_a_stop_before_the_first_poll_is_not_lost() -> None:
    bench = Bench()
    bench.stop.set()
    async with bench.running() as task:
        await bench.stopped(task)
    assert bench.queue.polls == []


@pytest.mark.parametrize("turns", [0, 1, 10])
async def test_messages_that_come_with_the_last_poll_are_handed_back(turns: int) -> None:
    bench = Bench()
    async with bench.running() as task:
        await bench.polled(1)
        bench.stop.set()
        for _ in range(turns):  # of the loop, in which the receiver gets from receiving to draining
            await asyncio.sleep(0)
        bench.queue.feed(message("m1", WORK), message("m2", WORK))
        await bench.stopped(task)
    assert sorted(bench.queue.done) == [
        ("delete", "m1"),
        ("delete", "m2"),
        ("send_copy", "m1", 0.0),
        ("send_copy", "m2", 0.0),
    ]
    assert bench.queue.polls == [4], "no further poll"


async def test_asked_to_stop_it_finishes_the_work_in_flight() -> None:
    working = Working()
    bench = Bench(working)
    async with bench.running() as task:
        bench.queue.feed(message("m1", WORK))
        await working.began.acquire()
        await bench.polled(2)
        bench.stop.set()
        bench.queue.feed()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
        working.end.set()
        await bench.stopped(task)
    assert bench.queue.done == [("delete", "m1")]
    assert working.cancelled == 0


async def test_work_is_told_of_the_stop() -> None:
    began = asyncio.Event()

    async def heed(_job: Job, stop: asyncio.Event) -> Outcome:
        began.set()
        await stop.wait()
        return Retryable(JobReason.INTERRUPTED, "3 of 5 creators are done", costs_attempt=False)

    bench = Bench(heed, slots=1)
    async with bench.running() as task:
        bench.queue.feed(message("m1", WORK))
        await began.wait()
        bench.stop.set()
        await bench.stopped(task)
    assert bench.queue.done == [("send_copy", "m1", 0.0), ("delete", "m1")]


async def test_at_the_end_of_the_grace_period_work_is_cancelled_and_its_message_handed_back() -> None:
    working = Working()
    bench = Bench(working, times=replace(TIMES, grace=0.02, hand_back=0.01))
    async with bench.running() as task:
        bench.queue.feed(message("m1", WORK))
        await working.began.acquire()
        await bench.polled(2)
        bench.stop.set()
        await bench.stopped(task)
    assert working.cancelled == 1
    assert bench.queue.done == [("send_copy", "m1", 0.0), ("delete", "m1")]


async def test_a_hurry_ends_the_grace_period_at_once() -> None:
    working = Working()
    bench = Bench(working, times=replace(TIMES, grace=3_600.0))
    async with bench.running() as task:
        bench.queue.feed(message("m1", WORK))
        await working.began.acquire()
        await bench.polled(2)
        bench.stop.set()
        bench.hurry.set()
        await bench.stopped(task)
    assert working.cancelled == 1
    assert bench.queue.done == [("send_copy", "m1", 0.0), ("delete", "m1")]


async def test_nothing_is_left_running_after_a_stop() -> None:
    bench = Bench()
    async with bench.running() as task:
        await bench.polled(1)
        bench.stop.set()
        bench.queue.feed()
        await bench.stopped(task)
        assert asyncio.all_tasks() == {asyncio.current_task()}
