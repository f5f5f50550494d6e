"""The real thing, small: see `scripts/chaos.py` for the large one."""

import pytest

from tests.crash.chaos import Plan, chaos
from tests.integration.emulator import Aws


@pytest.mark.crash
@pytest.mark.parametrize("seed", [1])
def test_a_batch_survives_workers_that_are_killed_frozen_and_stopped_at_random(aws: Aws, seed: int) -> None:
    told = chaos(aws, Plan(creators=200, workers=3, seconds=30.0, seed=seed, chunk=10, within=200.0))
    assert told.events["kill"] + told.events["freeze"] + told.events["stop"] >= 5, "there was trouble"
