"""Keeps the task protected from scale-in while it is busy: on at 0→1, off at 1→0, renewed in between."""

import asyncio
from contextlib import suppress

from worker.aws.ecs import EcsAgent, Protection

RENEW_EVERY = 2 * 60.0
"""Seconds; well below how long a protection lasts. A worker that is never idle hears by its renewal only that a
deployment wants to replace it; until then it takes new messages, and the deployment waits."""

BLOCKED_PAUSE = 60.0
"""Seconds for which no message is asked for after a deployment has refused the protection."""


class ScaleIn:
    """Tells the agent whether the worker is busy. Outside of ECS (`agent` None) it does nothing."""

    def __init__(self, agent: EcsAgent | None) -> None:
        self._agent = agent
        self._busy = False
        self._changed = asyncio.Event()
        self._blocked_until = 0.0

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
        told = False
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._patience() if told else None)
            self._changed.clear()
            if not self._busy and not told:
                continue
            wanted = self._busy
            answer = await self._agent.protect(enabled=wanted)
            told = wanted
            if answer is Protection.BLOCKED:
                self._blocked_until = asyncio.get_running_loop().time() + BLOCKED_PAUSE

    def _patience(self) -> float:
        """Return the seconds to the next renewal: soon while refused, so that nothing new is taken in between."""
        return BLOCKED_PAUSE / 2 if self.blocked else RENEW_EVERY

    async def end(self) -> None:
        """Lift the protection for good, at the worker's end."""
        if self._agent is not None and self._busy:
            await self._agent.protect(enabled=False)
