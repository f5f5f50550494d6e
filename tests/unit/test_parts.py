"""Reading a batch's results from where they lie, of an earlier version's layout too."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import pytest

from worker.cli.folder import FolderResults
from worker.cli.safe_folder import SafeFolder
from worker.errors import JobReason, RetryableError
from worker.jobs.part_lines import RowLine, RowOutcome, creator_json, packed, row_json
from worker.jobs.parts import Parts
from worker.keys import creators_key, is_part, metadata_key, part_key
from worker.model import CreatorRecord, CreatorStatus

PREFIX, BATCH = "out/", "s3_covers-1f3a9c52"
Item = TypeVar("Item")


async def all_of(items: AsyncIterator[Item]) -> list[Item]:
    return [item async for item in items]


def row(creator: str, line: int) -> RowLine:
    return RowLine(creator, line, f"https://x.example/{line}.jpg", RowOutcome.NOT_NEEDED)


@pytest.fixture
def results(tmp_path: Path) -> FolderResults:
    return FolderResults(SafeFolder(tmp_path))


@pytest.fixture
def parts(results: FolderResults) -> Parts:
    return Parts(results, PREFIX)


async def put_part(results: FolderResults, chunk: int, group: int, *rows: RowLine) -> str:
    key = part_key(PREFIX, BATCH, chunk, group)
    await results.put_document(key, packed(map(row_json, rows)), "application/gzip")
    return key


async def test_all_rows_of_a_batch_come_in_the_order_of_its_plan(results: FolderResults, parts: Parts) -> None:
    await put_part(results, 2, 1, row("cid", 7))
    await put_part(results, 1, 2, row("bob", 5), row("bob", 6))
    await put_part(results, 1, 1, row("ann", 2))
    await results.put_document(creators_key(PREFIX, BATCH), packed([]), "application/gzip")
    assert [found.line for found in await all_of(parts.rows(BATCH))] == [2, 5, 6, 7]


async def test_one_creators_rows_are_found_by_its_record(results: FolderResults, parts: Parts) -> None:
    await put_part(results, 1, 1, row("ann", 2))
    key = await put_part(results, 1, 2, row("bob", 3), row("cid", 4), row("cid", 5))
    record = CreatorRecord("cid", CreatorStatus.FAILED, part_key=key)
    assert [found.line for found in await all_of(parts.rows_of(BATCH, record))] == [4, 5]


async def test_the_creators_of_a_batch_come_from_their_table(results: FolderResults, parts: Parts) -> None:
    records = [CreatorRecord("ann", CreatorStatus.FAILED), CreatorRecord("bob", CreatorStatus.COMPLETED, 3)]
    assert await all_of(parts.creators(BATCH)) == []
    await results.put_document(creators_key(PREFIX, BATCH), packed(map(creator_json, records)), "application/gzip")
    assert await all_of(parts.creators(BATCH)) == records


async def test_documents_of_an_earlier_version_are_read(results: FolderResults, parts: Parts) -> None:
    images = [
        {"line": 2, "url": "u2", "outcome": "used", "format": "JPEG", "width": 3, "height": 4, "bytes": 5},
        {"line": 3, "url": "u3", "outcome": "failed", "reason": "duplicate", "message": "the same URL as line 2"},
        {"line": 4, "url": "u4", "outcome": "failed", "reason": "expired", "message": "it is over"},
        {"line": 5, "url": "u5", "outcome": "not_needed"},
    ]
    told = {"creator": "é/x", "batch_id": BATCH, "status": "completed", "mode": "safe", "collages": ["a.jpg"]}
    key = metadata_key(PREFIX, BATCH, "é/x")
    await results.put_document(key, json.dumps(told | {"images": images}).encode(), "application/json")
    found = await all_of(parts.rows_of(BATCH, CreatorRecord("é/x", CreatorStatus.COMPLETED, 1)))
    assert [(line.line, line.outcome.value, line.reason) for line in found] == [
        (2, "used", None),
        (3, "not_needed", "duplicate"),
        (4, "failed", "expired"),
        (5, "not_needed", None),
    ]
    assert (found[0].collage_key, found[0].width, found[0].mode) == ("a.jpg", 3, "safe")
    assert await all_of(parts.rows(BATCH)) == found


async def test_a_creator_of_whom_nothing_is_there_has_no_rows(parts: Parts) -> None:
    assert await all_of(parts.rows_of(BATCH, CreatorRecord("ann", CreatorStatus.FAILED))) == []


@pytest.mark.parametrize("body", [b"no gzip", packed([b"no json\n"]), packed([row_json(row("ann", 2))])[:-9]])
async def test_a_part_that_is_damaged_is_told_by_name(results: FolderResults, parts: Parts, body: bytes) -> None:
    key = part_key(PREFIX, BATCH, 1, 1)
    await results.put_document(key, body, "application/gzip")
    with pytest.raises(RetryableError) as raised:
        await all_of(parts.rows(BATCH))
    assert raised.value.reason is JobReason.PART_UNREADABLE
    assert key in str(raised.value)


def test_a_part_is_told_by_its_name() -> None:
    assert is_part(part_key("p/", BATCH, 1, 2))
    assert part_key("p/", BATCH, 1, 2) == f"p/results/metadata/{BATCH}/part-000001-000002.jsonl.gz"
    assert not is_part(creators_key("p/", BATCH))
    assert not is_part(metadata_key("p/", BATCH, "part-000001-000002.jsonl.gz"))
