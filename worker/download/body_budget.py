"""Memory for the bodies of images: most are small, and of the large ones only a few are held at a time.

Without it, a hostile server could make every download of the worker hold as many bytes as one image may have.

Neither one job nor one host can use the budget up. A job may hold one more large body as long as it holds fewer than
are free, and its host fewer than half of those; and a job that holds none may hold one as long as any is free. So of
eight, the first job gets four at most, the second two, the third and the fourth one each, and none of these four has
to wait for another one's slow server.
"""

import asyncio
from collections import Counter
from collections.abc import Hashable
from typing import Any

SMALL_BODY_BYTES = 1 << 20
"""Bytes that every body may have without a claim. Covers have a tenth of it."""

LARGE_BODIES = 8
"""Large bodies that the worker holds at a time, each from its download to the end of its decoding."""


class BodyBudget:
    """The large bodies of the whole worker. Belongs to one event loop."""

    def __init__(self, large_bodies: int = LARGE_BODIES) -> None:
        self._free = large_bodies
        self._held_by_job: Counter[Hashable] = Counter()
        self._held_by_host: Counter[str] = Counter()
        self._waiters: dict[asyncio.Future[None], BodyClaim] = {}  # in the order in which they came

    @property
    def held(self) -> int:
        """Large bodies that are held now."""
        return self._held_by_job.total()

    @property
    def waiting(self) -> int:
        """Bodies that wait until they may be large."""
        return len(self._waiters)

    def claim_for(self, job: Hashable) -> "BodyClaim":
        """Return the claim of one body, which is not made yet. `job` is whatever tells one job from another."""
        return BodyClaim(self, job)

    async def enter(self, claim: "BodyClaim") -> None:
        """Count a large body, as soon as its job and its host may hold one more; first come, first served."""
        if self.may_enter(claim):
            self._count(claim)
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = claim
        try:
            await waiter
        except asyncio.CancelledError:
            if self._waiters.pop(waiter, None) is None:  # it was let in, in the same turn of the loop
                self.leave(claim)
            raise

    def leave(self, claim: "BodyClaim") -> None:
        """Stop counting a large body, and let in those that may be large now."""
        self._free += 1
        _count_down(self._held_by_job, claim.job)
        _count_down(self._held_by_host, claim.host)
        for waiter, waiting in list(self._waiters.items()):
            if not waiter.done() and self.may_enter(waiting):  # a cancelled one stays until its task runs
                del self._waiters[waiter]
                self._count(waiting)
                waiter.set_result(None)

    def may_enter(self, claim: "BodyClaim") -> bool:
        """Say whether a claim's job and host may hold one more large body now."""
        by_job, by_host = self._held_by_job[claim.job], self._held_by_host[claim.host]
        return self._free > 0 and (not by_job or (by_job < self._free and 2 * by_host < self._free))

    def _count(self, claim: "BodyClaim") -> None:
        self._free -= 1
        self._held_by_job[claim.job] += 1
        self._held_by_host[claim.host] += 1


class BodyClaim:
    """One body's claim on the budget. It has to be released in the end, by whoever holds the bytes then."""

    def __init__(self, budget: BodyBudget, job: Hashable) -> None:
        self._budget = budget
        self.job = job
        self.host = ""
        self.is_made = False
        self.had_to_wait = False

    async def make(self, host: str) -> None:
        """Wait until this body, which comes from `host`, may be large. If the claim is made already, do nothing."""
        if not self.is_made:
            self.host = host
            self.had_to_wait = not self._budget.may_enter(self)
            await self._budget.enter(self)
            self.is_made = True

    def release(self) -> None:
        """Give the claim back; do nothing if there is none."""
        if self.is_made:
            self.is_made = False
            self._budget.leave(self)


def _count_down(counter: Counter[Any], key: Hashable) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]  # else a counter would remember every job and host there ever was
