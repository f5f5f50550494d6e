"""The table of AWS's errors, against the SDK's own models of the calls that the worker makes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name
from hypothesis import given
from hypothesis import strategies as st

from worker.aws.failures import PASSING, REASONS, Meaning, meaning_of, reason_of
from worker.errors import Dependency, JobReason

S3, SQS, DYNAMODB = Dependency.S3, Dependency.SQS, Dependency.DYNAMODB
SERVICES = {S3: "s3", SQS: "sqs", DYNAMODB: "dynamodb"}
WORKER = Path(__file__).parents[2] / "worker"


def called() -> set[str]:
    """Return the names of all attributes in the worker's code: calls of AWS are among them."""
    paths = [path for path in WORKER.rglob("*.py") if path.name != "bootstrap.py"]
    return {node.attr for path in paths for node in ast.walk(ast.parse(path.read_text())) if hasattr(node, "attr")}


def modelled() -> Iterator[tuple[Dependency, str, str, int]]:
    """Give each error that the SDK knows of an operation that the worker calls."""
    session, names = botocore.session.get_session(), called()
    for service, name in SERVICES.items():
        model = session.get_service_model(name)
        for operation in model.operation_names:
            if xform_name(operation) in names:
                for shape in model.operation_model(operation).error_shapes:
                    told = shape.metadata.get("error", {})
                    yield service, operation, told.get("code", shape.name), told.get("httpStatusCode", 400)
                    yield service, operation, shape.name, told.get("httpStatusCode", 400)


def test_the_operations_that_the_worker_calls_are_found() -> None:
    found = {operation for _, operation, _, _ in modelled()}
    assert {"HeadObject", "PutItem", "UpdateItem", "TransactWriteItems", "ReceiveMessage", "SendMessage"} <= found


@pytest.mark.parametrize(("service", "operation", "code", "status"), sorted(set(modelled())))
def test_every_error_that_the_sdk_knows_of_our_calls_has_a_meaning(
    service: Dependency, operation: str, code: str, status: int
) -> None:
    reasons = ["ConditionalCheckFailed"] if code == "TransactionCanceledException" else []
    assert meaning_of(service, code, status, reasons=reasons) is not Meaning.UNKNOWN


@pytest.mark.parametrize(
    ("service", "code", "status", "meaning"),
    [
        (S3, "SlowDown", 503, Meaning.THROTTLE),
        (S3, "503", 503, Meaning.OUTAGE),
        (S3, "InternalError", 500, Meaning.OUTAGE),
        (S3, "InternalError", 200, Meaning.OUTAGE),  # an answer that was begun before it failed
        (S3, "502", 502, Meaning.OUTAGE),
        (S3, "504", 504, Meaning.OUTAGE),
        (S3, "SomethingNew", 500, Meaning.OUTAGE),
        (S3, "InvalidArgument", 500, Meaning.OUTAGE),
        (S3, "InvalidArgument", 400, Meaning.PERMANENT),
        (S3, "SomethingNew", 400, Meaning.UNKNOWN),
        (S3, "400", 400, Meaning.UNKNOWN),
        (S3, "403", 403, Meaning.FORBIDDEN),
        (S3, "AccessDenied", 403, Meaning.FORBIDDEN),
        (S3, "AllAccessDisabled", 403, Meaning.FORBIDDEN),
        (S3, "RequestTimeTooSkewed", 403, Meaning.CLOCK_SKEW),
        (S3, "ExpiredToken", 400, Meaning.CREDENTIALS),
        (S3, "InvalidAccessKeyId", 403, Meaning.CREDENTIALS),
        (S3, "SignatureDoesNotMatch", 403, Meaning.CREDENTIALS),
        (S3, "RequestTimeout", 400, Meaning.OUTAGE),
        (S3, "NoSuchBucket", 404, Meaning.MISSING),
        (S3, "PermanentRedirect", 301, Meaning.MISSING),
        (S3, "301", 301, Meaning.MISSING),
        (S3, "NoSuchKey", 404, Meaning.ANSWER),
        (S3, "404", 404, Meaning.ANSWER),
        (S3, "412", 412, Meaning.ANSWER),
        (S3, "PreconditionFailed", 412, Meaning.ANSWER),
        (S3, "ConditionalRequestConflict", 409, Meaning.CONFLICT),
        (S3, "InvalidObjectState", 403, Meaning.ARCHIVED),
        (S3, "KMS.ThrottlingException", 400, Meaning.THROTTLE),
        (S3, "KMS.DisabledException", 400, Meaning.FORBIDDEN),
        (S3, "KMS.KMSInternalException", 400, Meaning.OUTAGE),
        (SQS, "KmsThrottled", 400, Meaning.THROTTLE),
        (SQS, "KmsAccessDenied", 400, Meaning.FORBIDDEN),
        (SQS, "RequestThrottled", 403, Meaning.THROTTLE),
        (SQS, "AWS.SimpleQueueService.NonExistentQueue", 400, Meaning.MISSING),
        (SQS, "ReceiptHandleIsInvalid", 404, Meaning.ANSWER),
        (SQS, "InvalidMessageContents", 400, Meaning.PERMANENT),
        (SQS, "AccessDeniedException", 400, Meaning.FORBIDDEN),
        (SQS, "UnrecognizedClientException", 400, Meaning.CREDENTIALS),
        (DYNAMODB, "ProvisionedThroughputExceededException", 400, Meaning.THROTTLE),
        (DYNAMODB, "RequestLimitExceeded", 400, Meaning.THROTTLE),
        (DYNAMODB, "ThrottlingException", 400, Meaning.THROTTLE),
        (DYNAMODB, "InternalServerError", 500, Meaning.OUTAGE),
        (DYNAMODB, "ResourceNotFoundException", 400, Meaning.MISSING),
        (DYNAMODB, "TransactionConflictException", 400, Meaning.CONFLICT),
        (DYNAMODB, "TransactionInProgressException", 400, Meaning.CONFLICT),
        (DYNAMODB, "ConditionalCheckFailedException", 400, Meaning.ANSWER),
        (DYNAMODB, "ValidationException", 400, Meaning.PERMANENT),
        (DYNAMODB, "ExpiredTokenException", 400, Meaning.CREDENTIALS),
        (DYNAMODB, "429", 429, Meaning.THROTTLE),
    ],
)
def test_what_the_models_leave_out_has_the_meaning_that_aws_documents(
    service: Dependency, code: str, status: int, meaning: Meaning
) -> None:
    assert meaning_of(service, code, status) is meaning


@pytest.mark.parametrize(
    ("reasons", "meaning"),
    [
        (["ConditionalCheckFailed", "None"], Meaning.ANSWER),
        (["None", "ConditionalCheckFailed"], Meaning.ANSWER),
        (["ConditionalCheckFailed", "ConditionalCheckFailed"], Meaning.ANSWER),
        (["None", "TransactionConflict"], Meaning.CONFLICT),
        (["ConditionalCheckFailed", "TransactionConflict"], Meaning.CONFLICT),
        (["ThrottlingError", "None"], Meaning.THROTTLE),
        (["None", "ProvisionedThroughputExceeded"], Meaning.THROTTLE),
        (["InternalServerError", "None"], Meaning.OUTAGE),
        (["AccessDenied", "None"], Meaning.FORBIDDEN),
        (["ValidationError", "None"], Meaning.PERMANENT),
        (["ItemCollectionSizeLimitExceeded", "ConditionalCheckFailed"], Meaning.PERMANENT),
        (["SomethingNew", "ConditionalCheckFailed"], Meaning.UNKNOWN),
        (["None", "None"], Meaning.UNKNOWN),
        ([], Meaning.UNKNOWN),
    ],
)
def test_a_cancelled_transaction_is_an_answer_only_where_nothing_but_conditions_failed(
    reasons: list[str], meaning: Meaning
) -> None:
    assert meaning_of(DYNAMODB, "TransactionCanceledException", 400, reasons=reasons) is meaning


@given(st.lists(st.sampled_from(["None", "ConditionalCheckFailed", "TransactionConflict", "ThrottlingError", "New"])))
def test_no_mixture_of_reasons_is_an_answer_unless_every_one_is_or_says_nothing(reasons: list[str]) -> None:
    answered = set(reasons) <= {"None", "ConditionalCheckFailed"} and "ConditionalCheckFailed" in reasons
    meaning = meaning_of(DYNAMODB, "TransactionCanceledException", 400, reasons=reasons)
    assert (meaning is Meaning.ANSWER) == answered


@given(st.sampled_from(list(SERVICES)), st.text(max_size=20).map("zz".__add__), st.integers(400, 499))
def test_an_error_that_nobody_knows_is_neither_an_answer_nor_permanent(
    service: Dependency, code: str, status: int
) -> None:
    assert meaning_of(service, code, status) in PASSING | {Meaning.UNKNOWN}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidSignatureException", "Signature expired: 20250119T120000Z is now earlier than 20250119T121000Z"),
        ("InvalidSignatureException", "Signature not yet current: 20250119T120000Z is still later than ..."),
    ],
)
def test_a_signature_refused_for_its_time_is_the_clocks_fault(code: str, message: str) -> None:
    assert meaning_of(DYNAMODB, code, 400, message=message) is Meaning.CLOCK_SKEW


def test_each_meaning_has_a_reason_and_a_record_that_is_too_large_one_of_its_own() -> None:
    assert REASONS.keys() == set(Meaning)
    text = "Item size has exceeded the maximum allowed size"
    assert reason_of(Meaning.PERMANENT, text) is JobReason.RECORD_TOO_LARGE
    assert reason_of(Meaning.PERMANENT, "a key is missing") is JobReason.AWS_REFUSED
