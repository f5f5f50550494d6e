"""Keeps the task protected from scale-in while it is busy: on at 0→1, off at 1→0, renewed in between."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass

from worker.aws.ecs import EcsAgent, Protection

LAST_TRIES = 3
"""Calls that the worker makes at its end to lift the protection."""


@dataclass(frozen=True, slots=True)
class ScaleInTimes:
    """How long `ScaleIn` waits, in seconds."""

    renew_every: float = 2 * 60.0
    """Much shorter than a protection lasts. A worker that is never idle learns from a renewal that a deployment wants
    to replace it. Until then it takes new messages, and the deployment waits."""
    blocked_pause: float = 60.0
    """For which no message is received, after a deployment has refused the protection."""
    first_retry: float = 5.0
    """To the second try of a call that the agent did not confirm; doubled for each further one, with jitter, up to
    `renew_every`: the API behind the agent is throttled, and all tasks of a service share it."""
    last_pause: float = 0.5
    """Between two calls at the worker's end."""


TIMES = ScaleInTimes()


class ScaleIn:
    """Tells the agent whether the worker is busy. Outside of ECS (`agent` None) it does nothing.

    What counts is what the agent has confirmed: a call that failed is made again, whether it set or lifted.
    """

    def __init__(self, agent: EcsAgent | None, times: ScaleInTimes = TIMES) -> None:
        self._agent = agent
        self._times = times
        self._busy = False
        self._confirmed: bool | None = False
        """Whether the task is protected; None where a call was not confirmed. A new task is not protected."""
        self._changed = asyncio.Event()
        self._blocked_until = 0.0
        self._unconfirmed_calls = 0

    def busy(self, is_busy: bool) -> None:
        """Note a change; `keep` tells the agent. The work does not wait for it."""
        if is_busy != self._busy:
            self._busy = is_busy
            self._changed.set()

    @property
    def blocked(self) -> bool:
        """Whether a deployment is about to replace this task, so that it should take nothing new."""
        return asyncio.get_running_loop().time() < self._blocked_until

    async def keep(self) -> None:
        """Tell the agent about changes, and renew the protection while the worker is busy; runs until cancelled."""
        if self._agent is None:
            return
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience()):
                    await self._changed.wait()
            self._changed.clear()
            if self._busy or self._confirmed is not False:
                await self._tell(self._agent, protected=self._busy)

    async def end(self) -> None:
        """Lift the protection for good, at the worker's end. Takes up to 7 s where the agent does not answer."""
        self._busy = False
        for tries in range(LAST_TRIES):
            if self._agent is None or self._confirmed is False:
                return
            await asyncio.sleep(self._times.last_pause if tries else 0.0)
            await self._tell(self._agent, protected=False)

    async def _tell(self, agent: EcsAgent, *, protected: bool) -> None:
        self._confirmed = None  # also where the call is cancelled: the agent may have acted on it
        self._unconfirmed_calls += 1
        answer = await agent.protect(enabled=protected)
        if answer is Protection.SET:
            self._confirmed = protected
            self._unconfirmed_calls = 0
        if answer is Protection.BLOCKED:
            self._blocked_until = asyncio.get_running_loop().time() + self._times.blocked_pause

    def _patience(self) -> float | None:
        """Return the seconds to the next call if nothing changes; None if there is nothing to tell."""
        if self.blocked and self._busy:
            return self._times.blocked_pause / 2  # before the pause is over: nothing new is taken in between
        if self._confirmed is None:
            pause = min(self._times.renew_every, self._times.first_retry * 2.0 ** min(self._unconfirmed_calls - 1, 16))
            return pause * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter
        return self._times.renew_every if self._confirmed else None
