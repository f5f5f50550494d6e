"""How many tries at a time one host gets: fewer while it is in trouble, so that it recovers and delays nobody else.

The limit of a host is halved when the host asks for fewer requests (429, 503) or does not answer in time, at most once
for the tries that were under way together. It grows by one with each full round of successes; that of a new host which
has shown no trouble yet grows by one with each success. A host that has never answered, and then does not in time, gets
one try at a time at once. A host that goes on failing is left alone for a while: its images fail at once, so that
nothing waits for them.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType

from worker.download.http_answers import HostBusy
from worker.errors import ImageError, ImageReason
from worker.limiter import Limiter
from worker.masks import written_out

PATIENCE_TIMEOUTS = 2.0
"""A host is left alone after trouble without any success for so many of a job's time-outs, and for as long again. A
short outage costs no image that a further try could have saved."""

FIRST_LIMIT = 4
"""Tries at a time that a host gets before anything is known of it. This is half of what a job has by default, so that a
dead host does not take all of a job's slots."""

LAST_FAILURES = 2
"""Failures in a row with one try at a time before a host is left alone."""

HOSTS_REMEMBERED = 4_096

# These say nothing about how much a host can bear; and a connection that is refused takes nobody's time.
_NO_ANSWER = frozenset({ImageReason.DNS, ImageReason.CONNECT, ImageReason.TLS, ImageReason.ADDRESS_REFUSED})


@dataclass(slots=True)
class HostPace:
    """What is known of one host. Times are in seconds of any clock; `most` is the highest limit it may have."""

    most: int
    slots: Limiter = field(init=False)
    allowed: float = field(init=False)
    """The limit before it is rounded down: a full round of successes adds one."""
    slowed_at: float = float("-inf")
    has_answered: bool = False
    had_trouble: bool = False
    troubled_since: float | None = None
    failures_in_a_row: int = 0
    """Only failures while the limit was one are counted."""
    closed_until: float = float("-inf")
    last_reason: ImageReason = ImageReason.TIMEOUT

    def __post_init__(self) -> None:
        self.allowed = float(min(self.most, FIRST_LIMIT))
        self.slots = Limiter(int(self.allowed))

    def succeeded(self) -> None:
        """Note an answer, whatever it said: the host is able to answer."""
        self.has_answered = True
        self.troubled_since, self.failures_in_a_row, self.closed_until = None, 0, float("-inf")
        if self.allowed < self.most:
            self._allow(self.allowed + (1 / self.allowed if self.had_trouble else 1))

    def failed(self, reason: ImageReason, *, began: float, now: float, patience: float) -> None:
        """Note that a try failed, which began at `began`.

        A try that began before the limit was last halved does not halve it again. `patience` is in seconds: how long
        trouble has to last before the host is left alone, and for how long it is then.
        """
        self.last_reason, self.had_trouble = reason, True
        if self.troubled_since is None:
            self.troubled_since = began
        if self.allowed <= 1:
            self.failures_in_a_row += 1
        if began >= self.slowed_at:
            self.slowed_at = now
            is_silent = not self.has_answered and reason is ImageReason.TIMEOUT
            self._allow(1 if is_silent else self.allowed / 2)
        if self.failures_in_a_row >= LAST_FAILURES and now - self.troubled_since >= patience:
            self.closed_until = now + patience

    def is_closed(self, now: float) -> bool:
        """Tell whether the host is left alone."""
        return now < self.closed_until

    def begin(self, now: float, patience: float) -> None:
        """Note that a try begins. After a host was left alone, the others wait for how the first try ends."""
        if self.closed_until > float("-inf"):
            self.closed_until = now + patience

    def is_forgettable(self, now: float) -> bool:
        """Tell whether nobody is using or waiting for the host, and it is not left alone."""
        return not (self.slots.in_use or self.slots.waiting) and now >= self.closed_until

    def _allow(self, allowed: float) -> None:
        self.allowed = min(float(self.most), max(1.0, allowed))
        self.slots.limit = int(self.allowed)


class HostPaces:
    """The paces of all hosts. `most` is the highest limit of each; `clock` gives seconds that never go back.

    Of the hosts that are not in use, those that were asked longest ago are forgotten beyond `remembered`.
    """

    def __init__(self, most: int, clock: Callable[[], float], *, remembered: int = HOSTS_REMEMBERED) -> None:
        self._most = most
        self._clock = clock
        self._remembered = remembered
        self._hosts: OrderedDict[tuple[str, int], HostPace] = OrderedDict()

    def __len__(self) -> int:
        return len(self._hosts)

    def pace(self, host: str, port: int) -> HostPace:
        """Return the pace of a host, which is a new one where nothing is known of it."""
        key = (host.lower().rstrip("."), port)
        pace = self._hosts.get(key)
        if pace is None:
            self._forget_one()
            pace = self._hosts[key] = HostPace(self._most)
        self._hosts.move_to_end(key)
        return pace

    @asynccontextmanager
    async def admitted(self, host: str, port: int, seconds: float, *others: Limiter) -> AsyncIterator[None]:
        """Hold a slot of the host and of every other limiter while the body runs, and learn from how it ends.

        `seconds` is the time-out of the try. Raises ImageError, with the host's last reason, where it is left alone.
        """
        pace, patience = self.pace(host, port), PATIENCE_TIMEOUTS * seconds
        self._check_open(pace, host)
        async with AllOf(pace.slots, *others):
            self._check_open(pace, host)
            began = self._clock()
            pace.begin(began, patience)
            try:
                yield
            except ImageError as error:
                if error.transient and (isinstance(error, HostBusy) or error.reason is ImageReason.TIMEOUT):
                    pace.failed(error.reason, began=began, now=self._clock(), patience=patience)
                elif error.reason not in _NO_ANSWER:
                    pace.succeeded()
                raise
            pace.succeeded()

    def _check_open(self, pace: HostPace, host: str) -> None:
        now = self._clock()
        if pace.is_closed(now):
            raise ImageError(
                pace.last_reason,
                f"{written_out(host[:100])} was not asked: it failed {pace.failures_in_a_row} times in a row, "
                f"and nothing is asked of it for {pace.closed_until - now:.0f} s more",
            )

    def _forget_one(self) -> None:
        if len(self._hosts) < self._remembered:
            return
        now = self._clock()
        idle = next((key for key, pace in self._hosts.items() if pace.is_forgettable(now)), None)
        if idle is not None:
            del self._hosts[idle]


class AllOf:
    """Holds a slot of every limiter: `async with AllOf(a, b): ...`. While one is waited for, no other's slot is held.

    So a try that waits for a slow host keeps no slot of its job from other tries, nor the other way round.
    """

    def __init__(self, *limiters: Limiter) -> None:
        self._limiters = limiters

    async def __aenter__(self) -> None:
        first = self._limiters[0]
        while True:
            await first.__aenter__()
            full = next(
                (limiter for limiter in self._limiters if limiter is not first and not limiter.enter_now()), None
            )
            if full is None:
                return
            for limiter in self._limiters[: self._limiters.index(full)]:
                if limiter is not first:
                    limiter.leave()
            first.leave()
            first = full

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for limiter in self._limiters:
            limiter.leave()
