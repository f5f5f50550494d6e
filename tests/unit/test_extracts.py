"""Extracts: what a report shows of a creator comes to it unharmed, bounded and without signatures."""

from dataclasses import replace

from tests.unit.test_summary import ANN
from worker.extract import Extract, FailedRow
from worker.jobs.extracts import SHOWN_ROWS
from worker.jobs.part_lines import RowLine, RowOutcome, creator_json, read_creator, record_of_rows, result_json

EXTRACT = Extract(1_700_000_000.0, (0.5, 1.25), (FailedRow(7, "https://h/a", "expired", "it ran out"),), (b"\xff\xd8",))


def test_a_chunks_result_tells_the_extract_and_the_table_of_creators_does_not() -> None:
    record = replace(ANN, extract=EXTRACT)
    assert read_creator(result_json(record)).extract == EXTRACT
    assert read_creator(result_json(record)) == record
    assert read_creator(creator_json(record)).extract is None


def test_an_extract_follows_from_the_rows() -> None:
    used = RowLine("ann", 2, "u", RowOutcome.USED, seconds=0.25, page=1, ended_at="2025-01-19T12:00:01Z")
    failed = RowLine(
        "ann",
        3,
        "https://h/a?sig=s&x-signature=abc",
        RowOutcome.FAILED,
        "expired",
        "m",
        ended_at="2025-01-19T12:00:09Z",
    )
    extract = record_of_rows("ann", [used, *[failed] * 90], hash_algorithm="sha256").extract
    assert extract is not None
    assert extract.latencies == (0.25,)
    assert extract.ended_at == 1_737_288_009.0
    assert len(extract.failed) == SHOWN_ROWS
    assert extract.failed[0] == FailedRow(3, "https://h/a?sig=***&x-signature=***", "expired", "m")
