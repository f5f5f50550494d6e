"""A breaker for each dependency: while it refuses, the worker takes no message that it would have to hand back.

::

    closed ──a job, a poll or a settlement meets a refusal──▶ open
    open   ──a probe is refused──▶ open, with a longer pause
    open   ──a probe is answered──▶ trial: one message is let through
    trial  ──its message meets a refusal──▶ open, with a longer pause
    trial  ──its message is done, or goes on for a while──▶ closed

A probe cannot show everything: it does not notice that a single right is missing, for example. That is what the trial
is for. What is handed back meanwhile costs no attempt (`worker.jobs.outcomes`).
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog

from worker.errors import Dependency, JobError, JobReason, Unavailable
from worker.model import Retryable

log = structlog.get_logger(__name__)

Probe = Callable[[], Awaitable[None]]
"""Asks a dependency whether it answers; raises `JobError` where it does not."""

PROBED_BYTES = 1 << 20
"""What has to fit on the disk that was full."""


@dataclass(frozen=True, slots=True)
class BreakerTimes:
    """How long a breaker waits, in seconds."""

    first_pause: float = 1.0
    """Before the first probe, at most. The limit doubles for each further pause; pauses have full jitter."""
    longest_pause: float = 30.0
    """Between probes at most: with the trial, work goes on within a minute of an outage's end."""
    trial: float = 15.0
    """Without a refusal, until a trial is passed though its message is still worked on."""
    quiet: float = 300.0
    """If a breaker stays closed for so long, its next pauses begin short again."""


TIMES = BreakerTimes()


class State(StrEnum):
    """What a breaker lets through."""

    CLOSED = "closed"
    OPEN = "open"
    TRIAL = "trial"


class Breaker:
    """The breaker of one dependency. Pure: times are handed in, in seconds of a monotonic clock."""

    def __init__(
        self,
        dependency: Dependency,
        times: BreakerTimes = TIMES,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.dependency = dependency
        self._times = times
        self.state = State.CLOSED
        self.reason = JobReason.AWS_UNAVAILABLE
        self.text = ""
        self.since = 0.0
        """When the dependency was first refused, since it last answered."""
        self.probe_at = 0.0
        self.trial_ends = 0.0
        self._tries = 0
        self._closed_at = float("-inf")
        self._uniform = uniform

    def refused(self, now: float, reason: JobReason, text: str) -> bool:
        """Note a refusal; True where it opened the breaker."""
        was, self.reason, self.text = self.state, reason, text
        if was is State.OPEN:  # what was under way when it opened says nothing new
            return False
        if was is State.CLOSED:
            self.since = now
            self._tries = self._tries + 1 if now - self._closed_at < self._times.quiet else 0
        else:
            self._tries += 1
        self._open(now)
        return True

    def probe_refused(self, now: float, reason: JobReason, text: str) -> None:
        """Note that a probe was refused."""
        self.reason, self.text = reason, text
        self._tries += 1
        self._open(now)

    def probe_answered(self, now: float) -> None:
        """Note that a probe was answered: one message may be let through."""
        self.state, self.trial_ends = State.TRIAL, now + self._times.trial

    def trial_begun(self, now: float) -> None:
        """Note that the message of the trial was taken."""
        if self.state is State.TRIAL:
            self.trial_ends = now + self._times.trial

    def trial_passed(self, now: float) -> bool:
        """Note that the message of the trial met no refusal; True where it closed the breaker."""
        if self.state is not State.TRIAL:
            return False
        self.state, self._closed_at = State.CLOSED, now
        return True

    def _open(self, now: float) -> None:
        self.state = State.OPEN
        longest = min(self._times.longest_pause, self._times.first_pause * 2.0 ** min(self._tries, 16))
        self.probe_at = now + self._uniform(0.0, longest)


class Breakers:
    """The breakers of a worker. `probes` asks each dependency; one without a probe is tried with a message at once."""

    def __init__(
        self,
        probes: Mapping[Dependency, Probe] | None = None,
        *,
        times: BreakerTimes = TIMES,
        record_metric: Callable[[str, float], None] = lambda _name, _value: None,
    ) -> None:
        self._probes = dict(probes or {})
        self._record_metric = record_metric
        self._breakers = {dependency: Breaker(dependency, times) for dependency in Dependency}
        self._changed = {dependency: asyncio.Event() for dependency in Dependency}

    def refused(self, dependency: Dependency, reason: JobReason, text: str) -> None:
        """Note a refusal that ended a job, a poll or a settlement."""
        breaker = self._breakers[dependency]
        first = breaker.state is State.CLOSED
        if not breaker.refused(time.monotonic(), reason, text):
            return
        self._changed[dependency].clear()
        if first:
            log.error("dependency.down", dependency=dependency, reason=reason, error=text)
            self._record_metric("DependencyDown", 1)
        else:
            log.warning("dependency.still_down", dependency=dependency, reason=reason, error=text)

    @property
    def open(self) -> bool:
        """Whether nothing may be taken on."""
        return any(breaker.state is State.OPEN for breaker in self._breakers.values())

    def refusing_work(self) -> Retryable | None:
        """Return the outcome of a message that could not be worked on, None where it can: without SQS it can."""
        for breaker in self._breakers.values():
            if breaker.state is State.OPEN and breaker.dependency is not Dependency.SQS:
                return Retryable(breaker.reason, breaker.text, costs_attempt=False)
        return None

    @property
    def on_trial(self) -> bool:
        """Whether one message may be taken on, and no more."""
        return any(breaker.state is State.TRIAL for breaker in self._breakers.values())

    @property
    def trial_seconds_left(self) -> float:
        """Seconds for which the message of the trial still has to meet no refusal."""
        ends = [breaker.trial_ends for breaker in self._breakers.values() if breaker.state is State.TRIAL]
        return max(0.0, max(ends, default=0.0) - time.monotonic())

    def down(self) -> dict[str, dict[str, Any]]:
        """Return each dependency that is refused, since how many seconds, and why; for people and dashboards."""
        now = time.monotonic()
        return {
            str(breaker.dependency): {
                "state": str(breaker.state),
                "seconds": round(now - breaker.since, 1),
                "reason": str(breaker.reason),
                "error": breaker.text,
            }
            for breaker in self._breakers.values()
            if breaker.state is not State.CLOSED
        }

    async def probe(self, stopping: "asyncio.Task[Any]") -> None:
        """Wait until a probe is due, or until stopped, and make those that are due."""
        waiting = [breaker for breaker in self._breakers.values() if breaker.state is State.OPEN]
        pause = min((breaker.probe_at for breaker in waiting), default=0.0) - time.monotonic()
        await asyncio.wait({stopping}, timeout=max(0.0, pause))
        if stopping.done():
            return
        due = [breaker for breaker in waiting if breaker.probe_at <= time.monotonic()]
        await asyncio.gather(*map(self._probe_one, due))

    async def _probe_one(self, breaker: Breaker) -> None:
        try:
            if probe := self._probes.get(breaker.dependency):
                await probe()
        except JobError as error:
            breaker.probe_refused(time.monotonic(), error.reason, str(error))
            log.warning("dependency.still_down", dependency=breaker.dependency, reason=error.reason, error=str(error))
        else:
            breaker.probe_answered(time.monotonic())
            self._changed[breaker.dependency].set()

    def trial_begun(self) -> None:
        """Note that the message of the trial was taken."""
        for breaker in self._breakers.values():
            breaker.trial_begun(time.monotonic())

    def trial_passed(self) -> None:
        """Close the breakers that are on trial: its message met no refusal."""
        for breaker in self._breakers.values():
            if breaker.trial_passed(time.monotonic()):
                seconds = round(time.monotonic() - breaker.since, 1)
                log.info("dependency.up", dependency=breaker.dependency, seconds=seconds)

    async def answers(self, dependency: Dependency, *, patience: float) -> None:
        """Wait until a probe of a dependency was answered, `patience` seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._changed[dependency].wait()


async def probe_disk() -> None:
    """Ask whether there is room again under TMPDIR. Raises `Unavailable`."""
    try:
        await asyncio.to_thread(_write_a_little)
    except OSError as error:
        raise Unavailable(Dependency.DISK, JobReason.DISK_FULL, f"{error.strerror}; make room under TMPDIR") from error


def _write_a_little() -> None:
    with tempfile.TemporaryFile(prefix="probe-") as file:
        file.write(bytes(PROBED_BYTES))
        file.flush()
