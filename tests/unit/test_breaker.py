"""A breaker's states, times handed in; and the breakers of a worker."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from worker.errors import Dependency, JobReason, Unavailable
from worker.model import Retryable
from worker.service.breaker import TIMES, Breaker, Breakers, BreakerTimes, State

AWAY = (JobReason.AWS_UNAVAILABLE, "no answer")


def refused(breaker: Breaker, now: float) -> bool:
    return breaker.refused(now, *AWAY)


def longest(_low: float, high: float) -> float:
    return high


def test_it_opens_at_a_refusal_and_closes_after_a_probe_and_a_trial() -> None:
    breaker = Breaker(Dependency.S3, uniform=longest)
    assert breaker.state is State.CLOSED
    assert refused(breaker, 100.0)
    assert (breaker.state, breaker.since, breaker.probe_at) == (State.OPEN, 100.0, 101.0)
    breaker.probe_answered(101.0)
    assert (breaker.state, breaker.trial_ends) == (State.TRIAL, 101.0 + TIMES.trial)
    assert breaker.trial_passed(110.0)
    assert breaker.state is State.CLOSED


def test_what_was_under_way_when_it_opened_changes_nothing() -> None:
    breaker = Breaker(Dependency.S3, uniform=longest)
    refused(breaker, 100.0)
    assert not refused(breaker, 100.5)
    assert (breaker.since, breaker.probe_at) == (100.0, 101.0)


def test_the_pauses_double_up_to_half_a_minute() -> None:
    breaker = Breaker(Dependency.S3, uniform=longest)
    refused(breaker, 0.0)
    pauses, now = [], 0.0
    for _ in range(8):
        pauses.append(breaker.probe_at - now)
        now = breaker.probe_at
        breaker.probe_refused(now, *AWAY)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_trial_that_is_refused_goes_on_with_longer_pauses_and_the_same_beginning() -> None:
    breaker = Breaker(Dependency.S3, uniform=longest)
    refused(breaker, 0.0)
    breaker.probe_answered(1.0)
    assert refused(breaker, 5.0)
    assert (breaker.state, breaker.since, breaker.probe_at) == (State.OPEN, 0.0, 7.0)
    assert not breaker.trial_passed(6.0), "the trial's message may end after it was refused"
    assert breaker.state is State.OPEN


@pytest.mark.parametrize(("closed_for", "pause"), [(1.0, 2.0), (TIMES.quiet + 1, 1.0)])
def test_one_that_opens_again_soon_goes_on_with_longer_pauses(closed_for: float, pause: float) -> None:
    breaker = Breaker(Dependency.S3, uniform=longest)
    refused(breaker, 0.0)
    breaker.probe_answered(1.0)
    breaker.trial_passed(2.0)
    refused(breaker, 2.0 + closed_for)
    assert breaker.probe_at - (2.0 + closed_for) == pause


@given(st.lists(st.sampled_from(["refused", "probe refused", "probe answered", "trial passed"]), max_size=50))
def test_whatever_happens_a_probe_is_never_more_than_half_a_minute_away(steps: list[str]) -> None:
    breaker, now = Breaker(Dependency.S3), 0.0
    for step in steps:
        now += 1.0
        if step == "refused":
            refused(breaker, now)
        elif step == "probe refused" and breaker.state is State.OPEN:
            breaker.probe_refused(now, *AWAY)
        elif step == "probe answered" and breaker.state is State.OPEN:
            breaker.probe_answered(now)
        elif step == "trial passed":
            breaker.trial_passed(now)
        assert breaker.state is not State.OPEN or breaker.probe_at <= now + TIMES.longest_pause


class Service:
    """Answers probes, or not."""

    def __init__(self) -> None:
        self.away = True
        self.probes = 0

    async def probe(self) -> None:
        self.probes += 1
        if self.away:
            raise Unavailable(Dependency.S3, *AWAY)


QUICK = BreakerTimes(first_pause=0.001)


async def test_a_worker_waits_for_what_is_down_and_says_so() -> None:
    service, metrics = Service(), list[tuple[str, float]]()
    breakers = Breakers({Dependency.S3: service.probe}, times=QUICK, record_metric=lambda *given: metrics.append(given))
    never = asyncio.create_task(asyncio.Event().wait())
    with capture_logs() as logs:
        breakers.refused(Dependency.S3, *AWAY)
        assert breakers.open
        assert breakers.down()["s3"]["reason"] == "aws_unavailable"
        assert isinstance(breakers.refusing_work(), Retryable)
        for _ in range(3):
            await breakers.probe(never)
        assert (breakers.open, service.probes >= 1) == (True, True)
        service.away = False
        while breakers.open:
            await breakers.probe(never)
        assert (breakers.on_trial, breakers.refusing_work()) == (True, None)
        breakers.trial_passed()
    assert (breakers.open, breakers.on_trial, breakers.down()) == (False, False, {})
    assert metrics == [("DependencyDown", 1)]
    events = [line["event"] for line in logs]
    assert (events[0], events[-1]) == ("dependency.down", "dependency.up")
    never.cancel()


async def test_a_pause_ends_at_once_when_the_worker_is_asked_to_stop() -> None:
    service, stop = Service(), asyncio.Event()
    slow = BreakerTimes(first_pause=1_000.0, longest_pause=1_000.0)
    breakers = Breakers({Dependency.S3: service.probe}, times=slow)
    breakers.refused(Dependency.S3, *AWAY)
    stopping = asyncio.create_task(stop.wait())
    stop.set()
    async with asyncio.timeout(5):
        await breakers.probe(stopping)
    assert service.probes == 0


async def test_without_sqs_messages_that_are_here_are_worked_on() -> None:
    breakers = Breakers()
    breakers.refused(Dependency.SQS, *AWAY)
    assert breakers.open
    assert breakers.refusing_work() is None


async def test_one_without_a_probe_is_tried_with_a_message_at_once() -> None:
    breakers = Breakers(times=QUICK)
    breakers.refused(Dependency.DECODER, JobReason.DECODER_BROKEN, "no decoder starts")
    never = asyncio.create_task(asyncio.Event().wait())
    await breakers.probe(never)
    assert breakers.on_trial
    never.cancel()


async def test_each_dependency_has_a_breaker_of_its_own() -> None:
    breakers = Breakers()
    breakers.refused(Dependency.S3, *AWAY)
    breakers.refused(Dependency.DYNAMODB, *AWAY)
    assert breakers.down().keys() == {"s3", "dynamodb"}
