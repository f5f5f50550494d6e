"""Each failure at the prompt comes with what mends it, by name."""

import pytest

from worker.cli.remedies import region_of_queue, remedy_of
from worker.errors import Dependency, JobReason, Unavailable, WorkerError
from worker.settings import Settings

AWS = Settings(
    aws_default_region="eu-west-1",
    aws_endpoint_url=None,
    sqs_queue_url="https://sqs.us-west-2.amazonaws.com/1/jobs",
    input_bucket="covers-in",
    dynamodb_table_name="covers-state",
)
LOCAL = AWS.model_copy(update={"aws_endpoint_url": "http://localhost:4566", "aws_region": "us-east-1"})


def failure(reason: JobReason, dependency: Dependency = Dependency.S3, setting: str | None = None) -> WorkerError:
    return Unavailable(dependency, reason, "it failed", setting=setting)


@pytest.mark.parametrize(
    ("error", "settings", "words"),
    [
        (failure(JobReason.AWS_CREDENTIALS), AWS, ("aws sso login", "AWS_PROFILE")),
        (failure(JobReason.AWS_CREDENTIALS), LOCAL, ("export AWS_ACCESS_KEY_ID=test",)),
        (
            failure(JobReason.AWS_RESOURCE_MISSING, setting="INPUT_BUCKET"),
            AWS,
            ("covers-in", "INPUT_BUCKET", "eu-west-1", "aws s3api list-buckets"),
        ),
        (
            failure(JobReason.AWS_RESOURCE_MISSING, Dependency.DYNAMODB, "DYNAMODB_TABLE_NAME"),
            LOCAL,
            ("covers-state", "DYNAMODB_TABLE_NAME", "collage bootstrap"),
        ),
        (
            failure(JobReason.AWS_RESOURCE_MISSING, Dependency.SQS, "SQS_QUEUE_URL"),
            AWS,
            ("export AWS_REGION=us-west-2",),
        ),
        (failure(JobReason.AWS_UNAVAILABLE), LOCAL, ("http://localhost:4566", "AWS_ENDPOINT_URL", "make up")),
        (failure(JobReason.AWS_UNAVAILABLE), AWS, ("eu-west-1", "export AWS_REGION=")),
        (failure(JobReason.DISK_FULL, Dependency.DISK), AWS, ("df -h",)),
        (failure(JobReason.OUTPUT_UNWRITABLE, Dependency.DISK), AWS, ("chmod u+w", "-o")),
        (failure(JobReason.AWS_FORBIDDEN), AWS, ("aws sts get-caller-identity",)),
        (failure(JobReason.CLOCK_SKEW), AWS, ("timedatectl",)),
    ],
)
def test_a_failure_comes_with_what_mends_it(error: WorkerError, settings: Settings, words: tuple[str, ...]) -> None:
    remedy = remedy_of(error, settings)
    assert remedy is not None
    assert [word for word in words if word not in remedy] == []


def test_where_nothing_is_known_nothing_is_said() -> None:
    assert remedy_of(WorkerError(JobReason.MANIFEST_EMPTY, "x"), AWS) is None


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/1/q", "eu-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", "cn-north-1"),
        ("http://localhost:4566/000000000000/q", None),
    ],
)
def test_the_url_of_a_queue_names_its_region(url: str, region: str | None) -> None:
    assert region_of_queue(url) == region
