"""What happens to a message: the outcome alone decides, in an order that never leaves one too few."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fakes import FakeQueue, message, outage
from worker.aws.sqs import Message
from worker.errors import JobReason, Unavailable
from worker.model import Outcome, Retryable, Succeeded, Terminal
from worker.service.fate import BACKOFF, MAX_BACKOFF, Settlement, retry_delay

FAILED = Terminal(JobReason.MANIFEST_EMPTY, "no usable row", "s3_a-12345678")
HANDED_BACK = Retryable(JobReason.LEASE_HELD, "held", costs_attempt=False, delay=42.0)
AGAIN = Retryable(JobReason.AWS_UNAVAILABLE, "no answer")


async def settled(queue: FakeQueue, outcome: Outcome, about: Message) -> None:
    await Settlement(queue, about, outcome).settle()  # type: ignore[arg-type]


async def test_a_message_whose_work_succeeded_is_deleted() -> None:
    queue = FakeQueue()
    await settled(queue, Succeeded(), message())
    assert queue.done == [("delete", "m1")]


async def test_a_message_that_can_never_succeed_is_a_dead_letter_before_it_is_deleted() -> None:
    queue = FakeQueue()
    await settled(queue, FAILED, message())
    assert queue.done == [
        ("send_dead_letter", "m1", "manifest_empty", "no usable row", "s3_a-12345678"),
        ("delete", "m1"),
    ]


async def test_a_message_handed_back_is_copied_before_it_is_deleted() -> None:
    queue = FakeQueue()
    await settled(queue, HANDED_BACK, message())
    assert queue.done == [("send_copy", "m1", 42.0), ("delete", "m1")]


@pytest.mark.parametrize("receives", [1, 2, 3])
async def test_a_message_that_may_succeed_later_comes_back_after_a_while(receives: int) -> None:
    queue = FakeQueue()
    await settled(queue, AGAIN, message(receives=receives))
    ((operation, _, delay),) = queue.done
    assert operation == "change_visibility"
    assert 0 <= delay <= BACKOFF * 2**receives


@pytest.mark.parametrize(
    ("outcome", "failing", "done"),
    [
        (Succeeded(), "delete", []),
        (FAILED, "send_dead_letter", []),
        (FAILED, "delete", ["send_dead_letter"]),
        (HANDED_BACK, "send_copy", []),
        (HANDED_BACK, "delete", ["send_copy"]),
        (AGAIN, "change_visibility", []),
    ],
)
async def test_where_sqs_does_not_answer_a_message_too_many_is_left_and_never_one_too_few(
    outcome: Outcome, failing: str, done: list[str]
) -> None:
    queue = FakeQueue()
    queue.failing[failing] = outage("sqs")
    with pytest.raises(Unavailable):
        await settled(queue, outcome, message())
    assert [operation for operation, *_ in queue.done] == done


@pytest.mark.parametrize(
    ("outcome", "failing", "done"),
    [
        (Succeeded(), "delete", ["delete"]),
        (FAILED, "send_dead_letter", ["send_dead_letter", "delete"]),
        (FAILED, "delete", ["send_dead_letter", "delete"]),
        (HANDED_BACK, "send_copy", ["send_copy", "delete"]),
        (HANDED_BACK, "delete", ["send_copy", "delete"]),
        (AGAIN, "change_visibility", ["change_visibility"]),
    ],
)
async def test_a_settlement_that_failed_goes_on_where_it_stopped_and_sends_nothing_twice(
    outcome: Outcome, failing: str, done: list[str]
) -> None:
    queue = FakeQueue()
    settlement = Settlement(queue, message(), outcome)  # type: ignore[arg-type]
    queue.failing[failing] = outage("sqs")
    for _ in range(3):
        with pytest.raises(Unavailable):
            await settlement.settle()
    queue.failing.clear()
    await settlement.settle()
    assert [operation for operation, *_ in queue.done] == done


@pytest.mark.parametrize("outcome", [FAILED, HANDED_BACK])
async def test_an_error_nobody_thought_of_deletes_nothing(outcome: Outcome) -> None:
    queue = FakeQueue()
    queue.failing = {"send_dead_letter": RuntimeError("a bug"), "send_copy": RuntimeError("a bug")}
    with pytest.raises(RuntimeError):
        await settled(queue, outcome, message())
    assert queue.done == []


@settings(deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1))
def test_the_delay_is_exponential_with_full_jitter_and_capped(receives: int, luck: float) -> None:
    most = min(MAX_BACKOFF, BACKOFF * 2.0 ** min(receives, 10))
    assert retry_delay(receives, lambda low, high: low + luck * (high - low)) == pytest.approx(luck * most)
    assert 0 <= retry_delay(receives) <= MAX_BACKOFF


def test_the_longest_delays_grow_from_twenty_seconds_to_a_quarter_of_an_hour() -> None:
    assert [retry_delay(receives, max) for receives in (1, 2, 3, 6, 7, 100)] == [20, 40, 80, 640, 900, 900]
