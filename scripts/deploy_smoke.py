"""A smoke batch: a few sample photos through the deployed worker, from message to collage.

Imports nothing of the worker: it knows the service only from outside. The photos are put into the temp bucket and
named in the manifest by presigned links, so that nothing else has to be reachable.
"""

import csv
import io
import json
import os
import time
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from deploy_terraform import ROOT, DeployError

CREATORS, COVERS = 2, 3
PREFIX = "smoke/"
LINK_SECONDS = 3600


def s3_client(region: str) -> Any:
    """Return a client whose presigned links name the region's own host.

    The SDK's default is the global host, which sends requests for a new bucket of another region elsewhere for its
    first hours; a signed link does not survive that. Emulators know no buckets as hosts.
    """
    style = "path" if os.environ.get("AWS_ENDPOINT_URL") else "virtual"
    return boto3.client(
        "s3", region_name=region, config=Config(signature_version="s3v4", s3={"addressing_style": style})
    )


def smoke(
    s3: Any,
    sqs: Any,
    names: dict[str, str],
    tag: str,
    *,
    patience: float = 600.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Run a batch and look at what came of it; returns the summary's key. Raises `DeployError`.

    `names` has `input_bucket`, `output_bucket`, `temp_bucket` and `queue_url`, as the data half puts them out.
    """
    stem = f"smoke_{tag}_{int(time.time())}"
    key = f"manual-uploads/{stem}.csv"
    s3.put_object(Bucket=names["input_bucket"], Key=key, Body=_manifest(s3, names["temp_bucket"], stem))
    job = {"processing_type": "csv_s3", "s3_bucket": names["input_bucket"], "s3_key": key, "output_prefix": PREFIX}
    # A group of its own: SQS's fair queueing then lets it pass a large batch that is waiting.
    sqs.send_message(QueueUrl=names["queue_url"], MessageBody=json.dumps(job), MessageGroupId=stem)
    found = _summary(s3, names["output_bucket"], stem, clock() + patience, clock, sleep)
    _check(s3, names["output_bucket"], found)
    return found


def _manifest(s3: Any, bucket: str, stem: str) -> bytes:
    photos = sorted(
        path for path in (ROOT / "samples" / "photos").iterdir() if path.suffix in {".jpg", ".png", ".webp"}
    )
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["creator_name", "cover_url"])
    for number, path in enumerate(photos[: CREATORS * COVERS]):
        key = f"smoke/{stem}/{path.name}"
        s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes(), ContentType="image/" + path.suffix[1:])
        link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=LINK_SECONDS)
        rows.writerow([f"{stem}.{number % CREATORS}", link])
    return text.getvalue().encode()


def _summary(
    s3: Any, bucket: str, stem: str, end: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> str:
    prefix = f"{PREFIX}results/processing-summaries/s3_{stem}-"
    while True:
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        for each in listed:
            if each["Key"].endswith(".json"):
                return str(each["Key"])
        if clock() >= end:
            raise DeployError(f"the smoke batch has not come to an end: no s3://{bucket}/{prefix}*.json; see the logs")
        sleep(3.0)


def _check(s3: Any, bucket: str, summary_key: str) -> None:
    """Look at the collages themselves: a summary alone could be wrong."""
    batch = summary_key.rpartition("/")[2].removesuffix(".json")
    stem = batch.removeprefix("s3_").rpartition("-")[0]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{PREFIX}collages/by-creator/{stem}.").get("Contents", [])
    found = [s3.head_object(Bucket=bucket, Key=each["Key"])["Metadata"] for each in listed]
    whole = [each for each in found if each.get("batch-id") == batch and each.get("images") == str(COVERS)]
    if len(whole) != CREATORS:
        raise DeployError(
            f"the smoke batch {batch} ended with {len(whole)} whole collages of {CREATORS}; "
            f"s3://{bucket}/{summary_key} says why"
        )
