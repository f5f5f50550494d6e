"""The scaling of infra/service/scaling*.tf as a pure function of what CloudWatch shows.

Target tracking is AWS's: its high alarm takes 3 one-minute points above the target, its low one 15 points below nine
tenths of it (Application Auto Scaling User Guide, "Target tracking scaling policies"). Points that are missing are
treated as CloudWatch treats them (scale_cloudwatch.py).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scale_cloudwatch import FETCHED_BESIDES, Missing, State, state

HIGH_POINTS, LOW_POINTS, LOW_SHARE = 3, 15, 0.9
WAKE_POINTS = 2


@dataclass(frozen=True)
class Policy:
    """The numbers of the Terraform module, with its defaults."""

    min_tasks: int = 0
    max_tasks: int = 50
    acceptable_latency_seconds: float = 900.0
    message_seconds: float = 25.0
    """Seconds of one task that a message of 50 creators takes (docs/scale.md)."""
    idle_minutes: int = 5
    out_cooldown: int = 180
    in_cooldown: int = 120
    wake_cooldown: int = 300

    @property
    def messages_per_task(self) -> int:
        """The backlog for each task that is done in the time that a message may take."""
        return max(1, math.floor(self.acceptable_latency_seconds / self.message_seconds))

    def first_tasks(self, visible: float) -> int:
        """Return how many tasks the wake policy starts for a backlog that nobody works on."""
        if visible < 2 * self.messages_per_task:
            return min(1, self.max_tasks)
        return min(5 if visible < 20 * self.messages_per_task else 20, self.max_tasks)


@dataclass(frozen=True)
class Shown:
    """One minute as CloudWatch shows it; None where it shows nothing."""

    visible: int | None
    in_flight: int | None
    delayed: int | None
    tasks: int | None
    received: int | None = None
    empty: int | None = None


NOTHING = Shown(None, None, None, None)
"""A minute without any figure."""


def backlog_per_task(shown: Shown, target: float) -> float | None:
    """Return `backlog_per_task` of infra/service/scaling.tf; nothing where a figure is missing.

    IF(tasks > 0, (visible + in_flight) / IF(tasks > 0, tasks, 1), target)
    """
    if shown.visible is None or shown.in_flight is None or shown.tasks is None:
        return None
    return (shown.visible + shown.in_flight) / shown.tasks if shown.tasks > 0 else target


def waiting_for_nobody(shown: Shown) -> int | None:
    """Return what the wake alarm looks at; nothing where SQS publishes nothing.

    IF((visible > 0) AND (FILL(in_flight, 0) + FILL(received, 0) + FILL(empty, 0) < 1), visible, 0)
    """
    if shown.visible is None:
        return None
    return shown.visible if (shown.in_flight or 0) + (shown.received or 0) + (shown.empty or 0) < 1 else 0


def backlog(shown: Shown) -> int | None:
    """Visible + in_flight + delayed; nothing where one is missing."""
    parts = (shown.visible, shown.in_flight, shown.delayed)
    return None if None in parts else sum(part or 0 for part in parts)


class Scaling:
    """Application Auto Scaling and its alarms, asked once a minute."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._seen: list[Shown] = []
        self._tracked: list[Shown] = []
        self._moved_out = self._moved_in = self._woken_at = -math.inf
        self._added = 0
        self._resting: State = "INSUFFICIENT_DATA"

    def desired(self, minute: int, shown: Shown, both: Shown, desired: int) -> int:
        """Return how many tasks are wanted from now on.

        `shown` is the newest minute that SQS has published, `both` the newest that Container Insights has, too: an
        expression has a point only where each of its metrics has one.
        """
        kept = LOW_POINTS + FETCHED_BESIDES
        self._seen = [*self._seen[-kept:], shown]
        self._tracked = [*self._tracked[-kept:], both]
        wanted = [
            want for want in (self._woken(minute, desired), self._tracked_out(minute, desired)) if want is not None
        ]
        if wanted and max(wanted) > desired:  # where policies differ, more tasks win
            self._moved_out = minute
            return min(max(wanted), self.policy.max_tasks)
        if wanted:
            return desired
        if self._rested():  # ExactCapacity: whatever runs, so many are wanted
            self._moved_in = minute
            return self.policy.min_tasks
        fewer = self._tracked_in(minute, desired)
        if fewer is not None and fewer < desired:
            self._moved_in = minute
            return max(fewer, self.policy.min_tasks)
        return desired

    def _woken(self, minute: int, desired: int) -> int | None:
        """ChangeInCapacity: adds; during the cooldown only what a higher step asks for beyond what was added."""
        points = [waiting_for_nobody(shown) for shown in self._seen]
        if _judged(points, lambda each: each > 0, "OK", WAKE_POINTS, "notBreaching") != "ALARM":
            return None
        waiting = next(point for point in reversed(points) if point is not None)
        step = self.policy.first_tasks(waiting)
        cooling = (minute - self._woken_at) * 60 < self.policy.wake_cooldown
        more = step - self._added if cooling else step
        if more <= 0:
            return None
        if not cooling:
            self._woken_at = minute
        self._added = step
        return desired + more

    def _rested(self) -> bool:
        points = [backlog(shown) for shown in self._seen]
        self._resting = _judged(points, lambda left: left < 1, self._resting, self.policy.idle_minutes, "ignore")
        return self._resting == "ALARM"

    def _tracked_out(self, minute: int, desired: int) -> int | None:
        target = self.policy.messages_per_task
        points = self._points()
        if _judged(points, lambda each: each > target, "OK", HIGH_POINTS, "missing") != "ALARM":
            return None
        if (minute - self._moved_out) * 60 < self.policy.out_cooldown:
            return None
        return self._proportional(desired, points)

    def _tracked_in(self, minute: int, desired: int) -> int | None:
        low = LOW_SHARE * self.policy.messages_per_task
        points = self._points()
        if _judged(points, lambda each: each < low, "OK", LOW_POINTS, "missing") != "ALARM":
            return None
        if (minute - self._moved_in) * 60 < self.policy.in_cooldown:
            return None
        return self._proportional(desired, points)

    def _points(self) -> list[float | None]:
        return [backlog_per_task(shown, self.policy.messages_per_task) for shown in self._tracked]

    def _proportional(self, desired: int, points: Sequence[float | None]) -> int | None:
        """Return the tasks at which the newest point would have met the target."""
        last = next((point for point in reversed(points) if point is not None), None)
        return None if last is None else math.ceil(desired * last / self.policy.messages_per_task)


def _judged(
    points: Sequence[float | None], breaches: Callable[[float], bool], before: State, wanted: int, missing: Missing
) -> State:
    return state(points, breaches, before, wanted=wanted, missing=missing)
