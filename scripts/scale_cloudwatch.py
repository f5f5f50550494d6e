"""How a CloudWatch alarm judges points of which some are missing, and what it reckons with metric math.

From the CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data" and "Using metric math". How many
older points an alarm fetches besides those that it wants is not documented; the guide's own examples have two.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

Point = float | None
"""None where there is no figure for the period."""
Missing = Literal["missing", "ignore", "breaching", "notBreaching"]
State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]

FETCHED_BESIDES = 2


def state(
    points: Sequence[Point],
    breaches: Callable[[float], bool],
    before: State,
    *,
    wanted: int,
    enough: int | None = None,
    missing: Missing = "missing",
) -> State:
    """Return the state after the newest of `points` (the last); `wanted` are judged, and `enough` of them decide."""
    enough = enough or wanted
    fetched = list(points[-(wanted + FETCHED_BESIDES) :])
    real = [breaches(point) for point in fetched if point is not None]
    if len(real) >= wanted:  # older points stand in for missing ones
        return "ALARM" if sum(real[-wanted:]) >= enough else "OK"
    lacking, bad = wanted - len(real), sum(real)
    if missing in {"breaching", "notBreaching"}:
        return "ALARM" if bad + (lacking if missing == "breaching" else 0) >= enough else "OK"
    if missing == "ignore" and bad < enough <= bad + lacking:
        return before
    if missing == "missing" and not real:
        return "INSUFFICIENT_DATA"
    return "ALARM" if bad >= enough or (missing == "missing" and _premature(fetched, real, enough)) else "OK"


def _premature(fetched: Sequence[Point], real: Sequence[bool], enough: int) -> bool:
    """Say whether all there is breaches, and the oldest of it is as old as the points that decide."""
    oldest = next(age for age in range(len(fetched), 0, -1) if fetched[-age] is not None)
    return all(real) and oldest >= enough


COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


def reckon(expression: str, series: Mapping[str, Sequence[Point]]) -> list[Point]:
    """Return the points of an expression of FILL, IF, DIFF, AND, OR, comparisons and arithmetic.

    There is no point where a metric that is not filled has none. `series` are of one length, the newest last.
    """
    length = len(next(iter(series.values())))
    if found := re.fullmatch(r"DIFF\((\w+)\)", expression):
        values = series[found[1]]
        return [None, *(_difference(one, other) for one, other in pairwise(values))]
    return [_one({name: points[at] for name, points in series.items()}, expression) for at in range(length)]


def _difference(before: Point, after: Point) -> Point:
    return None if before is None or after is None else after - before


def _one(values: Mapping[str, Point], expression: str) -> Point:
    filled: dict[str, float] = {}

    def fill(found: "re.Match[str]") -> str:
        value = values[found[1]]
        name = f"filled_{len(filled)}"
        filled[name] = float(found[2]) if value is None else value
        return name

    text = re.sub(r"FILL\((\w+), (-?\d+)\)", fill, expression)
    bare = {name: values[name] for name in set(re.findall(r"[a-z_]+\d*", text)) & values.keys()}
    if any(value is None for value in bare.values()):
        return None
    text = text.replace("IF(", "choose(").replace(" AND ", " and ").replace(" OR ", " or ")
    result: float = eval(text, {"__builtins__": {}, "choose": _choose, **bare, **filled})  # noqa: S307 -- our own text
    return float(result)


def _choose(condition: bool, yes: float, no: float) -> float:
    return yes if condition else no
