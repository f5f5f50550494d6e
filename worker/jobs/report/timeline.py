"""What happened when, in a bounded number of spans: for the plots of a report. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

SPANS = 90
"""Spans that a timeline has at the most; the next longer width is taken where there would be more."""

WIDTHS = (1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 21_600, 86_400, 604_800, 6_048_000)
"""Seconds that a span may be long. Each is a multiple of the one before, so that spans can be joined."""

_Key = TypeVar("_Key", int, str)

_STEPS = 12
"""Classes of latencies for each factor of e: a quantile is right to a twelfth."""


@dataclass(slots=True)
class Span:
    """What was finished within one span of time."""

    creators: int = 0
    images: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    latencies: dict[int, int] = field(default_factory=dict)
    """How many downloads took about `exp(class / 12)` seconds."""

    def latency(self, share: float) -> float | None:
        """Return the seconds within which this share of the downloads ended; None without downloads."""
        wanted = share * sum(self.latencies.values())
        passed = 0
        for step in sorted(self.latencies):
            passed += self.latencies[step]
            if passed >= wanted:
                return math.exp(step / _STEPS)
        return None

    def join(self, other: "Span") -> None:
        """Add what another span holds."""
        self.creators += other.creators
        self.images += other.images
        _add(self.failures, other.failures)
        _add(self.latencies, other.latencies)


class Timeline:
    """Spans of one width, as many as there is time between the first and the last thing that is added."""

    def __init__(self) -> None:
        self._spans: dict[int, Span] = {}
        self._level = 0

    @property
    def width(self) -> int:
        """Seconds of one span."""
        return WIDTHS[self._level]

    def add(
        self,
        at: float,
        *,
        creators: int = 0,
        images: int = 0,
        failures: Mapping[str, int] | None = None,
        latencies: Iterable[float] = (),
    ) -> None:
        """Add what ended at a moment (epoch seconds). `latencies` are seconds of downloads."""
        span = self._spans.setdefault(int(at // self.width), Span())
        span.join(Span(creators, images, dict(failures or {})))
        for seconds in latencies:
            step = round(math.log(max(seconds, 0.001)) * _STEPS)
            span.latencies[step] = span.latencies.get(step, 0) + 1
        while max(self._spans) - min(self._spans) >= SPANS and self._level + 1 < len(WIDTHS):
            self._widen()

    def spans(self) -> Iterator[tuple[int, Span]]:
        """Give each span with its beginning in epoch seconds, the empty ones between them, too."""
        if self._spans:
            for number in range(min(self._spans), max(self._spans) + 1):
                yield number * self.width, self._spans.get(number, Span())

    def _widen(self) -> None:
        times = WIDTHS[self._level + 1] // WIDTHS[self._level]
        self._level += 1
        narrow, self._spans = self._spans, {}
        for number, span in narrow.items():
            self._spans.setdefault(number // times, Span()).join(span)


def _add(mine: dict[_Key, int], theirs: Mapping[_Key, int]) -> None:
    for key, count in theirs.items():
        mine[key] = mine.get(key, 0) + count
