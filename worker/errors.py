"""Every failure that the worker tells apart, each with a stable reason code.

The tree::

    WorkerError               carries `reason`, a code that users, dashboards and tests rely on
    ├── ImageError            one image cannot be used; its creator goes on without it
    ├── JobError              a job cannot go on; its kind alone decides what becomes of the message
    │   ├── TerminalError     the job can never succeed as it was asked: dead-letter queue, with the reason
    │   ├── RetryableError    the work failed in a way that nobody foresaw: an attempt, unless it made progress
    │   └── Postponed         nothing is wrong with the work: the message is handed back, at the cost of no attempt
    │       ├── Unavailable   a dependency throttles, refuses or does not answer
    │       │   └── DecoderBroken   no decoder process starts
    │       ├── LeaseHeld     another worker is at this work
    │       ├── LeaseLost     another worker has taken this work over: touch nothing more
    │       └── Interrupted   the worker is stopping
    ├── HeartbeatLost         the message may be with another worker by now: end the work, leave the message
    └── SettingsError         the environment, or the SDK's configuration, cannot be used

`worker.jobs.outcomes` says what each kind of `JobError` means for a message, with an example of each.
An error's text says what was got, what is allowed and what to do.
"""

from enum import StrEnum

from worker.masks import without_signatures


class ImageReason(StrEnum):
    """Why one image was not used. The codes appear in records, summaries and metadata."""

    # told from the link
    BAD_URL = "bad_url"
    EXPIRED = "expired"
    ADDRESS_REFUSED = "address_refused"
    # told by the server or the way there
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    # told by the bytes
    TOO_LARGE = "too_large"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_SMALL = "too_small"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    TRUNCATED = "truncated"
    DUPLICATE = "duplicate"
    # told by the decoder's fate
    DECODER_CRASHED = "decoder_crashed"
    DECODE_TIMEOUT = "decode_timeout"
    DECODE_MEMORY = "decode_memory"


class CreatorReason(StrEnum):
    """Why a creator has no collage although its images may be fine."""

    OUT_OF_MEMORY = "out_of_memory"
    WORKER_CRASHED = "worker_crashed"
    WORK_LOST = "work_lost"
    RECORD_TOO_LARGE = "record_too_large"
    INTERNAL_ERROR = "internal_error"


class RejectReason(StrEnum):
    """Why a line of a manifest cannot be used."""

    NO_URL = "no_url"
    BAD_SCHEME = "bad_scheme"
    NO_CREATOR = "no_creator"
    FIELD_TOO_LONG = "field_too_long"
    NUL_BYTE = "nul_byte"
    BAD_QUOTING = "bad_quoting"
    TOO_MANY_ROWS = "too_many_rows"
    BAD_ENCODING = "bad_encoding"
    EXTRA_FIELDS = "extra_fields"
    ROUNDED_NUMBER = "rounded_number"
    BAD_JSON = "bad_json"


class JobReason(StrEnum):
    """Why a job failed, or has to wait. The codes are the `error_code` of a dead letter."""

    BAD_JSON = "bad_json"
    UNKNOWN_MESSAGE = "unknown_message"
    UNKNOWN_KEY = "unknown_key"
    BAD_VALUE = "bad_value"
    BUCKET_NOT_ALLOWED = "bucket_not_allowed"
    MANIFEST_MISSING = "manifest_missing"
    MANIFEST_FORBIDDEN = "manifest_forbidden"
    MANIFEST_ARCHIVED = "manifest_archived"
    BUCKET_MISSING = "bucket_missing"
    MANIFEST_TOO_LARGE = "manifest_too_large"
    MANIFEST_NOT_CSV = "manifest_not_csv"
    MANIFEST_ENCODING = "manifest_encoding"
    MANIFEST_COLUMNS = "manifest_columns"
    MANIFEST_EMPTY = "manifest_empty"
    MANIFEST_CHANGED = "manifest_changed"
    CHUNK_MISSING = "chunk_missing"
    CHUNK_UNREADABLE = "chunk_unreadable"
    PART_UNREADABLE = "part_unreadable"
    BATCH_UNKNOWN = "batch_unknown"
    LEASE_HELD = "lease_held"
    LEASE_LOST = "lease_lost"
    INTERRUPTED = "interrupted"
    LAST_RECEIVE = "last_receive"
    CANCELLED = "cancelled"
    INDEX_BEHIND = "index_behind"
    AWS_UNAVAILABLE = "aws_unavailable"
    AWS_THROTTLED = "aws_throttled"
    AWS_FORBIDDEN = "aws_forbidden"
    AWS_CREDENTIALS = "aws_credentials"
    AWS_RESOURCE_MISSING = "aws_resource_missing"
    CLOCK_SKEW = "clock_skew"
    AWS_REFUSED = "aws_refused"
    AWS_UNKNOWN = "aws_unknown"
    RECORD_TOO_LARGE = "record_too_large"
    MESSAGE_LOST = "message_lost"
    DISK_FULL = "disk_full"
    OUTPUT_UNWRITABLE = "output_unwritable"
    COLLAGE_KEYS_TAKEN = "collage_keys_taken"
    WORKER_CRASHED = "worker_crashed"
    DECODER_BROKEN = "decoder_broken"
    BAD_SETTINGS = "bad_settings"
    INTERNAL_ERROR = "internal_error"


class WorkerError(Exception):
    """A failure with a reason code; `str()` of it is the text for people, without the signatures of links.

    Texts quote what a message or a manifest holds, and end in records, dead letters and logs.
    """

    def __init__(self, reason: StrEnum, message: str) -> None:
        super().__init__(without_signatures(message))
        self.reason = reason


class ImageError(WorkerError):
    """One image cannot be used, for example a link that answered 404.

    `retry_after` (seconds) is what the server asked for; `transient` says whether a further try could get better.
    """

    reason: ImageReason

    def __init__(
        self, reason: ImageReason, message: str, *, transient: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(reason, message)
        self.transient = transient
        self.retry_after = retry_after


class JobError(WorkerError):
    """A job cannot go on. Its kind alone decides what becomes of the message."""

    reason: JobReason


class TerminalError(JobError):
    """The job can never succeed as asked, for example a manifest without a URL column."""


class RetryableError(JobError):
    """The work failed in a way that nobody foresaw, for example a chunk file that is no gzip. Another try may help.

    It is an attempt, unless the work made progress before.
    """


class Postponed(JobError):
    """Nothing is wrong with the work, but it cannot go on here and now. `delay` is in seconds, from now."""

    def __init__(self, reason: JobReason, message: str, *, delay: float = 0.0) -> None:
        super().__init__(reason, message)
        self.delay = delay


class Dependency(StrEnum):
    """What a worker cannot do without."""

    S3 = "s3"
    SQS = "sqs"
    DYNAMODB = "dynamodb"
    DISK = "disk"
    DECODER = "decoder"


class Unavailable(Postponed):
    """A dependency throttles, refuses or does not answer, for example S3 with 503, or a disk that is full.

    `setting` names the variable whose bucket, table or queue it is about, where it is about one.
    """

    def __init__(
        self,
        dependency: Dependency,
        reason: JobReason,
        message: str,
        *,
        delay: float = 0.0,
        setting: str | None = None,
    ) -> None:
        super().__init__(reason, message, delay=delay)
        self.dependency = dependency
        self.setting = setting


class DecoderBroken(Unavailable):
    """No decoder process starts, for example because Pillow was built without a library; no image can be used."""

    def __init__(self, message: str) -> None:
        super().__init__(Dependency.DECODER, JobReason.DECODER_BROKEN, message)


class LeaseHeld(Postponed):
    """Another worker holds the lease on this work; `delay` is how long it still does."""


class LeaseLost(Postponed):
    """Another worker took the work over while this one was away, for example after the machine was frozen."""

    def __init__(self, reason: JobReason, message: str, *, delay: float = 5.0) -> None:
        super().__init__(reason, message, delay=delay)


class Interrupted(Postponed):
    """The worker is stopping, for example because ECS scales in; what is left of the job is handed back."""


class HeartbeatLost(WorkerError):
    """The message's visibility could not be extended in time: another worker may have it, so its work must end."""

    reason: JobReason


class SettingsError(WorkerError):
    """The environment cannot be used. The text has one line for each bad variable."""

    reason: JobReason

    def __init__(self, message: str) -> None:
        super().__init__(JobReason.BAD_SETTINGS, message)
