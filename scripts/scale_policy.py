"""The scaling of infra/service/scaling*.tf as a pure function of what CloudWatch shows.

Target tracking is AWS's: its high alarm takes 3 one-minute points above the target, its low one 15 points below nine
tenths of it (Application Auto Scaling User Guide, "Target tracking scaling policies").
"""

import math
from dataclasses import dataclass

HIGH_POINTS, LOW_POINTS, LOW_SHARE = 3, 15, 0.9


@dataclass(frozen=True)
class Policy:
    """The numbers of the Terraform module, with its defaults."""

    min_tasks: int = 0
    max_tasks: int = 50
    messages_per_task: int = 32
    idle_minutes: int = 5
    out_cooldown: int = 180
    in_cooldown: int = 120

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
        self._moved_out = self._moved_in = -math.inf

    def desired(self, minute: int, shown: Shown, both: Shown, desired: int) -> int:
        """Return how many tasks are wanted from now on.

        `shown` is the newest minute that SQS has published, `both` the newest that Container Insights has, too: an
        expression has a point only where each of its metrics has one.
        """
        self._seen = [*self._seen[-LOW_POINTS:], shown]
        self._tracked = [*self._tracked[-LOW_POINTS:], both]
        wanted = [want for want in (self._woken(shown), self._tracked_out(minute, desired)) if want is not None]
        if wanted and max(wanted) > desired:  # where policies differ, more tasks win
            self._moved_out = minute
            return min(max(wanted), self.policy.max_tasks)
        fewer = self._rested() if self._rested() is not None else self._tracked_in(minute, desired)
        if fewer is not None and fewer < desired and not wanted:
            self._moved_in = minute
            return max(fewer, self.policy.min_tasks)
        return desired

    def _woken(self, shown: Shown) -> int | None:
        waiting = waiting_for_nobody(shown)
        return self.policy.first_tasks(waiting) if waiting else None

    def _rested(self) -> int | None:
        last = [backlog(shown) for shown in self._seen[-self.policy.idle_minutes :]]
        quiet = len(last) == self.policy.idle_minutes and all(each is not None and each < 1 for each in last)
        return self.policy.min_tasks if quiet else None

    def _tracked_out(self, minute: int, desired: int) -> int | None:
        last = self._points(HIGH_POINTS)
        if not last or min(last) <= self.policy.messages_per_task:
            return None
        if (minute - self._moved_out) * 60 < self.policy.out_cooldown:
            return None
        return self._proportional(desired, last[-1])

    def _tracked_in(self, minute: int, desired: int) -> int | None:
        last = self._points(LOW_POINTS)
        if not last or max(last) >= LOW_SHARE * self.policy.messages_per_task:
            return None
        if (minute - self._moved_in) * 60 < self.policy.in_cooldown:
            return None
        return self._proportional(desired, last[-1])

    def _points(self, wanted: int) -> list[float]:
        """Return the last points of the backlog for each task; none where one of them is missing."""
        last = [backlog_per_task(shown, self.policy.messages_per_task) for shown in self._tracked[-wanted:]]
        there = [point for point in last if point is not None]
        return there if len(there) == wanted else []

    def _proportional(self, desired: int, last: float) -> int:
        """Return the tasks at which the last point would have met the target."""
        return math.ceil(desired * last / self.policy.messages_per_task)
