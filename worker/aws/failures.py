"""What each error of AWS means: the one table that decides between waiting, answering, giving up and not knowing. Pure.

The code decides, then the HTTP status. Sources: the SDK's own models (`tests/unit/test_failures.py` walks them), and

- https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
- https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
- https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from worker.errors import Dependency, JobReason


class Meaning(StrEnum):
    """What an error means for the call that got it."""

    # It passes: the world's fault, never the work's.
    THROTTLE = "throttle"
    """We ask for more than we may, for example `SlowDown`."""
    CONFLICT = "conflict"
    """Another request on the same thing was under way; over within milliseconds."""
    OUTAGE = "outage"
    """The service, or the way to it, fails."""
    FORBIDDEN = "forbidden"
    """The task's role lacks a right, for the resource or for its key."""
    CREDENTIALS = "credentials"
    """The credentials are missing, wrong or expired."""
    CLOCK_SKEW = "clock_skew"
    """This machine's clock is wrong, so that signatures are not valid."""
    MISSING = "missing"
    """There is no such bucket, table or queue, or not in this region."""

    ANSWER = "answer"
    """What the caller wanted to know, for example that a condition does not hold."""
    ARCHIVED = "archived"
    """The object is in an archive (Glacier), and must be restored before it can be read."""
    PERMANENT = "permanent"
    """The same request will be refused each time."""
    UNKNOWN = "unknown"
    """None of these. It is never a success, and never waited out."""


PASSING = frozenset(
    {
        Meaning.THROTTLE,
        Meaning.CONFLICT,
        Meaning.OUTAGE,
        Meaning.FORBIDDEN,
        Meaning.CREDENTIALS,
        Meaning.CLOCK_SKEW,
        Meaning.MISSING,
    }
)
"""What may pass by itself, or be mended from outside, without a change to the work."""

REASONS = {
    Meaning.THROTTLE: JobReason.AWS_THROTTLED,
    Meaning.CONFLICT: JobReason.AWS_THROTTLED,
    Meaning.OUTAGE: JobReason.AWS_UNAVAILABLE,
    Meaning.FORBIDDEN: JobReason.AWS_FORBIDDEN,
    Meaning.CREDENTIALS: JobReason.AWS_CREDENTIALS,
    Meaning.CLOCK_SKEW: JobReason.CLOCK_SKEW,
    Meaning.MISSING: JobReason.AWS_RESOURCE_MISSING,
    Meaning.ANSWER: JobReason.AWS_UNKNOWN,  # an answer to what nobody asked
    Meaning.ARCHIVED: JobReason.MANIFEST_ARCHIVED,
    Meaning.PERMANENT: JobReason.AWS_REFUSED,
    Meaning.UNKNOWN: JobReason.AWS_UNKNOWN,
}
"""The reason under which each is told."""

ANYWHERE = {
    Meaning.THROTTLE: """
        Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException
        TooManyRequestsException RequestLimitExceeded BandwidthLimitExceeded LimitExceededException SlowDown
        ProvisionedThroughputExceededException ThrottlingError ProvisionedThroughputExceeded OverLimit
        EC2ThrottledException""",
    Meaning.OUTAGE: """
        InternalError InternalFailure InternalServerError ServiceUnavailable ServiceUnavailableException
        Unavailable ServiceFailure RequestTimeout RequestTimeoutException Busy TemporarilyUnavailable""",
    Meaning.FORBIDDEN: """
        AccessDenied AccessDeniedException AccessDeniedError AllAccessDisabled AccountProblem UnauthorizedAccess
        UnauthorizedOperation NotSignedUp OptInRequired InvalidSecurity InvalidPayer Forbidden
        OperationNotPermitted""",
    Meaning.CREDENTIALS: """
        ExpiredToken ExpiredTokenException TokenRefreshRequired InvalidToken InvalidAccessKeyId InvalidClientTokenId
        UnrecognizedClientException SignatureDoesNotMatch InvalidSignatureException IncompleteSignature
        IncompleteSignatureException MissingAuthenticationToken MissingAuthenticationTokenException AuthFailure
        MissingSecurityHeader CredentialsNotSupported InvalidSignature""",
    Meaning.CLOCK_SKEW: "RequestTimeTooSkewed RequestExpired RequestInTheFuture",
    Meaning.PERMANENT: """
        ValidationException ValidationError ValidationErrorException InvalidParameterValue InvalidParameterCombination
        InvalidParameterException InvalidQueryParameter MissingParameter MissingAction InvalidAction
        MalformedQueryString SerializationException UnknownOperationException UnsupportedOperation InvalidArgument
        InvalidRequest NotImplemented InvalidAddress RequestEntityTooLarge""",
}
"""Codes that mean the same at every service."""

OF_SERVICE: Mapping[Dependency, Mapping[Meaning, str]] = {
    Dependency.S3: {
        Meaning.ANSWER: """
            NoSuchKey NoSuchVersion NoSuchUpload PreconditionFailed NotModified MethodNotAllowed InvalidRange
            NotFound 304 404 405 412 416""",
        Meaning.CONFLICT: "ConditionalRequestConflict OperationAborted 409",
        # what was sent was damaged on its way
        Meaning.OUTAGE: "BadDigest XAmzContentSHA256Mismatch IncompleteBody ContentSHA256Mismatch",
        Meaning.ARCHIVED: "InvalidObjectState ObjectNotInActiveTierError InvalidTargetObjectState",
        Meaning.MISSING: """
            NoSuchBucket PermanentRedirect TemporaryRedirect Redirect AuthorizationHeaderMalformed
            IllegalLocationConstraintException 301 307""",
        Meaning.PERMANENT: """
            EntityTooLarge EntityTooSmall KeyTooLongError InvalidObjectName InvalidBucketName InvalidDigest InvalidPart
            InvalidPartOrder InvalidWriteOffset TooManyParts EncryptionTypeMismatch MetadataTooLarge MalformedXML
            InvalidStorageClass InvalidURI MissingContentLength MaxMessageLengthExceeded InvalidTag
            InvalidEncryptionAlgorithmError""",
    },
    Dependency.SQS: {
        Meaning.ANSWER: """
            ReceiptHandleIsInvalid MessageNotInflight AWS.SimpleQueueService.MessageNotInflight""",
        Meaning.MISSING: """
            QueueDoesNotExist AWS.SimpleQueueService.NonExistentQueue
            AWS.SimpleQueueService.QueueDeletedRecently QueueDeletedRecently""",
        Meaning.PERMANENT: """
            InvalidMessageContents InvalidIdFormat InvalidAttributeName InvalidAttributeValue
            TooManyEntriesInBatchRequest EmptyBatchRequest BatchEntryIdsNotDistinct BatchRequestTooLong
            InvalidBatchEntryId AWS.SimpleQueueService.TooManyEntriesInBatchRequest
            AWS.SimpleQueueService.EmptyBatchRequest AWS.SimpleQueueService.BatchEntryIdsNotDistinct
            AWS.SimpleQueueService.BatchRequestTooLong AWS.SimpleQueueService.InvalidBatchEntryId
            AWS.SimpleQueueService.UnsupportedOperation""",
    },
    Dependency.DYNAMODB: {
        Meaning.ANSWER: "ConditionalCheckFailedException ConditionalCheckFailed",
        Meaning.CONFLICT: """
            TransactionConflictException TransactionConflict TransactionInProgressException
            ReplicatedWriteConflictException""",
        Meaning.MISSING: "ResourceNotFoundException TableNotFoundException",
        Meaning.FORBIDDEN: "InaccessibleEncryptionKeyException",
        Meaning.PERMANENT: """
            ItemCollectionSizeLimitExceededException ItemCollectionSizeLimitExceeded
            IdempotentParameterMismatchException DuplicateItem""",
    },
}
"""Codes that one service has, or that mean something else there."""

BY_STATUS = {
    401: Meaning.CREDENTIALS,
    403: Meaning.FORBIDDEN,
    408: Meaning.OUTAGE,
    429: Meaning.THROTTLE,
    503: Meaning.OUTAGE,
}
"""What a status means whose code says nothing, as that of every HEAD; of the others, 5xx is an outage."""

SKEWED = ("signature expired", "signature not yet current", "request has expired")
"""What a refused signature's message says where the clock is to blame."""

TOO_LARGE = "item size"
"""What DynamoDB's message says of an item that is over 400 KB."""


def _read_table() -> dict[tuple[Dependency | None, str], Meaning]:
    found: dict[tuple[Dependency | None, str], Meaning] = {}
    for service, meanings in [(None, ANYWHERE), *OF_SERVICE.items()]:
        for meaning, codes in meanings.items():
            for code in codes.split():
                if (service, code) in found:
                    raise ValueError(f"{code} stands in the table twice")
                found[service, code] = meaning
    return found


_TABLE = _read_table()


def meaning_of(
    service: Dependency, code: str, status: int = 0, *, message: str = "", reasons: Sequence[str] = ()
) -> Meaning:
    """Return what an error means. `code` is AWS's, or the status as text where there is no body.

    `reasons` are those of a cancelled transaction, one for each item.
    """
    if code == "TransactionCanceledException":
        return _meaning_of_cancelled(reasons)
    if "signature" in code.lower() and any(words in message.lower() for words in SKEWED):
        return Meaning.CLOCK_SKEW
    known = _TABLE.get((service, code)) or _TABLE.get((None, code)) or _meaning_of_key(code)
    if known is not None and not (known is Meaning.PERMANENT and status >= 500):
        return known
    return BY_STATUS.get(status, Meaning.OUTAGE if status >= 500 else Meaning.UNKNOWN)


def reason_of(meaning: Meaning, message: str = "") -> JobReason:
    """Return the reason under which an error of this meaning is told."""
    if meaning is Meaning.PERMANENT and TOO_LARGE in message.lower():
        return JobReason.RECORD_TOO_LARGE
    return REASONS[meaning]


def _meaning_of_key(code: str) -> Meaning | None:
    """Tell errors of the encryption key, which S3 writes as `KMS.DisabledException` and SQS as `KmsDisabled`."""
    if not code.lower().startswith("kms"):
        return None
    if "throttl" in code.lower():
        return Meaning.THROTTLE
    return Meaning.OUTAGE if "internal" in code.lower() or "timeout" in code.lower() else Meaning.FORBIDDEN


def _meaning_of_cancelled(reasons: Sequence[str]) -> Meaning:
    """Tell a cancelled transaction by its items' reasons: it is an answer only where nothing but conditions failed."""
    found = {meaning_of(Dependency.DYNAMODB, reason) for reason in reasons if reason != "None"}
    for meaning in (Meaning.UNKNOWN, Meaning.PERMANENT, *sorted(PASSING)):
        if meaning in found:
            return meaning
    return Meaning.ANSWER if found else Meaning.UNKNOWN
