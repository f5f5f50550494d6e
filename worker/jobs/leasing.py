"""Holding a lease while working: it is extended in good time, given back at the end, and ends the work when lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from worker.errors import JobReason, LeaseHeld, LeaseLost, Postponed, RetryableError, TerminalError, Unavailable
from worker.jobs.ports import Ledger
from worker.model import WHOLE, Batch, BatchState
from worker.tasks import unwrapped

log = structlog.get_logger(__name__)

LAST_WORDS = 5.0
"""Seconds that giving the lease back may take when the work is being cancelled."""

SAFETY_MARGIN = 1.0
"""Seconds before its end from which on a lease that could not be extended counts as lost."""


@asynccontextmanager
async def lease_kept(
    ledger: Ledger, batch: Batch, seconds: float, counts: Callable[[], Mapping[str, Any]]
) -> AsyncIterator[None]:
    """Keep the lease while the body runs; losing it ends the body with `LeaseLost`. `counts` is reported with it."""
    with unwrapped():
        async with asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(_keep(ledger, batch, seconds, counts))
            yield
            keeper.cancel()


@asynccontextmanager
async def given_back(ledger: Ledger, batch: Batch) -> AsyncIterator[None]:
    """Give the lease back where the body fails or is cancelled, so that the next worker need not wait for its end.

    An error that is none of ours comes out as `RetryableError(internal_error)`; `TerminalError` is the caller's.
    """
    try:
        yield
    except (LeaseLost, LeaseHeld, TerminalError):
        raise
    except (RetryableError, Postponed):
        await _release(ledger, batch)
        raise
    except asyncio.CancelledError:
        release = asyncio.create_task(_release(ledger, batch))  # a second cancellation does not reach it
        with suppress(asyncio.CancelledError):
            await asyncio.wait({release}, timeout=LAST_WORDS)
        if release.done():
            release.result()  # an error that nobody expects is worth more than the cancellation
        raise
    except Exception as error:
        log.exception("batch.failed_unexpectedly")
        await _release(ledger, batch)
        raise RetryableError(JobReason.INTERNAL_ERROR, f"{type(error).__name__}: {error}") from error


async def _keep(ledger: Ledger, batch: Batch, seconds: float, counts: Callable[[], Mapping[str, Any]]) -> None:
    """Extend the lease in good time; report progress with it, and between when there is some."""
    step = min(2.0, seconds / 4)
    extended, reported = time.monotonic(), counts()
    while True:
        await asyncio.sleep(step)
        due = time.monotonic() - extended >= seconds / 3
        told = counts()
        # A chunk's progress is told when it is done, in its batch's counts; a write every two seconds is not worth it.
        if not due and (batch.part != WHOLE or told == reported):
            continue
        try:
            asked = time.monotonic()
            # An answer that comes after the lease's end is none: by then another worker may have taken the batch.
            async with asyncio.timeout(min(seconds / 3, extended + seconds - SAFETY_MARGIN - asked)):
                await ledger.extend(batch, lease=seconds, counts=told)
            extended, reported = asked, told
            if due and batch.part != WHOLE:
                await _check_still_wanted(ledger, batch)
        except (Unavailable, TimeoutError) as error:
            log.warning("lease.extension_failed", error=str(error) or "no answer in time")
            if time.monotonic() - extended >= seconds - SAFETY_MARGIN:
                raise LeaseLost(JobReason.LEASE_LOST, "the lease ran out: DynamoDB did not answer") from error


async def _check_still_wanted(ledger: Ledger, chunk: Batch) -> None:
    whole = await ledger.batch(chunk.id)
    if whole is None or whole.state is not BatchState.RUNNING:
        raise LeaseLost(JobReason.LEASE_LOST, f"batch {chunk.id} was cancelled")


async def _release(ledger: Ledger, batch: Batch) -> None:
    try:
        await ledger.release(batch)
    except (Unavailable, LeaseLost) as error:  # it runs out by itself; the next worker only waits a little longer
        log.warning("lease.release_failed", error=str(error))
