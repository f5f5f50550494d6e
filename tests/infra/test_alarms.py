"""Every alarm can go off, by its own cause, and none does in ordinary days.

The alarms are Terraform's own, judged as CloudWatch judges them on a simulated day's figures (scale_simulation.py), of
which some minutes are partial or missing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from scale_cloudwatch import COMPARISONS, Point, State, reckon, state
from scale_policy import Policy
from scale_simulation import Simulation, World, scenarios

from tests.infra.terraform import Rendered

Series = dict[str, list[Point]]

DAY = 86_400.0
PLAIN = {
    # alarms that look at one metric and name it, instead of a query
    "dlq-not-empty": "dead",
    "dlq-age": "dead_age",
    "oldest-message-age": "age",
    "retention": "age",
    "memory": "memory",
    "sandbox": "seccomp",
    "dependency-down": "down",
}
ACTING = {"wake", "rest", "spot-short", "spot-back"}
"""Those that scale, and tell nobody."""


def ordinary(scenario: str) -> Series:
    """Return a day's figures by the minute, under the names of the alarms' metric queries."""
    run = Simulation(scenarios()[scenario], Policy(), World()).run()
    running: list[Point] = [float(each) or None for each in run.running]
    per_task = [0.0 if each is None else each for each in running]
    names = ("visible", "in_flight", "delayed", "received", "empty", "tasks")
    found: Series = {name: [getattr(each, name) for each in run.shown] for name in names}
    return found | {
        "running": running,
        "said": [None if each is None else 2 * each for each in running],
        "images": [700 * each for each in per_task],
        "errors": [40 * each for each in per_task],
        "dead": [0.0 for _ in running],
        "dead_held": [0.0 for _ in running],
        "dead_age": [None for _ in running],
        "age": [1_300.0 if each else None for each in found["visible"]],
        "memory": [None if each is None else 62.0 for each in running],
        "seccomp": [None if each is None else 1.0 for each in running],
        "down": [None if each is None else 0.0 for each in running],
        **{name: [None for _ in running] for name in ("table_writes", "table_reads", "status_writes", "batch_writes")},
    }


def steady(minutes: int = 120, **instead: Sequence[Point]) -> Series:
    """Return two hours of ten tasks at work, with some figures of another kind."""
    usual: dict[str, Point] = {
        "visible": 300, "in_flight": 40, "delayed": 0, "received": 20, "empty": 0, "tasks": 10, "running": 10,
        "said": 20, "images": 7_000, "errors": 300, "dead": 0, "dead_held": 0, "dead_age": None, "age": 600,
        "memory": 60, "seccomp": 1, "down": 0, "table_writes": None, "table_reads": None,
        "status_writes": None, "batch_writes": None,
    }  # fmt: skip
    return {name: list(instead.get(name, [value] * minutes)) for name, value in usual.items()}


def short_name(alarm: Mapping[str, Any]) -> str:
    return str(alarm["alarm_name"]).removeprefix("collage-worker-staging-us-east-1-")


def alarms(service: Rendered) -> dict[str, Any]:
    return {short_name(alarm): alarm for _, alarm in service.all("aws_cloudwatch_metric_alarm")}


def states(alarm: Mapping[str, Any], series: Series) -> list[State]:
    """Return the alarm's state after each of its periods."""
    points = points_of(alarm, series)
    breaches = COMPARISONS[alarm["comparison_operator"]]
    wanted, enough = int(alarm["evaluation_periods"]), int(alarm["datapoints_to_alarm"] or alarm["evaluation_periods"])
    now: State = "INSUFFICIENT_DATA"
    found = []
    for end in range(1, len(points) + 1):
        now = state(
            points[:end],
            lambda value: breaches(value, float(alarm["threshold"])),
            now,
            wanted=wanted,
            enough=enough,
            missing=alarm["treat_missing_data"],
        )
        found.append(now)
    return found


def points_of(alarm: Mapping[str, Any], series: Series) -> list[Point]:
    if alarm["metric_name"]:
        return in_periods(series[PLAIN[short_name(alarm)]], int(alarm["period"]), max)
    known: Series = {}
    for query in alarm["metric_query"]:
        for metric in query["metric"]:
            known[query["id"]] = in_periods(
                series[query["id"]], metric["period"], sum if metric["stat"] == "Sum" else max
            )
    wanted = next(query for query in alarm["metric_query"] if query["return_data"])
    for query in alarm["metric_query"]:
        if query["expression"] and query is not wanted:
            known[query["id"]] = reckon(query["expression"], known)
    return reckon(wanted["expression"], known)


def in_periods(points: Sequence[Point], period: int, together: Callable[[list[float]], float]) -> list[Point]:
    size = period // 60
    parts = [[each for each in points[at : at + size] if each is not None] for at in range(0, len(points), size)]
    return [together(part) if part else None for part in parts]


def rings(service: Rendered, name: str, series: Series) -> int:
    """Return how often the alarm goes off."""
    found = states(alarms(service)[name], series)
    return sum(after == "ALARM" != before for before, after in zip(["OK", *found], found, strict=False))


@pytest.mark.parametrize("scenario", ["steady", "nightly"])
def test_none_rings_in_ordinary_days(service: Rendered, scenario: str) -> None:
    day = ordinary(scenario)
    rang = {name: rings(service, name, day) for name in alarms(service) if name not in ACTING}
    assert {name: times for name, times in rang.items() if times} == {}


def after(minutes: int, value: Point, before: Point, length: int = 120) -> list[Point]:
    return [before] * minutes + [value] * (length - minutes)


FAULTS: dict[str, Series] = {
    "dlq-not-empty": steady(dead=after(60, 1, 0)),
    "dlq-age": steady(dead=after(0, 1, 0), dead_age=after(60, 4 * DAY, DAY)),
    "oldest-message-age": steady(age=after(60, 8_000, 600)),
    "retention": steady(age=after(60, 11 * DAY, 600)),
    "deaf": steady(in_flight=after(60, 0, 40), received=after(60, 0, 20)),
    "silent": steady(said=after(60, None, 20)),
    "below-desired": steady(running=after(60, 4, 10)),
    "error-ratio": steady(images=after(60, 100, 7_000), errors=after(60, 6_900, 300)),
    "memory": steady(memory=after(60, 95, 60)),
    "sandbox": steady(seccomp=after(60, 0, 1)),
    "dependency-down": steady(down=after(60, 1, 0)),
    "throttles": steady(status_writes=after(60, 100, None)),
    "spot-short": steady(running=after(60, 4, 10)),
}


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_each_rings_once_for_its_cause(service: Rendered, name: str) -> None:
    assert rings(service, name, FAULTS[name]) == 1
    assert rings(service, name, steady()) == 0


def test_there_is_a_cause_for_every_alarm(service: Rendered) -> None:
    assert set(alarms(service)) == set(FAULTS) | {"dlq-grows", "wake", "rest", "spot-back"}


def test_dead_letters_after_the_first_ring_again(service: Rendered) -> None:
    letters = [0.0] * 20 + [1.0] * 30 + [2.0] * 30 + [5.0] * 40
    assert rings(service, "dlq-grows", steady(dead=letters)) == 3
    assert rings(service, "dlq-not-empty", steady(dead=letters)) == 1


def test_the_first_dead_letter_of_a_queue_that_slept_rings_all_the_same(service: Rendered) -> None:
    """There is no figure before it to be more than."""
    letters: list[Point] = [None] * 60 + [1.0] * 60
    held: list[Point] = [None] * 60 + [0.0] * 60
    asleep = steady(dead=letters, dead_held=held)
    assert rings(service, "dlq-grows", asleep) == 0
    assert rings(service, "dlq-not-empty", asleep) == 1


def test_looking_into_the_dead_letter_queue_is_no_new_dead_letter(service: Rendered) -> None:
    """`dlq list` hides the messages for a while, and they come back."""
    seen = [3.0] * 40 + [0.0] * 2 + [3.0] * 78
    hidden = [0.0] * 40 + [3.0] * 2 + [0.0] * 78
    assert rings(service, "dlq-grows", steady(dead=seen, dead_held=hidden)) == 0


def test_a_queue_without_figures_is_no_silence_of_its_own_making(service: Rendered) -> None:
    assert rings(service, "silent", steady(visible=after(60, None, 300))) == 1
    asleep = steady(
        visible=[None] * 120, running=[None] * 120, tasks=[None] * 120, said=[None] * 120, in_flight=[None] * 120
    )
    assert rings(service, "silent", asleep) == 0


def test_tasks_that_start_within_some_minutes_are_not_missed(service: Rendered) -> None:
    wanted = [2.0] * 30 + [10.0] * 90
    running = [2.0] * 33 + [4.0] * 2 + [10.0] * 85
    assert rings(service, "below-desired", steady(tasks=wanted, running=running)) == 0


def test_scaling_acts_at_its_own_times(service: Rendered) -> None:
    nobody = steady(in_flight=[0] * 120, received=[0] * 120)
    assert rings(service, "wake", nobody) == 1
    assert rings(service, "wake", steady()) == 0
    idle = steady(visible=[0] * 120, in_flight=[0] * 120)
    assert rings(service, "rest", idle) == 1
    assert rings(service, "rest", steady()) == 0
    assert rings(service, "spot-back", steady(running=after(60, 10, 4))) == 1
