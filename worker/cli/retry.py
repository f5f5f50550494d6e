"""`retry`: a new batch of the creators that another run may help."""

import csv
import io
import json
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from worker.cli.access import open_access
from worker.cli.batch_names import existing_batch
from worker.cli.finishing import results_of
from worker.cli.submit import UPLOADS, job_of, send_job, told_and_followed
from worker.cli.terminal import stderr
from worker.errors import Dependency
from worker.jobs.part_lines import RowOutcome
from worker.jobs.parts import Parts
from worker.jobs.reasons import MAY_CHANGE
from worker.keys import batch_id as batch_id_of
from worker.model import BatchState, S3Manifest
from worker.settings import Settings

HEADER = ("creator_name", "cover_url")


async def retry_batch(settings: Settings, name: str, *, wait: bool, as_json: bool) -> int:
    """Submit a manifest of the creators that a retry may help; returns the exit code."""
    async with open_access(settings, Dependency.S3, Dependency.SQS, Dependency.DYNAMODB) as access:
        s3 = access.s3
        record = await existing_batch(access.table, name)
        if isinstance(record, int):
            return record
        batch_id = record.id
        if record.state is BatchState.RUNNING:
            stderr.print(f"batch {batch_id} is still running; retry takes one that is over", markup=False)
            return 1
        if record.summary_key is None:
            stderr.print(f"batch {batch_id} has no summary; submit its manifest again", markup=False)
            return 1
        summary = json.loads(await s3.get(settings.output_bucket, record.summary_key) or b"{}")
        asked = summary.get("settings", {"output_prefix": "", "processing_config": {}})
        parts = Parts(results_of(access), asked["output_prefix"])
        with tempfile.TemporaryFile() as file:
            creators = await _write_manifest(file, _helped(parts, batch_id))
            if not creators:
                stderr.print("no creator missed an image for a reason that may have passed", markup=False)
                return 0
            key = f"{UPLOADS}retry_{batch_id}_{datetime.now(UTC):%Y%m%d_%H%M%S}.csv"
            await s3.put(settings.input_bucket, key, file, "text/csv")
        head = await s3.head(settings.input_bucket, key)
        manifest = S3Manifest(settings.input_bucket, key, head.version if head else None, head.etag if head else None)
        own = {"group_by_creator": True, "creator_column": HEADER[0], "url_column": HEADER[1], "encoding": "utf-8"}
        config = asked["processing_config"] | own
        await send_job(access, manifest, config, asked["output_prefix"])
        identifier = batch_id_of(job_of(settings, manifest, config, asked["output_prefix"]))
        stderr.print(f"creators that are run anew: {creators}", markup=False)
        return await told_and_followed(access, identifier, None, wait=wait, as_json=as_json)


async def _helped(parts: Parts, batch_id: str) -> AsyncIterator[tuple[str, list[str]]]:
    """Give each creator that missed an image for a reason that may have passed, with the URLs worth asking for."""
    creator, urls, is_helped = "", list[str](), False
    async for row in parts.rows(batch_id):
        if row.creator != creator:
            if is_helped:
                yield creator, urls
            creator, urls, is_helped = row.creator, [], False
        may_change = row.reason in MAY_CHANGE
        is_helped |= row.outcome is RowOutcome.FAILED and may_change
        if row.outcome is not RowOutcome.FAILED or may_change:
            urls.append(row.url)
    if is_helped:
        yield creator, urls


async def _write_manifest(file: Any, helped: AsyncIterator[tuple[str, list[str]]]) -> int:
    """Write a manifest of these creators' rows; returns how many creators there are."""
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(HEADER)
    creators = 0
    async for creator, urls in helped:
        creators += 1
        writer.writerows((creator, url) for url in urls)
    text.detach()
    file.seek(0)
    return creators
