"""Calls to AWS: what is tried again and for how long, and what a failure is told as."""

import asyncio
import errno
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import ClientPayloadError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from worker.aws.calls import Patience, aws_call
from worker.errors import Dependency, JobError, JobReason, RetryableError, TerminalError, Unavailable

QUICK = Patience(throttle=5.0, outage=5.0, conflict=5.0, moment=5.0, longest_pause=0.001)
SHORT = Patience(throttle=0.05, outage=0.05, conflict=0.05, moment=0.05, longest_pause=0.001)


def refused(code: str, status: int = 400, **more: Any) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return ClientError(answer, "PutItem")


class Operation:
    """Fails with these errors, one after the other, then answers; the last one again and again where `always`."""

    def __init__(self, *failures: Exception, always: bool = False) -> None:
        self.calls = 0
        self._failures: Iterator[Exception] = iter(failures)
        self._last = failures[-1] if always else None

    async def __call__(self, answer: str = "done") -> str:
        self.calls += 1
        if (failure := next(self._failures, self._last)) is not None:
            raise failure
        return answer


async def made(operation: Operation, patience: Patience = QUICK, **more: Any) -> str:
    async with aws_call(Dependency.DYNAMODB, "writing", patience=patience, **more) as call:
        return await call(operation, answer="done")


@pytest.mark.parametrize(
    "failure",
    [
        refused("ThrottlingException"),
        refused("TransactionConflictException"),
        refused("TransactionCanceledException", CancellationReasons=[{"Code": "None"}, {"Code": "ThrottlingError"}]),
        refused("InternalServerError", 500),
        refused("AccessDeniedException"),
        refused("502", 502),
        EndpointConnectionError(endpoint_url="http://x"),
        ConnectionClosedError(endpoint_url="http://x"),
        ReadTimeoutError(endpoint_url="http://x"),
        HTTPClientError(error="broken"),
        ClientPayloadError("cut short"),
        ConnectionResetError("reset"),
        ResponseParserError("a page where XML was due"),
        CredentialRetrievalError(provider="container", error_msg="slow"),
    ],
    ids=repr,
)
async def test_what_may_pass_is_tried_again(failure: Exception) -> None:
    operation = Operation(failure, failure, failure)
    assert await made(operation) == "done"
    assert operation.calls == 4


async def test_a_thousand_throttles_in_a_row_are_no_failure() -> None:
    operation = Operation(*[refused("ThrottlingException")] * 1_000)
    patience = Patience(longest_pause=0.0)
    assert await made(operation, patience) == "done"


@pytest.mark.parametrize(
    ("failure", "kind", "reason"),
    [
        (refused("ThrottlingException"), Unavailable, JobReason.AWS_THROTTLED),
        (refused("TransactionConflictException"), Unavailable, JobReason.AWS_THROTTLED),
        (refused("InternalServerError", 500), Unavailable, JobReason.AWS_UNAVAILABLE),
        (refused("AccessDeniedException"), Unavailable, JobReason.AWS_FORBIDDEN),
        (refused("ExpiredTokenException"), Unavailable, JobReason.AWS_CREDENTIALS),
        (NoCredentialsError(), Unavailable, JobReason.AWS_CREDENTIALS),
        (refused("RequestTimeTooSkewed", 403), Unavailable, JobReason.CLOCK_SKEW),
        (refused("ResourceNotFoundException"), Unavailable, JobReason.AWS_RESOURCE_MISSING),
        (refused("ValidationException"), TerminalError, JobReason.AWS_REFUSED),
        (refused("SomethingNew"), RetryableError, JobReason.AWS_UNKNOWN),
        (refused("ConditionalCheckFailedException"), RetryableError, JobReason.AWS_UNKNOWN),
        (ParamValidationError(report="bad"), RetryableError, JobReason.AWS_UNKNOWN),
        (BotoCoreError(), RetryableError, JobReason.AWS_UNKNOWN),
    ],
    ids=repr,
)
async def test_what_does_not_pass_is_told_as_what_it_means(
    failure: Exception, kind: type[JobError], reason: JobReason
) -> None:
    with pytest.raises(kind) as caught:
        await made(Operation(failure, always=True), SHORT, setting="DYNAMODB_TABLE_NAME")
    assert caught.value.reason is reason
    assert str(caught.value).startswith("writing: ")
    assert caught.value.__cause__ is failure


@pytest.mark.parametrize("code", ["ValidationException", "SomethingNew", "ConditionalCheckFailedException"])
async def test_what_no_further_try_can_mend_is_tried_once(code: str) -> None:
    operation = Operation(refused(code), always=True)
    with pytest.raises(JobError):
        await made(operation)
    assert operation.calls == 1


async def test_the_resource_of_a_setting_is_named_by_it_and_one_of_a_job_is_the_jobs_matter() -> None:
    with pytest.raises(Unavailable, match="DYNAMODB_TABLE_NAME"):
        await made(Operation(refused("ResourceNotFoundException"), always=True), SHORT, setting="DYNAMODB_TABLE_NAME")
    with pytest.raises(TerminalError) as caught:
        await made(Operation(refused("ResourceNotFoundException"), always=True), SHORT)
    assert caught.value.reason is JobReason.BUCKET_MISSING


async def test_an_answer_is_the_callers_who_asked() -> None:
    async with aws_call(Dependency.DYNAMODB, "writing") as call:
        with pytest.raises(ClientError, match="ConditionalCheckFailed"):
            await call(Operation(refused("ConditionalCheckFailedException")))


async def test_a_full_disk_is_no_fault_of_aws_and_is_not_waited_out() -> None:
    operation = Operation(OSError(errno.ENOSPC, "No space left on device"), always=True)
    with pytest.raises(Unavailable) as caught:
        await made(operation)
    assert (caught.value.dependency, caught.value.reason) == (Dependency.DISK, JobReason.DISK_FULL)
    assert operation.calls == 1


async def test_a_call_that_never_ends_is_given_up_at_its_deadline() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Unavailable, match=r"no answer in 0\.01 s"):
        async with aws_call(Dependency.SQS, "polling", deadline=0.01) as call:
            await call(hang)


async def test_a_deadline_that_ends_the_waiting_tells_what_was_waited_out() -> None:
    throttled = Operation(refused("ThrottlingException"), always=True)
    with pytest.raises(Unavailable) as caught:
        await made(throttled, Patience(longest_pause=0.001), deadline=0.05)
    assert caught.value.reason is JobReason.AWS_THROTTLED


async def test_a_bug_is_no_failure_of_aws() -> None:
    with pytest.raises(ZeroDivisionError):
        await made(Operation(ZeroDivisionError()))


def test_patience_ends_before_a_lease_does() -> None:
    assert Patience.within(120) == Patience()
    for lease in (2, 6, 60, 120, 43_200):
        patience = Patience.within(lease)
        assert max(patience.throttle, patience.outage, patience.conflict, patience.moment) <= lease / 2
