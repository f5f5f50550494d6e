"""What is told of a batch: counts that add up, and a summary that programs can read whatever is in it."""

import io
import json
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fakes import NOON, batch_of, job
from worker.errors import ImageReason, RejectReason
from worker.jobs.summary import (
    Rejects,
    Tally,
    creator_line,
    dumped,
    summary_top,
    write_summary,
)
from worker.model import CreatorRecord, CreatorStatus, Mode, Reject

ANN = CreatorRecord("ann", CreatorStatus.COMPLETED, 35, ("a.jpg", "a_p2.jpg"), {"expired": 2}, 20.0, "h1")
BOB = CreatorRecord("bob", CreatorStatus.FAILED, 0, (), {"expired": 1, "not_found": 3}, 4.0, mode=Mode.SAFE)
SOURCE = {
    "format": "csv",
    "encoding": "utf-8",
    "delimiter": ";",
    "creator_column": "creator <1>",
    "url_column": "cover_url",
    "repairs": {"html_escapes": 4},
    "skipped": {"empty_lines": 0, "repeated_headers": 1, "lines_above_the_header": 0},
}
REJECTS = Rejects({"no_url": 2, "bad_scheme": 1}, (Reject(7, RejectReason.NO_URL, "the URL is missing"),), SOURCE)

records = st.builds(
    CreatorRecord,
    creator=st.text(st.characters(exclude_categories=()), min_size=1, max_size=12),
    status=st.sampled_from([CreatorStatus.COMPLETED, CreatorStatus.FAILED]),
    images_processed=st.integers(0, 50),
    collage_keys=st.lists(st.text("abc/._%", max_size=8), max_size=3).map(tuple),
    errors=st.dictionaries(st.sampled_from([reason.value for reason in ImageReason]), st.integers(1, 9), max_size=4),
    duration=st.integers(0, 10_000).map(lambda milliseconds: milliseconds / 1000),
    mode=st.sampled_from(Mode),
)


def tally_of(some: list[CreatorRecord]) -> Tally:
    tally = Tally(creators_total=len(some), rows_total=100, rejects_total=REJECTS.total)
    for record in some:
        tally.add(record)
    return tally


def summary_of(some: list[CreatorRecord]) -> dict[str, Any]:
    finished = NOON + timedelta(seconds=90.5)
    batch = batch_of(job(prefix="p/", rows=3))
    return written(
        summary_top(batch, tally_of(some), REJECTS, finished_at=finished, worked=12.3456, status="completed"), some
    )


def written(top: dict[str, Any], some: list[CreatorRecord]) -> dict[str, Any]:
    file = io.BytesIO()
    write_summary(file, top, lambda: map(creator_line, some))
    found: dict[str, Any] = json.loads(file.getvalue())
    return found


def test_a_summary_tells_the_whole_batch() -> None:
    found = json.loads(dumped(summary_of([ANN, BOB])))
    config = found.pop("settings")["processing_config"]
    assert (config["rows"], config["cell_size"]) == (3, 16)
    assert found == {
        "batch_id": "s3_covers-1f3a9c52",
        "status": "completed",
        "source_csv": "covers.csv",
        "source": SOURCE,
        "warnings": [],
        "message_id": "m1",
        "started_at": "2025-01-19T12:00:00Z",
        "finished_at": "2025-01-19T12:01:30Z",
        "durations": {
            "batch_seconds": 90.5,
            "last_run_seconds": 12.346,
            "creator_seconds_mean": 12.0,
            "creator_seconds_max": 20.0,
        },
        "counts": {
            "creators_total": 2,
            "creators_completed": 1,
            "creators_failed": 1,
            "images_processed": 35,
            "images_failed": 6,
            "collages_written": 2,
            "rows_total": 100,
            "rejects_total": 3,
        },
        "duplicates": 0,
        "failures_by_reason": {"expired": 3, "not_found": 3},
        "results": {
            "rows": "p/results/metadata/s3_covers-1f3a9c52/part-*.jsonl.gz",
            "creators": "p/results/metadata/s3_covers-1f3a9c52/creators.jsonl.gz",
        },
        "rejects": {
            "total": 3,
            "by_reason": {"bad_scheme": 1, "no_url": 2},
            "listed": [{"line": 7, "reason": "no_url", "detail": "the URL is missing"}],
        },
        "collages": ["a.jpg", "a_p2.jpg"],
        "creators": [
            {
                "creator": "ann",
                "status": "completed",
                "images_processed": 35,
                "error_count": 2,
                "errors": {"expired": 2},
                "collages": ["a.jpg", "a_p2.jpg"],
                "seconds": 20.0,
                "mode": "normal",
            },
            {
                "creator": "bob",
                "status": "failed",
                "images_processed": 0,
                "error_count": 4,
                "errors": {"expired": 1, "not_found": 3},
                "collages": [],
                "seconds": 4.0,
                "mode": "safe",
            },
        ],
    }


@settings(deadline=None)
@given(st.lists(records, max_size=6))
def test_counts_add_up(some: list[CreatorRecord]) -> None:
    counts = tally_of(some).counts()
    assert counts["creators_completed"] + counts["creators_failed"] == counts["creators_total"] == len(some)
    assert counts["images_processed"] == sum(record.images_processed for record in some)
    assert counts["images_failed"] == sum(counts["errors"].values()) == sum(record.error_count for record in some)
    assert counts["collages_written"] == sum(len(record.collage_keys) for record in some)
    assert list(counts["errors"]) == sorted(counts["errors"])


def test_a_batch_without_creators_has_a_summary_too() -> None:
    found = summary_of([])
    assert found["durations"]["creator_seconds_mean"] == found["durations"]["creator_seconds_max"] == 0.0
    assert (found["collages"], found["creators"]) == ([], [])


@settings(deadline=None)
@given(st.lists(records, max_size=5))
def test_a_summary_written_line_by_line_says_what_one_in_memory_says(some: list[CreatorRecord]) -> None:
    finished = NOON + timedelta(seconds=90.5)
    batch = batch_of(job(prefix="p/", rows=3))
    top = summary_top(batch, tally_of(some), REJECTS, finished_at=finished, worked=12.3456, status="completed")
    file = io.BytesIO()
    write_summary(file, top, lambda: map(creator_line, some))
    assert json.loads(file.getvalue()) == json.loads(dumped(summary_of(some)))


def test_a_name_that_is_no_unicode_comes_out_escaped() -> None:
    assert json.loads(dumped({"creator": "x\ud800"}).decode("utf-8")) == {"creator": "x\ud800"}
    assert "José" in dumped({"creator": "José"}).decode("utf-8")
