"""When a unit of work is given up."""

from dataclasses import replace

import pytest

from tests.unit.fakes import NOON
from worker.errors import JobReason, TerminalError
from worker.jobs.attempts import ATTEMPTS, ATTEMPTS_WITH_SUSPECTS, check_attempts
from worker.model import BatchRecord, BatchState

RECORD = BatchRecord("b", BatchState.RUNNING, NOON, "me", 1, 0.0, "covers.csv")


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        replace(RECORD, attempts=ATTEMPTS - 1),
        replace(RECORD, attempts=ATTEMPTS_WITH_SUSPECTS - 1, strikes={"ann": 1}),
        replace(RECORD, attempts=99, on_trial="ann"),
        replace(RECORD, attempts=99, chunks_total=3, chunks_done=2),
    ],
)
def test_work_goes_on_while_attempts_are_left_or_a_creator_is_to_blame(record: BatchRecord) -> None:
    check_attempts(record)


@pytest.mark.parametrize(
    "record",
    [
        replace(RECORD, attempts=ATTEMPTS),
        replace(RECORD, attempts=ATTEMPTS_WITH_SUSPECTS, strikes={"ann": 1}),
        replace(RECORD, attempts=ATTEMPTS, chunks_total=3, chunks_done=3),
    ],
)
def test_work_that_ends_its_workers_without_a_culprit_is_given_up(record: BatchRecord) -> None:
    with pytest.raises(TerminalError, match="workers in a row ended") as caught:
        check_attempts(record)
    assert caught.value.reason is JobReason.WORKER_CRASHED
