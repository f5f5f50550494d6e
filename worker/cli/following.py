"""Following a batch to its end: a progress bar, or a line of JSON for each change."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from worker.aws.state_table import StateTable
from worker.cli.batch_told import status_told
from worker.cli.pace import pace_of, silence_of, silence_told
from worker.cli.terminal import creators_bar, print_json, stderr
from worker.jobs.advice import nothing_made
from worker.model import BatchRecord, BatchState

LOOK_EVERY = 1.0
"""Seconds between looks at a batch that is followed."""


async def follow(
    table: StateTable, batch_id: str, *, as_json: bool, over_before: BatchRecord | None = None
) -> tuple[int, BatchRecord]:
    """Follow a batch until it is over; returns the exit code (1: it failed, was cancelled or made nothing), its record.

    `over_before` is the record of an earlier run: it says nothing of the one that was just asked for. Ctrl-C says that
    the batch goes on.
    """
    try:
        looks = _looks(table, batch_id, over_before)
        record = await (_in_lines(looks) if as_json else _in_a_bar(looks))
    except asyncio.CancelledError:
        stderr.print(
            f"\nthe batch goes on without this command: collage status {batch_id} --watch follows it, "
            f"collage cancel {batch_id} ends it",
            markup=False,
        )
        raise
    return exit_code_of(record), record


def exit_code_of(record: BatchRecord) -> int:
    """Return the exit code for a batch that is over, and say why nothing came of it where that is so."""
    if record.state is not BatchState.COMPLETED:
        return 1
    if nothing := nothing_made(record.counts):
        stderr.print(nothing, markup=False)
        return 1
    return 0


async def _looks(table: StateTable, batch_id: str, over_before: BatchRecord | None) -> AsyncIterator[BatchRecord]:
    """Look at a batch again and again; the last look finds it over."""
    while True:
        record = await table.batch(batch_id)
        if record is not None and not (over_before and record.fence == over_before.fence):
            yield record
            if record.state is not BatchState.RUNNING:
                return
        await asyncio.sleep(LOOK_EVERY)


async def _in_a_bar(looks: AsyncIterator[BatchRecord]) -> BatchRecord:
    last: BatchRecord | None = None
    warned = False
    with creators_bar() as bar:
        async for record in looks:
            last = record
            bar.show(record.state, record.counts, pace_of(record, time.time()))
            if not warned and (silence := silence_of(record, time.time())):
                warned = True
                bar.note(silence_told(silence))
    assert last is not None  # noqa: S101 -- it looks until there is one
    return last


async def _in_lines(looks: AsyncIterator[BatchRecord]) -> BatchRecord:
    last: BatchRecord | None = None
    async for record in looks:
        if last is None or _changed(last, record):
            print_json(status_told(record))
        last = record
    assert last is not None  # noqa: S101 -- as above
    return last


def _changed(before: BatchRecord, now: BatchRecord) -> bool:
    told: list[Callable[[BatchRecord], object]] = [
        lambda one: one.state,
        lambda one: one.counts,
        lambda one: (one.chunks_done, one.chunks_total, one.summary_key),
    ]
    return any(each(before) != each(now) for each in told)
