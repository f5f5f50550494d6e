"""How fast a batch goes, how long it still takes, and how both are told."""

from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from tests.unit.fakes import NOON
from worker.cli.pace import SILENT_AFTER, Pace, pace_of, progress_text, silence_of, time_told
from worker.keys import iso
from worker.model import BatchRecord, BatchState

START = NOON.timestamp()
RUNNING = BatchRecord(
    "s3_covers-1f3a9c52",
    BatchState.RUNNING,
    NOON,
    "me",
    1,
    START + 120,
    "covers.csv",
    updated_at=iso(NOON),
)


def counted(**counts: int) -> BatchRecord:
    return replace(RUNNING, counts=counts)


@pytest.mark.parametrize(
    ("counts", "passed", "pace"),
    [
        ({}, 60, None),
        ({"creators_total": 100}, 60, None),
        ({"creators_total": 100, "creators_completed": 10}, 0, None),
        ({"creators_total": 100, "creators_completed": 20}, 10, Pace(2.0, 40.0)),
        ({"creators_total": 100, "creators_completed": 15, "creators_failed": 5}, 10, Pace(2.0, 40.0)),
        ({"creators_total": 100, "creators_completed": 100}, 50, Pace(2.0, 0.0)),
        ({"creators_completed": 100}, 50, Pace(2.0, 0.0)),
    ],
)
def test_pace_and_time_left_are_those_of_the_whole_run_so_far(
    counts: dict[str, int], passed: float, pace: Pace | None
) -> None:
    assert pace_of(counted(**counts), START + passed) == pace


@pytest.mark.parametrize(
    ("changed", "passed", "silent"),
    [
        ({}, SILENT_AFTER, False),
        ({}, SILENT_AFTER + 1, True),
        ({"state": BatchState.COMPLETED}, SILENT_AFTER + 1, False),
        ({"state": BatchState.CANCELLED}, SILENT_AFTER + 1, False),
        ({"updated_at": None}, SILENT_AFTER + 1, False),
    ],
)
def test_a_running_batch_that_nobody_tells_of_is_said_to_be_silent(
    changed: dict[str, Any], passed: float, silent: bool
) -> None:
    found = silence_of(replace(RUNNING, **changed), START + passed)
    assert found == (passed if silent else None)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3600, "60 min"),
        (5399, "1.5 h"),
        (36_000, "10.0 h"),
        (129_600, "1.5 days"),
    ],
)
def test_durations_are_told_as_people_do(seconds: float, told: str) -> None:
    assert time_told(seconds) == told


@pytest.mark.parametrize("width", [30, 40, 60, 80, 200])
@pytest.mark.parametrize(
    "state",
    ["running", "a-very-long-file-name-of-covers-from-last-week.csv", "covers.csv", "上周的封面链接清单汇总.csv"],
)
def test_pace_and_time_left_stay_in_every_bar_however_narrow(width: int, state: str) -> None:
    counts = {"creators_total": 12_000, "creators_completed": 345, "images_processed": 9_999, "images_failed": 12}
    text = progress_text(state, counts, Pace(12.34, 950.0), width)
    assert cell_len(text) <= width
    assert "345/12000 12.3/s 16 min left" in text


def test_images_are_told_where_there_is_room() -> None:
    counts = {"creators_total": 12, "creators_completed": 3, "images_processed": 9, "images_failed": 1}
    assert progress_text("running", counts, None, 80) == "running 3/12 9 images, 1 failed"
    assert progress_text("running", {}, None, 80) == "running 0 0 images"
