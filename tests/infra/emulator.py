"""An emulator of AWS on this machine, and what is found in one."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.infra.terraform import ROOT, environment

T = TypeVar("T")

NAMES = {
    "INPUT_BUCKET": "tiktok-image-input",
    "OUTPUT_BUCKET": "tiktok-image-output",
    "TEMP_BUCKET": "tiktok-image-temp",
    "SQS_QUEUE_URL": "{url}/123456789012/tiktok-image-processing-queue",
    "SQS_DLQ_URL": "{url}/123456789012/tiktok-image-processing-dlq",
    "DYNAMODB_TABLE_NAME": "tiktok-creator-processing-state",
}
TERRAFORM_NAMES = {
    "buckets": {key: NAMES[f"{key.upper()}_BUCKET"] for key in ("input", "output", "temp")},
    "queue_name": "tiktok-image-processing-queue",
    "dlq_name": "tiktok-image-processing-dlq",
    "table_name": NAMES["DYNAMODB_TABLE_NAME"],
    "repository_name": "collage-worker",
}
"""The same as Terraform's variables: without them the names would carry environment, region and account."""


@contextmanager
def moto(log: Path) -> Iterator[str]:
    """Run an empty moto server; gives its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as out:
        command = [sys.executable, str(ROOT / "tests" / "infra" / "moto_server.py"), "-p", str(port)]
        server = subprocess.Popen(command, stdout=out, stderr=out, env=environment())
        try:
            answers(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)


def answers(port: int, patience: float = 30.0) -> None:
    """Wait until something listens on a port."""
    end = time.monotonic() + patience
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def eventually(look: Callable[[], T | None], *, seconds: float = 90.0) -> T:
    """Look again and again until there is something; returns it."""
    end = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.3)
    return found


def client(service: str, url: str) -> Any:
    """Return a client for the emulator."""
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(s3={"addressing_style": "path"}),
    )


def worker_environment(url: str, **further: str) -> dict[str, str]:
    """Return an environment for the worker's commands against the emulator."""
    names = {name: value.format(url=url) for name, value in NAMES.items()}
    return environment(AWS_ENDPOINT_URL=url, PYTHONPATH=str(ROOT), **names, **further)


def python(*arguments: str, env: dict[str, str], cwd: Path = ROOT) -> str:
    """Run Python to its good end; returns what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments], env=env, cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def found_at(url: str) -> dict[str, Any]:
    """Tell everything that the worker relies on, as it is found at an endpoint."""
    s3, sqs, dynamodb = (client(name, url) for name in ("s3", "sqs", "dynamodb"))
    return {
        "buckets": sorted(bucket["Name"] for bucket in s3.list_buckets()["Buckets"]),
        "notifications": _notifications(s3),
        "gone after days": _expirations(s3),
        "queues": {address.rpartition("/")[2]: _queue(sqs, address) for address in sqs.list_queues()["QueueUrls"]},
        "tables": {name: _table(dynamodb, name) for name in dynamodb.list_tables()["TableNames"]},
    }


def _notifications(s3: Any) -> list[Any]:
    found = s3.get_bucket_notification_configuration(Bucket=NAMES["INPUT_BUCKET"]).get("QueueConfigurations", [])
    return sorted(
        (
            each["Id"],
            each["QueueArn"],
            tuple(each["Events"]),
            tuple(sorted((rule["Name"].lower(), rule["Value"]) for rule in each["Filter"]["Key"]["FilterRules"])),
        )
        for each in found
    )


def _expirations(s3: Any) -> dict[str, int]:
    try:
        rules = s3.get_bucket_lifecycle_configuration(Bucket=NAMES["TEMP_BUCKET"])["Rules"]
    except ClientError:
        return {}
    return {rule["Filter"]["Prefix"]: rule["Expiration"]["Days"] for rule in rules if "Expiration" in rule}


def _queue(sqs: Any, address: str) -> dict[str, Any]:
    asked = [
        "VisibilityTimeout",
        "MessageRetentionPeriod",
        "ReceiveMessageWaitTimeSeconds",
        "MaximumMessageSize",
        "RedrivePolicy",
    ]
    found = sqs.get_queue_attributes(QueueUrl=address, AttributeNames=asked)["Attributes"]
    redrive = json.loads(found.pop("RedrivePolicy", "null") or "null")
    return {**found, "redrive": redrive}


def _table(dynamodb: Any, name: str) -> dict[str, Any]:
    table = dynamodb.describe_table(TableName=name)["Table"]
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    return {
        "key": table["KeySchema"],
        "attributes": sorted((each["AttributeName"], each["AttributeType"]) for each in table["AttributeDefinitions"]),
        "indexes": sorted(
            (
                each["IndexName"],
                tuple((key["AttributeName"], key["KeyType"]) for key in each["KeySchema"]),
                each["Projection"]["ProjectionType"],
            )
            for each in table["GlobalSecondaryIndexes"]
        ),
        "billing": table["BillingModeSummary"]["BillingMode"],
        "ttl": (ttl["TimeToLiveStatus"], ttl.get("AttributeName")),
    }
