"""Killed at any step, the worker's work is finished by the next one, exactly once. See `docs/crash-matrix.md`."""

import pytest

from tests.crash.matrix import CASES, QUICK, Case, Matrix
from tests.crash.scenarios import SCENARIOS


def params() -> list[object]:
    return [pytest.param(case, id=str(case), marks=() if case in QUICK else pytest.mark.crash) for case in CASES]


@pytest.mark.parametrize("case", params())
def test_whoever_comes_next_finishes_it_exactly_once(matrix: Matrix, case: Case) -> None:
    matrix.verdict(case)


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_an_undisturbed_worker_comes_by_every_step_of_its_way(matrix: Matrix, name: str) -> None:
    assert set(SCENARIOS[name].points) - matrix.passes(name).keys() == set()
