"""`retry`: a new batch of the creators that another run may help, and of those that were never done."""

import csv
import io
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from worker.aws.stores import S3Manifests
from worker.cli.access import Access, open_access
from worker.cli.batch_names import existing_batch
from worker.cli.finishing import results_of
from worker.cli.submit import UPLOADS, job_of, send_job, told_and_followed
from worker.cli.terminal import stderr
from worker.errors import Dependency
from worker.jobs.chunk_files import spec_of
from worker.jobs.groups import MAX_ROWS
from worker.jobs.part_lines import RowOutcome
from worker.jobs.parts import Parts
from worker.jobs.planning import Planner
from worker.jobs.reasons import MAY_CHANGE
from worker.keys import archive_key, batch_hash
from worker.keys import batch_id as batch_id_of
from worker.model import BatchRecord, BatchState, Job, ManifestHead, S3Manifest
from worker.settings import Settings

HEADER = ("creator_name", "cover_url")

_Creators = AsyncIterator[tuple[str, list[str]]]
"""Names, each with the URLs that are worth asking for."""


async def retry_batch(settings: Settings, name: str, *, wait: bool, as_json: bool) -> int:
    """Submit a manifest of the creators that a retry may help; returns the exit code."""
    async with open_access(settings, Dependency.S3, Dependency.SQS, Dependency.DYNAMODB) as access:
        record = await existing_batch(access.table, name)
        if isinstance(record, int):
            return record
        if record.state is BatchState.RUNNING:
            stderr.print(f"batch {record.id} is still running; retry takes one that is over", markup=False)
            return 1
        if record.asked is None:
            stderr.print(f"the record of batch {record.id} does not tell what was asked; submit it again", markup=False)
            return 1
        with tempfile.TemporaryFile() as file:
            creators = await _write_manifest(file, _helped(access, record, spec_of(record).job))
            if not creators:
                stderr.print("no creator missed an image for a reason that may have passed", markup=False)
                return 0
            manifest = await _uploaded(access, record, file)
        job = spec_of(record).job
        own = {"group_by_creator": True, "creator_column": HEADER[0], "url_column": HEADER[1], "encoding": "utf-8"}
        config = job.config.model_dump(mode="json") | own
        await send_job(access, manifest, config, job.output_prefix)
        identifier = batch_id_of(job_of(settings, manifest, config, job.output_prefix))
        stderr.print(f"creators that are run anew: {creators}", markup=False)
        return await told_and_followed(access, identifier, None, wait=wait, as_json=as_json)


async def _uploaded(access: Access, record: BatchRecord, file: Any) -> S3Manifest:
    bucket, key = access.settings.input_bucket, f"{UPLOADS}retry_{record.id}_{datetime.now(UTC):%Y%m%d_%H%M%S}.csv"
    await access.s3.put(bucket, key, file, "text/csv")
    head = await access.s3.head(bucket, key)
    return S3Manifest(bucket, key, head.version if head else None, head.etag if head else None)


async def _helped(access: Access, record: BatchRecord, job: Job) -> _Creators:
    """Give each creator that missed an image for a reason that may have passed, and each that was never done."""
    told: set[str] = set()
    async for creator, urls, may_help in _told(Parts(results_of(access), job.output_prefix), record.id):
        told.add(creator)
        if may_help:
            yield creator, urls
    if record.state is BatchState.COMPLETED:
        return
    async for done in access.table.all_creator_records(record.id):
        if done.part_key is not None:
            told.add(done.creator)
    async for creator, urls in _never_done(access, record, job, told):
        yield creator, urls


async def _told(parts: Parts, batch_id: str) -> AsyncIterator[tuple[str, list[str], bool]]:
    """Give each creator of whom the results tell, the URLs worth asking for, and whether that may help."""
    creator, urls, may_help = "", list[str](), False
    async for row in parts.rows(batch_id):
        if row.creator != creator:
            if creator:
                yield creator, urls, may_help
            creator, urls, may_help = row.creator, [], False
        may_change = row.reason in MAY_CHANGE
        may_help |= row.outcome is RowOutcome.FAILED and may_change
        if row.outcome is not RowOutcome.FAILED or may_change:
            urls.append(row.url)
    if creator:
        yield creator, urls, may_help


async def _never_done(access: Access, record: BatchRecord, job: Job, told: set[str]) -> _Creators:
    """Read the manifest of a batch that did not come to its end; give those of its creators that are not `told`.

    Raises `TerminalError` where it cannot be read, as the batch itself does.
    """
    manifests = S3Manifests(access.s3)
    found, head = await _found(manifests, record, job)
    async with Planner(manifests).grouped(replace(job, manifest=found), head) as (grouping, _, _):
        for group, _ in grouping.groups(max_rows=MAX_ROWS):
            if group.name not in told:
                yield group.name, [row.url for row in group.rows]


async def _found(manifests: S3Manifests, record: BatchRecord, job: Job) -> tuple[Any, ManifestHead | None]:
    """Return where the very manifest is now: in its place, or where it was archived."""
    manifest = job.manifest
    if not isinstance(manifest, S3Manifest):
        return manifest, None
    moved = [archive_key(manifest.key, failed=True, suffix=suffix) for suffix in ("", batch_hash(record.id))]
    for place in (manifest, *(S3Manifest(manifest.bucket, key) for key in moved)):
        head = await manifests.head(place)
        if head is not None and head.etag == manifest.etag:
            return place, head
    return manifest, None


async def _write_manifest(file: Any, helped: _Creators) -> int:
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
