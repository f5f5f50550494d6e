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
    output_bucket: Bucket = "tiktok-image-output"
    temp_bucket: Bucket = "tiktok-image-temp"
    allowed_input_buckets: Annotated[tuple[Bucket, ...], NoDecode] = ()
    sqs_queue_url: Url | None = None
    sqs_dlq_url: Url | None = None
    dynamodb_table_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{3,255}$")] = "tiktok-creator-processing-state"
    aws_endpoint_url: Url | None = None
    aws_region: Annotated[
        str, Field(min_length=1, validation_alias=AliasChoices("aws_region", "aws_default_region"))
    ] = "us-east-1"

    mysql_url: MySqlUrl | None = None
    """Where `export-mysql` reads: `mysql://USER:PASSWORD@HOST:PORT/DATABASE`, percent-encoded."""

    # the defaults of a job
    default_rows: Rows = 5
    default_cols: Cols = 7
    default_quality: Quality = 95
    default_max_workers: MaxWorkers = 8
    default_timeout: Timeout = 30.0
    default_max_retries: MaxRetries = 3
    default_max_images_per_creator: MaxImages = 35
    default_output_prefix: OutputPrefix = ""
    default_creator_column: ColumnName | None = None
    default_url_column: ColumnName | None = None
    default_encoding: EncodingName | None = None

    # images
    min_image_size: Annotated[int, Field(ge=1, le=10_000)] = 50
    max_image_size: Annotated[int, Field(ge=16, le=20_000)] = 800
    max_image_bytes: Annotated[int, Field(ge=1_024, le=1_073_741_824)] = 20_971_520
    max_image_pixels: Annotated[int, Field(ge=10_000, le=500_000_000)] = 50_000_000
    max_concurrent_downloads: Annotated[int, Field(ge=1, le=1_024)] = 64
    max_connections_per_host: Annotated[int, Field(ge=0, le=1_024)] = 0
    allowed_image_hosts: Annotated[tuple[HostPattern, ...], NoDecode] = ()
    allowed_ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65_535)], ...], NoDecode] = (80, 443)
    user_agent: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x20-\x7e]+$")] = "collage-worker/1.0"
    referer: Annotated[str, Field(max_length=2_048, pattern=r"^(https?://[\x21-\x7e]+)?$")] = ""
    retry_backoff_factor: Annotated[float, Field(ge=0, le=60)] = 0.5
    retry_max_delay: Annotated[float, Field(ge=0, le=300)] = 30.0
    allow_private_addresses: bool = False
    enable_deduplication: bool = True
    content_hash_algorithm: Literal["sha256", "sha512", "sha1", "md5", "blake2b"] = "sha256"
    decode_processes: Annotated[int, Field(ge=0, le=128)] = 0

    # results
    collision_check_enabled: bool = True
    s3_presigned_url_expiration: Annotated[int, Field(ge=1, le=604_800)] = 3_600
    state_ttl_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    debug_capture: bool = False
    metrics_namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./#:-]{1,255}$")] = "TikTokImageProcessor"

    service_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,255}$")] = "collage-worker"
    """The deployment's own name: the dimension `Service` of every metric, so that staging and production never mix."""

    # memory, in percent of the container's limit
    memory_warning_threshold: Annotated[float, Field(gt=0, le=100)] = 80.0
    memory_critical_threshold: Annotated[float, Field(gt=0, le=100)] = 90.0

    # the queue
    batch_coordination_enabled: bool = True
    chunk_creators: Annotated[int, Field(ge=1, le=10_000)] = 50
    max_concurrent_jobs: Annotated[int, Field(ge=1, le=64)] = 4
    visibility_timeout: Annotated[float, Field(ge=2, le=43_200)] = 120.0
    wait_time_seconds: Annotated[int, Field(ge=0, le=20)] = 20
    stop_grace_seconds: Annotated[float, Field(ge=0, le=3_600)] = 100.0

    # the process
    require_sandbox: bool = True
    ecs_agent_uri: Url | None = None
    ecs_container_metadata_uri_v4: Url | None = None
    health_port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
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
