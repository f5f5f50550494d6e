"""Alarms are judged as CloudWatch judges them: the examples of its user guide."""

import pytest
from scale_cloudwatch import State, reckon, state

POINTS = {"0": 0.0, "X": 1.0, "-": None}
ROWS = [
    # points, then the state with: missing, ignore, breaching, notBreaching ("?" is the state of before)
    ("0-X-X", 3, "OK", "OK", "OK", "OK"),
    ("----0", 3, "OK", "OK", "OK", "OK"),
    ("-----", 3, "INSUFFICIENT_DATA", "?", "ALARM", "OK"),
    ("0XX-X", 3, "ALARM", "ALARM", "ALARM", "ALARM"),
    ("--X--", 3, "ALARM", "?", "ALARM", "OK"),
]


@pytest.mark.parametrize(("points", "wanted", "missing", "ignore", "breaching", "not_breaching"), ROWS)
def test_the_guides_examples(
    points: str, wanted: int, missing: str, ignore: str, breaching: str, not_breaching: str
) -> None:
    before: State = "ALARM"
    for how, told in (
        ("missing", missing),
        ("ignore", ignore),
        ("breaching", breaching),
        ("notBreaching", not_breaching),
    ):
        found = state(
            [POINTS[each] for each in points],
            lambda value: value > 0,
            before,
            wanted=wanted,
            missing=how,  # type: ignore[arg-type]
        )
        assert found == (before if told == "?" else told), how


def test_older_points_stand_in_for_missing_ones() -> None:
    assert state([1.0, 1.0, None, 1.0], lambda value: value > 0, "OK", wanted=3, missing="notBreaching") == "ALARM"


def test_some_of_many_points_can_decide() -> None:
    points = [0.0, 1.0, 0.0, 1.0]
    assert state(points, lambda value: value > 0, "OK", wanted=4, enough=2) == "ALARM"
    assert state(points, lambda value: value > 0, "OK", wanted=4, enough=3) == "OK"


def test_expressions_have_no_point_where_a_metric_has_none() -> None:
    series = {"a": [1.0, None, 3.0], "b": [None, 2.0, 4.0]}
    assert reckon("a + b", series) == [None, None, 7.0]
    assert reckon("FILL(a, 0) + FILL(b, -1)", series) == [0.0, 2.0, 7.0]
    assert reckon("IF((a > 0) AND (FILL(b, 0) < 1), 5, 0)", series) == [5.0, None, 0.0]
    assert reckon("DIFF(a)", {"a": [1.0, 4.0, None, 5.0]}) == [None, 3.0, None, None]
