"""`submit`: send a job."""

import hashlib
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from worker.aws.calls import aws_call
from worker.cli.access import Access, open_access
from worker.cli.batch_told import show_record
from worker.cli.following import exit_code_of, follow
from worker.cli.terminal import print_json, stderr, stdout
from worker.errors import Dependency
from worker.jobs.messages import explicit_of
from worker.keys import batch_id
from worker.model import BatchRecord, BatchState, Job, S3Manifest
from worker.settings import Settings

UPLOADS = "manual-uploads/"


class WrongCallError(Exception):
    """The call names what is not there, or what may not be named. The text says what to do."""


async def submit_manifest(
    settings: Settings,
    manifest: str,
    config: dict[str, Any],
    prefix: str | None,
    *,
    wait: bool,
    again: bool,
    as_json: bool,
) -> int:
    """Upload where needed, send the job, print the batch id; returns the exit code."""
    async with open_access(settings, Dependency.S3, Dependency.SQS, Dependency.DYNAMODB) as access:
        try:
            found = await _in_s3(access, manifest)
        except WrongCallError as error:
            stderr.print(str(error), markup=False)
            return 2
        identifier = batch_id(job_of(settings, found, config, prefix))
        known = await access.table.batch(identifier)
        if known is not None and again and known.state is BatchState.COMPLETED:
            found = await _copied(access, found)  # the very same would be answered from its record
            identifier, known = batch_id(job_of(settings, found, config, prefix)), None
        is_over = known is not None and known.state is not BatchState.RUNNING and not again
        if known is not None and known.state is BatchState.RUNNING:
            stderr.print("this very manifest is being worked on already; nothing is begun a second time", markup=False)
        elif known is not None and is_over:
            stderr.print(_over(known), markup=False)
        if not is_over:
            await send_job(access, found, config, prefix)
        return await told_and_followed(access, identifier, known, wait=wait, as_json=as_json, is_over=is_over)


async def told_and_followed(
    access: Access, identifier: str, known: BatchRecord | None, *, wait: bool, as_json: bool, is_over: bool = False
) -> int:
    """Print a batch's id and, where asked to, follow it to its end; returns the exit code.

    `known` is its record from before, of an earlier run where that was over; with `is_over` there is no new one.
    """
    if not as_json:
        stdout.print(identifier, markup=False)
    elif not wait:
        print_json({"batch_id": identifier, "sent": not is_over, "state": known.state if is_over and known else None})
    if not wait:
        return 0
    if is_over and known is not None:
        code, record = exit_code_of(known), known
    else:
        over_before = known if known is not None and known.state is not BatchState.RUNNING else None
        code, record = await follow(access.table, identifier, as_json=as_json, over_before=over_before)
    if not as_json:
        show_record(record)
    return code


def _over(known: BatchRecord) -> str:
    started = f"started {known.started_at:%Y-%m-%d %H:%M:%S} UTC"
    match known.state:
        case BatchState.COMPLETED:
            return (
                f"this very manifest has been done, {started}; nothing is rendered again. "
                "--again runs it as a new batch."
            )
        case BatchState.CANCELLED:
            return (
                f"the batch of this manifest was cancelled ({started}); --again begins it anew, what is done is kept."
            )
    return (
        f"the batch of this manifest failed ({started}): {known.error_code}: {known.error_message}\n"
        "--again begins it anew, what is done is kept."
    )


async def _in_s3(access: Access, manifest: str) -> S3Manifest:
    """Return the manifest in S3, uploaded where it is a file. Raises `WrongCallError`."""
    settings = access.settings
    if manifest.startswith("s3://"):
        bucket, _, key = manifest.removeprefix("s3://").partition("/")
        if bucket not in settings.input_buckets:
            allowed = ", ".join(sorted(settings.input_buckets))
            raise WrongCallError(
                f"{manifest}: the worker reads manifests from {allowed} only (INPUT_BUCKET, ALLOWED_INPUT_BUCKETS)"
            )
        head = await access.s3.head(bucket, key) if key else None
        if head is None:
            raise WrongCallError(f"there is no {manifest}; aws s3 ls s3://{bucket}/ shows what is there")
        return S3Manifest(bucket, key, head.version, head.etag)
    path = Path(manifest)
    if not path.is_file():
        raise WrongCallError(f"there is no file {path}; submit takes a manifest or s3://BUCKET/KEY")
    key = UPLOADS + path.name
    head = await access.s3.head(settings.input_bucket, key)
    if head is not None and head.etag == _md5(path):
        return S3Manifest(settings.input_bucket, key, head.version, head.etag)
    if head is not None:  # another file of this name: it stays, ours gets a name of its own
        key = UPLOADS + _stamped(path.name)
    with path.open("rb") as file:
        return await _put(access, key, file, "application/octet-stream")


async def _put(access: Access, key: str, file: BinaryIO, content_type: str) -> S3Manifest:
    bucket = access.settings.input_bucket
    await access.s3.put(bucket, key, file, content_type)
    head = await access.s3.head(bucket, key)
    if head is None:
        raise WrongCallError(f"s3://{bucket}/{key} is gone again; submit it once more")
    return S3Manifest(bucket, key, head.version, head.etag)


async def _copied(access: Access, manifest: S3Manifest) -> S3Manifest:
    """Upload a manifest anew under a name of its own, so that it is another batch."""
    head = await access.s3.head(manifest.bucket, manifest.key, manifest.version)
    if head is None:
        raise WrongCallError(f"s3://{manifest.bucket}/{manifest.key} is gone; submit the file itself")
    with tempfile.TemporaryFile(prefix="manifest-") as file:
        await access.s3.download(manifest.bucket, manifest.key, head, cast("BinaryIO", file))
        key = UPLOADS + _stamped(manifest.key.rpartition("/")[2])
        return await _put(access, key, cast("BinaryIO", file), "application/octet-stream")


def job_of(settings: Settings, manifest: S3Manifest, config: dict[str, Any], prefix: str | None) -> Job:
    """Return the job that a worker reads from what `send_job` sends."""
    return Job(manifest, prefix or "", settings.default_config, False, explicit_of(prefix, config))


async def send_job(access: Access, manifest: S3Manifest, config: dict[str, Any], prefix: str | None) -> None:
    """Send a job that names a manifest in S3."""
    job: dict[str, Any] = {"processing_type": "csv_s3", "s3_bucket": manifest.bucket, "s3_key": manifest.key}
    job |= {"output_prefix": prefix} if prefix is not None else {}
    job |= {"processing_config": config} if config else {}
    queue = str(access.settings.sqs_queue_url)
    async with aws_call(Dependency.SQS, "sending the job", setting="SQS_QUEUE_URL") as call:
        await call(access.clients.sqs.send_message, QueueUrl=queue, MessageBody=json.dumps(job))


def _stamped(name: str) -> str:
    stem, dot, rest = name.partition(".")
    return f"{stem}_{datetime.now(UTC):%Y%m%d_%H%M%S}{dot}{rest}"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
