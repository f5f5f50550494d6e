"""The names of things in S3 and DynamoDB: pure functions from a batch and a creator to keys."""

import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime

from worker.model import InlineManifest, Job, S3Manifest

MAX_NAME = 200
"""Characters of an encoded creator name in a key."""

HASH_DIGITS, MORE_HASH_DIGITS = 8, 32
"""Hexadecimal digits of its digest that a batch id ends in, and those of one that shares eight with another."""

MAX_KEY = 1_024
"""Bytes of an S3 key in UTF-8."""

EVENT_PREFIX = "csv-files/"
NO_MANIFESTS = ("/", "_$folder$", ".error.json")
"""Endings of keys under `EVENT_PREFIX` that are no manifests: folder markers, and what lies beside failed manifests."""

_SUFFIXES = re.compile(r"(\.(csv|tsv|tab|txt|jsonl|ndjson|json|xlsx))?(\.gz)?$", re.IGNORECASE)

_PART = re.compile(r"part-\d{6,}-\d{6,}\.jsonl\.gz")

_UNSAFE = re.compile(rb"[^A-Za-z0-9._-]")


def safe_name(name: str, limit: int = MAX_NAME) -> str:
    """Encode a name for a key: percent-encoding of everything outside `A-Za-z0-9._-`, so two names never meet.

    `.` and `..` are encoded too: tools read them as folders. A name longer than `limit` is cut and ends in `~` and a
    hash of the whole; no other encoded name contains a `~`.
    """
    if name in {".", ".."}:
        return "%2E" * len(name)
    encoded = _UNSAFE.sub(lambda match: b"%%%02X" % ord(match[0]), name.encode("utf-8", "surrogatepass")).decode(
        "ascii"
    )
    if len(encoded) <= limit:
        return encoded
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    whole = re.sub(r"%[0-9A-F]?$", "", encoded[: limit - len(digest) - 1])
    return f"{whole}~{digest}"


def manifest_name(job: Job) -> str:
    """Return the manifest's file name: what `source_csv` shows."""
    return "inline.csv" if isinstance(job.manifest, InlineManifest) else job.manifest.key.rpartition("/")[2]


def manifest_stem(job: Job) -> str:
    """Return the manifest's file name without `.csv`, `.csv.gz` and other endings of tables."""
    return stem_of(manifest_name(job))


def stem_of(name: str) -> str:
    """Return a file name without the endings of tables."""
    return _SUFFIXES.sub("", name, count=1) or "manifest"


def batch_digest(job: Job) -> str:
    """Return the hash of a batch's identity, in 64 hexadecimal digits.

    The identity of a manifest in S3 is its bucket, key and version (or ETag, in a bucket without versions); that of one
    that came in its message is its text. The settings that the message itself names belong to it, and so do those that
    a dropped object carries where its version does not tell one upload from the next.
    """
    manifest = job.manifest
    if isinstance(manifest, S3Manifest):
        identity: tuple[str, ...] = (manifest.bucket, manifest.key, manifest.version or manifest.etag or "")
        identity += () if manifest.config is None else ("", manifest.config)
    else:
        identity = ("inline", manifest.text)
    return hashlib.sha256("\n".join(identity + job.explicit).encode("utf-8", "surrogatepass")).hexdigest()


def batch_id(job: Job, digits: int = HASH_DIGITS) -> str:
    """Name the batch after its manifest, so that the same object is the same batch however often it is notified.

    `digits` of its digest are in the name; more than eight tell two batches apart that share those. The settings that a
    dropped object carries are in the longer name alone: when the object is gone, the event still leads to the first.
    """
    if digits == HASH_DIGITS and isinstance(job.manifest, S3Manifest):
        job = replace(job, manifest=replace(job.manifest, config=None))
    return f"s3_{safe_name(manifest_stem(job), 100)}-{batch_digest(job)[:digits]}"


def batch_hash(identifier: str) -> str:
    """Return the hexadecimal digits at the end of a batch id."""
    return identifier.rpartition("-")[2]


def iso(moment: datetime) -> str:
    """Write a moment as records do: `2025-01-19T12:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_of(epoch: float) -> str:
    """Write epoch seconds as `iso` writes a moment."""
    return iso(datetime.fromtimestamp(epoch, UTC))


def from_iso(text: str) -> datetime:
    """Read what `iso` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def collage_key(prefix: str, creator: str, started: datetime, *, page: int, extension: str, suffix: str = "") -> str:
    """Return the key of a collage's page (counted from 1). `suffix` sets apart two batches of the same second."""
    name = f"collage_{started.astimezone(UTC):%Y%m%d_%H%M%S}"
    name += f"_{suffix}" if suffix else ""
    name += f"_p{page}" if page > 1 else ""
    return f"{prefix}collages/by-creator/{safe_name(creator)}/{name}.{extension}"


def summary_key(prefix: str, identifier: str, extension: str = "json") -> str:
    """Return the key of a batch's summary."""
    return f"{prefix}results/processing-summaries/{identifier}.{extension}"


def report_key(summary: str) -> str:
    """Return the key of the report beside a summary."""
    return summary.removesuffix("json") + "html"


def results_prefix(prefix: str, identifier: str) -> str:
    """Return what the keys of a batch's results begin with: its parts, and the table of its creators."""
    return f"{prefix}results/metadata/{identifier}/"


def part_key(prefix: str, identifier: str, chunk: int, group: int) -> str:
    """Return the key of a part: the fates of a group's rows. Chunks, and the groups of one, are counted from 1."""
    return f"{results_prefix(prefix, identifier)}part-{chunk:06d}-{group:06d}.jsonl.gz"


def creators_key(prefix: str, identifier: str) -> str:
    """Return the key of the table of a batch's creators."""
    return f"{results_prefix(prefix, identifier)}creators.jsonl.gz"


def is_part(key: str) -> bool:
    """Say whether a key among a batch's results is that of a part."""
    return _PART.fullmatch(key.rpartition("/")[2]) is not None


def metadata_key(prefix: str, identifier: str, creator: str) -> str:
    """Return the key of one creator's document, as earlier versions wrote it."""
    return f"{results_prefix(prefix, identifier)}{safe_name(creator)}.json"


def archive_key(key: str, *, failed: bool, suffix: str = "") -> str:
    """Return where a manifest goes when its batch is over; a key that S3 has no room for there is cut, with a hash.

    `suffix` goes into the file's name, before its first dot, where another batch has taken the name.
    """
    if suffix:
        folder, slash, name = key.rpartition("/")
        stem, dot, rest = name.partition(".")
        key = f"{folder}{slash}{stem}_{suffix}{dot}{rest}"
    room = MAX_KEY - len("archived/processed/" + ".error.json")
    encoded = key.encode("utf-8", "surrogatepass")
    if len(encoded) > room:
        digest = hashlib.sha256(encoded).hexdigest()[:32]
        key = f"{encoded[: room - len(digest) - 1].decode('utf-8', 'ignore')}~{digest}"
    return f"archived/{'failed' if failed else 'processed'}/{key}"


def chunk_key(identifier: str, number: int) -> str:
    """Return the key of a chunk's file in the temp bucket; chunks are counted from 1."""
    return f"processing/{identifier}/chunks/{number:06d}.jsonl.gz"


def result_key(identifier: str, number: int) -> str:
    """Return the key of a chunk's result in the temp bucket."""
    return f"processing/{identifier}/results/{number:06d}.jsonl"


def unfinished_key(identifier: str, creator: str) -> str:
    """Return the key, in the temp bucket, of the lines of a creator that is done while its part is not."""
    return f"processing/{identifier}/unfinished/{safe_name(creator)}.jsonl.gz"


def large_file_key(name: str) -> str:
    """Return the key, in the temp bucket, of a message's body that SQS cannot carry with its reason."""
    return f"large-files/{safe_name(name)}.json"


def plan_key(identifier: str) -> str:
    """Return the key of a batch's plan in the temp bucket."""
    return f"processing/{identifier}/plan.json"


def starts_a_batch(key: str) -> bool:
    """Say whether an S3 event for this key starts a batch: whatever its suffix, as the content decides."""
    return key.startswith(EVENT_PREFIX) and not key.endswith(NO_MANIFESTS)
