"""Canaries: dead letters that are sent back alone, to see whether the others of their cause would fail again."""

import time
from dataclasses import dataclass, replace
from enum import StrEnum

from worker.cli.access import Access
from worker.cli.letters import HELD_SECONDS, Held, Letter
from worker.cli.terminal import stderr
from worker.errors import TerminalError
from worker.jobs.messages import parse
from worker.keys import batch_id
from worker.model import BatchRecord, BatchState, ChunkJob, Job, S3Manifest
from worker.service.assembly import job_defaults

QUIET_LOOKS = 5
"""Looks in a row at an empty queue, a second apart, after which a canary without a batch has come to its end: SQS's
counts are approximate."""


class Verdict(StrEnum):
    """What became of a canary."""

    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Canary:
    """A letter that was sent back, and what is known of the batches that it asks for."""

    letter: Letter
    before: dict[str, BatchRecord | None]
    """The batches as they stood before it was sent, by id."""
    quiet: int = 0


async def canary_of(access: Access, letter: Letter) -> Canary:
    """Return a canary of a letter that is about to be sent back."""
    return Canary(letter, {name: await access.table.batch(name) for name in await _batches(access, letter)})


async def watch(access: Access, found: Held, canaries: list[Canary], seconds: float) -> dict[str, Verdict]:
    """Wait until each canary has come to its end, or `seconds` are over; returns the verdicts by cause."""
    verdicts: dict[str, Verdict] = {}
    began = held_at = time.monotonic()
    while len(verdicts) < len(canaries) and time.monotonic() - began < seconds:
        back = [message.body for message in await found.take_up(10, wait=1)]
        for canary in canaries:
            cause = canary.letter.cause
            if cause not in verdicts and (verdict := await _verdict(access, canary, back)) is not None:
                verdicts[cause] = verdict
                stderr.print(f"canary of {cause}: {_TOLD[verdict]}", markup=False)
        if time.monotonic() - held_at > HELD_SECONDS / 2:
            held_at = time.monotonic()
            await found.hold_on()
    for canary in canaries:
        if canary.letter.cause not in verdicts:
            verdicts[canary.letter.cause] = Verdict.UNKNOWN
            told = f"no end after {seconds:g} s; is a worker running? collage health tells; --canary-wait waits longer"
            stderr.print(f"canary of {canary.letter.cause}: {told}", markup=False)
    return verdicts


_TOLD = {Verdict.DONE: "it went well; the rest follows", Verdict.FAILED: "it failed again; the rest stays"}


async def _verdict(access: Access, canary: Canary, back: list[str]) -> Verdict | None:
    """Return what became of a canary; None where it is not at its end. `back` are bodies that came to the DLQ since."""
    if canary.letter.message.body in back:
        return Verdict.FAILED
    if not canary.before:
        return await _left_the_queue(access, canary)
    records = {name: await access.table.batch(name) for name in canary.before}
    ends = {verdict_of(canary.before[name], record) for name, record in records.items()}
    if Verdict.FAILED in ends:
        return Verdict.FAILED
    return Verdict.DONE if ends == {Verdict.DONE} else None


def verdict_of(before: BatchRecord | None, now: BatchRecord | None) -> Verdict | None:
    """Return what a batch's record says of the message that was sent back. Pure.

    A large batch need not come to its end: one that has creators done since was let in.
    """
    if now is None or (before is not None and now.fence == before.fence and before.state is not BatchState.COMPLETED):
        return None
    if now.state is BatchState.COMPLETED or _done(now) > (_done(before) if before else 0):
        return Verdict.DONE
    return Verdict.FAILED if now.state in {BatchState.FAILED, BatchState.CANCELLED} else None


def _done(record: BatchRecord) -> int:
    return int(record.counts.get("creators_completed", 0) + record.counts.get("creators_failed", 0))


async def _left_the_queue(access: Access, canary: Canary) -> Verdict | None:
    counts = await access.queue.counts()
    canary.quiet = canary.quiet + 1 if counts.total == 0 else 0
    return Verdict.DONE if canary.quiet >= QUIET_LOOKS else None


async def _batches(access: Access, letter: Letter) -> list[str]:
    """Return the ids of the batches that a message asks for, as the worker will name them now."""
    try:
        jobs = parse(letter.message.body, job_defaults(access.settings)).jobs
        return [name for job in jobs if (name := await _named(access, job)) is not None]
    except TerminalError:  # it cannot be read, now as before
        return []


async def _named(access: Access, job: Job | ChunkJob) -> str | None:
    if isinstance(job, ChunkJob):
        return None
    if not isinstance(job.manifest, S3Manifest):
        return batch_id(job)
    head = await access.s3.head(job.manifest.bucket, job.manifest.key, job.manifest.version)
    if head is None:
        return None
    return batch_id(replace(job, manifest=replace(job.manifest, version=head.version, etag=head.etag)))
