"""What a batch's record says of a message that was sent back alone."""

from dataclasses import replace

import pytest

from tests.unit.fakes import NOON
from worker.cli.canary import Verdict, verdict_of
from worker.model import BatchRecord, BatchState

FAILED = BatchRecord("s3_covers-1f3a9c52", BatchState.FAILED, NOON, "w", 1, 0.0, "covers.csv")
RUNS = replace(FAILED, state=BatchState.RUNNING, fence=2)
DONE = replace(FAILED, state=BatchState.COMPLETED, fence=2)


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        (None, None, None),
        (FAILED, FAILED, None),
        (None, FAILED, Verdict.FAILED),
        (FAILED, replace(FAILED, fence=2), Verdict.FAILED),
        (FAILED, replace(FAILED, fence=2, state=BatchState.CANCELLED), Verdict.FAILED),
        (FAILED, RUNS, None),
        (FAILED, replace(RUNS, counts={"creators_completed": 1}), Verdict.DONE),
        (replace(FAILED, counts={"creators_failed": 1}), replace(RUNS, counts={"creators_failed": 1}), None),
        (FAILED, DONE, Verdict.DONE),
        (None, DONE, Verdict.DONE),
        (DONE, DONE, Verdict.DONE),
    ],
)
def test_a_canary_is_judged_by_what_is_new(
    before: BatchRecord | None, now: BatchRecord | None, verdict: Verdict | None
) -> None:
    assert verdict_of(before, now) == verdict
