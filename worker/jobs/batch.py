"""One batch, from its manifest to its summary.

Every step is safe to repeat: keys and records are named after the batch's first start, collages are put where there
is none, creators that are done are found done. Deleting the message is the caller's, and the last step of all.
"""

import asyncio
import hashlib
import json
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import BinaryIO

import structlog

from worker.errors import Interrupted, JobReason, LeaseLost, RetryableError, TerminalError, WorkerError
from worker.images.limiter import Limiter
from worker.jobs.admission import CREATORS_PER_JOB
from worker.jobs.covers import first_of
from worker.jobs.creator import CreatorWork
from worker.jobs.gate import Gate
from worker.jobs.grouping import Grouping
from worker.jobs.keys import batch_id, iso, manifest_name, manifest_stem, summary_key
from worker.jobs.manifest import open_manifest
from worker.jobs.manifest_bytes import inline_bytes
from worker.jobs.ports import Head, Ledger, Manifests, Results
from worker.jobs.report import report
from worker.jobs.summary import Rejects, Tally, dumped, summary
from worker.model import (
    Batch,
    BatchRecord,
    BatchState,
    CreatorGroup,
    CreatorRecord,
    InlineManifest,
    Job,
    Lease,
    Outcome,
    Retryable,
    S3Manifest,
    Succeeded,
    Terminal,
)

log = structlog.get_logger(__name__)

GROUPS_AT_A_TIME = 64
"""Creator groups read from the plan in one go, off the event loop."""

MAX_ROWS = 10_000
"""Rows of one creator that are looked at; many times what a collage can show."""

LAST_WORDS = 5.0
"""Seconds that giving the lease back may take when the work is being cancelled."""

SAFETY_MARGIN = 1.0
"""Seconds before its end from which on a lease that could not be extended counts as lost."""


@dataclass(slots=True)
class Run:
    """What one run of a batch has gathered so far."""

    tally: Tally = field(default_factory=Tally)
    rejects: Rejects = field(default_factory=lambda: Rejects({}, ()))
    records: list[CreatorRecord] = field(default_factory=list)
    changed: bool = False

    def add(self, record: CreatorRecord) -> None:
        """Count a finished creator."""
        self.records.append(record)
        self.tally.add(record)
        self.changed = True


class BatchWork:
    """Runs batches; everything it needs is handed in."""

    def __init__(  # noqa: PLR0913 -- one for each thing it works with
        self,
        *,
        manifests: Manifests,
        results: Results,
        ledger: Ledger,
        creators: CreatorWork,
        gate: Gate,
        owner: str,
        lease_seconds: float,
        clock: Callable[[], float] = time.time,
        on_plan: Callable[[Tally], None] = lambda _tally: None,
        on_creator: Callable[[CreatorRecord], None] = lambda _record: None,
    ) -> None:
        self._manifests = manifests
        self._results = results
        self._ledger = ledger
        self._creators = creators
        self._gate = gate
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._on_plan = on_plan
        self._on_creator = on_creator

    async def run(self, job: Job, message_id: str, stop: asyncio.Event) -> Outcome:
        """Do the whole of a batch, or what is left of it, and say what becomes of its message.

        `stop` asks to begin no further creator. Cancelling gives the lease back and hands the rest to the next.
        """
        with structlog.contextvars.bound_contextvars(source_csv=manifest_name(job)):
            try:
                job, head = await self._identified(job)
            except WorkerError as error:
                return _outcome(error, None)
            identifier = batch_id(job)
            with structlog.contextvars.bound_contextvars(batch_id=identifier):
                try:
                    return await self._run_identified(job, head, identifier, message_id, stop)
                except WorkerError as error:
                    return _outcome(error, identifier)

    async def refuse(self, message_id: str, error: TerminalError) -> str:
        """Record a message that could not be understood as a failed batch, so that `status` can tell why."""
        identifier = f"s3_message-{hashlib.sha256(message_id.encode()).hexdigest()[:8]}"
        try:
            record, ours = await self._ledger.take(
                identifier, owner=self._owner, source_csv="", lease=self._lease_seconds
            )
            if ours:
                lease = Lease(identifier, self._owner, record.fence)
                await self._ledger.fail(lease, code=error.reason, message=str(error))
        except RetryableError as failure:  # the dead letter says the same
            log.warning("batch.record_failed", error=str(failure))
        return identifier

    async def _identified(self, job: Job) -> tuple[Job, Head | None]:
        """Look at the manifest, so that the batch can be named after the very version that will be read."""
        if isinstance(job.manifest, InlineManifest):
            return job, None
        head = await self._manifests.head(job.manifest)
        if head is None:
            return job, None
        return replace(job, manifest=replace(job.manifest, version=head.version, etag=head.etag)), head

    async def _run_identified(
        self, job: Job, head: Head | None, identifier: str, message_id: str, stop: asyncio.Event
    ) -> Outcome:
        if head is None and job.from_event:
            known = await self._ledger.batch(identifier)
            if known is not None and known.state is not BatchState.RUNNING:
                log.info("batch.found_done", state=known.state)
                return Succeeded()
        record, ours = await self._ledger.take(
            identifier, owner=self._owner, source_csv=manifest_name(job), lease=self._lease_seconds
        )
        if not ours:
            return await self._answered(job, head, record)
        batch = Batch(identifier, job, record.started_at, self._owner, record.fence, message_id, manifest_name(job))
        log.info("batch.started", fence=batch.fence, started_at=iso(batch.started_at))
        try:
            await self._run_leased(batch, head, record, stop)
        except TerminalError as error:
            await self._fail(batch, head, error)
            raise
        except LeaseLost:
            raise
        except (RetryableError, Interrupted):
            await self._release(batch)
            raise
        except asyncio.CancelledError:
            with suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(asyncio.shield(self._release(batch)), LAST_WORDS)
            raise
        except Exception as error:
            log.exception("batch.failed_unexpectedly")
            await self._release(batch)
            raise RetryableError(JobReason.INTERNAL_ERROR, f"{type(error).__name__}: {error}") from error
        return Succeeded()

    async def _answered(self, job: Job, head: Head | None, record: BatchRecord) -> Outcome:
        """Answer from the record: the batch is finished, or another worker is at it."""
        if record.state is BatchState.RUNNING:
            left = max(1.0, record.lease_expires - self._clock())
            text = f"another worker ({record.owner}) holds the lease on this batch for {left:.0f} s more"
            return Retryable(JobReason.LEASE_HELD, text, costs_attempt=False, delay=left)
        log.info("batch.found_done", state=record.state, summary_key=record.summary_key)
        if head is not None and job.from_event and isinstance(job.manifest, S3Manifest):
            await self._manifests.archive(job.manifest, head, failed=False)
        return Succeeded()

    # --- the work ---------------------------------------------------------------------------------------------------

    async def _run_leased(self, batch: Batch, head: Head | None, record: BatchRecord, stop: asyncio.Event) -> None:
        run, started = Run(), time.monotonic()
        async with self._lease_kept(batch, run):
            if record.summary_key is None:
                await self._do_creators(batch, head, run, stop)
                await self._write_summary(batch, run, time.monotonic() - started)
        manifest = batch.job.manifest
        if batch.job.from_event and head is not None and isinstance(manifest, S3Manifest):
            await self._manifests.archive(manifest, head, failed=False)
        await self._ledger.complete(batch)
        log.info("batch.completed", seconds=round(time.monotonic() - started, 3), **run.tally.counts())

    async def _do_creators(self, batch: Batch, head: Head | None, run: Run, stop: asyncio.Event) -> None:
        with tempfile.TemporaryFile(prefix="manifest-") as file, Grouping() as plan:
            await self._fetch_manifest(batch.job, head, file)
            run.tally.creators_total = await asyncio.to_thread(_fill, plan, file, batch.job)
            run.tally.rows_total = plan.rows
            run.rejects = Rejects({str(reason): count for reason, count in plan.rejects.items()}, plan.kept_rejects)
            run.tally.rejects_total = run.rejects.total
            self._on_plan(run.tally)
            log.info(
                "batch.planned", creators=run.tally.creators_total, rows=plan.rows, rejects=dict(run.rejects.by_reason)
            )
            await self._work_through(batch, plan, run, stop)

    async def _fetch_manifest(self, job: Job, head: Head | None, file: BinaryIO) -> None:
        if isinstance(job.manifest, InlineManifest):
            file.write(inline_bytes(job.manifest.text))
            file.seek(0)
        elif head is None:
            raise TerminalError(
                JobReason.MANIFEST_MISSING,
                f"there is no s3://{job.manifest.bucket}/{job.manifest.key}; upload it, or correct the job's s3_key",
            )
        else:
            await self._manifests.download(job.manifest, head, file)

    async def _work_through(self, batch: Batch, plan: Grouping, run: Run, stop: asyncio.Event) -> None:
        """Work on the creators, several at a time; where asked to stop, begin no more and finish those in flight."""
        config = batch.job.config
        slots = Limiter(self._gate.downloads(plan.rows, config.max_workers))
        source = _Source(plan)

        async def hand() -> None:
            while not stop.is_set() and (group := await source.next()) is not None:
                async with self._gate.admitted() as mode:
                    if stop.is_set():
                        return
                    slots.limit = self._gate.downloads(plan.rows, config.max_workers)
                    with structlog.contextvars.bound_contextvars(creator=group.name):
                        record = await self._creators.run(batch, group, mode, slots)
                run.add(record)
                self._on_creator(record)

        with _unwrapped():
            async with asyncio.TaskGroup() as hands:
                for _ in range(min(CREATORS_PER_JOB, config.max_workers)):
                    hands.create_task(hand())
        if len(run.records) < run.tally.creators_total:
            raise Interrupted(
                JobReason.INTERRUPTED,
                f"the worker is stopping; {len(run.records)} of {run.tally.creators_total} creators are done",
            )

    async def _write_summary(self, batch: Batch, run: Run, worked: float) -> None:
        key = summary_key(batch.job.output_prefix, batch.id)
        document = summary(
            batch,
            run.tally,
            run.rejects,
            sorted(run.records, key=lambda record: record.creator),
            finished_at=datetime.fromtimestamp(self._clock(), UTC),
            worked=worked,
        )
        page = report(document).encode()
        await self._results.put_document(
            summary_key(batch.job.output_prefix, batch.id, "html"), page, "text/html; charset=utf-8"
        )
        await self._results.put_document(key, dumped(document), "application/json")
        await self._ledger.note_summary(batch, summary_key=key, counts=run.tally.counts())

    # --- the lease --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _lease_kept(self, batch: Batch, run: Run) -> AsyncIterator[None]:
        """Keep the lease while the body runs; losing it ends the body with `LeaseLost`."""
        with _unwrapped():
            async with asyncio.TaskGroup() as tasks:
                keeper = tasks.create_task(self._keep_lease(batch, run))
                yield
                keeper.cancel()

    async def _keep_lease(self, batch: Batch, run: Run) -> None:
        """Extend the lease in good time; report progress with it, and between when there is some."""
        step = min(2.0, self._lease_seconds / 4)
        extended = time.monotonic()
        while True:
            await asyncio.sleep(step)
            due = time.monotonic() - extended >= self._lease_seconds / 3
            if not due and not run.changed:
                continue
            try:
                asked = time.monotonic()
                await self._ledger.extend(batch, lease=self._lease_seconds, counts=run.tally.counts())
                extended, run.changed = asked, False
            except LeaseLost:
                raise
            except RetryableError as error:
                log.warning("lease.extension_failed", error=str(error))
                if time.monotonic() - extended > self._lease_seconds - SAFETY_MARGIN:
                    raise LeaseLost(JobReason.LEASE_LOST, "the lease ran out: DynamoDB did not answer") from error

    async def _release(self, batch: Batch) -> None:
        try:
            await self._ledger.release(batch)
        except RetryableError as error:  # it runs out by itself; the next worker only waits a little longer
            log.warning("lease.release_failed", error=str(error))

    async def _fail(self, batch: Batch, head: Head | None, error: TerminalError) -> None:
        """Close the batch as failed: why goes beside the archived manifest and into the record."""
        manifest = batch.job.manifest
        log.error("batch.failed", reason=error.reason, error=str(error))
        if batch.job.from_event and isinstance(manifest, S3Manifest):
            document = {
                "batch_id": batch.id,
                "error_code": error.reason,
                "error_message": str(error),
                "failed_at": iso(datetime.fromtimestamp(self._clock(), UTC)),
                "source": f"s3://{manifest.bucket}/{manifest.key}",
                "version": manifest.version,
                "etag": manifest.etag,
            }
            await self._manifests.put_error(manifest, json.dumps(document, indent=1).encode())
            if head is not None:
                await self._manifests.archive(manifest, head, failed=True)
        await self._ledger.fail(batch, code=error.reason, message=str(error))


def _fill(plan: Grouping, file: BinaryIO, job: Job) -> int:
    """Read the manifest into the plan; returns the number of creators. Blocks: it runs in a thread."""
    config = job.config
    manifest = open_manifest(
        file,
        creator_column=config.creator_column,
        url_column=config.url_column,
        group=None if config.group_by_creator else manifest_stem(job),
    )
    for some in manifest.batches():
        plan.add(some)
    return plan.count_creators()


class _Source:
    """Gives the plan's groups one by one to several tasks, reading some at a time off the event loop."""

    def __init__(self, plan: Grouping) -> None:
        self._groups = plan.groups(max_rows=MAX_ROWS)
        self._read: deque[CreatorGroup] = deque()
        self._lock = asyncio.Lock()

    async def next(self) -> CreatorGroup | None:
        """Return the next group, or None after the last."""
        async with self._lock:
            if not self._read:
                self._read.extend(await asyncio.to_thread(self._some))
            return self._read.popleft() if self._read else None

    def _some(self) -> list[CreatorGroup]:
        return [group for group, _ in islice(self._groups, GROUPS_AT_A_TIME)]


class _unwrapped:  # noqa: N801 -- reads as a statement: with _unwrapped()
    """Let the first failure of a task group out as itself."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, BaseExceptionGroup):
            raise first_of(error) from None


def _outcome(error: WorkerError, identifier: str | None) -> Outcome:
    """Say what a failure does to the message."""
    text = str(error)
    match error:
        case TerminalError():
            return Terminal(error.reason, text, identifier)
        case LeaseLost():
            return Retryable(error.reason, text, costs_attempt=False, delay=5.0)
        case Interrupted():
            return Retryable(error.reason, text, costs_attempt=False)
        case _:
            return Retryable(JobReason(error.reason), text)


def combined(outcomes: list[Outcome]) -> Outcome:
    """Return the fate of a message with several batches: retried if any must be, else failed if any did."""
    for kind in (Retryable, Terminal):
        for outcome in outcomes:
            if isinstance(outcome, kind):
                return outcome
    return Succeeded()
