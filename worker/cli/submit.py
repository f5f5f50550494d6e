"""`submit`: send a job."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from worker.aws.calls import aws_call
from worker.aws.clients import Clients, open_clients
from worker.aws.s3 import S3
from worker.aws.state_table import open_table
from worker.cli.status import follow
from worker.cli.terminal import stderr, stdout
from worker.errors import Dependency
from worker.jobs.messages import explicit_of
from worker.keys import batch_id
from worker.model import BatchState, Job, S3Manifest
from worker.settings import Settings

UPLOADS = "manual-uploads/"


async def submit_manifest(
    settings: Settings, manifest: str, config: dict[str, Any], prefix: str | None, *, wait: bool, again: bool
) -> int:
    """Upload where needed, send the job, print the batch id; returns the exit code."""
    async with open_clients(region=settings.aws_region, endpoint_url=settings.aws_endpoint_url) as clients:
        found = await _in_s3(settings, S3(clients.s3, settings=settings.own_buckets), manifest, again=again)
        if isinstance(found, str):
            typer.echo(found, err=True)
            return 2
        identifier = batch_id(job_of(settings, found, config, prefix))
        table = open_table(settings, clients)
        known = await table.batch(identifier)
        if known is not None and known.state is BatchState.COMPLETED:
            stderr.print(
                f"this very manifest has been done, started {known.started_at:%Y-%m-%d %H:%M:%S} UTC; nothing is "
                f"rendered again. --again runs it as a new batch.",
                markup=False,
            )
        await send_job(settings, clients, found, config, prefix)
        stdout.print(identifier, markup=False)
        failed = known if known is not None and known.state is BatchState.FAILED else None
        return await follow(table, identifier, failed_before=failed) if wait else 0


async def _in_s3(settings: Settings, s3: S3, manifest: str, *, again: bool) -> S3Manifest | str:
    """Return the manifest in S3, uploaded where it is a file; or what is wrong with the call."""
    if manifest.startswith("s3://"):
        bucket, _, key = manifest.removeprefix("s3://").partition("/")
        if bucket not in settings.input_buckets:
            allowed = ", ".join(sorted(settings.input_buckets))
            return f"{manifest}: the worker reads manifests from {allowed} only (INPUT_BUCKET, ALLOWED_INPUT_BUCKETS)"
        head = await s3.head(bucket, key) if key else None
        return S3Manifest(bucket, key, head.version, head.etag) if head else f"there is no {manifest}"
    path = Path(manifest)
    if not path.is_file():
        return f"there is no file {path}; submit takes a manifest or s3://BUCKET/KEY"
    key = UPLOADS + (_stamped(path.name) if again else path.name)
    head = await s3.head(settings.input_bucket, key)
    if head is not None and head.etag != _md5(path):  # another file of this name: it stays, ours gets a name of its own
        key, head = UPLOADS + _stamped(path.name), None
    if head is None:
        with path.open("rb") as file:
            await s3.put(settings.input_bucket, key, file, "application/octet-stream")
        head = await s3.head(settings.input_bucket, key)
    return S3Manifest(settings.input_bucket, key, head.version, head.etag) if head else f"{key} is gone again"


def job_of(settings: Settings, manifest: S3Manifest, config: dict[str, Any], prefix: str | None) -> Job:
    """Return the job that a worker reads from what `send_job` sends."""
    return Job(manifest, prefix or "", settings.default_config, False, explicit_of(prefix, config))


async def send_job(
    settings: Settings, clients: Clients, manifest: S3Manifest, config: dict[str, Any], prefix: str | None
) -> None:
    """Send a job that names a manifest in S3."""
    job: dict[str, Any] = {"processing_type": "csv_s3", "s3_bucket": manifest.bucket, "s3_key": manifest.key}
    job |= {"output_prefix": prefix} if prefix is not None else {}
    job |= {"processing_config": config} if config else {}
    async with aws_call(Dependency.SQS, "sending the job", setting="SQS_QUEUE_URL") as call:
        await call(clients.sqs.send_message, QueueUrl=str(settings.sqs_queue_url), MessageBody=json.dumps(job))


def _stamped(name: str) -> str:
    stem, dot, rest = name.partition(".")
    return f"{stem}_{datetime.now(UTC):%Y%m%d_%H%M%S}{dot}{rest}"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
