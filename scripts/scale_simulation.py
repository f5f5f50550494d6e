"""A queue, its workers and the scaling between them, in steps of five seconds; seeded, without any I/O.

A message is a chunk of creators, as the worker's planner sends them. Times and rates are inputs (`World`);
docs/scale.md says which were measured and which are assumed.
"""

import random
from collections import deque
from dataclasses import dataclass, field, replace

from scale_policy import NOTHING, Policy, Scaling, Shown

STEP = 5
MINUTE, HOUR = 60, 3600


@dataclass(frozen=True)
class World:
    """What the simulation takes for given. Seconds unless a name says otherwise."""

    cpu_per_creator: float = 0.25  # measured: 0.21, and 0.04 for TLS and AWS calls
    fargate_factor: float = 1.5  # a Fargate vCPU is a hyper-thread of a server that others share; assumed
    busy_share: float = 0.75  # of a vCPU while there is work; assumed
    creators_per_chunk: int = 50
    slots: int = 4
    start_up: tuple[int, int] = (40, 90)  # from desired to polling: placing, pulling, starting
    figures_late: int = 60  # CloudWatch shows a minute's figure a minute later
    tasks_late: int = 120  # Container Insights is slower
    partial_share: float = 0.02  # of minutes: SQS publishes the waiting messages, and the rest is missing; assumed
    missing_share: float = 0.01  # of minutes: nothing is published at all; assumed
    wakes_late: int = 900  # SQS takes up to 15 minutes to publish again for a queue that slept for six hours
    spot_share: float = 0.8
    spot_interruptions_an_hour: float = 0.05
    crashes_an_hour: float = 0.002
    stop_grace: float = 100.0
    visibility: float = 120.0
    protected: bool = True  # scale-in protection, as the worker asks for it
    planning_per_million_rows: float = 8.4  # measured on one core
    rows_per_creator: int = 35
    chunks_sent_a_second: float = 100.0
    poison_attempts: int = 3

    @property
    def creators_a_second(self) -> float:
        """What a task of one vCPU does."""
        return self.busy_share / (self.cpu_per_creator * self.fargate_factor)


@dataclass
class Chunk:
    """A message and how much of its work is left."""

    left: float
    born: float
    poison: bool = False
    receives: int = 0
    planning: float = 0.0
    brings: int = 0


@dataclass
class Task:
    """An ECS task."""

    ready_at: float
    spot: bool
    chunks: list[Chunk] = field(default_factory=list)
    ends_at: float | None = None


@dataclass
class Outcome:
    """What came of a run. Series have one entry a minute."""

    creators: float = 0.0
    drained_at: float = 0.0
    first_at: float | None = None
    task_hours: dict[str, float] = field(default_factory=lambda: {"on demand": 0.0, "spot": 0.0})
    idle_hours: float = 0.0
    peak: int = 0
    interrupted: int = 0
    crashed: int = 0
    scaled_in_busy: int = 0
    handed_back: float = 0.0
    redone: float = 0.0
    lost: float = 0.0
    dead_letters: int = 0
    oldest: float = 0.0
    tasks: list[int] = field(default_factory=list)
    backlog: list[int] = field(default_factory=list)
    running: list[int] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    """Each minute as CloudWatch had it in the end."""


class Simulation:
    """One run. `arrivals` are (second, creators, poison messages), each a manifest."""

    def __init__(self, arrivals: list[tuple[float, int, int]], policy: Policy, world: World, *, seed: int = 1) -> None:
        self.world, self.policy = world, policy
        self.random = random.Random(seed)  # noqa: S311 - a repeatable run, no secret
        self.figures_random = random.Random(seed + 1)  # noqa: S311 - apart, so that a share changes no other luck
        self.scaling = Scaling(policy)
        self.arrivals = deque(sorted(arrivals))
        self.visible: deque[Chunk] = deque()
        self.hidden: list[tuple[float, Chunk]] = []
        self.sending: deque[Chunk] = deque()
        self.tasks: list[Task] = []
        self.desired = policy.min_tasks
        self.figures: deque[tuple[float, Shown]] = deque(maxlen=10)
        self.polls = 0
        self.asleep_until = 0.0
        self.last_activity = -6 * HOUR - 1.0
        self.out = Outcome()
        self.expected = float(sum(creators for _, creators, _ in arrivals))

    def run(self, *, longest: float = 72 * HOUR) -> Outcome:
        """Run until everything is done and the service has come to rest."""
        now = 0.0
        while now < longest and not self._over():
            self._arrive(now)
            self._place(now)
            self._come_back(now)
            for task in self.tasks:
                self._work(task, now)
            self._mishaps(now)
            self.tasks = [task for task in self.tasks if task.ends_at is None or task.ends_at > now]
            if now % MINUTE == 0:
                self._minute(now)
            self._count(now)
            now += STEP
        self.out.lost = self.expected - self.out.creators
        return self.out

    def _over(self) -> bool:
        idle = not (self.arrivals or self.visible or self.hidden or self.sending)
        return idle and not any(task.chunks for task in self.tasks) and len(self.tasks) <= self.policy.min_tasks

    # --- messages ---------------------------------------------------------------------------------------------------

    def _arrive(self, now: float) -> None:
        while self.arrivals and self.arrivals[0][0] <= now:
            _, creators, poison = self.arrivals.popleft()
            if now - self.last_activity > 6 * HOUR and not self.tasks:
                self.asleep_until = now + self.world.wakes_late
            self.last_activity = now
            rows = creators * self.world.rows_per_creator / 1e6
            planning = rows * self.world.planning_per_million_rows * self.world.fargate_factor
            if creators:
                self.visible.append(Chunk(0.0, now, planning=max(planning, 0.1), brings=creators))
            self.visible.extend(Chunk(1.0, now, poison=True) for _ in range(poison))
        for _ in range(min(len(self.sending), int(self.world.chunks_sent_a_second * STEP))):
            self.visible.append(self.sending.popleft())

    def _come_back(self, now: float) -> None:
        self.visible.extend(chunk for at, chunk in self.hidden if at <= now)
        self.hidden = [each for each in self.hidden if each[0] > now]

    # --- tasks ------------------------------------------------------------------------------------------------------

    def _place(self, now: float) -> None:
        alive = [task for task in self.tasks if task.ends_at is None]
        for number in range(len(alive), self.desired):
            spot = number > 0 and self.random.random() < self.world.spot_share
            self.tasks.append(Task(now + self.random.uniform(*self.world.start_up), spot))
        surplus = len(alive) - self.desired
        # ECS ends tasks that are not protected; a busy one stays until it is idle.
        for task in sorted(alive, key=lambda each: len(each.chunks)):
            if surplus <= 0:
                break
            if task.chunks and self.world.protected:
                continue
            if task.chunks:
                self.out.scaled_in_busy += 1
            self._stop(task, now)
            surplus -= 1

    def _stop(self, task: Task, now: float) -> None:
        """SIGTERM: creators under way are finished within the grace, the rest of each chunk goes back at no cost."""
        able = self.world.creators_a_second * min(10.0, self.world.stop_grace)
        for chunk in task.chunks:
            done = min(chunk.left, able / len(task.chunks))
            self._credit(chunk, done)
            if chunk.left > 0 or chunk.planning > 0:
                self.out.handed_back += chunk.left
                self.visible.append(chunk)
        task.chunks = []
        task.ends_at = now + 15

    def _work(self, task: Task, now: float) -> None:
        if task.ready_at > now or task.ends_at is not None:
            return
        self.polls += len(task.chunks) < self.world.slots  # for a message, or in vain
        while len(task.chunks) < self.world.slots and self.visible:
            chunk = self.visible.popleft()
            chunk.receives += 1
            self.out.oldest = max(self.out.oldest, now - chunk.born)
            if chunk.poison:
                self._poisoned(chunk, now)
            else:
                task.chunks.append(chunk)
        rate = self.world.creators_a_second * STEP / max(1, len(task.chunks))
        planners = sum(chunk.planning > 0 for chunk in task.chunks)
        for chunk in list(task.chunks):
            if chunk.planning > 0:
                chunk.planning -= STEP / planners  # each takes a core for itself
                if chunk.planning <= 0:
                    self._planned(chunk, now)
                    task.chunks.remove(chunk)
                continue
            self._credit(chunk, min(rate, chunk.left))
            if chunk.left <= 1e-9:
                task.chunks.remove(chunk)
                self.out.drained_at = now

    def _planned(self, chunk: Chunk, now: float) -> None:
        size = self.world.creators_per_chunk
        for first in range(0, chunk.brings, size):
            self.sending.append(Chunk(float(min(size, chunk.brings - first)), now))

    def _poisoned(self, chunk: Chunk, now: float) -> None:
        """A message that fails each time goes back with a backoff, and to the dead-letter queue in the end."""
        if chunk.receives > self.world.poison_attempts:
            self.out.dead_letters += 1
        else:
            self.hidden.append((now + self.random.uniform(0, 10 * 2**chunk.receives), chunk))

    def _credit(self, chunk: Chunk, creators: float) -> None:
        chunk.left -= creators
        self.out.creators += creators
        if self.out.first_at is None and creators > 0:
            self.out.first_at = self.out.drained_at = -1.0

    def _mishaps(self, now: float) -> None:
        for task in self.tasks:
            if task.ends_at is not None or task.ready_at > now:
                continue
            if task.spot and self.random.random() < self.world.spot_interruptions_an_hour * STEP / HOUR:
                self.out.interrupted += 1
                self._stop(task, now)
            elif self.random.random() < self.world.crashes_an_hour * STEP / HOUR:
                self.out.crashed += 1
                self._crash(task, now)

    def _crash(self, task: Task, now: float) -> None:
        """SIGKILL: what was under way is done again, by another task, when the message's visibility ends."""
        for chunk in task.chunks:
            if chunk.planning <= 0:
                again = min(2.0, self.world.creators_per_chunk - chunk.left)
                chunk.left += again
                self.out.creators -= again
                self.out.redone += again
            self.hidden.append((now + self.world.visibility, chunk))
        task.chunks, task.ends_at = [], now

    # --- figures and scaling ----------------------------------------------------------------------------------------

    def _minute(self, now: float) -> None:
        in_flight = sum(len(task.chunks) for task in self.tasks) + len(self.hidden)
        if self.tasks or self.visible:
            self.last_activity = now
        # Container Insights says nothing of a service of which no task runs.
        running = any(task.ready_at <= now for task in self.tasks)
        tasks = self.desired if running else None
        shown = self._whole_or_not(Shown(len(self.visible), in_flight, 0, tasks, received=self.polls))
        self.figures.append((now, shown))
        self.out.shown.append(replace(NOTHING, tasks=shown.tasks) if now < self.asleep_until else shown)
        self.out.running.append(sum(task.ready_at <= now for task in self.tasks))
        self.polls = 0
        queue = self._published(now, self.world.figures_late)
        both = self._published(now, max(self.world.figures_late, self.world.tasks_late))
        self.desired = self.scaling.desired(int(now // MINUTE), queue, both, self.desired)
        self.out.tasks.append(len(self.tasks))
        self.out.backlog.append(len(self.visible) + in_flight + len(self.sending))

    def _whole_or_not(self, shown: Shown) -> Shown:
        """Leave out what CloudWatch happens not to have for a minute."""
        luck = self.figures_random.random()
        if luck < self.world.missing_share:
            return NOTHING
        if luck < self.world.missing_share + self.world.partial_share:
            return replace(NOTHING, visible=shown.visible, tasks=shown.tasks)
        return shown

    def _published(self, now: float, late: int) -> Shown:
        """Return the newest minute whose figures are so many seconds old."""
        ripe = [shown for at, shown in self.figures if at + late <= now]
        newest = ripe[-1] if ripe else NOTHING
        return replace(NOTHING, tasks=newest.tasks) if now < self.asleep_until else newest

    def _count(self, now: float) -> None:
        if self.out.first_at == -1.0:
            self.out.first_at = now
        for task in self.tasks:
            self.out.task_hours["spot" if task.spot else "on demand"] += STEP / HOUR
            self.out.idle_hours += 0 if task.chunks else STEP / HOUR
        self.out.peak = max(self.out.peak, len(self.tasks))


def scenarios() -> dict[str, list[tuple[float, int, int]]]:
    """Return the arrivals of each pattern: (second, creators, poison messages)."""
    return {
        "steady": [(minute * 10.0 * MINUTE, 5_000, 0) for minute in range(48)],
        "burst": [(0.0, 500_000, 0), (0.0, 500_000, 0)],
        "nightly": [(day * 24.0 * HOUR + 2 * HOUR + part * 60.0, 30_000, 0) for day in range(2) for part in range(3)],
        "poison": [(0.0, 20_000, 200), *((minute * 10.0 * MINUTE, 2_000, 50) for minute in range(1, 12))],
    }
