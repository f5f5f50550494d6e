"""Leases of one worker: taken, extended in good time, given back at the end; losing one ends the work under it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from worker.errors import JobReason, LeaseHeld, LeaseLost, Postponed, RetryableError, TerminalError, Unavailable
from worker.jobs.attempts import ATTEMPTS, check_attempts
from worker.jobs.ports import Ledger
from worker.model import WHOLE, Asked, BatchRecord, BatchState, Lease
from worker.tasks import unwrapped

log = structlog.get_logger(__name__)

RELEASE_SECONDS = 5.0
"""Seconds that giving a lease back may take when the work is being cancelled."""

SAFETY_MARGIN = 1.0
"""Seconds before its end from which on a lease that could not be extended counts as lost."""

REPORT_SECONDS = 2.0
"""Seconds between two reports of a whole batch's progress."""


class Leases:
    """Takes leases in the name of `owner`, each for `seconds`."""

    def __init__(self, ledger: Ledger, *, owner: str, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._owner = owner
        self._seconds = seconds
        self._clock = clock
        self._outage_at = 0.0
        self._unreleased: set[Lease] = set()

    async def take(
        self,
        batch_id: str,
        *,
        source_csv: str,
        asked: Asked | None = None,
        unit: str = WHOLE,
        fence_above: int = 0,
        as_of: float | None = None,
    ) -> tuple[BatchRecord, Lease | None]:
        """Take the lease on a unit; returns its record, and None for the lease where the unit is over.

        Raises `LeaseHeld` while another worker has it.
        """
        await self._release_the_rest()
        record, ours = await self._ledger.take(
            batch_id,
            owner=self._owner,
            source_csv=source_csv,
            lease_seconds=self._seconds,
            asked=asked,
            unit=unit,
            fence_above=fence_above,
            as_of=as_of,
            outage_at=self._outage_at,
        )
        if ours:
            return record, Lease(batch_id, self._owner, record.fence, unit)
        if record.state is BatchState.RUNNING and is_same(record.asked, asked):
            left = max(1.0, record.lease_expires - self._clock())
            told = f"another worker ({record.owner}) holds the lease on {unit} of {batch_id} for {left:.0f} s more"
            raise LeaseHeld(JobReason.LEASE_HELD, told, delay=left)
        return record, None

    @asynccontextmanager
    async def held(self, record: BatchRecord, lease: Lease) -> AsyncIterator[None]:
        """Give the lease back where the body fails or is cancelled, so that the next worker need not wait for its end.

        `TerminalError` is the caller's to record under the lease. An error that is none of ours is an attempt, and
        comes out as `RetryableError(internal_error)`, or as `TerminalError` where the attempts are used up.
        """
        try:
            async with self.given_back(lease):
                check_attempts(record)
                yield
        except (Postponed, TerminalError):
            raise
        except RetryableError as error:
            await self._count_attempt(lease, error)
            raise
        except Exception as error:
            log.exception("work.failed_unexpectedly", unit=lease.unit)
            failure = RetryableError(JobReason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")
            await self._count_attempt(lease, failure)
            raise failure from error

    @asynccontextmanager
    async def given_back(self, lease: Lease) -> AsyncIterator[None]:
        """Give the lease back where the world is in the way of the body, or it is cancelled: neither is an attempt."""
        try:
            yield
        except LeaseLost:
            raise
        except Postponed as error:
            if isinstance(error, Unavailable):
                self._outage_at = self._clock()
            await self._release(lease)
            raise
        except asyncio.CancelledError:
            await self._release_soon(lease)
            raise

    @asynccontextmanager
    async def kept(self, lease: Lease, counts: Callable[[], Mapping[str, Any]]) -> AsyncIterator[None]:
        """Extend the lease while the body runs; losing it ends the body with `LeaseLost`. `counts` is reported too."""
        with unwrapped():
            async with asyncio.TaskGroup() as tasks:
                keeper = tasks.create_task(self._keep(lease, counts))
                yield
                keeper.cancel()

    async def extend(self, lease: Lease, counts: Mapping[str, Any]) -> None:
        """Extend the lease now."""
        await self._ledger.extend(lease, lease_seconds=self._seconds, counts=counts)

    # --- keeping ----------------------------------------------------------------------------------------------------

    async def _keep(self, lease: Lease, counts: Callable[[], Mapping[str, Any]]) -> None:
        """Extend the lease in good time; report progress with it, and between when there is some."""
        step = min(REPORT_SECONDS, self._seconds / 4)
        extended, reported = time.monotonic(), counts()
        while True:
            await asyncio.sleep(step)
            due = time.monotonic() - extended >= self._seconds / 3
            told = counts()
            # A chunk's progress is told when it is done, in its batch's counts; a write every two seconds is too dear.
            if not due and (lease.unit != WHOLE or told == reported):
                continue
            try:
                asked = time.monotonic()
                # An answer after the lease's end is none: by then another worker may have taken the batch.
                left = extended + self._seconds - SAFETY_MARGIN - asked
                async with asyncio.timeout(min(self._seconds / 3, left)):
                    await self.extend(lease, told)
                extended, reported = asked, told
                if due and lease.unit != WHOLE:
                    await self._check_still_wanted(lease)
            except (Unavailable, TimeoutError) as error:
                self._outage_at = self._clock()
                log.warning("lease.extension_failed", error=str(error) or "no answer in time")
                if time.monotonic() - extended >= self._seconds - SAFETY_MARGIN:
                    raise LeaseLost(JobReason.LEASE_LOST, "the lease ran out: DynamoDB did not answer") from error

    async def _check_still_wanted(self, lease: Lease) -> None:
        whole = await self._ledger.batch(lease.id)
        if whole is None or whole.state is not BatchState.RUNNING:
            raise LeaseLost(JobReason.LEASE_LOST, f"batch {lease.id} is over: it was cancelled, or failed")

    # --- giving back ------------------------------------------------------------------------------------------------

    async def _count_attempt(self, lease: Lease, error: RetryableError) -> None:
        """Give the lease back, and count an attempt; raises `TerminalError` after the last."""
        try:
            attempts = await self._ledger.release_failed(lease)
        except (Unavailable, LeaseLost) as failure:  # then it runs out by itself, which is an attempt as well
            log.warning("lease.release_failed", error=str(failure))
            return
        if attempts >= ATTEMPTS:
            raise TerminalError(error.reason, f"{error} (tried {attempts} times without any progress)") from error

    async def _release(self, lease: Lease) -> None:
        try:
            await self._ledger.release(lease)
        except LeaseLost:
            self._unreleased.discard(lease)
        except Unavailable as error:  # given back with the next take, before it could count as an attempt
            self._unreleased.add(lease)
            log.warning("lease.release_failed", error=str(error))
        else:
            self._unreleased.discard(lease)

    async def _release_soon(self, lease: Lease) -> None:
        """Give the lease back although this task is being cancelled."""
        releasing = asyncio.ensure_future(self._release(lease))
        _, left = await asyncio.wait({releasing}, timeout=RELEASE_SECONDS)
        for task in left:
            task.cancel()

    async def _release_the_rest(self) -> None:
        """Give back the leases that an outage kept: they would run out, and that would look like a worker's end."""
        for lease in tuple(self._unreleased):
            await self._release(lease)


def is_same(found: Asked | None, ours: Asked | None) -> bool:
    """Say whether a record is that of our batch, and not of another with the same name."""
    return found is None or ours is None or found.digest == ours.digest
