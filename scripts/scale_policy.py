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


def backlog_per_task(shown: Shown, target: float) -> float:
    """Return `backlog_per_task` of infra/service/scaling.tf.

    IF(FILL(tasks, 0) > 0, (FILL(visible, 0) + FILL(in_flight, 0)) / IF(FILL(tasks, 0) > 0, FILL(tasks, 0), 1), target)
    """
    tasks = shown.tasks or 0
    return ((shown.visible or 0) + (shown.in_flight or 0)) / tasks if tasks > 0 else target


def waiting_for_nobody(shown: Shown) -> int:
    """IF(FILL(tasks, 0) < 1, FILL(visible, 0), 0)."""
    return (shown.visible or 0) if (shown.tasks or 0) < 1 else 0


def backlog(shown: Shown) -> int | None:
    """Visible + in_flight + delayed; nothing where one is missing."""
    parts = (shown.visible, shown.in_flight, shown.delayed)
    return None if None in parts else sum(part or 0 for part in parts)


class Scaling:
    """Application Auto Scaling and its alarms, asked once a minute."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._seen: list[Shown] = []
        self._moved_out = self._moved_in = -math.inf

    def desired(self, minute: int, shown: Shown, desired: int) -> int:
        """Return how many tasks are wanted from now on."""
        self._seen = [*self._seen[-LOW_POINTS:], shown]
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
        return self.policy.first_tasks(waiting) if waiting > 0 else None

    def _rested(self) -> int | None:
        last = [backlog(shown) for shown in self._seen[-self.policy.idle_minutes :]]
        quiet = len(last) == self.policy.idle_minutes and all(each is not None and each < 1 for each in last)
        return self.policy.min_tasks if quiet else None

    def _tracked_out(self, minute: int, desired: int) -> int | None:
        last = [backlog_per_task(shown, self.policy.messages_per_task) for shown in self._seen[-HIGH_POINTS:]]
        if len(last) < HIGH_POINTS or min(last) <= self.policy.messages_per_task:
            return None
        if (minute - self._moved_out) * 60 < self.policy.out_cooldown:
            return None
        return self._proportional(desired)

    def _tracked_in(self, minute: int, desired: int) -> int | None:
        last = [backlog_per_task(shown, self.policy.messages_per_task) for shown in self._seen[-LOW_POINTS:]]
        if len(last) < LOW_POINTS or max(last) >= LOW_SHARE * self.policy.messages_per_task:
            return None
        if (minute - self._moved_in) * 60 < self.policy.in_cooldown:
            return None
        return self._proportional(desired)

    def _proportional(self, desired: int) -> int:
        """Return the tasks at which the last point would have met the target."""
        last = backlog_per_task(self._seen[-1], self.policy.messages_per_task)
        return math.ceil(desired * last / self.policy.messages_per_task)
