"""`show`: one creator's story."""

from dataclasses import asdict
from typing import Any

from worker.cli.access import Access, open_access
from worker.cli.batch_names import existing_batch
from worker.cli.finishing import results_of
from worker.cli.terminal import print_json, stderr, stdout
from worker.errors import Dependency
from worker.jobs.part_lines import RowLine, RowOutcome
from worker.jobs.parts import Parts
from worker.jobs.reasons import MEANING
from worker.keys import iso
from worker.masks import without_signatures
from worker.model import BatchRecord, CreatorRecord
from worker.settings import Settings


async def show_creator(settings: Settings, name: str, creator: str, *, as_json: bool) -> int:
    """Show a creator of a batch: its record, each of its rows, links to its collages; returns the exit code."""
    async with open_access(settings, Dependency.S3, Dependency.DYNAMODB) as access:
        batch = await existing_batch(access.table, name)
        if isinstance(batch, int):
            return batch
        record = await access.table.creator_record(batch.id, batch.started_at, creator)
        if record is None:
            stderr.print(
                f"batch {batch.id} has no record of creator {creator!r}: it is not begun, or its manifest writes the "
                f"name in another way; collage report {batch.id} shows all",
                markup=False,
            )
            return 1
        rows = await _rows(access, batch, record)
        links = [await access.link(key) for key in record.collage_keys]
    if as_json:
        print_json(_told(batch, record, rows, links))
    else:
        _show(settings, batch, record, rows, links)
    return 0


async def _rows(access: Access, batch: BatchRecord, record: CreatorRecord) -> list[RowLine]:
    parts = Parts(results_of(access), access.prefix_of(batch))
    found = [row async for row in parts.rows_of(batch.id, record)]
    return sorted(found, key=lambda row: row.line)


def _show(settings: Settings, batch: BatchRecord, record: CreatorRecord, rows: list[RowLine], links: list[str]) -> None:
    stdout.print(f"{record.creator}  {record.status}", style="bold", markup=False)
    stdout.print(f"batch    {batch.id}, started {iso(batch.started_at)}", markup=False)
    stdout.print(f"images   {record.images_processed} used, {record.error_count} failed", markup=False)
    for reason, count in record.errors.items():
        stdout.print(f"  {count} {reason}: {MEANING.get(reason, '')}", markup=False)
    for key, link in zip(record.collage_keys, links, strict=True):
        stdout.print(f"collage  s3://{settings.output_bucket}/{key}\n         {link}", markup=False)
    if not rows:
        stdout.print("rows     none is known: they are told when the creator's part is written", markup=False)
    for row in rows:
        stdout.print(_line(row), markup=False)


def _line(row: RowLine) -> str:
    told = f"line {row.line:>6}  {row.outcome:<10}  {without_signatures(row.url)}"
    if row.outcome is RowOutcome.USED:
        return f"{told}  {row.format} {row.width}x{row.height}"
    return f"{told}\n             {row.reason}: {row.message}" if row.reason else told


def _told(batch: BatchRecord, record: CreatorRecord, rows: list[RowLine], links: list[str]) -> dict[str, Any]:
    return {
        "batch_id": batch.id,
        "creator": record.creator,
        "status": record.status,
        "images_processed": record.images_processed,
        "error_count": record.error_count,
        "errors": dict(record.errors),
        "mode": record.mode,
        "seconds": record.duration,
        "content_hash": record.content_hash,
        "collages": list(record.collage_keys),
        "links": links,
        "rows": [asdict(row) | {"url": without_signatures(row.url)} for row in rows],
    }
