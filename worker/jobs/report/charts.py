"""A timeline as plots: where each bar, line and tick of an SVG stands. The template draws them. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from worker.jobs.report.timeline import Span, Timeline

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 64, 8, 12, 30
SERIES = 5
"""Reasons that have a colour of their own; the rarer ones share one."""

OTHERS = "other_reasons"
"""The name of the rarer reasons together."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle in pixels, with the number of its series."""

    x: float
    y: float
    width: float
    height: float
    series: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark at an axis: where it stands, and the number or the moment (epoch seconds) beside it."""

    at: float
    value: float


@dataclass(frozen=True, slots=True)
class Chart:
    """One plot. `name` is that of its texts; `lines` are points in pixels; `series` names what is shown."""

    name: str
    series: Sequence[str]
    bars: Sequence[Bar] = ()
    lines: Sequence[tuple[int, str]] = ()
    levels: Sequence[Tick] = ()
    moments: Sequence[Tick] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """One span as a line of the table beside the plots."""

    at: int
    creators: int
    images: int
    failures: int
    median: float | None
    slow: float | None


@dataclass(frozen=True, slots=True)
class Plots:
    """What a report shows of a timeline."""

    span_seconds: int
    charts: Sequence[Chart] = ()
    moments: Sequence[Moment] = field(default_factory=list)


def plots(timeline: Timeline) -> Plots:
    """Draw a timeline; charts without anything to show are left out."""
    spans = list(timeline.spans())
    moments = [
        Moment(at, span.creators, span.images, sum(span.failures.values()), span.latency(0.5), span.latency(0.95))
        for at, span in spans
    ]
    charts = [_throughput(spans, timeline.width), _latency(spans), _reasons(spans)]
    return Plots(timeline.width, [chart for chart in charts if chart.bars or chart.lines], moments)


def _throughput(spans: Sequence[tuple[int, Span]], seconds: int) -> Chart:
    per_minute = [span.creators * 60 / seconds for _, span in spans]
    return _bars("throughput", ["creators_a_minute"], [at for at, _ in spans], [[value] for value in per_minute])


def _reasons(spans: Sequence[tuple[int, Span]]) -> Chart:
    total: dict[str, int] = {}
    for _, span in spans:
        for reason, count in span.failures.items():
            total[reason] = total.get(reason, 0) + count
    ranked = sorted(total, key=lambda reason: (-total[reason], reason))
    names = ranked if len(ranked) <= SERIES + 1 else [*ranked[:SERIES], OTHERS]
    place = {reason: min(number, len(names) - 1) for number, reason in enumerate(ranked)}
    stacks = []
    for _, span in spans:
        stack = [0.0] * len(names)
        for reason, count in span.failures.items():
            stack[place[reason]] += count
        stacks.append(stack)
    return _bars("reasons", names, [at for at, _ in spans], stacks)


def _bars(name: str, series: Sequence[str], moments: Sequence[int], stacks: Sequence[Sequence[float]]) -> Chart:
    levels, y = _levels(max(map(sum, stacks), default=0.0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(stacks))
    bars = []
    for number, stack in enumerate(stacks):
        below = 0.0
        for place, value in enumerate(stack):
            if value:
                top = y(below + value)
                bars.append(_bar(LEFT + number * step + step * 0.08, top, step * 0.84, y(below) - top, place))
            below += value
    return Chart(name, series, bars, (), levels, _moments(moments, step))


def _bar(x: float, y: float, width: float, height: float, series: int) -> Bar:
    return Bar(round(x, 1), round(y, 1), round(width, 1), round(height, 1), series)


def _latency(spans: Sequence[tuple[int, Span]]) -> Chart:
    shares = (0.5, 0.95)
    values = [[span.latency(share) for _, span in spans] for share in shares]
    levels, y = _levels(max((value for line in values for value in line if value is not None), default=0.0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(spans))
    lines = [(number, path) for number, line in enumerate(values) for path in _paths(line, step, y)]
    moments = _moments([at for at, _ in spans], step)
    return Chart("latency", ["median", "slowest_twentieth"], (), lines, levels, moments)


def _paths(line: Sequence[float | None], step: float, y: Callable[[float], float]) -> list[str]:
    """Return a path for each run of values that is not interrupted; a single value is a short stroke."""
    paths = []
    for is_known, places in groupby(range(len(line)), key=lambda place: line[place] is not None):
        run = [(LEFT + (place + 0.5) * step, y(line[place] or 0.0)) for place in places]
        if is_known:
            run = run if len(run) > 1 else [(run[0][0] - 4, run[0][1]), (run[0][0] + 4, run[0][1])]
            paths.append("M" + "L".join(f"{x:.1f} {height:.1f}" for x, height in run))
    return paths


def _levels(most: float) -> tuple[list[Tick], Callable[[float], float]]:
    """Return the marks of the upright axis, and what turns a value into pixels from the top."""
    step = _round_step(most / 3)
    marks = max(1, math.ceil(most / step - 1e-9))
    room = HEIGHT - TOP - BOTTOM

    def y(value: float) -> float:
        return TOP + room * (1 - value / (marks * step))

    return [Tick(round(y(mark * step), 1), mark * step) for mark in range(marks + 1)], y


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20 … (and their tenths) that is not below `least`."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(float(factor * power) for factor in (1, 2, 5, 10, 20) if factor * power >= least * (1 - 1e-9))


def _moments(moments: Sequence[int], step: float) -> list[Tick]:
    every = max(1, math.ceil(len(moments) / 5))
    marks = [Tick(round(LEFT + number * step, 1), moments[number]) for number in range(0, len(moments), every)]
    return [mark for mark in marks if mark.at < WIDTH - 110]  # its text has to fit
