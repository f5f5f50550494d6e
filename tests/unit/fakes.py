"""Stand-ins for what lies outside: a ledger with leases and fences, stores, a fetcher, a decoder, a queue.

Each step that would leave the process is noted in a `Journal`, which tells the order of steps and can break one: with
an outage, after which the work goes on, or with `Killed`, after which nothing leaves the process any more.
"""

import asyncio
import hashlib
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, BinaryIO

from worker.aws.sqs import Message
from worker.download.fetch import Fetched
from worker.errors import Dependency, ImageError, ImageReason, JobReason, LeaseLost, TerminalError, Unavailable
from worker.images.cell import Cell, CellSpec
from worker.jobs.batch import Delivery
from worker.jobs.part_lines import RowLine
from worker.jobs.parts import part_rows
from worker.keys import is_part
from worker.limiter import Limiter
from worker.model import (
    WHOLE,
    Asked,
    Batch,
    BatchRecord,
    BatchState,
    CreatorRecord,
    CreatorStatus,
    Job,
    Lease,
    ManifestHead,
    Outcome,
    ProcessingConfig,
    S3Manifest,
)

NOON = datetime(2025, 1, 19, 12, 0, 0, tzinfo=UTC)


class Killed(BaseException):
    """The process was killed."""


def outage(what: str) -> Unavailable:
    dependency = Dependency(what) if what in set(Dependency) else Dependency.S3
    return Unavailable(dependency, JobReason.AWS_UNAVAILABLE, f"{what}: no answer")


class Clock:
    """Epoch seconds that move when told to."""

    def __init__(self) -> None:
        self.now = NOON.timestamp()

    def __call__(self) -> float:
        return self.now


class Journal:
    """Notes steps. `kill_after` n steps ends the process; `failing` names steps that have an outage, once each."""

    def __init__(self, *, kill_after: int | None = None, failing: tuple[str, ...] = ()) -> None:
        self.steps: list[str] = []
        self.kill_after = kill_after
        self.failing = list(failing)
        self._noted = asyncio.Event()

    async def reached(self, step: str) -> None:
        """Wait until a step was done."""
        async with asyncio.timeout(60):
            while step not in self.steps:
                self._noted.clear()
                await self._noted.wait()

    def before(self, step: str) -> None:
        if self.kill_after is not None and len(self.steps) >= self.kill_after:
            raise Killed  # the dead do nothing
        if step in self.failing:
            self.failing.remove(step)
            raise outage(step)

    def after(self, step: str) -> None:
        self.steps.append(step)
        self._noted.set()
        if self.kill_after is not None and len(self.steps) >= self.kill_after:
            raise Killed


ANEW: dict[str, Any] = {
    "strikes": {},
    "on_trial": None,
    "summary_key": None,
    "chunks_total": None,
    "chunks_sent": 0,
}
"""What a batch that begins anew forgets."""


class FakeLedger:
    """Batches and creators in memory, under the state table's conditions. `finished` counts final records written."""

    def __init__(self, clock: Clock, journal: Journal | None = None) -> None:
        self.clock = clock
        self.journal = journal or Journal()
        self.batches: dict[str, BatchRecord] = {}
        self.creators: dict[tuple[str, str], tuple[CreatorRecord, int]] = {}
        self.finished: Counter[str] = Counter()
        self.too_large: set[str] = set()
        """Creators whose record with a collage is more than an item may hold."""
        self.not_indexed: set[str] = set()
        """Creators that the index does not show yet."""

    async def take(
        self,
        batch_id: str,
        *,
        owner: str,
        source_csv: str,
        lease_seconds: float,
        asked: Asked | None = None,
        unit: str = WHOLE,
        fence_above: int = 0,
        as_of: float | None = None,
        outage_at: float = 0.0,
    ) -> tuple[BatchRecord, bool]:
        self.journal.before("take")
        name, now = _named(batch_id, unit), self.clock()
        old = self.batches.get(name)
        if old is not None and not _may_be_taken(old, asked, now, now if as_of is None else as_of):
            return old, False
        anew = old is not None and old.state is not BatchState.RUNNING
        ended = old is not None and not anew and old.lease_expires > 0 and outage_at < old.lease_expires - lease_seconds
        first = BatchRecord(
            batch_id,
            BatchState.RUNNING,
            datetime.fromtimestamp(now, UTC).replace(microsecond=0),
            owner,
            fence_above,
            0.0,
            source_csv,
            unit=unit,
            asked=asked,
        )
        record = old or first
        self.batches[name] = replace(
            record,
            state=BatchState.RUNNING,
            owner=owner,
            fence=record.fence + 1,
            lease_expires=now + lease_seconds,
            takes=record.takes + 1,
            attempts=0 if anew else record.attempts + ended,
            after_end=ended,
            error_code=None,
            error_message=None,
            **(ANEW if anew else {}),
        )
        self.journal.after("take")
        return self.batches[name], True

    def _held(self, step: str, lease: Lease, **changes: Any) -> BatchRecord:
        self.journal.before(step)
        name = _named(lease.id, lease.unit)
        record = self.batches[name]
        if (record.owner, record.fence, record.state) != (lease.owner, lease.fence, BatchState.RUNNING):
            raise LeaseLost(JobReason.LEASE_LOST, "taken over")
        self.batches[name] = replace(record, **changes)
        self.journal.after(step)
        return self.batches[name]

    async def extend(self, lease: Lease, *, lease_seconds: float, counts: Mapping[str, Any]) -> None:
        self._held("extend", lease, lease_expires=self.clock() + lease_seconds, counts=counts)

    async def release(self, lease: Lease) -> None:
        self._held("release", lease, lease_expires=0.0)

    async def release_failed(self, lease: Lease) -> int:
        attempts = self.batches[_named(lease.id, lease.unit)].attempts + 1
        return self._held("release_failed", lease, lease_expires=0.0, attempts=attempts).attempts

    async def note_progress(self, lease: Lease) -> None:
        self._held("note_progress", lease, attempts=0)

    async def note_suspects(self, lease: Lease, *, strikes: Mapping[str, int], on_trial: str | None) -> None:
        self._held("note_suspects", lease, strikes=dict(strikes), on_trial=on_trial)

    async def note_written(self, lease: Lease, *, chunks: int, counts: Mapping[str, Any]) -> None:
        self._held("note_written", lease, chunks_written=chunks, counts=counts)

    async def note_sent(self, lease: Lease, *, chunks: int) -> None:
        self._held("note_sent", lease, chunks_sent=chunks, attempts=0)

    async def note_plan(self, lease: Lease, *, chunks: int, counts: Mapping[str, Any]) -> None:
        self._held("note_plan", lease, chunks_total=chunks, counts=counts)

    async def note_summary(self, lease: Lease, *, summary_key: str, counts: Mapping[str, Any]) -> None:
        self._held("note_summary", lease, summary_key=summary_key, counts=counts)

    async def note_unfinished(self, batch_id: str, *, summary_key: str, counts: Mapping[str, Any]) -> None:
        self.journal.before("note_unfinished")
        if self.batches[batch_id].state in {BatchState.FAILED, BatchState.CANCELLED}:
            self.batches[batch_id] = replace(self.batches[batch_id], summary_key=summary_key, counts=counts)
        self.journal.after("note_unfinished")

    async def complete(self, lease: Lease) -> None:
        self._held("complete", lease, state=BatchState.COMPLETED, lease_expires=0.0)

    async def complete_chunk(
        self,
        lease: Lease,
        *,
        counts: Mapping[str, int],
        errors: Mapping[str, int],
        failure: TerminalError | None = None,
    ) -> None:
        told = {"error_code": str(failure.reason), "error_message": str(failure)} if failure else {}
        self._held("complete_chunk", lease, state=BatchState.COMPLETED, lease_expires=0.0, **told)
        whole = self.batches[lease.id]
        sums = {name: whole.counts.get(name, 0) + count for name, count in counts.items()}
        self.batches[lease.id] = replace(whole, chunks_done=whole.chunks_done + 1, counts={**whole.counts, **sums})

    async def fail(self, lease: Lease, *, code: str, message: str) -> None:
        self._held(
            "fail",
            lease,
            state=BatchState.FAILED,
            lease_expires=self.clock(),
            error_code=str(code),
            error_message=message,
        )

    async def batch(self, batch_id: str, *, unit: str = WHOLE) -> BatchRecord | None:
        self.journal.before("batch")
        return self.batches.get(_named(batch_id, unit))

    async def begin_creator(self, batch: Batch, creator: str) -> tuple[CreatorRecord | None, bool]:
        self.journal.before("begin_creator")
        old, fence = self.creators.get((batch.id, creator), (None, 0))
        if old is not None and old.status is not CreatorStatus.PROCESSING:
            return old, False
        if fence > batch.fence:
            raise LeaseLost(JobReason.LEASE_LOST, "taken over")
        self.creators[batch.id, creator] = CreatorRecord(creator, CreatorStatus.PROCESSING), batch.fence
        self.journal.after("begin_creator")
        return None, old is not None and fence != batch.fence

    async def all_creator_records(self, batch_id: str) -> AsyncIterator[CreatorRecord]:
        for (batch, _), (record, _) in sorted(self.creators.items()):
            if batch == batch_id and record.creator not in self.not_indexed:
                yield record

    async def finish_creators(self, batch: Batch, records: Sequence[CreatorRecord]) -> None:
        for record in records:
            self.journal.before("finish_creator")
            if record.creator in self.too_large and record.collage_keys:
                raise TerminalError(JobReason.RECORD_TOO_LARGE, "Item size has exceeded the maximum allowed size")
            old, fence = self.creators.get((batch.id, record.creator), (None, batch.fence))
            if old is not None and old.status is not CreatorStatus.PROCESSING:
                continue
            if fence > batch.fence:
                raise LeaseLost(JobReason.LEASE_LOST, "taken over")
            self.creators[batch.id, record.creator] = record, batch.fence
            self.finished[record.creator] += 1
            self.journal.after("finish_creator")


def _named(batch_id: str, unit: str) -> str:
    return batch_id if unit == WHOLE else f"{batch_id} {unit}"


def _may_be_taken(record: BatchRecord, asked: Asked | None, now: float, as_of: float) -> bool:
    if record.asked and asked and record.asked.digest != asked.digest:
        return False
    if record.state is BatchState.RUNNING:
        return record.lease_expires < now
    if record.asked and asked and record.asked.spec == asked.spec:
        return False
    return record.state in {BatchState.FAILED, BatchState.CANCELLED} and record.lease_expires <= as_of


class FakeManifests:
    """Manifests by key; archiving moves them, errors stand beside."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = journal or Journal()
        self.objects: dict[str, bytes] = {}
        self.metadata: dict[str, str] = {}
        self.modified = 0.0
        self.refusal: TerminalError | None = None
        """What a look at a manifest meets."""

    async def head(self, manifest: S3Manifest) -> ManifestHead | None:
        self.journal.before("head")
        if self.refusal is not None:
            raise self.refusal
        body = self.objects.get(manifest.key)
        if body is None:
            return None
        return ManifestHead(hashlib.sha256(body).hexdigest(), manifest.version, len(body), self.metadata, self.modified)

    async def download(self, manifest: S3Manifest, head: ManifestHead, file: BinaryIO) -> None:
        self.journal.before("download")
        body = self.objects[manifest.key]
        assert hashlib.sha256(body).hexdigest() == head.etag
        file.write(body)
        file.seek(0)

    async def archive(self, manifest: S3Manifest, head: ManifestHead, *, batch_id: str, failed: bool) -> None:
        self.journal.before("archive")
        body = self.objects.pop(manifest.key, None)
        if body is not None:
            self.objects[f"archived/{'failed' if failed else 'processed'}/{manifest.key}"] = body
        self.journal.after("archive")

    async def put_error(self, manifest: S3Manifest, body: bytes, *, batch_id: str) -> None:
        self.journal.before("put_error")
        self.objects[f"archived/failed/{manifest.key}.error.json"] = body
        self.journal.after("put_error")


class FakeResults:
    """Collages by key with their batch, documents by key, debug captures by name; nothing is overwritten."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = journal or Journal()
        self.collages: dict[str, tuple[str, bytes, int, str]] = {}
        self.documents: dict[str, bytes] = {}
        self.debug: dict[str, bytes] = {}

    async def put_collage(
        self, keys: tuple[str, str], body: bytes, *, batch_id: str, creator: str, images: int, content_type: str
    ) -> tuple[str, bytes | None]:
        self.journal.before("put_collage")
        for key in keys:
            is_new = key not in self.collages
            there = self.collages.setdefault(key, (batch_id, body, images, content_type))
            if there[0] == batch_id:
                self.journal.after("put_collage")
                return key, None if is_new else there[1]
        raise outage("both keys are taken")

    async def get_collage(self, keys: tuple[str, str], *, batch_id: str, creator: str) -> tuple[str, bytes] | None:
        for key in keys:
            if key in self.collages and self.collages[key][0] == batch_id:
                return key, self.collages[key][1]
        return None

    async def put_part(self, key: str, body: bytes) -> bool:
        self.journal.before("put_part")
        is_new = key not in self.documents
        self.documents.setdefault(key, body)
        self.journal.after("put_part")
        return is_new

    async def fetch(self, key: str, file: BinaryIO) -> bool:
        if key in self.documents:
            file.write(self.documents[key])
            file.seek(0)
        return key in self.documents

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        for key in sorted(self.documents):
            if key.startswith(prefix):
                yield key

    async def put_document(self, key: str, body: bytes | BinaryIO, content_type: str) -> None:
        step = "put_summary" if "processing-summaries" in key else "put_creators"
        self.journal.before(step)
        self.documents[key] = body if isinstance(body, bytes) else body.read()
        self.journal.after(step)

    async def put_debug(self, batch_id: str, name: str, body: bytes) -> None:
        self.debug[f"{batch_id}/{name}"] = body

    def document(self, key: str) -> Any:
        return json.loads(self.documents[key])

    def rows(self) -> list[RowLine]:
        """Return every row of every part, in the order of the parts' names."""
        return [
            row
            for key in sorted(self.documents)
            if is_part(key)
            for row in part_rows(key, io.BytesIO(self.documents[key]))
        ]


class FakeStore:
    """The temp bucket in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def put(self, key: str, body: bytes) -> None:
        self.objects[key] = body

    async def get(self, key: str) -> bytes | None:
        return self.objects.get(key)


class FakeFetcher:
    """Gives each URL its own bytes, unless `answers` has bytes or an error for it. `gate` may hold tries back."""

    def __init__(self, answers: Mapping[str, bytes | BaseException] | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: list[str] = []
        self.slots: list[Limiter] = []
        self.gate: Callable[[str], Awaitable[object]] | None = None

    async def fetch(self, url: str, *, timeout: float, max_retries: int, slots: Limiter) -> Fetched:  # noqa: ASYNC109 -- the port has it
        self.asked.append(url)
        self.slots.append(slots)
        async with slots:
            if self.gate is not None:
                await self.gate(url)
        answer = self.answers.get(url, url.encode())
        if isinstance(answer, BaseException):
            raise answer
        return Fetched(answer, 1, 0.25)


class FakeDecoder:
    """Paints a cell in a colour of its bytes. `failing` bytes cannot be decoded."""

    def __init__(self, failing: Mapping[bytes, BaseException] | None = None) -> None:
        self.failing = dict(failing or {})
        self.specs: list[CellSpec] = []

    async def decode(self, data: bytes, spec: CellSpec) -> Cell:
        self.specs.append(spec)
        if data in self.failing:
            raise self.failing[data]
        return Cell(hashlib.sha256(data).digest()[:3] * spec.size**2, 300, 400, "JPEG")


class Here(Executor):
    """Runs what is submitted at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 -- the future carries it
            future.set_exception(error)
        return future


class FakeQueue:
    """Waits for polls to be fed, notes what is done to messages; `failing` operations have outages until removed."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.failing: dict[str, Exception] = {}
        self.polls: list[int] = []
        self.polled = asyncio.Event()
        self.did = asyncio.Event()
        self._answers: asyncio.Queue[list[Message] | Exception] = asyncio.Queue()

    def feed(self, *messages: Message) -> None:
        self._answers.put_nowait(list(messages))

    def feed_failure(self, error: Exception) -> None:
        self._answers.put_nowait(error)

    async def until(self, *operation: Any) -> None:
        """Wait until this was done, given by its first words."""
        async with asyncio.timeout(5):
            while not any(done[: len(operation)] == operation for done in self.done):
                self.did.clear()
                await self.did.wait()

    async def receive(self, limit: int, *, wait: int, visibility: float) -> list[Message]:
        self.polls.append(limit)
        self.polled.set()
        answer = await self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _do(self, *operation: Any) -> None:
        if operation[0] in self.failing:
            raise self.failing[operation[0]]
        self.done.append(operation)
        self.did.set()

    async def probe(self) -> None:
        if "probe" in self.failing:
            raise self.failing["probe"]

    def is_last(self, message: Message) -> bool:
        return message.receives == 3

    async def delete(self, message: Message) -> None:
        self._do("delete", message.id)

    async def change_visibility(self, message: Message, seconds: float) -> None:
        self._do("change_visibility", message.id, seconds)

    async def send_copy(self, message: Message, *, delay: float) -> None:
        self._do("send_copy", message.id, delay)

    async def send_dead_letter(
        self, message: Message, *, code: str, text: str, batch_id: str | None, failed_at: datetime
    ) -> None:
        self._do("send_dead_letter", message.id, str(code), text, batch_id)


@dataclass
class FakeBatches:
    """Answers each job by `answer`, a coroutine function of the job and the stop event."""

    answer: Callable[[Job, asyncio.Event], Awaitable[Outcome]]

    async def run(self, job: Job, delivery: Delivery, stop: asyncio.Event) -> Outcome:
        return await self.answer(job, stop)

    async def refuse(self, delivery: Delivery, error: Exception) -> str:
        return f"s3_message-{delivery.message_id}"


def message(name: str = "m1", body: str = "{}", receives: int = 1) -> Message:
    return Message(name, body, f"handle-{name}", receives, NOON.timestamp())


def not_found(url: str = "it") -> ImageError:
    return ImageError(ImageReason.NOT_FOUND, f"{url} answered 404")


def job(
    key: str = "csv-files/covers.csv",
    *,
    from_event: bool = True,
    prefix: str = "",
    version: str | None = None,
    **config: Any,
) -> Job:
    return Job(
        S3Manifest("tiktok-image-input", key, version),
        prefix,
        ProcessingConfig(**{"cell_size": 16, **config}),
        from_event,
    )


def batch_of(asked: Job, identifier: str = "s3_covers-1f3a9c52", fence: int = 1) -> Batch:
    return Batch(identifier, asked, NOON, "me", fence, "m1", "covers.csv")
