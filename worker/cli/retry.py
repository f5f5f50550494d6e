"""`retry`: a new batch of the creators that another run may help."""

import csv
import io
import json
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from worker.aws.calls import aws_call
from worker.aws.clients import Clients
from worker.aws.s3 import S3
from worker.cli.access import open_access
from worker.cli.batch_names import existing_batch
from worker.cli.submit import UPLOADS, job_of, send_job, told_and_followed
from worker.cli.terminal import stderr
from worker.errors import Dependency
from worker.jobs.reasons import MAY_CHANGE
from worker.keys import batch_id as batch_id_of
from worker.keys import metadata_key
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
        with tempfile.TemporaryFile() as file:
            helped = _helped(settings, access.clients, s3, batch_id, asked["output_prefix"])
            creators = await _write_manifest(file, helped)
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


async def _helped(
    settings: Settings, clients: Clients, s3: S3, batch_id: str, prefix: str
) -> AsyncIterator[dict[str, Any]]:
    """Give the metadata of each creator that missed an image for a reason that may have passed."""
    query: dict[str, Any] = {
        "TableName": settings.dynamodb_table_name,
        "IndexName": "batch-id-index",
        "KeyConditionExpression": "batch_id = :batch",
        "FilterExpression": "error_count > :none",
        "ExpressionAttributeValues": {":batch": {"S": batch_id}, ":none": {"N": "0"}},
    }
    while True:
        doing = f"looking for the creators of batch {batch_id}"
        async with aws_call(Dependency.DYNAMODB, doing, setting="DYNAMODB_TABLE_NAME") as call:
            page = await call(clients.dynamodb.query, **query)
        for item in page["Items"]:
            if MAY_CHANGE & item["errors"]["M"].keys():
                key = metadata_key(prefix, batch_id, item["creator_name"]["S"])
                if (body := await s3.get(settings.output_bucket, key)) is not None:
                    yield json.loads(body)
        if "LastEvaluatedKey" not in page:
            return
        query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


async def _write_manifest(file: Any, found: AsyncIterator[dict[str, Any]]) -> int:
    """Write a manifest of these creators' rows, less those that would fail again."""
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(HEADER)
    creators = 0
    async for metadata in found:
        creators += 1
        writer.writerows((metadata["creator"], image["url"]) for image in metadata["images"] if _worth_asking(image))
    text.detach()
    file.seek(0)
    return creators


def _worth_asking(image: dict[str, Any]) -> bool:
    return image["outcome"] != "failed" or image["reason"] in MAY_CHANGE
