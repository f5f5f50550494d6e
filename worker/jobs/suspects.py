"""Creators that were in flight when a worker ended: done last, one at a time, and given up after three such ends.

Each end of a worker counts as a strike against every creator that was in flight then. A creator on trial is alone, so
the end of its worker is a strike against it and no other; the next worker tries it before all else. One that ends its
worker each time has shown it then, and one that was merely there when ECS or an operator killed the worker gets done.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from worker.failpoints import failpoint
from worker.jobs.attempts import ATTEMPTS, STRIKES
from worker.jobs.ports import Ledger
from worker.model import Batch, BatchRecord, CreatorGroup, CreatorRecord

log = structlog.get_logger(__name__)


class Suspects:
    """The suspects of one unit of work. `taken` is its record as the lease was taken.

    Who had the first lease on a unit writes no record of what it begins (docs/decisions/first-owner.md): after its end,
    the first `unrecorded` creators without a record are suspected, in the order in which they were begun.
    """

    def __init__(self, ledger: Ledger, batch: Batch, taken: BatchRecord, unrecorded: int) -> None:
        self._ledger = ledger
        self._batch = batch
        self._strikes = dict(taken.strikes)
        self._accused = taken.on_trial
        self._after_end = taken.after_end
        self._unseen = unrecorded if taken.after_end and taken.takes == 2 else 0
        self._careful = taken.attempts >= ATTEMPTS
        self._has_put_off = False

    @property
    def tried_first(self) -> str | None:
        """The creator that was on trial when the last worker ended."""
        return self._accused

    async def begin(self, group: CreatorGroup) -> tuple[CreatorRecord | None, bool]:
        """Begin a creator; returns its record where it is done, and whether it is put off to the end.

        Raises `LeaseLost` where a later owner has begun it.
        """
        if group.name in self._strikes or group.name == self._accused:
            self._has_put_off = True
            return None, True
        done, was_in_flight = await self._ledger.begin_creator(self._batch, group.name)
        failpoint("suspects.creator_begun")
        if done is not None:
            return done, False
        seen = self._after_end and (was_in_flight or self._unseen > 0)
        self._unseen = max(0, self._unseen - 1)
        if seen:
            self._strikes[group.name] = 1
            await self._note(None)
        self._has_put_off |= seen or self._careful
        return None, seen or self._careful

    async def is_guilty(self, name: str) -> bool:
        """Count the strike of an accused creator that is not done; True where it is given up."""
        if name == self._accused and self._after_end:
            self._strikes[name] = self._strikes.get(name, 0) + 1
            await self._note(None)
        return self._strikes.get(name, 0) >= STRIKES

    @asynccontextmanager
    async def on_trial(self, name: str) -> AsyncIterator[None]:
        """Have it known, while the body runs, that this creator alone is in flight."""
        await self._note(name)
        log.warning("creator.on_trial", creator=name, strikes=self._strikes.get(name, 0))
        yield
        self._strikes.pop(name, None)

    async def clear(self) -> None:
        """Note that nobody is suspected any more."""
        if self._accused or self._has_put_off:
            self._strikes.clear()
            await self._note(None)

    async def _note(self, on_trial: str | None) -> None:
        await self._ledger.note_suspects(self._batch.lease, strikes=self._strikes, on_trial=on_trial)
        failpoint("suspects.written")
