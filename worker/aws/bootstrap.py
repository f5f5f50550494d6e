"""Makes what the worker needs at a local endpoint: buckets, queues, table and notifications. Safe to repeat.

In AWS these are made by `infra/`; `tests/` holds the two against each other.

LocalStack's ready hook runs this module with LocalStack's own Python: nothing but boto3 may be imported here.
"""

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

    from worker.settings import Settings

QUEUE_NAME = "tiktok-image-processing-queue"
DLQ_NAME = "tiktok-image-processing-dlq"
MAX_RECEIVES = 3
QUEUE_ATTRIBUTES = {
    "VisibilityTimeout": "900",
    "MessageRetentionPeriod": "1209600",
    "ReceiveMessageWaitTimeSeconds": "20",
    "MaximumMessageSize": "1048576",
}
DLQ_ATTRIBUTES = {"MessageRetentionPeriod": "1209600", "MaximumMessageSize": "1048576"}

TABLE: dict[str, Any] = {
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"}
        for name in ("creator_name", "processing_date", "batch_id", "status")
    ],
    "KeySchema": [
        {"AttributeName": "creator_name", "KeyType": "HASH"},
        {"AttributeName": "processing_date", "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "batch-id-index",
            "KeySchema": [{"AttributeName": "batch_id", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        },
        {
            "IndexName": "status-date-index",
            "KeySchema": [
                {"AttributeName": "status", "KeyType": "HASH"},
                {"AttributeName": "processing_date", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        },
    ],
    "BillingMode": "PAY_PER_REQUEST",
}

PREFIX = "csv-files/"


def bootstrap(settings: "Settings") -> Iterator[str]:
    """Make everything, one thing at a time; gives a line for each. Raises botocore's errors."""
    options: Any = {
        "region_name": settings.aws_region,
        "endpoint_url": settings.aws_endpoint_url,
        "config": Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=30),
    }
    session = boto3.session.Session()
    s3: S3Client = session.client("s3", **options)
    sqs: SQSClient = session.client("sqs", **options)
    dynamodb: DynamoDBClient = session.client("dynamodb", **options)
    try:
        for bucket in (settings.input_bucket, settings.output_bucket, settings.temp_bucket):
            yield f"bucket {bucket}: {_make_bucket(s3, bucket, settings.aws_region)}"
        _expire_temporary(s3, settings.temp_bucket)
        dead_letters = _make_queue(sqs, _name_in(settings.sqs_dlq_url, DLQ_NAME), DLQ_ATTRIBUTES)
        yield f"queue {dead_letters[0]}"
        redrive = json.dumps({"deadLetterTargetArn": dead_letters[1], "maxReceiveCount": str(MAX_RECEIVES)})
        queue = _make_queue(
            sqs, _name_in(settings.sqs_queue_url, QUEUE_NAME), {**QUEUE_ATTRIBUTES, "RedrivePolicy": redrive}
        )
        yield f"queue {queue[0]}"
        yield f"table {settings.dynamodb_table_name}: {_make_table(dynamodb, settings.dynamodb_table_name)}"
        _admit(sqs, queue, settings.input_bucket)
        _notify(s3, settings.input_bucket, queue[1])
        yield f"notifications of {settings.input_bucket}/{PREFIX} to {queue[0].rpartition('/')[2]}"
    finally:
        for client in (s3, sqs, dynamodb):
            client.close()


def _name_in(url: str | None, otherwise: str) -> str:
    return url.rpartition("/")[2] if url else otherwise


def _make_bucket(s3: "S3Client", name: str, region: str) -> str:
    try:
        s3.head_bucket(Bucket=name)
    except ClientError:
        where: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **where)
        return "made"
    return "there already"


def _expire_temporary(s3: "S3Client", bucket: str) -> None:
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "processing",
                    "Status": "Enabled",
                    "Filter": {"Prefix": "processing/"},
                    "Expiration": {"Days": 7},
                }
            ]
        },
    )


def _make_queue(sqs: "SQSClient", name: str, attributes: dict[str, str]) -> tuple[str, str]:
    """Make a queue or bring it up to date; returns its URL and ARN."""
    try:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except ClientError:
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)  # type: ignore[arg-type]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, arn


def _make_table(dynamodb: "DynamoDBClient", name: str) -> str:
    try:
        dynamodb.create_table(TableName=name, **TABLE)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUseException":
            raise
        return "there already"
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"})
    return "made"


def _admit(sqs: "SQSClient", queue: tuple[str, str], bucket: str) -> None:
    """Let S3 send to the queue for this bucket: S3 looks for the right before it takes the notification."""
    url, arn = queue
    statement = {
        "Sid": "ManifestsOfTheInputBucket",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


def _notify(s3: "S3Client", bucket: str, queue_arn: str) -> None:
    """Let the bucket tell the queue of new manifests."""
    configuration: Any = {
        "QueueConfigurations": [
            {
                "Id": "manifest",
                "QueueArn": queue_arn,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": PREFIX}]}},
            }
        ]
    }
    for attempt in range(10):
        try:
            s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
        except ClientError:
            if attempt == 9:  # a queue that was just made is not known everywhere at once
                raise
            time.sleep(1)
        else:
            return
