"""The settings: read from the environment once, checked as a whole, frozen."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from worker.errors import SettingsError
from worker.failpoints import parse_failpoints
from worker.model import (
    Cols,
    ColumnName,
    EncodingName,
    MaxImages,
    MaxRetries,
    MaxWorkers,
    OutputPrefix,
    ProcessingConfig,
    Quality,
    Rows,
    Timeout,
    allowed_range,
)

Bucket = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
KmsKey = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$")]
HostPattern = Annotated[str, Field(pattern=r"^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$")]


def _with_a_host(url: str) -> str:
    """Refuse a URL without a usable host or port here: the SDK would report it later, and less clearly."""
    try:
        usable = bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("have a host and, where it has a port, one from 1 to 65535")
    return url


Url = Annotated[str, Field(pattern=r"^https?://\S+$"), AfterValidator(_with_a_host)]
MySqlUrl = Annotated[str, Field(pattern=r"^mysql://[^\s/@]+@[^\s/@]+(/\S*)?$"), AfterValidator(_with_a_host)]


class Settings(BaseSettings):
    """Every setting, under the name of its environment variable in lower case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    # where things are
    input_bucket: Bucket = "tiktok-image-input"
    """Manifests."""
    output_bucket: Bucket = "tiktok-image-output"
    """Collages, summaries, reports and results."""
    temp_bucket: Bucket = "tiktok-image-temp"
    """What may be thrown away."""
    expected_bucket_owner: Annotated[str, Field(pattern=r"^[0-9]{12}$")] | None = None
    """The account (12 digits) that the three buckets have to belong to: S3 refuses where they are another's."""
    s3_kms_key: KmsKey | None = None
    """ARN of the KMS key that objects are encrypted with, as their buckets are. Empty: S3's own (AES256)."""
    allowed_input_buckets: Annotated[tuple[Bucket, ...], NoDecode] = ()
    """Buckets that a job may name besides the input bucket, with commas."""
    sqs_queue_url: Url | None = None
    """The queue. `run`, `submit`, `retry` and `dlq redrive` need it."""
    sqs_dlq_url: Url | None = None
    """The dead-letter queue. Empty: the one in the queue's redrive policy."""
    dynamodb_table_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{3,255}$")] = "tiktok-creator-processing-state"
    """The table of records."""
    aws_endpoint_url: Url | None = None
    """An endpoint other than AWS's own, such as LocalStack's, as the SDKs read it."""
    aws_region: Annotated[
        str, Field(min_length=1, validation_alias=AliasChoices("aws_region", "aws_default_region"))
    ] = "us-east-1"
    """The region, as the SDKs read it; `AWS_DEFAULT_REGION` does as well."""

    mysql_url: MySqlUrl | None = None
    """Where `export-mysql` reads: `mysql://USER:PASSWORD@HOST:PORT/DATABASE`, percent-encoded."""

    mysql_ca: Annotated[str, Field(min_length=1, max_length=65_536)] | None = None
    """Whose certificates MySQL's has to come from: a file, or the certificates as PEM. Empty: the system's."""

    # the defaults of a job
    default_rows: Rows = 5
    """Rows of one page, where a job does not say."""
    default_cols: Cols = 7
    """Columns of one page."""
    default_quality: Quality = 95
    """Quality of JPEG and WebP."""
    default_max_workers: MaxWorkers = 8
    """Downloads at a time for one job."""
    default_timeout: Timeout = 30.0
    """Seconds for one try at one image."""
    default_max_retries: MaxRetries = 3
    """Further tries after the first."""
    default_max_images_per_creator: MaxImages = 35
    """Images of one creator. More than a page holds makes further pages."""
    default_output_prefix: OutputPrefix = ""
    """Goes before every key of the results."""
    default_creator_column: ColumnName | None = None
    """The column of creators. Empty: found in the file."""
    default_url_column: ColumnName | None = None
    """The column of links to covers. Empty: found in the file."""
    default_encoding: EncodingName | None = None
    """The encoding of text manifests. Empty: found in the file."""

    # images
    min_image_size: Annotated[int, Field(ge=1, le=10_000)] = 50
    """Pixels. An image that is smaller than this on a side is refused."""
    max_image_size: Annotated[int, Field(ge=16, le=20_000)] = 800
    """Pixels. The longest side that an image is kept at before it is cut to its cell; never a reason to refuse."""
    max_image_bytes: Annotated[int, Field(ge=1_024, le=1_073_741_824)] = 20_971_520
    """A longer body is refused."""
    max_image_pixels: Annotated[int, Field(ge=10_000, le=500_000_000)] = 50_000_000
    """An image with more pixels is refused."""
    max_concurrent_downloads: Annotated[int, Field(ge=1, le=1_024)] = 64
    """Downloads at a time for the whole worker."""
    max_connections_per_host: Annotated[int, Field(ge=0, le=1_024)] = 0
    """Downloads at a time from one host; fewer while it is in trouble. 0: three quarters of all downloads."""
    allowed_image_hosts: Annotated[tuple[HostPattern, ...], NoDecode] = ()
    """Patterns of hosts to fetch from, with commas: `cdn.example`, `*.cdn.example`. Empty: any host."""
    allowed_ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65_535)], ...], NoDecode] = (80, 443)
    """Ports to fetch from, with commas."""
    user_agent: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x20-\x7e]+$")] = "collage-worker/1.0"
    """Sent with each download."""
    referer: Annotated[str, Field(max_length=2_048, pattern=r"^(https?://[\x21-\x7e]+)?$")] = ""
    """A URL that is sent with each download, for hosts that answer 403 without one. Empty: none is sent."""
    retry_backoff_factor: Annotated[float, Field(ge=0, le=60)] = 0.5
    """Seconds before the first further try; doubled with each, with full jitter."""
    retry_max_delay: Annotated[float, Field(ge=0, le=300)] = 30.0
    """Seconds; the longest wait between two tries, also where a host asks for more with `Retry-After`."""
    allow_private_addresses: bool = False
    """Fetch from private and loopback addresses, and from any port. For local runs and private origins only."""
    enable_deduplication: bool = True
    """Leave out an image whose bytes the creator has already."""
    content_hash_algorithm: Literal["sha256", "sha512", "sha1", "md5", "blake2b"] = "sha256"
    """How bytes are compared, and what `content_hash` in a record is."""
    decode_processes: Annotated[int, Field(ge=0, le=128)] = 0
    """Child processes that decode. 0: two for each core that the container may use, one where it has one."""

    # results
    collision_check_enabled: bool = True
    """Put collages only where there is no object."""
    s3_presigned_url_expiration: Annotated[int, Field(ge=1, le=604_800)] = 3_600
    """Seconds that the links of `status --links` and of reports work."""
    state_ttl_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """Days that DynamoDB keeps the records."""
    debug_capture: bool = False
    """Keep what failed images looked like, in the temp bucket."""
    metrics_namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./#:-]{1,255}$")] = "TikTokImageProcessor"
    """CloudWatch's namespace of the metrics."""

    service_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,255}$")] = "collage-worker"
    """The deployment's own name: the dimension `Service` of every metric, so that staging and production never mix."""

    # memory, in percent of the container's limit
    memory_warning_threshold: Annotated[float, Field(gt=0, le=100)] = 80.0
    """Percent of the container's memory limit. From here on the worker takes in less."""
    memory_critical_threshold: Annotated[float, Field(gt=0, le=100)] = 90.0
    """Percent. From here on it takes in nothing."""

    # the queue
    batch_coordination_enabled: bool = True
    """Split large batches into chunks. `false`: one message does its whole batch."""
    chunk_creators: Annotated[int, Field(ge=1, le=10_000)] = 50
    """Creators of one chunk. A batch that has more is split."""
    max_concurrent_jobs: Annotated[int, Field(ge=1, le=64)] = 4
    """Messages that one worker works on at a time."""
    visibility_timeout: Annotated[float, Field(ge=2, le=43_200)] = 120.0
    """Seconds that a message stays invisible, and that a lease lasts. Both are extended while the work goes on."""
    wait_time_seconds: Annotated[int, Field(ge=0, le=20)] = 20
    """Seconds of one long poll."""
    stop_grace_seconds: Annotated[float, Field(ge=0, le=3_600)] = 100.0
    """Seconds after SIGTERM. What fits is finished, the rest is handed back."""

    # the process
    require_sandbox: bool = True
    """Do not start where decoders cannot be confined by seccomp. `false` is only for machines where no picture comes
    from a stranger."""
    ecs_agent_uri: Url | None = None
    """Set by ECS: where scale-in protection is asked for."""
    ecs_container_metadata_uri_v4: Url | None = None
    """Set by ECS: where the task's CPUs and memory are told."""
    health_port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Port of `/healthz`. 0: none."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is logged."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: readable at a terminal, JSON elsewhere."""
    failpoints: str = ""
    """For tests only: where the process is to end itself; see `worker.failpoints`."""

    @field_validator("allowed_input_buckets", "allowed_image_hosts", "allowed_ports", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("failpoints")
    @classmethod
    def _can_be_armed(cls, value: str) -> str:
        parse_failpoints(value)
        return value

    @field_validator("default_output_prefix")
    @classmethod
    def _leaves_room_in_keys(cls, value: str) -> str:
        if len(value.encode()) > 256:
            raise ValueError("have at most 256 bytes of UTF-8: S3 keys end at 1,024")
        return value

    # A relation of two settings is checked with the second of them, so that its error is reported with all others.
    @field_validator("memory_critical_threshold")
    @classmethod
    def _not_below_the_warning(cls, value: float, others: ValidationInfo) -> float:
        warning = others.data.get("memory_warning_threshold", value)
        if warning > value:
            raise ValueError(f"not be below MEMORY_WARNING_THRESHOLD, which is {warning:g}")
        return value

    @field_validator("default_cols")
    @classmethod
    def _page_can_be_drawn(cls, value: int, others: ValidationInfo) -> int:
        try:
            ProcessingConfig(rows=others.data.get("default_rows", 1), cols=value)
        except ValidationError as error:
            text = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise ValueError(f"go with DEFAULT_ROWS: {text}") from None
        return value

    @property
    def default_config(self) -> ProcessingConfig:
        """The configuration of a job that asks for nothing itself."""
        return ProcessingConfig(
            rows=self.default_rows,
            cols=self.default_cols,
            quality=self.default_quality,
            max_workers=self.default_max_workers,
            timeout=self.default_timeout,
            max_retries=self.default_max_retries,
            max_images_per_creator=self.default_max_images_per_creator,
            creator_column=self.default_creator_column,
            url_column=self.default_url_column,
            encoding=self.default_encoding,
        )

    @property
    def input_buckets(self) -> frozenset[str]:
        """The buckets that a job may name."""
        return frozenset({self.input_bucket, *self.allowed_input_buckets})

    @property
    def own_buckets(self) -> dict[str, str]:
        """The worker's own buckets, and the setting that names each."""
        return {
            self.input_bucket: "INPUT_BUCKET",
            self.output_bucket: "OUTPUT_BUCKET",
            self.temp_bucket: "TEMP_BUCKET",
        }

    def effective(self) -> dict[str, Any]:
        """Return every setting in force, for the start log. The user part of URLs, the only secret, is masked."""
        return {name: _masked(value) for name, value in self.model_dump(mode="json").items()}


def load(*, required: tuple[str, ...] = ()) -> Settings:
    """Read the environment.

    `required` are the variables that the command cannot do without.
    Raises `SettingsError` with every bad variable, what it held and what is allowed.
    """
    problems: list[str] = []
    settings: Settings | None = None
    try:
        settings = Settings()
    except ValidationError as error:
        problems += [_problem(dict(item)) for item in error.errors()]
    problems += [
        f"{name}: it is not set, and this command needs it"
        for name in required
        if not os.environ.get(name) and not any(line.startswith(f"{name}:") for line in problems)
    ]
    if settings is None or problems:
        raise SettingsError("\n".join(problems))
    return settings


def _problem(item: Mapping[str, Any]) -> str:
    name = str(item["loc"][0])
    told = str(item["msg"]).removeprefix("Input should ").removeprefix("String should ").removeprefix("Value error, ")
    known = item["type"] != "value_error"  # the other errors are our own, and say what is allowed
    allowed = (allowed_range(Settings.model_fields.get(name)) if known else None) or told
    return f"{name.upper()}: got {_shown(item['input'])}; it should {allowed}"


def _shown(value: object) -> str:
    text = repr(_masked(value))
    return text if len(text) <= 100 else text[:97] + "..."


def _masked(value: Any) -> Any:
    """Mask the user part of a URL, before the @."""
    if isinstance(value, str) and "://" in value and "@" in value:
        scheme, _, rest = value.partition("://")
        return f"{scheme}://***@{rest.rpartition('@')[2]}"
    return value
