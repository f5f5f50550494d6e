"""The lines of results: what is written is read again, the same lines give the same bytes, records follow from rows."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.images.fingerprint import content_hash
from worker.jobs.part_lines import (
    ROW_FIELDS,
    RowLine,
    RowOutcome,
    by_creator,
    creator_json,
    packed,
    read_creator,
    read_row,
    record_of_rows,
    row_json,
    unpacked,
)
from worker.model import CreatorRecord, CreatorStatus, Mode

TEXT = st.text(st.characters(), max_size=20)
MAYBE = st.none() | TEXT
NUMBER = st.none() | st.integers(0, 1 << 40)

ROWS = st.builds(
    RowLine,
    creator=TEXT,
    line=st.integers(1, 1 << 40),
    url=TEXT,
    outcome=st.sampled_from(RowOutcome),
    reason=MAYBE,
    message=MAYBE,
    format=MAYBE,
    width=NUMBER,
    height=NUMBER,
    bytes=NUMBER,
    fingerprint=MAYBE,
    attempts=NUMBER,
    seconds=st.none() | st.floats(0, 1e6),
    page=NUMBER,
    position=NUMBER,
    collage_key=MAYBE,
    collage_hash=MAYBE,
    mode=st.sampled_from([mode.value for mode in Mode]),
    creator_seconds=st.floats(0, 1e6),
    ended_at=MAYBE,
)


def used(line: int, page: int = 1, position: int = 1, key: str = "a.jpg", digest: str = "aa") -> RowLine:
    return RowLine(
        "ann",
        line,
        f"u{line}",
        RowOutcome.USED,
        page=page,
        position=position,
        collage_key=key,
        collage_hash=digest,
        creator_seconds=2.5,
    )


def record(*rows: RowLine) -> CreatorRecord:
    return record_of_rows("ann", rows, hash_algorithm="sha256", part_key="p/part-000001-000001.jsonl.gz")


@given(ROWS)
def test_a_row_that_was_written_is_read_again(row: RowLine) -> None:
    assert read_row(row_json(row)) == row
    assert row_json(row).count(b"\n") == 1, "one line, whatever is in it"


@given(ROWS)
def test_every_line_has_the_same_keys_in_the_same_order(row: RowLine) -> None:
    assert tuple(json.loads(row_json(row))) == ROW_FIELDS


def test_numbers_keep_their_kind() -> None:
    """A column of seconds is one of fractions in every part, also where all of them are whole."""
    told = row_json(RowLine("ann", 2, "u", RowOutcome.USED, seconds=2.0, width=3, creator_seconds=1.0))
    assert b'"seconds":2.0' in told
    assert b'"creator_seconds":1.0' in told
    assert b'"width":3,' in told


@given(st.lists(ROWS, max_size=5), st.lists(ROWS, max_size=5))
def test_pieces_that_stand_one_after_the_other_are_one_file(first: list[RowLine], second: list[RowLine]) -> None:
    body = packed(map(row_json, first)) + packed(map(row_json, second))
    assert [read_row(line) for line in unpacked(io.BytesIO(body))] == first + second


def test_the_same_lines_give_the_same_bytes() -> None:
    body = packed([b"a\n", b"b\n"])
    assert body == packed([b"a\n", b"b\n"])
    assert body[4:8] == bytes(4), "no time in the header"


def test_a_file_that_was_cut_short_is_told() -> None:
    body = packed([row_json(used(n)) for n in range(100)])
    with pytest.raises(EOFError):
        list(unpacked(io.BytesIO(body[:-20])))


def test_a_creator_that_was_written_is_read_again() -> None:
    known = CreatorRecord(
        "ann", CreatorStatus.COMPLETED, 3, ("a", "b"), {"expired": 2}, 1.5, "aa", Mode.SAFE, 4, "p/part.jsonl.gz"
    )
    assert read_creator(creator_json(known)) == known


def test_a_creator_of_an_earlier_version_is_read() -> None:
    told = {"creator": "ann", "status": "failed", "images_processed": 0, "error_count": 1, "errors": {"dns": 1}}
    line = json.dumps(told | {"collages": [], "seconds": 1.0, "mode": "normal"}).encode()
    assert read_creator(line) == CreatorRecord("ann", CreatorStatus.FAILED, errors={"dns": 1}, duration=1.0)


def test_a_record_follows_from_its_rows() -> None:
    repeat = RowLine("ann", 5, "u", RowOutcome.NOT_NEEDED, "duplicate")
    failed = RowLine("ann", 4, "u", RowOutcome.FAILED, "not_found")
    found = record(used(2), used(3, position=2), failed, repeat, RowLine("ann", 6, "u", RowOutcome.NOT_NEEDED))
    assert (found.status, found.images_processed, found.collage_keys) == (CreatorStatus.COMPLETED, 2, ("a.jpg",))
    assert (found.errors, found.error_count, found.duplicates) == ({"not_found": 1}, 1, 1)
    assert (found.content_hash, found.part_key) == ("aa", "p/part-000001-000001.jsonl.gz")


def test_the_hash_of_several_pages_is_that_of_their_hashes() -> None:
    found = record(used(2, page=2, key="b.jpg", digest="bb"), used(3))
    assert found.collage_keys == ("a.jpg", "b.jpg")
    assert found.content_hash == content_hash(b"aabb", "sha256")


def test_a_creator_without_a_used_row_has_failed() -> None:
    found = record(RowLine("ann", 2, "u", RowOutcome.FAILED, "expired", creator_seconds=1.5, mode="safe"))
    assert (found.status, found.collage_keys, found.content_hash) == (CreatorStatus.FAILED, (), None)
    assert (found.errors, found.duration, found.mode) == ({"expired": 1}, 1.5, Mode.SAFE)


def test_a_creator_that_was_given_up_is_one_failure_however_many_rows_it_has() -> None:
    found = record(*[RowLine("ann", n, "u", RowOutcome.FAILED, "worker_crashed") for n in range(3)])
    assert found.errors == {"worker_crashed": 1}


def test_rows_come_by_creator() -> None:
    rows = [used(2), used(3), RowLine("bob", 4, "u", RowOutcome.NOT_NEEDED)]
    assert [(name, len(list(some))) for name, some in by_creator(rows)] == [("ann", 2), ("bob", 1)]
