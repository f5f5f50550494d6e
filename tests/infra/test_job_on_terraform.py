"""The main job on what Terraform made: a manifest dropped in the input bucket becomes collages."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deploy_smoke import smoke

from tests.infra.emulator import NAMES, answers, client, eventually, worker_environment
from tests.infra.terraform import ROOT, environment


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (tmp_path_factory.mktemp("origin") / "log").open("w") as log:
        command = [sys.executable, str(ROOT / "samples" / "origin.py"), "--host", "127.0.0.1", "--port", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment())
        try:
            answers(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)


@pytest.fixture
def worker(without_tls: str, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    settings = {"ALLOW_PRIVATE_ADDRESSES": "true", "HEALTH_PORT": "0", "WAIT_TIME_SECONDS": "1", "LOG_FORMAT": "json"}
    env = worker_environment(without_tls, TMPDIR=str(tmp_path), **settings)
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "worker", "run"], cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)


def keys(s3: Any, bucket: str, prefix: str = "") -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [each["Key"] for page in pages for each in page.get("Contents", [])]


def test_a_dropped_manifest_becomes_collages_and_is_archived(
    without_tls: str, origin: str, worker: "subprocess.Popen[bytes]"
) -> None:
    s3, dynamodb, sqs = (client(name, without_tls) for name in ("s3", "dynamodb", "sqs"))
    text = (ROOT / "samples" / "covers.csv").read_text().replace("http://origin:8080", origin)
    s3.put_object(Bucket=NAMES["INPUT_BUCKET"], Key="csv-files/on-terraform.csv", Body=text.encode())

    archived = "archived/processed/csv-files/on-terraform.csv"
    eventually(lambda: archived if archived in keys(s3, NAMES["INPUT_BUCKET"]) else None)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0

    assert "csv-files/on-terraform.csv" not in keys(s3, NAMES["INPUT_BUCKET"])
    (summary_key,) = [
        key for key in keys(s3, NAMES["OUTPUT_BUCKET"], "results/processing-summaries/") if key.endswith(".json")
    ]
    summary = json.loads(s3.get_object(Bucket=NAMES["OUTPUT_BUCKET"], Key=summary_key)["Body"].read())
    collages = keys(s3, NAMES["OUTPUT_BUCKET"], "collages/by-creator/")
    assert len(collages) > 3
    found = dynamodb.query(
        TableName=NAMES["DYNAMODB_TABLE_NAME"],
        IndexName="batch-id-index",
        KeyConditionExpression="batch_id = :batch",
        ExpressionAttributeValues={":batch": {"S": summary["batch_id"]}},
    )["Items"]
    assert {item["collage_s3_key"]["S"] for item in found if "collage_s3_key" in item} <= set(collages)
    assert {item["status"]["S"] for item in found} <= {"completed", "failed"}
    assert sum(item["status"]["S"] == "completed" for item in found) > 3
    waiting = sqs.get_queue_attributes(
        QueueUrl=NAMES["SQS_QUEUE_URL"].format(url=without_tls),
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    assert set(waiting.values()) == {"0"}


def test_the_smoke_batch_of_a_deployment_goes_through(
    without_tls: str, worker: "subprocess.Popen[bytes]", capsys: pytest.CaptureFixture[str]
) -> None:
    names = {
        "input_bucket": NAMES["INPUT_BUCKET"],
        "output_bucket": NAMES["OUTPUT_BUCKET"],
        "temp_bucket": NAMES["TEMP_BUCKET"],
        "queue_url": NAMES["SQS_QUEUE_URL"].format(url=without_tls),
    }
    s3, sqs = client("s3", without_tls), client("sqs", without_tls)
    key = smoke(s3, sqs, names, "0123abc", patience=60)
    assert key.startswith("smoke/results/processing-summaries/s3_smoke_0123abc_")
    assert worker.poll() is None
