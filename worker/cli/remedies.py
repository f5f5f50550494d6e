"""What mends a failure that a person at the prompt meets: the command to type, with names. Pure."""

from enum import StrEnum
from urllib.parse import urlsplit

from worker.errors import Dependency, JobReason, Unavailable, WorkerError
from worker.settings import Settings


def remedy_of(error: WorkerError, settings: Settings) -> str | None:
    """Return what mends it, as a text that names the variable, bucket, table or queue; None where nothing is known."""
    match error.reason:
        case JobReason.AWS_CREDENTIALS:
            return _credentials(settings)
        case JobReason.AWS_RESOURCE_MISSING:
            return _missing(error, settings)
        case JobReason.AWS_UNAVAILABLE:
            return _unreachable(error, settings)
    return _PLAIN.get(error.reason)


_PLAIN: dict[StrEnum, str] = {
    JobReason.AWS_FORBIDDEN: "these credentials lack a right; aws sts get-caller-identity shows whose they are",
    JobReason.CLOCK_SKEW: "set the clock right: sudo timedatectl set-ntp true",
    JobReason.OUTPUT_UNWRITABLE: "name another folder with -o, or make this one writable: chmod u+w DIR",
    JobReason.DISK_FULL: "make room (df -h shows where), then type the same command again: what is done is kept",
}


def _credentials(settings: Settings) -> str:
    if settings.aws_endpoint_url is not None:
        return (
            f"an emulator at {settings.aws_endpoint_url} takes any: "
            "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test"
        )
    return (
        "the AWS credentials are missing, wrong or expired: aws sso login, or aws configure; "
        "or export AWS_PROFILE=NAME, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )


def _missing(error: WorkerError, settings: Settings) -> str:
    setting = error.setting if isinstance(error, Unavailable) else None
    if setting is None:
        return f"is AWS_REGION={settings.aws_region} right?"
    name = str(getattr(settings, setting.lower()) or "that the redrive policy of SQS_QUEUE_URL names")
    elsewhere = region_of_queue(name)
    if setting.startswith("SQS_") and elsewhere not in {None, settings.aws_region}:
        return f"{setting} is in {elsewhere}, AWS_REGION is {settings.aws_region}: export AWS_REGION={elsewhere}"
    kind, shown = _KINDS[setting]
    text = f"there is no {kind} {name} ({setting}) in {_place(settings)}"
    if settings.aws_endpoint_url is not None:
        return f"{text}: collage bootstrap makes it; or correct {setting}"
    return f"{text}: export {setting}=... or AWS_REGION=...; {shown} --region {settings.aws_region} shows what is there"


_KINDS = {
    "INPUT_BUCKET": ("bucket", "aws s3api list-buckets"),
    "OUTPUT_BUCKET": ("bucket", "aws s3api list-buckets"),
    "TEMP_BUCKET": ("bucket", "aws s3api list-buckets"),
    "SQS_QUEUE_URL": ("queue", "aws sqs list-queues"),
    "SQS_DLQ_URL": ("queue", "aws sqs list-queues"),
    "DYNAMODB_TABLE_NAME": ("table", "aws dynamodb list-tables"),
}


def _unreachable(error: WorkerError, settings: Settings) -> str:
    what = error.dependency.upper() if isinstance(error, Unavailable) else "AWS"
    if isinstance(error, Unavailable) and error.dependency is Dependency.DECODER:
        return "collage health tells what is wrong"
    if settings.aws_endpoint_url is not None:
        return (
            f"{what} does not answer at {settings.aws_endpoint_url} (AWS_ENDPOINT_URL): make up starts LocalStack; "
            "unset AWS_ENDPOINT_URL goes to AWS itself"
        )
    return (
        f"{what} does not answer in {settings.aws_region}: is AWS_REGION={settings.aws_region} right, and is there a "
        "network? export AWS_REGION=us-east-1, for example; collage health looks at everything"
    )


def _place(settings: Settings) -> str:
    return f"{settings.aws_region}" + (f" at {settings.aws_endpoint_url}" if settings.aws_endpoint_url else "")


def region_of_queue(url: str) -> str | None:
    """Return the region that the URL of a queue in AWS names; None for an emulator's."""
    parts = (urlsplit(url).hostname or "").split(".")
    if len(parts) >= 4 and parts[0] == "sqs" and parts[2] == "amazonaws":
        return parts[1]
    return None
