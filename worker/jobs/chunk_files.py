"""Chunks: slices of a batch's creator groups, as files in the temp bucket and messages on the queue.

A chunk's file holds all that its worker needs. Its key and content follow from the manifest and the record alone, so
that a planner that died half-way is followed by one that writes the very same.
"""

import asyncio
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from worker.errors import JobReason, RetryableError, TerminalError
from worker.failpoints import failpoint
from worker.jobs.groups import MAX_ROWS
from worker.jobs.part_lines import read_creator, result_json
from worker.jobs.ports import ChunkQueue, TempStore
from worker.jobs.summary import Rejects
from worker.keys import chunk_key, plan_key, result_key
from worker.manifest.grouping import Grouping
from worker.masks import without_signatures
from worker.model import (
    Asked,
    Batch,
    BatchRecord,
    CreatorGroup,
    CreatorRecord,
    InlineManifest,
    Job,
    Lease,
    ProcessingConfig,
    Reject,
    Row,
    S3Manifest,
)
from worker.tasks import unwrapped

MESSAGES_AT_A_TIME = 10
"""Messages that SQS takes in one call."""

FILES_AT_A_TIME = 16
"""Chunk files that are written at the same time."""

ROWS_OF_A_CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """What a batch was asked to be, as its chunks and its finisher need it."""

    batch_id: str
    job: Job
    started_at: datetime
    message_id: str
    source_csv: str

    def batch(self, lease: Lease, *, first: bool = False) -> Batch:
        """Return the batch as the holder of a lease on it, or on a chunk of it, works on it."""
        return Batch(
            self.batch_id,
            self.job,
            self.started_at,
            lease.owner,
            lease.fence,
            self.message_id,
            self.source_csv,
            lease.unit,
            first,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What the finisher of a split batch needs besides its chunks' results."""

    rejects: Rejects
    rows: int
    creators: int


class ChunkFiles:
    """The chunks of split batches. `creators` and `rows` bound a chunk of a new batch; it has at least one creator."""

    def __init__(self, store: TempStore, queue: ChunkQueue, *, creators: int = 50, rows: int = ROWS_OF_A_CHUNK) -> None:
        self._store = store
        self._queue = queue
        self.creators = creators
        self.rows = rows

    async def write(self, batch_id: str, bodies: Mapping[int, bytes]) -> None:
        """Write the files of some chunks, by number, side by side."""
        for numbers in _some_at_a_time(list(bodies), FILES_AT_A_TIME):
            with unwrapped():
                async with asyncio.TaskGroup() as group:
                    for number in numbers:
                        group.create_task(self._put(chunk_key(batch_id, number), bodies[number]))

    async def write_plan(self, batch_id: str, plan: Plan) -> None:
        """Write what the finisher needs besides the results."""
        told = asdict(plan) | {
            "rejects": {
                "by_reason": dict(plan.rejects.by_reason),
                "listed": [asdict(reject) for reject in plan.rejects.listed],
                "source": dict(plan.rejects.source),
            }
        }
        await self._put(plan_key(batch_id), _dumped(told))
        failpoint("chunks.plan_written")

    async def send(self, batch_id: str, numbers: Iterable[int]) -> None:
        """Send the messages of these chunks."""
        for some in _some_at_a_time(list(numbers), MESSAGES_AT_A_TIME):
            await self._queue.send_many([_message(batch_id, number) for number in some], group=batch_id)
            failpoint("chunks.messages_sent")

    async def read(self, batch_id: str, number: int) -> list[CreatorGroup] | None:
        """Return a chunk's groups, or None where its file is gone.

        Raises `RetryableError(chunk_unreadable)` for a file that was not written by a worker, or not whole.
        """
        key = chunk_key(batch_id, number)
        body = await self._get(key)
        try:
            return None if body is None else [_group(json.loads(line)) for line in gzip.decompress(body).splitlines()]
        except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
            told = f"{key} in the temp bucket cannot be read: {error}"
            raise RetryableError(JobReason.CHUNK_UNREADABLE, told) from error

    async def read_plan(self, batch_id: str) -> Plan | None:
        """Return what `write_plan` wrote, or None where it is gone."""
        body = await self._get(plan_key(batch_id))
        if body is None:
            return None
        told = json.loads(body)
        listed = [Reject(**reject) for reject in told["rejects"]["listed"]]
        rejects = Rejects(told["rejects"]["by_reason"], listed, told["rejects"]["source"])
        return Plan(rejects, told["rows"], told["creators"])

    async def write_result(self, batch_id: str, number: int, records: Iterable[CreatorRecord]) -> None:
        """Write what came of a chunk, one creator a line."""
        body = b"".join(map(result_json, records))
        await self._put(result_key(batch_id, number), body)
        failpoint("chunks.result_stored")

    async def read_result(self, batch_id: str, number: int) -> list[CreatorRecord] | None:
        """Return what came of a chunk, or None where the file is gone."""
        body = await self._get(result_key(batch_id, number))
        return None if body is None else [read_creator(line) for line in body.split(b"\n") if line]

    async def _put(self, key: str, body: bytes) -> None:
        await self._store.put(key, body)
        failpoint("chunks.file_written")

    async def _get(self, key: str) -> bytes | None:
        body = await self._store.get(key)
        failpoint("chunks.object_read")
        return body


def chunk_unit(number: int) -> str:
    """Return the unit of work that is this chunk."""
    return f"chunk/{number:06d}"


def chunk_bodies(grouping: Grouping, *, creators: int, rows: int) -> Iterator[bytes]:
    """Cut the groups, in their order, into slices of so many creators and rows at the most; gives their files.

    Blocks: it is read in a thread.
    """
    for groups in _slices(grouping, creators, rows):
        lines = ({"name": group.name, "rows": [[row.line, row.url] for row in group.rows]} for group in groups)
        # Without a time stamp the same groups give the same bytes.
        yield gzip.compress(b"".join(_dumped(line) + b"\n" for line in lines), compresslevel=3, mtime=0)


def _message(batch_id: str, number: int) -> str:
    return json.dumps({"processing_type": "batch_chunk", "batch_id": batch_id, "chunk": number})


def _slices(grouping: Grouping, creators: int, rows: int) -> Iterator[list[CreatorGroup]]:
    some: list[CreatorGroup] = []
    held = 0
    for group, _ in grouping.groups(max_rows=MAX_ROWS):
        if some and (len(some) >= creators or held + len(group.rows) > rows):
            yield some
            some, held = [], 0
        some.append(group)
        held += len(group.rows)
    if some:
        yield some


def _some_at_a_time(numbers: list[int], count: int) -> Iterator[list[int]]:
    return (numbers[first : first + count] for first in range(0, len(numbers), count))


def _group(told: Mapping[str, Any]) -> CreatorGroup:
    return CreatorGroup(told["name"], tuple(Row(line, url) for line, url in told["rows"]))


def written_spec(batch_id: str, job: Job, message_id: str, source_csv: str) -> str:
    """Write a specification for the batch's record: what the batch's start does not tell."""
    manifest = job.manifest
    told = {
        "batch_id": batch_id,
        "message_id": message_id,
        "source_csv": source_csv,
        "manifest": asdict(manifest) if isinstance(manifest, S3Manifest) else None,
        "output_prefix": job.output_prefix,
        # Nobody's column is called like a signed link; if it is, the table is no place for the signature.
        "config": {
            name: without_signatures(value) if isinstance(value, str) else value
            for name, value in job.config.model_dump(mode="json").items()
        },
        "from_event": job.from_event,
    }
    return json.dumps(told, ensure_ascii=True, separators=(",", ":"))


def asked_of(record: BatchRecord) -> Asked:
    """Return what a batch's record says was asked. Raises `TerminalError(batch_unknown)` where it says nothing."""
    if record.asked is None:
        told = f"the record of batch {record.id} does not tell what was asked; submit its manifest again"
        raise TerminalError(JobReason.BATCH_UNKNOWN, told)
    return record.asked


def batch_of(record: BatchRecord) -> Batch:
    """Return a batch as its record has it, under its last owner's lease. Raises what `asked_of` raises."""
    return spec_of(record).batch(Lease(record.id, record.owner, record.fence))


def spec_of(record: BatchRecord) -> BatchSpec:
    """Read the specification of a batch's record. Raises what `asked_of` raises."""
    told = json.loads(asked_of(record).spec)
    manifest = S3Manifest(**told["manifest"]) if told["manifest"] else InlineManifest("")
    job = Job(manifest, told["output_prefix"], ProcessingConfig(**told["config"]), told["from_event"])
    return BatchSpec(told["batch_id"], job, record.started_at, told["message_id"], told["source_csv"])


def _dumped(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode()
