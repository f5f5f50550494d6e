"""`status`: how a batch stands."""

import asyncio
import json
import time
from datetime import datetime
from typing import Any

from worker.aws.clients import open_clients
from worker.aws.s3 import S3
from worker.aws.state_table import StateTable, open_table
from worker.cli.terminal import counts_table, creators_bar, images_line, stderr, stdout
from worker.jobs.advice import no_images, nothing_made
from worker.keys import iso, report_key
from worker.model import BatchRecord, BatchState
from worker.settings import Settings

LOOK_EVERY = 1.0
"""Seconds between looks at a batch that is followed."""

SILENT_AFTER = 900.0
"""Seconds without a write to a running batch's record that are worth telling: a chunk takes a minute or two."""


async def show_status(settings: Settings, batch_id: str, *, as_json: bool, watch: bool, links: bool) -> int:
    """Show a batch; returns the exit code. `links` adds presigned ones to its summary and report."""
    async with open_clients(region=settings.aws_region, endpoint_url=settings.aws_endpoint_url) as clients:
        table = open_table(settings, clients)
        if watch:
            return await follow(table, batch_id)
        record = await table.batch(batch_id)
        waits = await table.waits() if record and record.state is BatchState.RUNNING else {}
        opened = (
            await _links(settings, S3(clients.s3, settings=settings.own_buckets), record) if record and links else {}
        )
    if record is None:
        stderr.print(f"there is no batch {batch_id}: it waits in the queue, or the id is wrong", markup=False)
        return 1
    if as_json:
        stdout.print(
            json.dumps(
                _as_json(record) | {"waits_for": waits} | ({"links": opened} if links else {}), ensure_ascii=False
            ),
            markup=False,
        )
    else:
        _show(record)
        for name, why in waits.items():
            stdout.print(f"waits    for {name}: {why['reason']}: {why['error']}", markup=False)
        for name, link in opened.items():
            stdout.print(f"{name:<8} {link}", markup=False)
    return 0


async def _links(settings: Settings, s3: S3, record: BatchRecord) -> dict[str, str]:
    """Return links that anyone may open for S3_PRESIGNED_URL_EXPIRATION seconds; none before the batch is done."""
    if record.summary_key is None:
        return {}
    keys = {"summary": record.summary_key, "report": report_key(record.summary_key)}
    seconds = settings.s3_presigned_url_expiration
    return {name: await s3.presigned(settings.output_bucket, key, seconds) for name, key in keys.items()}


async def follow(table: StateTable, batch_id: str, *, failed_before: BatchRecord | None = None) -> int:
    """Show a batch's progress until it is over; returns the exit code: 1 where it failed as a whole or made nothing.

    `failed_before` is the record of an earlier run that failed: it says nothing of the one that was just asked for.
    """
    warned = False
    with creators_bar() as (bar, task):
        while True:
            record = await table.batch(batch_id)
            if record and not warned and (silence := silence_of(record, time.time())):
                warned = True
                bar.console.print(_silent(silence), markup=False)
            if record is not None and not (failed_before and record.fence == failed_before.fence):
                done = record.counts.get("creators_completed", 0) + record.counts.get("creators_failed", 0)
                bar.update(
                    task,
                    description=record.state.value,
                    total=record.counts.get("creators_total"),
                    completed=done,
                    more=images_line(record.counts),
                )
                if record.state is not BatchState.RUNNING:
                    break
            await asyncio.sleep(LOOK_EVERY)
    _show(record)
    if record.state is BatchState.COMPLETED and (nothing := nothing_made(record.counts)):
        stderr.print(nothing, markup=False)
        return 1
    return 0 if record.state is BatchState.COMPLETED else 1


def _show(record: BatchRecord) -> None:
    stdout.print(f"{record.id}  {record.state}", style="bold", markup=False)
    stdout.print(f"source   {record.source_csv}\nstarted  {iso(record.started_at)}", markup=False)
    if record.chunks_total:
        stdout.print(f"chunks   {record.chunks_done} of {record.chunks_total}", markup=False)
    if record.state is BatchState.RUNNING and (pace := pace_of(record, time.time())):
        stdout.print(f"pace     {pace[0]:.1f} creators a second, about {_told(pace[1])} left", markup=False)
    if warning := no_images(record.counts):
        stdout.print(f"warning  {warning}", markup=False)
    if silence := silence_of(record, time.time()):
        stdout.print(f"silent   {_silent(silence)}", markup=False)
    if record.error_code:
        stdout.print(f"failed   {record.error_code}: {record.error_message}", markup=False)
        return
    if record.summary_key:
        stdout.print(f"summary  {record.summary_key}", markup=False)
    stdout.print(counts_table(record.counts, ""))


def pace_of(record: BatchRecord, now: float) -> tuple[float, float] | None:
    """Return creators a second since the start, and the seconds that are left at that pace; None before the first."""
    done = record.counts.get("creators_completed", 0) + record.counts.get("creators_failed", 0)
    passed = now - record.started_at.timestamp()
    if done <= 0 or passed <= 0:
        return None
    pace = done / passed
    return pace, max(0.0, record.counts.get("creators_total", 0) - done) / pace


def silence_of(record: BatchRecord, now: float) -> float | None:
    """Return the seconds for which nobody has written of a running batch, None where they are not worth telling."""
    if record.state is not BatchState.RUNNING or record.updated_at is None:
        return None
    passed = now - datetime.fromisoformat(record.updated_at).timestamp()
    return passed if passed > SILENT_AFTER else None


def _silent(seconds: float) -> str:
    return f"no worker has told of it for {_told(seconds)}; if its messages are dead letters: collage dlq list"


def _told(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{round(seconds)} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _as_json(record: BatchRecord) -> dict[str, Any]:
    pace = pace_of(record, time.time()) if record.state is BatchState.RUNNING else None
    return {
        "batch_id": record.id,
        "state": record.state,
        "source_csv": record.source_csv,
        "started_at": iso(record.started_at),
        "updated_at": record.updated_at,
        "chunks_total": record.chunks_total,
        "chunks_done": record.chunks_done,
        "creators_per_second": round(pace[0], 3) if pace else None,
        "seconds_left": round(pace[1]) if pace else None,
        "counts": dict(record.counts),
        "warnings": [text for text in (no_images(record.counts),) if text],
        "summary_key": record.summary_key,
        "error_code": record.error_code,
        "error_message": record.error_message,
    }
