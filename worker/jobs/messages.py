"""An SQS message's body becomes jobs. Which kind of message it is, is decided by its shape. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NoReturn
from urllib.parse import unquote_plus

from pydantic import TypeAdapter, ValidationError

from worker.errors import JobReason, TerminalError
from worker.images.collage import parse_background
from worker.jobs.job_messages import MODELS
from worker.keys import MAX_KEY, starts_a_batch
from worker.model import ChunkJob, InlineManifest, Job, OutputPrefix, ProcessingConfig, S3Manifest, allowed_range

KEYS_OF = {kind: set(model.model_fields) for kind, model in MODELS.items()} | {
    "batch_chunk": {"processing_type", "batch_id", "chunk", "s3_key"}
}
METADATA_KEY = "config"
"""Key of the S3 user metadata in which a dropped object says how it is to be processed."""

MAX_CHUNKS = 10_000_000
_BATCH_ID = re.compile(r"s3_[A-Za-z0-9._%~-]{1,120}-[0-9a-f]{8,64}")
_PREFIX = TypeAdapter(OutputPrefix)


@dataclass(frozen=True, slots=True)
class JobDefaults:
    """What fills in where a message is silent, and what it may name."""

    config: ProcessingConfig
    output_prefix: str
    input_bucket: str
    input_buckets: frozenset[str]


@dataclass(frozen=True, slots=True)
class Parsed:
    """The jobs of a message, and what in it asks for nothing (with the reason, for the log)."""

    jobs: tuple[Job | ChunkJob, ...] = ()
    ignored: tuple[str, ...] = ()


def parse(body: str, defaults: JobDefaults) -> Parsed:
    """Return the jobs that a message asks for.

    Raises `TerminalError` with `bad_json`, `unknown_message`, `unknown_key`, `bad_value` or `bucket_not_allowed`.
    """
    message = _json_object(body, "the message")
    if message.get("Type") == "Notification" and isinstance(message.get("Message"), str):
        message = _json_object(message["Message"], "the Message of the SNS notification")
    if message.get("Event") == "s3:TestEvent":
        return Parsed(ignored=("S3 test event",))
    if "processing_type" in message:
        return Parsed(jobs=(_job(message, defaults),))
    if message.get("detail-type") == "Object Created" and isinstance(message.get("detail"), dict):
        return _merged([_eventbridge_object(message["detail"], defaults)])
    records = message.get("Records")
    if isinstance(records, list) and records:
        return _merged([_s3_record(record, defaults) for record in records])
    raise TerminalError(
        JobReason.UNKNOWN_MESSAGE,
        f"the message has the keys {_listed(message)}; allowed are a job (processing_type csv_s3 or csv_inline), an S3 "
        "event (Records), an S3 event in an SNS notification, and an EventBridge event (Object Created)",
    )


# --- jobs -----------------------------------------------------------------------------------------------------------


def _job(message: Mapping[str, Any], defaults: JobDefaults) -> Job | ChunkJob:
    kind = message["processing_type"]
    if not isinstance(kind, str) or kind not in KEYS_OF:
        _bad_value("processing_type", kind, "csv_s3 or csv_inline")
    unknown = sorted(message.keys() - KEYS_OF[kind])
    if unknown:
        raise TerminalError(
            JobReason.UNKNOWN_KEY,
            f"unknown key {_listed(unknown)} in a {kind} job; allowed are {', '.join(sorted(KEYS_OF[kind]))}",
        )
    if kind == "batch_chunk":
        return _chunk(message)
    prefix, config = message.get("output_prefix"), message.get("processing_config")
    return Job(
        manifest=_inline(message) if kind == "csv_inline" else _named_object(message, defaults),
        output_prefix=_output_prefix(message, defaults),
        config=config_of(config, defaults.config),
        from_event=False,
        explicit=explicit_of(prefix, config),
    )


def explicit_of(prefix: str | None, config: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return what a job names itself, as its batch's identity has it; nothing where it names nothing."""
    if prefix is None and not config:
        return ()
    return prefix or "", json.dumps(config or {}, sort_keys=True, separators=(",", ":"))


def _chunk(message: Mapping[str, Any]) -> ChunkJob:
    """Read one of the worker's own messages; others could write to the queue, too."""
    batch, number = message.get("batch_id"), message.get("chunk")
    if not isinstance(batch, str) or not _BATCH_ID.fullmatch(batch):
        _bad_value("batch_id", batch, "a batch id as the worker makes them")
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MAX_CHUNKS:
        _bad_value("chunk", number, f"a number from 1 to {MAX_CHUNKS}")
    return ChunkJob(batch, number)


def _inline(message: Mapping[str, Any]) -> InlineManifest:
    text = message.get("csv_data")
    if not isinstance(text, str) or not text.strip():
        _bad_value("csv_data", text, "the text of a CSV with a header")
    return InlineManifest(text)


def _named_object(message: Mapping[str, Any], defaults: JobDefaults) -> S3Manifest:
    bucket, key = message.get("s3_bucket", defaults.input_bucket), message.get("s3_key")
    if not isinstance(bucket, str):
        _bad_value("s3_bucket", bucket, "the name of a bucket")
    if not isinstance(key, str) or not 0 < _bytes_of(key) <= MAX_KEY:
        _bad_value("s3_key", key, f"the key of a manifest, 1 to {MAX_KEY} bytes of UTF-8")
    if bucket not in defaults.input_buckets:
        raise TerminalError(
            JobReason.BUCKET_NOT_ALLOWED,
            f"s3_bucket is {_shown(bucket)}; a job may name {', '.join(sorted(defaults.input_buckets))} only "
            "(ALLOWED_INPUT_BUCKETS can list others)",
        )
    return S3Manifest(bucket, key)


def _output_prefix(message: Mapping[str, Any], defaults: JobDefaults) -> str:
    prefix = message.get("output_prefix")
    return defaults.output_prefix if prefix is None else checked_prefix(prefix)


def checked_prefix(prefix: object) -> str:
    """Return what an `output_prefix` may be. Raises `TerminalError` (`bad_value`) for anything else."""
    try:
        checked = _PREFIX.validate_python(prefix, strict=True)
    except ValidationError:
        checked = None
    if checked is None or _bytes_of(checked) > 256:  # with more, keys would outgrow S3's limit
        _bad_value("output_prefix", prefix, "up to 256 bytes of UTF-8, no leading slash, no control characters")
    return checked


def config_of(given: object, defaults: ProcessingConfig) -> ProcessingConfig:
    """Return what is asked for, filled in from the defaults. Raises `TerminalError` (`unknown_key`, `bad_value`)."""
    if given is None:
        return defaults
    if not isinstance(given, dict):
        _bad_value("processing_config", given, "an object")
    try:
        config = ProcessingConfig.model_validate({**defaults.model_dump(), **given})
        parse_background(config.background)
    except ValidationError as error:
        problems = [_problem(dict(item)) for item in error.errors()]
        unknown = all(item["type"] == "extra_forbidden" for item in error.errors())
        reason = JobReason.UNKNOWN_KEY if unknown else JobReason.BAD_VALUE
        raise TerminalError(reason, "; ".join(problems)) from None
    except ValueError as error:
        raise TerminalError(JobReason.BAD_VALUE, f"processing_config.background: {error}") from None
    return config


def config_in_metadata(metadata: Mapping[str, str], defaults: ProcessingConfig) -> ProcessingConfig:
    """Return what a dropped object's own metadata asks for (`config`), filled in from the defaults.

    Raises `TerminalError` (`bad_json`, `unknown_key`, `bad_value`) as for a job's `processing_config`.
    """
    text = metadata.get(METADATA_KEY)
    if text is None:
        return defaults
    what = f"the object's metadata {METADATA_KEY}"
    try:
        return config_of(_json_object(text, what), defaults)
    except TerminalError as error:
        told = str(error)
        raise TerminalError(error.reason, told if what in told else f"{what}: {told}") from None


def _problem(item: Mapping[str, Any]) -> str:
    if not item["loc"]:  # a relation between several keys: its text names them
        return str(item["msg"]).removeprefix("Value error, ")
    name = "processing_config." + ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        meant = get_close_matches(str(item["loc"][-1]).lower(), ProcessingConfig.model_fields, n=1)
        guess = f"; did you mean {meant[0]}?" if meant else ""
        return f"unknown key {name[:120]}{guess}; allowed are {', '.join(ProcessingConfig.model_fields)}"
    got = "null" if item["input"] is None else _shown(item["input"])
    told = str(item["msg"]).removeprefix("Input should ").removeprefix("String should ").removeprefix("Value error, ")
    allowed = allowed_range(ProcessingConfig.model_fields.get(str(item["loc"][0])))
    return f"{name} is {got}; it should {allowed or told}"


# --- events ---------------------------------------------------------------------------------------------------------


def _s3_record(record: object, defaults: JobDefaults) -> Job | str:
    """Return the job of one S3 record, or why there is none. The key in it is form-encoded."""
    if not isinstance(record, dict) or record.get("eventSource") != "aws:s3":
        _bad_value("Records[].eventSource", record.get("eventSource") if isinstance(record, dict) else record, "aws:s3")
    version = str(record.get("eventVersion", "2.0"))
    if version.partition(".")[0] != "2":
        _bad_value("Records[].eventVersion", version, "2.x")
    name = record.get("eventName")
    if not isinstance(name, str) or not name.removeprefix("s3:").startswith("ObjectCreated:"):
        return f"S3 event {_shown(name)}: only ObjectCreated starts a batch"
    try:
        s3 = record["s3"]
        bucket, found = s3["bucket"]["name"], s3["object"]
        key, version_id, etag = unquote_plus(found["key"]), found.get("versionId"), found.get("eTag")
    except (KeyError, TypeError, AttributeError):
        _bad_value("Records[].s3", record.get("s3"), "bucket.name and object.key")
    return _created(bucket, key, version_id, etag, defaults)


def _eventbridge_object(detail: Mapping[str, Any], defaults: JobDefaults) -> Job | str:
    """Return the job of an EventBridge event. EventBridge gives the key as it is, not form-encoded."""
    try:
        bucket, found = detail["bucket"]["name"], detail["object"]
        key, version_id, etag = found["key"], found.get("version-id"), found.get("etag")
    except (KeyError, TypeError, AttributeError):
        _bad_value("detail", detail, "bucket.name and object.key")
    return _created(bucket, key, version_id, etag, defaults)


def _created(bucket: object, key: object, version: object, etag: object, defaults: JobDefaults) -> Job | str:
    if bucket != defaults.input_bucket or not isinstance(key, str) or not starts_a_batch(key):
        return (
            f"{_shown(key)} in {_shown(bucket)}: only objects under csv-files/ of {defaults.input_bucket} start a "
            "batch, and of those no folder markers and no *.error.json"
        )
    if _bytes_of(key) > MAX_KEY:
        _bad_value("the object's key", key, f"1 to {MAX_KEY} bytes of UTF-8")
    manifest = S3Manifest(defaults.input_bucket, key, _text(version), _text(etag))
    return Job(manifest, defaults.output_prefix, defaults.config, from_event=True)


def _merged(found: list[Job | str]) -> Parsed:
    return Parsed(
        jobs=tuple(item for item in found if isinstance(item, Job)),
        ignored=tuple(item for item in found if isinstance(item, str)),
    )


# --- reading and saying ---------------------------------------------------------------------------------------------


def _json_object(text: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text, parse_constant=_no_constants)
    except (ValueError, RecursionError) as error:
        raise TerminalError(
            JobReason.BAD_JSON, f"{what} is not JSON ({error}); it begins with {_shown(text)}; expected is one object"
        ) from None
    if not isinstance(found, dict):
        raise TerminalError(JobReason.BAD_JSON, f"{what} is {_shown(found)}; expected is one JSON object")
    return found


def _no_constants(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _bad_value(key: str, got: object, allowed: str) -> NoReturn:
    raise TerminalError(JobReason.BAD_VALUE, f"{key} is {_shown(got)}; allowed is {allowed}")


def _bytes_of(text: str) -> int:
    """Return the length in UTF-8; of what is no text, because of lone surrogates, more than anything may have."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return MAX_KEY + 1


def _text(value: object) -> str | None:
    return value.strip('"') if isinstance(value, str) and value and value != "null" else None


def _shown(value: object) -> str:
    if value is None:
        return "missing"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 120 else text[:117] + "..."


def _listed(names: object) -> str:
    return _shown(sorted(str(name)[:60] for name in names)[:12])  # type: ignore[attr-defined]
