"""One test's own buckets, queues and table, and how they look from outside."""

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from tests.integration.emulator import CREDENTIALS, REGION, Aws
from tests.integration.pictures import token
from tests.integration.waiting import until
from worker.aws.bootstrap import bootstrap
from worker.jobs.part_lines import RowLine, read_row, unpacked
from worker.keys import is_part, results_prefix
from worker.settings import Settings

COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letter queue, with its attributes as plain text."""

    body: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Resources that nobody else uses."""

    aws: Aws
    settings: Settings
    queue_url: str
    dlq_url: str
    _dead: list[DeadLetter] = field(default_factory=list)

    @property
    def input(self) -> str:
        return self.settings.input_bucket

    @property
    def output(self) -> str:
        return self.settings.output_bucket

    @property
    def table(self) -> str:
        return self.settings.dynamodb_table_name

    def with_queue(self, aws: Aws) -> "Place":
        """Return the same place with queues that no other worker of it reads."""
        name = f"it-{token()}"
        dlq_url = aws.sqs.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
        arn = aws.sqs.get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "3"})
        url = aws.sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive})["QueueUrl"]
        return replace(self, queue_url=url, dlq_url=dlq_url, _dead=[])

    def env(self, endpoint: str | None = None, **more: object) -> dict[str, str]:
        """Return the environment of a worker here, as a user would set it. `more` are further variables."""
        return {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": endpoint or self.aws.endpoint,
            "INPUT_BUCKET": self.input,
            "OUTPUT_BUCKET": self.output,
            "TEMP_BUCKET": self.settings.temp_bucket,
            "SQS_QUEUE_URL": self.queue_url,
            "SQS_DLQ_URL": self.dlq_url,
            "DYNAMODB_TABLE_NAME": self.table,
            "ALLOW_PRIVATE_ADDRESSES": "true",
            "WAIT_TIME_SECONDS": "1",
            "HEALTH_PORT": "0",
            "RETRY_BACKOFF_FACTOR": "0.05",
            "LOG_FORMAT": "json",
            **{name: str(value) for name, value in more.items()},
        }

    # --- what goes in -----------------------------------------------------------------------------------------------

    def put(self, key: str, body: str | bytes, **metadata: str) -> str:
        """Put an object into the input bucket, with user metadata; returns its ETag."""
        answer = self.aws.s3.put_object(
            Bucket=self.input, Key=key, Body=body.encode() if isinstance(body, str) else body, Metadata=metadata
        )
        return answer["ETag"].strip('"')

    def send(self, body: object) -> str:
        """Send a message; returns its body."""
        text = body if isinstance(body, str) else json.dumps(body)
        self.aws.sqs.send_message(QueueUrl=self.queue_url, MessageBody=text)
        return text

    def send_job(self, rows_csv: str, name: str | None = None, **more: object) -> str:
        """Upload a manifest and send its job; returns the message's body. `more` are further keys of it."""
        key = f"manual-uploads/{name or token()}.csv"
        self.put(key, rows_csv)
        return self.send({"processing_type": "csv_s3", "s3_bucket": self.input, "s3_key": key, **more})

    # --- what comes out ---------------------------------------------------------------------------------------------

    def waiting(self) -> int:
        """Count the messages of the queue, visible or not."""
        # An emulator counts the visible ones, then the others: one that turns visible in between is in neither count.
        return self._count(self.queue_url) or self._count(self.queue_url)

    def in_flight(self) -> int:
        """Count the messages of the queue that somebody has received."""
        return self._count(self.queue_url, COUNTS[1:2])

    def dead_count(self) -> int:
        """Count the messages of the dead-letter queue."""
        return self._count(self.dlq_url)

    def until_empty(self, *, within: float = 30.0) -> None:
        """Wait until every message is deleted."""
        until(lambda: self.waiting() == 0, "an empty queue", within=within)

    def dead_letter(self, body: str, *, within: float = 30.0) -> DeadLetter:
        """Wait for the dead letter with this body."""
        return until(lambda: self._dead_letter(body), f"a dead letter {body[:80]}", within=within)

    def listed(self, bucket: str | None = None, prefix: str = "") -> list[str]:
        """List a bucket; the output bucket unless told otherwise."""
        pages = self.aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket or self.output, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def read(self, key: str, bucket: str | None = None) -> bytes:
        """Read an object; of the output bucket unless told otherwise."""
        return self.aws.s3.get_object(Bucket=bucket or self.output, Key=key)["Body"].read()

    def read_json(self, key: str, bucket: str | None = None) -> Any:
        """Read a JSON object."""
        return json.loads(self.read(key, bucket))

    def rows(self, batch_id: str, prefix: str = "") -> list[RowLine]:
        """Read every row of a batch's parts."""
        keys = [key for key in self.listed(prefix=results_prefix(prefix, batch_id)) if is_part(key)]
        return [read_row(line) for key in keys for line in unpacked(io.BytesIO(self.read(key)))]

    def head(self, key: str, bucket: str | None = None) -> Any:
        """Look at an object; of the output bucket unless told otherwise."""
        return self.aws.s3.head_object(Bucket=bucket or self.output, Key=key)

    def items(self) -> list[Item]:
        """Return everything in the table, as plain values."""
        pages = self.aws.dynamodb.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        return [plain(item) for page in pages for item in page["Items"]]

    def batches(self, part: str = "") -> dict[str, Item]:
        """Return the batches whose id contains `part`, by id."""
        return {
            item["creator_name"].removeprefix(" batch "): item
            for item in self.items()
            if item["creator_name"].startswith(" batch ") and part in item["creator_name"]
        }

    def batch(self, part: str, *, state: str = "completed", within: float = 30.0) -> tuple[str, Item]:
        """Wait for the one batch whose id contains `part` to come to a state; returns its id and item."""

        def look() -> list[tuple[str, Item]]:
            return [(name, item) for name, item in self.batches(part).items() if item.get("state") == state]

        found = until(look, f"a batch {part} that is {state}", within=within)
        assert len(found) == 1
        return found[0]

    def records(self, batch_id: str) -> dict[str, Item]:
        """Return a batch's creators by name, as its index tells them."""
        pages = self.aws.dynamodb.get_paginator("query").paginate(
            TableName=self.table,
            IndexName="batch-id-index",
            KeyConditionExpression="batch_id = :id",
            ExpressionAttributeValues={":id": {"S": batch_id}},
        )
        found = [plain(item) for page in pages for item in page["Items"]]
        by_name = {item["creator_name"]: item for item in found}
        assert len(by_name) == len(found), "a creator has two records in one batch"
        return by_name

    def summary(self, batch_id: str, prefix: str = "") -> Any:
        """Return a batch's summary."""
        return self.read_json(f"{prefix}results/processing-summaries/{batch_id}.json")

    def _count(self, url: str, names: tuple[Any, ...] = COUNTS) -> int:
        found = self.aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))["Attributes"]
        return sum(int(found.get(name, "0")) for name in names)

    def _dead_letter(self, body: str) -> DeadLetter | None:
        answer = self.aws.sqs.receive_message(
            QueueUrl=self.dlq_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        for message in answer.get("Messages", []):
            self.aws.sqs.delete_message(QueueUrl=self.dlq_url, ReceiptHandle=message["ReceiptHandle"])
            told = {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}
            self._dead.append(DeadLetter(message["Body"], told))
        return next((letter for letter in self._dead if letter.body == body), None)


def make_place(aws: Aws) -> Place:
    """Make a place with names that nothing else has."""
    name = f"it-{token()}"
    settings = Settings(
        input_bucket=f"{name}-input",
        output_bucket=f"{name}-output",
        temp_bucket=f"{name}-temp",
        sqs_queue_url=f"{aws.endpoint}/000000000000/{name}-queue",
        sqs_dlq_url=f"{aws.endpoint}/000000000000/{name}-dlq",
        dynamodb_table_name=f"{name}-table",
        aws_endpoint_url=aws.endpoint,
        aws_default_region=REGION,
    )
    list(bootstrap(settings))
    url, dlq_url = (aws.sqs.get_queue_url(QueueName=f"{name}-{kind}")["QueueUrl"] for kind in ("queue", "dlq"))
    place = Place(aws, settings, url, dlq_url)
    _forget_test_events(place)
    return place


def _forget_test_events(place: Place) -> None:
    """Take the S3 test events out of the way that come with the bucket's notifications: tests send their own."""

    def empty() -> bool:
        found = place.aws.sqs.receive_message(QueueUrl=place.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        for message in found.get("Messages", []):
            place.aws.sqs.delete_message(QueueUrl=place.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return place.waiting() == 0

    until(empty, "a queue without test events")


def plain(item: Mapping[str, Any]) -> Item:
    """Read DynamoDB's attributes as plain values; numbers are Decimal."""
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def creators(keys: Iterable[str]) -> set[str]:
    """Return the creators' folders among keys of collages."""
    return {key.split("/by-creator/")[1].split("/")[0] for key in keys if "/by-creator/" in key}
