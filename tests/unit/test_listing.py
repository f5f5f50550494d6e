"""What `list` reads and shows."""

import pytest

from tests.unit.fakes import NOON
from worker.cli.listing import since_of, table_lines
from worker.keys import from_iso


@pytest.mark.parametrize(("text", "hours"), [("30m", 0.5), ("30 min", 0.5), ("12h", 12), ("2d", 48), ("1w", 168)])
def test_an_age_is_counted_back_from_now(text: str, hours: float) -> None:
    assert (NOON - from_iso(since_of(text, NOON))).total_seconds() == hours * 3_600


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-01-19", "2025-01-19T00:00:00Z"),
        ("2025-01-19T12:30", "2025-01-19T12:30:00Z"),
        ("2025-01-19T12:30:00+08:00", "2025-01-19T04:30:00Z"),
    ],
)
def test_a_date_is_read_as_utc_unless_it_says_otherwise(text: str, moment: str) -> None:
    assert since_of(text, NOON) == moment


@pytest.mark.parametrize("text", ["yesterday", "2", "5y", "2025-13-01"])
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=f"30m, 12h or 2d.*{text}"):
        since_of(text, NOON)


def test_columns_stand_below_each_other() -> None:
    assert table_lines([("a", "1", "x"), ("bbb", "22", "")], ("N", "C", "M")) == ["N    C   M", "a    1   x", "bbb  22"]
