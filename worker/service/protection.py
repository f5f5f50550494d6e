"""Keeps the task protected from scale-in while it is busy: on at 0→1, off at 1→0, renewed in between."""

import asyncio
import random
from contextlib import suppress

from worker.aws.ecs import EcsAgent, Protection

RENEW_EVERY = 2 * 60.0
"""Seconds; much shorter than a protection lasts. A worker that is never idle learns from a renewal that a deployment
wants to replace it. Until then it takes new messages, and the deployment waits."""

BLOCKED_PAUSE = 60.0
"""Seconds for which no message is asked for after a deployment has refused the protection."""

FIRST_RETRY = 5.0
"""Seconds to the second try of a call that the agent did not confirm; doubled for each further one, with jitter, up to
`RENEW_EVERY`: the API behind the agent is throttled, and all tasks of a service share it."""

LAST_TRIES = 3
"""Calls that the worker makes at its end to lift the protection."""

LAST_PAUSE = 0.5
"""Seconds between two of them."""


class ScaleIn:
    """Tells the agent whether the worker is busy. Outside of ECS (`agent` None) it does nothing.

    What counts is what the agent has confirmed: a call that failed is made again, whether it set or lifted.
    """

    def __init__(self, agent: EcsAgent | None) -> None:
        self._agent = agent
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
        """Tell the agent of changes, and renew the protection while busy; runs until cancelled."""
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
            await asyncio.sleep(LAST_PAUSE if tries else 0.0)
            await self._tell(self._agent, protected=False)

    async def _tell(self, agent: EcsAgent, *, protected: bool) -> None:
        self._confirmed = None  # also where the call is cancelled: the agent may have acted on it
        self._unconfirmed_calls += 1
        answer = await agent.protect(enabled=protected)
        if answer is Protection.SET:
            self._confirmed = protected
            self._unconfirmed_calls = 0
        if answer is Protection.BLOCKED:
            self._blocked_until = asyncio.get_running_loop().time() + BLOCKED_PAUSE

    def _patience(self) -> float | None:
        """Return the seconds to the next call where nothing changes; None where there is nothing to be told."""
        if self.blocked and self._busy:
            return BLOCKED_PAUSE / 2  # before the pause is over: nothing new is taken in between
        if self._confirmed is None:
            pause = min(RENEW_EVERY, FIRST_RETRY * 2.0 ** min(self._unconfirmed_calls - 1, 16))
            return pause * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter
        return RENEW_EVERY if self._confirmed else None
