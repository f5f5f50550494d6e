"""The environment under test: buckets, queues, table and origin, as any client sees them."""

import json
import os
import urllib.request
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config

from tests.system.waiting import wait_for

Letter = dict[str, Any]


class Environment:
    """Puts work in and looks at what comes out. Names come from the environment variables in README.md."""

    def __init__(self, endpoint_url: str | None, origin: str, origin_control: str) -> None:
        options: dict[str, Any] = {
            "endpoint_url": endpoint_url,
            "region_name": os.environ.get("AWS_REGION", "us-east-1"),
            "config": Config(s3={"addressing_style": "path"}),
        }
        if endpoint_url:
            options |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.s3 = boto3.client("s3", **options)
        self.sqs = boto3.client("sqs", **options)
        self.dynamodb = boto3.resource("dynamodb", **options)
        self.input_bucket = os.environ.get("INPUT_BUCKET", "tiktok-image-input")
        self.output_bucket = os.environ.get("OUTPUT_BUCKET", "tiktok-image-output")
        self.table = self.dynamodb.Table(os.environ.get("DYNAMODB_TABLE_NAME", "tiktok-creator-processing-state"))
        self.queue_url = self._queue(os.environ.get("SYSTEM_QUEUE", "tiktok-image-processing-queue"))
        self.dlq_url = self._queue(os.environ.get("SYSTEM_DLQ", "tiktok-image-processing-dlq"))
        self.origin = origin
        self._origin_control = origin_control
        self._letters: list[Letter] = []

    def close(self) -> None:
        """Close the clients' connections."""
        for client in (self.s3, self.sqs, self.dynamodb.meta.client):
            client.close()

    def _queue(self, name: str) -> str:
        return str(self.sqs.get_queue_url(QueueName=name)["QueueUrl"])

    # --- putting work in --------------------------------------------------------------------------------------------

    def upload(self, key: str, body: bytes) -> None:
        """Put an object into the input bucket."""
        self.s3.put_object(Bucket=self.input_bucket, Key=key, Body=body)

    def send(self, body: dict[str, Any] | str) -> str:
        """Send a message; returns its id."""
        text = body if isinstance(body, str) else json.dumps(body)
        return str(self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=text)["MessageId"])

    def send_job(self, key: str, **more: Any) -> str:
        """Send a job for a manifest of the input bucket."""
        return self.send({"processing_type": "csv_s3", "s3_bucket": self.input_bucket, "s3_key": key, **more})

    # --- looking at what came out -----------------------------------------------------------------------------------

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """Return all keys of a bucket under a prefix."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def read(self, bucket: str, key: str) -> bytes:
        """Return an object's bytes."""
        body: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def summaries(self, stem: str, prefix: str = "") -> list[dict[str, Any]]:
        """Return the summaries of all batches whose manifest has this stem."""
        keys = self.keys(self.output_bucket, f"{prefix}results/processing-summaries/s3_{stem}-")
        return [json.loads(self.read(self.output_bucket, key)) for key in keys if key.endswith(".json")]

    def summary(self, stem: str, prefix: str = "") -> dict[str, Any]:
        """Wait for the one batch of a manifest to be over and for its message to be gone; returns its summary."""
        wait_for(lambda: self.summaries(stem, prefix), f"a summary of {stem}")
        self.wait_until_idle()
        (found,) = self.summaries(stem, prefix)
        return found

    def records(self, batch_id: str) -> dict[str, dict[str, Any]]:
        """Return a batch's records by creator. Two of one creator fail the test."""
        answer = self.table.query(
            IndexName="batch-id-index",
            KeyConditionExpression="batch_id = :batch",
            ExpressionAttributeValues={":batch": batch_id},
        )
        items = answer["Items"]
        by_creator = {str(item["creator_name"]): dict(item) for item in items}
        assert len(by_creator) == len(items), "a creator has two records in one batch"
        return by_creator

    def messages_left(self) -> int:
        """Return how many messages the queue holds, those in flight and delayed ones included."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        names += ("ApproximateNumberOfMessagesDelayed",)
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=list(names))
        return sum(int(answer["Attributes"][name]) for name in names)

    def wait_until_idle(self) -> None:
        """Wait until no message is left."""
        # Twice: a message that turns visible between two of the counts is in neither.
        wait_for(lambda: self.messages_left() == self.messages_left() == 0, "an empty queue", seconds=120)

    def dead_letter(self, is_ours: Callable[[str], bool]) -> Letter:
        """Wait for the dead letter whose body is ours; returns its body and its attributes' texts."""
        found = wait_for(lambda: self._find_letter(is_ours), "a dead letter")
        attributes = found.get("MessageAttributes", {})
        return {"body": found["Body"], **{name: value["StringValue"] for name, value in attributes.items()}}

    def _find_letter(self, is_ours: Callable[[str], bool]) -> Letter | None:
        answer = self.sqs.receive_message(
            QueueUrl=self.dlq_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], WaitTimeSeconds=0
        )
        for letter in answer.get("Messages", []):
            self._letters.append(letter)
            self.sqs.delete_message(QueueUrl=self.dlq_url, ReceiptHandle=letter["ReceiptHandle"])
        return next((letter for letter in self._letters if is_ours(letter["Body"])), None)

    # --- the origin -------------------------------------------------------------------------------------------------

    def requests(self, marker: str) -> dict[str, int]:
        """Return how often the origin was asked for each path that has `marker` in it."""
        with urllib.request.urlopen(f"{self._origin_control}/requests", timeout=10) as answer:
            counts: dict[str, int] = json.load(answer)
        return {path: count for path, count in counts.items() if marker in path}
