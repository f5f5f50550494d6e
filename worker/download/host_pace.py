"""How many tries at a time one host gets, so that a host in trouble is spared, and slows nobody but itself.

The number is halved when the host asks us to slow down (429, 503) or does not answer in time, at most once for the
tries that were under way together, and grows by one with each full round of successes (by one with each success, as
long as a new host has shown no trouble). A host that has never answered, and does not in time, is asked one thing at a
time at once. One that keeps failing then is left alone for a while: its images fail at once, and nothing waits for
them.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from worker.download.http_answers import HostBusy
from worker.errors import ImageError, ImageReason
from worker.limiter import Limiter

PATIENCE = 2.0
"""Trouble without any success has to last so many of a job's time-outs before a host is left alone, for as long again:
a short outage costs no image that a further try could have saved."""

AT_FIRST = 4
"""Tries at a time that a host gets before anything is known of it: half of what a job has, unless it asks for more, so
that a host which is dead does not keep the job's other images waiting."""

LAST_CHANCES = 2
"""Failures in a row with one try at a time before a host is left alone."""

HOSTS_REMEMBERED = 4_096

# These tell nothing of how much a host can bear; and a connection that is refused costs nobody any time.
_NO_ANSWER = frozenset({ImageReason.DNS, ImageReason.CONNECT, ImageReason.TLS, ImageReason.ADDRESS_REFUSED})


@dataclass(slots=True)
class HostPace:
    """What is known of one host. Times are in seconds of any clock; `most` is the most tries at a time."""

    most: int
    slots: Limiter = field(init=False)
    allowed: float = field(init=False)
    slowed_at: float = float("-inf")
    has_answered: bool = False
    had_trouble: bool = False
    troubled_since: float | None = None
    failures_in_a_row: int = 0
    """Those with one try at a time."""
    closed_until: float = float("-inf")
    last_reason: ImageReason = ImageReason.TIMEOUT

    def __post_init__(self) -> None:
        self.allowed = float(min(self.most, AT_FIRST))
        self.slots = Limiter(int(self.allowed))

    def succeeded(self) -> None:
        """Note an answer, whatever it said: the host has time for us."""
        self.has_answered = True
        self.troubled_since, self.failures_in_a_row, self.closed_until = None, 0, float("-inf")
        if self.allowed < self.most:
            self._allow(self.allowed + (1 / self.allowed if self.had_trouble else 1))

    def failed(self, reason: ImageReason, *, began: float, now: float, patience: float) -> None:
        """Note a failure of a try that `began` then. Those that began before the last halving do not halve again."""
        self.last_reason, self.had_trouble = reason, True
        if self.troubled_since is None:
            self.troubled_since = began
        if self.allowed <= 1:
            self.failures_in_a_row += 1
        if began >= self.slowed_at:
            self.slowed_at = now
            is_silent = not self.has_answered and reason is ImageReason.TIMEOUT
            self._allow(1 if is_silent else self.allowed / 2)
        if self.failures_in_a_row >= LAST_CHANCES and now - self.troubled_since >= patience:
            self.closed_until = now + patience

    def is_closed(self, now: float) -> bool:
        """Tell whether the host is left alone."""
        return now < self.closed_until

    def begin(self, now: float, patience: float) -> None:
        """Note that a try begins. The first one after a host was left alone shows how it is; the next wait for that."""
        if self.closed_until > float("-inf"):
            self.closed_until = now + patience

    def is_forgettable(self, now: float) -> bool:
        """Tell whether nothing would be lost with what is known of it."""
        return not (self.slots.in_use or self.slots.waiting) and now >= self.closed_until

    def _allow(self, allowed: float) -> None:
        self.allowed = min(float(self.most), max(1.0, allowed))
        self.slots.limit = int(self.allowed)


class HostPaces:
    """The paces of all hosts. `clock` gives seconds that never go back."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._hosts: OrderedDict[tuple[str, int], HostPace] = OrderedDict()

    def pace(self, host: str, port: int) -> HostPace:
        """Return what is known of a host."""
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

        `seconds` is the time-out of the try. Raises the host's last failure for one that is left alone.
        """
        pace, patience = self.pace(host, port), PATIENCE * seconds
        self._check_open(pace, host)
        async with all_of(pace.slots, *others):
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
                f"{host[:100]} was not asked: it failed {pace.failures_in_a_row} times in a row, and is left alone for "
                f"{pace.closed_until - now:.0f} s more",
            )

    def _forget_one(self) -> None:
        if len(self._hosts) < HOSTS_REMEMBERED:
            return
        now = self._clock()
        idle = next((key for key, pace in self._hosts.items() if pace.is_forgettable(now)), None)
        if idle is not None:
            del self._hosts[idle]


@asynccontextmanager
async def all_of(*limiters: Limiter) -> AsyncIterator[None]:
    """Hold a slot of every limiter, and while waiting for one of them hold none of the others.

    Whoever waits for a host that is slow must not keep others from their job's slots, nor the other way round.
    """
    first = limiters[0]
    while True:
        await first.__aenter__()
        full = next((limiter for limiter in limiters if limiter is not first and not limiter.enter_now()), None)
        if full is None:
            break
        for limiter in limiters[: limiters.index(full)]:
            if limiter is not first:
                limiter.leave()
        first.leave()
        first = full
    try:
        yield
    finally:
        for limiter in limiters:
            limiter.leave()
