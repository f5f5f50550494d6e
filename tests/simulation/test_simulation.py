"""The worker's logic against servers in memory, under a virtual clock; see docs/simulation.md."""

import pytest

from tests.simulation.world import simulate


def test_everything_holds_whatever_happens_to_the_workers(seeds: range) -> None:
    for seed in seeds:
        ran = simulate(seed)
        if ran.broken:
            again = (
                f"python -m tests.simulation.run --seed {seed} --trace   # or: pytest tests/simulation --seed {seed}"
            )
            pytest.fail(f"{ran.told()}\n\nreplay it with: {again}", pytrace=False)


def test_a_seed_gives_the_same_run_every_time() -> None:
    assert simulate(7).trace == simulate(7).trace


def test_the_trouble_does_come() -> None:
    hits: set[str] = set()
    for seed in range(60):
        hits |= simulate(seed).hits.keys()
    assert {"kill before", "kill after", "freeze before", "freeze after", "files lost"} <= hits
