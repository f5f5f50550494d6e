"""The plain things that the rooms of the house hand to each other. No behaviour that touches the world."""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from worker.errors import Dependency, JobReason, RejectReason
from worker.extract import Extract, PreviewSpec

JPEG_MAX_SIDE = 65_500
"""The longest side libjpeg writes (`JPEG_MAX_DIMENSION`); the canvas of every format is held to it."""

MAX_CANVAS_PIXELS = 100_000_000
"""Pixels of one page: 300 MB while it is composed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One usable line of a manifest: the line it starts on (the header is line 1) and its URL, as given."""

    line: int
    url: str


@dataclass(frozen=True, slots=True)
class Reject:
    """A line that cannot be used, and why."""

    line: int
    reason: RejectReason
    detail: str


@dataclass(frozen=True, slots=True)
class CreatorGroup:
    """One creator's rows, in file order."""

    name: str
    rows: tuple[Row, ...]


Rows = Annotated[int, Field(ge=1, le=100)]
Cols = Annotated[int, Field(ge=1, le=100)]
MaxImages = Annotated[int, Field(ge=1, le=1_000)]
Quality = Annotated[int, Field(ge=1, le=100)]
MaxWorkers = Annotated[int, Field(ge=1, le=256)]
Timeout = Annotated[float, Field(gt=0, le=300)]
MaxRetries = Annotated[int, Field(ge=0, le=10)]
OutputPrefix = Annotated[str, Field(max_length=256, pattern=r"^([^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*)?$")]


def allowed_range(field: FieldInfo | None) -> str | None:
    """Say which numbers a field takes, with both ends; None where it is no number with bounds."""
    bounds = {
        name: getattr(bound, name)
        for bound in (field.metadata if field else ())
        for name in ("ge", "gt", "le")
        if hasattr(bound, name)
    }
    if field is None or "le" not in bounds:
        return None
    kind = "a whole number" if field.annotation is int else "a number"
    if "gt" in bounds:
        return f"be {kind} above {bounds['gt']} and up to {bounds['le']}"
    return f"be {kind} from {bounds['ge']} to {bounds['le']}"


def _known_encoding(name: str) -> str:
    """Refuse what Python has no text encoding for, and its encodings that are no plain text."""
    try:
        found = codecs.lookup(name)
        known = "a".encode(found.name) != b"" and found.name not in _NO_PLAIN_TEXT
    except (LookupError, UnicodeError, ValueError):
        known = False
    if not known:
        raise ValueError("be the name of an encoding, such as utf-8, gb18030, big5, shift_jis, euc_kr or cp1252")
    return name


_NO_PLAIN_TEXT = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "utf-7"})

ColumnName = Annotated[str, Field(min_length=1, max_length=200)]
EncodingName = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_known_encoding)]


class ProcessingConfig(BaseModel):
    """What a job asks for. Each key is optional in a message; the `DEFAULT_*` settings fill in."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    group_by_creator: bool = True
    """`false`: one collage of all rows, named after the manifest."""
    rows: Rows = 5
    """Rows of one page."""
    cols: Cols = 7
    """Columns of one page."""
    max_images_per_creator: MaxImages = 35
    """More than a page holds makes further pages."""
    quality: Quality = 95
    """Of JPEG and WebP."""
    max_workers: MaxWorkers = 8
    """Downloads at a time for one job."""
    timeout: Timeout = 30
    """Seconds for the whole of one try at one image."""
    max_retries: MaxRetries = 3
    """Further tries after the first."""
    cell_size: Annotated[int, Field(ge=16, le=2_000)] = 200
    """Pixels a side."""
    gutter: Annotated[int, Field(ge=0, le=200)] = 0
    """Pixels between cells."""
    background: Annotated[str, Field(max_length=64)] = "white"
    """A CSS colour: behind empty cells, gutters and transparency."""
    format: Literal["jpeg", "png", "webp"] = "jpeg"
    """Of the collages."""
    creator_column: ColumnName | None = None
    """The column of creators, where the header uses a name of its own. None: found in the file."""
    url_column: ColumnName | None = None
    """The column of links to covers. None: found in the file."""
    encoding: EncodingName | None = None
    """Of a manifest that is text. None: found in the file."""

    @model_validator(mode="after")
    def _page_can_be_drawn(self) -> Self:
        width = self.cols * self.cell_size + (self.cols - 1) * self.gutter
        height = self.rows * self.cell_size + (self.rows - 1) * self.gutter
        if max(width, height) > JPEG_MAX_SIDE or width * height > MAX_CANVAS_PIXELS:
            raise ValueError(
                f"a page of {self.rows} rows and {self.cols} cols of {self.cell_size} px is {width} x {height} px; "
                f"allowed are {JPEG_MAX_SIDE} px a side and {MAX_CANVAS_PIXELS} px in all"
            )
        return self


@dataclass(frozen=True, slots=True)
class S3Manifest:
    """A manifest in S3. `version` and `etag` are what the event or the object's head said, where known."""

    bucket: str
    key: str
    version: str | None = None
    etag: str | None = None
    config: str | None = None
    """The settings in a dropped object's metadata, as written, in a bucket without versions: its ETag tells the content
    only, and the same content with other settings is another batch."""


@dataclass(frozen=True, slots=True)
class ManifestHead:
    """What a manifest's store says of it before it is read. `size` is in bytes.

    `etag` is the store's hash of the content. `version` is None in a bucket without versions.
    """

    etag: str
    version: str | None
    size: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What whoever stored it wrote beside it, keys in lower case."""
    modified: float = field(default=0.0, compare=False)
    """When it was stored, in epoch seconds; 0 where nobody says."""

    @property
    def config(self) -> str | None:
        """The settings that the object asks for itself, as written; see `jobs.messages.config_in_metadata`."""
        return self.metadata.get("config")

    def is_of(self, manifest: S3Manifest) -> bool:
        """Say whether this is the very upload that `manifest` names, and no newer one under its key."""
        if self.etag != manifest.etag:
            return False
        return self.version is not None or self.config == manifest.config


@dataclass(frozen=True, slots=True)
class InlineManifest:
    """A manifest that came in the message itself."""

    text: str


@dataclass(frozen=True, slots=True)
class ChunkJob:
    """A slice of a batch's creator groups, in a file of the temp bucket."""

    batch_id: str
    number: int
    """From 1."""


@dataclass(frozen=True, slots=True)
class Job:
    """The work that a message asks for.

    `from_event` is true where an S3 event started it: only then the manifest is archived when the batch is done.
    """

    manifest: S3Manifest | InlineManifest
    output_prefix: str
    config: ProcessingConfig
    from_event: bool
    explicit: tuple[str, ...] = ()
    """The output prefix and the settings that the message itself names: they are part of the batch's identity."""

    @property
    def dropped(self) -> S3Manifest | None:
        """The manifest that is archived when the batch is over; None where no event started it."""
        return self.manifest if self.from_event and isinstance(self.manifest, S3Manifest) else None


class Mode(StrEnum):
    """How carefully a creator was done: below `normal`, memory was short."""

    NORMAL = "normal"
    SAFE = "safe"
    MINIMAL = "minimal"


class CreatorStatus(StrEnum):
    """A creator's place in a batch."""

    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class BatchState(StrEnum):
    """A batch's place in its life. Not called status: the index on `status` is the creators' own."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


PART_CREATORS = 16
"""Creators of a part. More of them cost fewer calls, and lose more work where a worker is killed; see docs/scale.md."""

WHOLE = "batch"
"""The unit of work that is all of a batch; the unit that is one chunk is called `chunk/000001`."""


@dataclass(frozen=True, slots=True)
class CreatorRecord:
    """What became of one creator in one batch."""

    creator: str
    status: CreatorStatus
    images_processed: int = 0
    collage_keys: tuple[str, ...] = ()
    errors: Mapping[str, int] = field(default_factory=dict)
    duration: float = 0.0
    """Seconds."""
    content_hash: str | None = None
    mode: Mode = Mode.NORMAL
    duplicates: int = 0
    """Rows that were left out as repeats: no failures."""
    part_key: str | None = None
    """The part that tells of each row; None in records of an earlier version."""
    extract: Extract | None = field(default=None, compare=False)
    """Where it is known: not in the table."""

    @property
    def error_count(self) -> int:
        """Images that were not usable."""
        return sum(self.errors.values())


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one unit: all of a batch, or one chunk of it.

    `owner` is the worker that holds it. `fence` grows at every take-over: what an earlier owner still tries to write is
    refused by it.
    """

    id: str
    owner: str
    fence: int
    unit: str = WHOLE


@dataclass(frozen=True, slots=True)
class Asked:
    """What the first taker of a batch fixes for good, as its record tells it to all others."""

    digest: str
    """The whole hash of the batch's identity, in hexadecimal: its id ends with the beginning of it."""
    spec: str
    """What the batch was asked to be, in JSON; see `worker.jobs.chunk_files`."""
    chunk_creators: int = 0
    chunk_rows: int = 0
    """The most creators and rows of one chunk; 0 creators: the batch is not split."""
    part_creators: int = PART_CREATORS
    """The most creators of one part."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One run of a batch, or of a chunk of it, by its lease's owner."""

    id: str
    job: Job
    started_at: datetime
    owner: str
    fence: int
    message_id: str
    source_csv: str
    unit: str = WHOLE
    first: bool = False
    """Whether nobody had a lease on it before, so that none of its creators can have been begun."""
    preview: PreviewSpec | None = None
    """How large the previews of its pages are for the report; None where it has no room for these creators."""

    @property
    def lease(self) -> Lease:
        """The lease that this run works under."""
        return Lease(self.id, self.owner, self.fence, self.unit)


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """What the table knows of a batch or of one chunk. Counts are those of the last report.

    `chunks_total` is None where the batch was not split (or not yet). `takes` counts how often its lease was taken.
    """

    id: str
    state: BatchState
    started_at: datetime
    owner: str
    fence: int
    lease_expires: float
    source_csv: str
    counts: Mapping[str, Any] = field(default_factory=dict)
    summary_key: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    updated_at: str | None = None
    unit: str = WHOLE
    chunks_total: int | None = None
    chunks_sent: int = 0
    chunks_done: int = 0
    takes: int = 0
    asked: Asked | None = None
    """None for a chunk, and for a batch of an earlier version."""
    chunks_written: int = 0
    attempts: int = 0
    """Attempts since the last progress; see `worker.jobs.attempts`."""
    after_end: bool = False
    """Whether the lease was taken over from a worker that did not give it back."""
    strikes: Mapping[str, int] = field(default_factory=dict)
    """Creators that were in flight when a worker ended, and how often."""
    on_trial: str | None = None
    """The creator that is alone in flight."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The message is done with, and deleted."""


@dataclass(frozen=True, slots=True)
class Retryable:
    """The message goes back.

    With `costs_attempt` it stays the same message, made visible after a backoff by its receive count. Without, a
    fresh copy takes its place after `delay` seconds, so that waiting and interruptions never end in the DLQ.
    `refused_by` is the dependency that the work waits for, where there is one.
    """

    reason: JobReason
    message: str
    costs_attempt: bool = True
    delay: float = 0.0
    refused_by: Dependency | None = None


@dataclass(frozen=True, slots=True)
class Terminal:
    """The message goes to the dead-letter queue with its reason, and is deleted."""

    reason: JobReason
    message: str
    batch_id: str | None = None


Outcome = Succeeded | Retryable | Terminal
"""What became of a message's work; it alone decides what happens to the message."""
