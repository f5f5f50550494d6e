"""Chunks: slices of a batch's creator groups, as files in the temp bucket and messages on the queue.

A chunk's file holds all that its worker needs. Its key and content follow from the manifest alone, so that a planner
that died half-way is followed by one that writes the very same.
"""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from worker.errors import Interrupted, JobReason, TerminalError
from worker.failpoints import failpoint
from worker.jobs.creator_loop import MAX_ROWS
from worker.jobs.summary import Rejects, creator_line, record_of
from worker.keys import chunk_key, from_iso, iso
from worker.manifest.grouping import Grouping
from worker.model import (
    Batch,
    ChunkJob,
    CreatorGroup,
    CreatorRecord,
    InlineManifest,
    Job,
    ProcessingConfig,
    Reject,
    Row,
    S3Manifest,
)

Columns = Mapping[str, str | None]
"""Names of the columns that a batch's rows come from; see `Tally.columns`."""

MESSAGES_AT_A_TIME = 10
PARTS_AT_A_TIME = 16


class TempStore(Protocol):
    """Objects of the temp bucket; see `worker.aws.stores.TempObjects`."""

    async def put(self, key: str, body: bytes) -> None:
        """Write an object."""

    async def get(self, key: str) -> bytes | None:
        """Return an object's bytes, or None where there is none."""


class Sends(Protocol):
    """Sends messages; see `worker.aws.sqs.Queue`."""

    async def send_many(self, bodies: list[str], *, group: str) -> None:
        """Send up to ten messages of one fair-queue group."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a batch is, as its chunks and its finisher need it."""

    batch_id: str
    job: Job
    started_at: datetime
    message_id: str
    source_csv: str
    columns: Columns

    def batch(self, *, owner: str, fence: int, part: str, first: bool = False) -> Batch:
        """Return the batch as the holder of a lease on it, or on a chunk, works on it."""
        job, started = self.job, self.started_at
        return Batch(self.batch_id, job, started, owner, fence, self.message_id, self.source_csv, part, first)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the finisher of a split batch needs besides the parts."""

    header: Header
    rejects: Rejects
    rows: int
    creators: int


class ChunkFiles:
    """The chunks of split batches. `creators` and `rows` bound one chunk; it has at least one creator."""

    def __init__(self, store: TempStore, queue: Sends, *, creators: int = 50, rows: int = 2_000) -> None:
        self._store = store
        self._queue = queue
        self._creators = creators
        self._rows = rows

    def needed(self, creators: int, rows: int) -> bool:
        """Say whether a batch of this size is more than one chunk."""
        return creators > self._creators or (creators > 1 and rows > self._rows)

    async def write(
        self, batch: Batch, plan: Grouping, rejects: Rejects, creators: int, stop: asyncio.Event, *, columns: Columns
    ) -> int:
        """Write every chunk, then the plan for the finisher; returns the number of chunks."""
        header = _header(batch) | {"columns": dict(columns)}
        slices, count = _slices(plan, self._creators, self._rows), 0
        while body := await asyncio.to_thread(_next_file, slices, header):
            if stop.is_set():
                raise Interrupted(JobReason.INTERRUPTED, "the worker is stopping; the batch is planned anew")
            count += 1
            await self._store.put(chunk_key(batch.id, count), body)
            failpoint("chunks.file_written")
        told = header | {
            "rejects": {
                "by_reason": dict(rejects.by_reason),
                "listed": [asdict(reject) for reject in rejects.listed],
            },
            "source": dict(rejects.source),
            "rows": plan.rows,
            "creators": creators,
        }
        await self._store.put(f"processing/{batch.id}/plan.json", _dumped(told))
        failpoint("chunks.plan_written")
        return count

    async def send(self, batch_id: str, first: int, last: int) -> None:
        """Send the messages of the chunks `first` to `last` (up to ten)."""
        await self._queue.send_many([_message(batch_id, number) for number in range(first, last + 1)], group=batch_id)
        failpoint("chunks.messages_sent")

    async def read(self, chunk: ChunkJob) -> tuple[Header, list[CreatorGroup]]:
        """Return a chunk's header and groups. Raises `TerminalError` where its file is gone."""
        lines = gzip.decompress(await self._needed(chunk.key)).splitlines()
        groups = [_group(json.loads(line)) for line in lines[1:]]
        return _header_of(json.loads(lines[0])), groups

    async def read_plan(self, batch_id: str) -> Plan:
        """Return what `write` left for the finisher."""
        told = json.loads(await self._needed(f"processing/{batch_id}/plan.json"))
        listed = [Reject(**reject) for reject in told["rejects"]["listed"]]
        rejects = Rejects(told["rejects"]["by_reason"], listed, told["source"])
        return Plan(_header_of(told), rejects, told["rows"], told["creators"])

    async def write_part(self, batch_id: str, number: int, records: Iterable[CreatorRecord]) -> None:
        """Write what came of a chunk, one creator a line."""
        body = b"".join(_dumped(creator_line(record)) + b"\n" for record in records)
        await self._store.put(_part_key(batch_id, number), body)
        failpoint("chunks.part_stored")

    async def parts(self, batch_id: str, total: int) -> AsyncIterator[list[CreatorRecord]]:
        """Give what came of each chunk, in order; some are read ahead."""
        for first in range(1, total + 1, PARTS_AT_A_TIME):
            numbers = range(first, min(first + PARTS_AT_A_TIME, total + 1))
            bodies = await asyncio.gather(*[self._needed(_part_key(batch_id, number)) for number in numbers])
            for body in bodies:
                yield [record_of(json.loads(line)) for line in body.splitlines()]

    async def _needed(self, key: str) -> bytes:
        body = await self._store.get(key)
        failpoint("chunks.object_read")
        if body is None:
            raise TerminalError(
                JobReason.CHUNK_MISSING,
                f"{key} is gone from the temp bucket, where such files are kept for 7 days; submit the manifest under "
                "another name, for what this batch had done counts as done",
            )
        return body


def chunk_unit(number: int) -> str:
    """Return the name of a chunk's record within its batch."""
    return f"chunk/{number:06d}"


def _part_key(batch_id: str, number: int) -> str:
    return f"processing/{batch_id}/parts/{number:06d}.jsonl"


def _message(batch_id: str, number: int) -> str:
    body = {"processing_type": "batch_chunk", "batch_id": batch_id, "chunk": number}
    return json.dumps(body | {"s3_key": chunk_key(batch_id, number)})


def _slices(plan: Grouping, creators: int, rows: int) -> Iterator[list[CreatorGroup]]:
    """Cut the groups, in their order, into slices of so many creators and rows at the most."""
    some: list[CreatorGroup] = []
    held = 0
    for group, _ in plan.groups(max_rows=MAX_ROWS):
        if some and (len(some) >= creators or held + len(group.rows) > rows):
            yield some
            some, held = [], 0
        some.append(group)
        held += len(group.rows)
    if some:
        yield some


def _next_file(slices: Iterator[list[CreatorGroup]], header: Mapping[str, Any]) -> bytes | None:
    groups = next(slices, None)
    if groups is None:
        return None
    lines: list[Any] = [header]
    lines += [{"name": group.name, "rows": [[row.line, row.url] for row in group.rows]} for group in groups]
    # Without a time stamp the same groups give the same bytes.
    return gzip.compress(b"".join(_dumped(line) + b"\n" for line in lines), compresslevel=3, mtime=0)


def _group(told: Mapping[str, Any]) -> CreatorGroup:
    return CreatorGroup(told["name"], tuple(Row(line, url) for line, url in told["rows"]))


def _header(batch: Batch) -> dict[str, Any]:
    manifest = batch.job.manifest
    return {
        "batch_id": batch.id,
        "started_at": iso(batch.started_at),
        "message_id": batch.message_id,
        "source_csv": batch.source_csv,
        "manifest": asdict(manifest) if isinstance(manifest, S3Manifest) else None,
        "output_prefix": batch.job.output_prefix,
        "config": batch.job.config.model_dump(mode="json"),
        "from_event": batch.job.from_event,
    }


def _header_of(told: Mapping[str, Any]) -> Header:
    manifest = S3Manifest(**told["manifest"]) if told["manifest"] else InlineManifest("")
    job = Job(manifest, told["output_prefix"], ProcessingConfig(**told["config"]), told["from_event"])
    return Header(
        told["batch_id"], job, from_iso(told["started_at"]), told["message_id"], told["source_csv"], told["columns"]
    )


def _dumped(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode()
