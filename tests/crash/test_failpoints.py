"""The failpoints: where they are, that nothing is without one, and that they do nothing unless armed."""

import ast
import time
import timeit
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.crash.scenarios import SCENARIOS
from tests.crash.steps import HOUSE, failpoints, sources, unguarded
from worker import failpoints as module
from worker.errors import SettingsError
from worker.failpoints import Armed, FailpointReached, arm, failpoint, parse_failpoints
from worker.settings import load


@pytest.fixture(autouse=True)
def _inert_again() -> Iterator[None]:
    yield
    arm(())


def test_every_failpoint_is_tried_in_the_matrix_and_every_step_of_the_matrix_is_a_failpoint() -> None:
    assert {point for way in SCENARIOS.values() for point in way.points} == set(failpoints())


def test_no_two_places_have_the_same_name() -> None:
    assert sorted(failpoints()) == sorted(set(failpoints()))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_every_step_that_leaves_the_process_has_a_failpoint_directly_before_or_after_it(path: Path) -> None:
    """A step is an awaited call of a ledger, results, manifests, a store or a queue."""
    assert unguarded(path.read_text(encoding="utf-8"), path.name) == []


@pytest.mark.parametrize(
    ("body", "without"),
    [
        ("await self._ledger.take(1)", 1),
        ("found = [await queue.send(1)]", 1),
        ("if x:\n        failpoint('a.b')\n        await self._results.put(1)", 0),
        ("await self._results.put(1)\n    failpoint('a.b')", 0),
        ("failpoint('a.b')\n    if x:\n        await self._results.put(1)", 1),
        ("await self._results.put(1)\n    y = 1\n    failpoint('a.b')", 1),
        ("async with lock:\n        await store.get(1)", 1),
        ("match x:\n        case 1:\n            await queue.delete(1)", 1),
        ("try:\n        pass\n    except E:\n        await queue.delete(1)", 1),
        ("await self._fetcher.fetch(1)", 0),
    ],
)
def test_a_new_step_without_a_failpoint_is_found(body: str, without: int) -> None:
    assert len(unguarded(f"async def step(self):\n    {body}\n", "x.py")) == without


def test_the_rule_looks_at_something() -> None:
    bare = {path: path.read_text(encoding="utf-8") for path in sources()}
    assert sum(len(unguarded(_without_failpoints(text), path.name)) for path, text in bare.items()) > 30
    assert all(path.is_relative_to(HOUSE) for path in bare)


def _without_failpoints(text: str) -> str:
    return ast.unparse(ast.parse(text)).replace("failpoint(", "nothing(")


def test_an_inert_failpoint_costs_less_than_a_tenth_of_a_microsecond() -> None:
    runs = timeit.repeat(
        'failpoint("a.b")',
        globals={"failpoint": failpoint},
        timer=time.thread_time,  # what others do on the machine is left out
        number=20_000,
        repeat=40,
    )
    assert min(runs) / 20_000 < 100e-9


def test_it_acts_at_the_pass_it_is_armed_for_and_at_no_other() -> None:
    arm(parse_failpoints("a.b=raise@2"))
    failpoint("a.b")
    failpoint("c.d")
    with pytest.raises(FailpointReached, match=r"a\.b"):
        failpoint("a.b")
    failpoint("a.b")


def test_nothing_armed_is_nothing_done_and_nothing_said() -> None:
    with capture_logs() as lines:
        arm(())
        failpoint("a.b")
    assert module._reached is None
    assert lines == []


def test_what_is_armed_is_said_loudly() -> None:
    with capture_logs() as lines:
        arm(parse_failpoints("*=trace"))
        failpoint("a.b")
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("failpoints.armed", "warning"),
        ("failpoint.reached", "warning"),
    ]


def test_several_are_divided_by_commas() -> None:
    assert parse_failpoints(" a.b=kill@2, c_d.e=stop ,") == (Armed("a.b", "kill", 2), Armed("c_d.e", "stop", 1))


@pytest.mark.parametrize("text", ["a.b", "a.b=explode", "a.b=kill@0", "a.b=kill@", "ab=kill", "a.b = kill"])
def test_a_failpoint_that_cannot_be_armed_is_told_with_what_is_allowed(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILPOINTS", text)
    with pytest.raises(SettingsError, match=r"FAILPOINTS: got .* NAME=ACTION"):
        load()
