"""A hundred workers that are killed while they make progress: it costs nothing but time."""

import json
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from tests.simulation.clock import Life
from tests.simulation.misfortunes import Misfortunes
from tests.simulation.orders import CONFIG, Order
from tests.simulation.wire import Trouble
from tests.simulation.world import World
from worker.jobs.messages import explicit_of
from worker.keys import batch_id
from worker.model import InlineManifest, Job

CREATORS = 2_000
KILLS = 100
APART = 5.0
"""Seconds between two kills."""


class Harried(World):
    """One batch of many creators, whose workers are killed after progress, one each few seconds."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, Misfortunes(kills_on_progress=KILLS))
        self.trouble = self.wire.trouble = Trouble()
        self.queue.duplicates = 0.0
        self.flaky, self.split, self.pace, self.wanted, self.lease = False, True, 3.0, 4, 20
        self.troubled_for = 6_000.0
        self.orders = [_order()]
        self.next_kill = 0.0

    def _creator_done(self, life: Life | None) -> None:
        """Kill a worker each few seconds, and not all of them at once."""
        if self.loop.now >= self.next_kill:
            self.next_kill = self.loop.now + APART
            super()._creator_done(life)

    def _troubles(self) -> Iterator[Coroutine[Any, Any, None]]:
        return iter(())


def _order() -> Order:
    names = [f"creator {number:04d}" for number in range(CREATORS)]
    text = "creator,url\n" + "".join(f"{name},https://origin/0/{name}/0/good\n" for name in names)
    job = Job(InlineManifest(text), "k/", CONFIG, from_event=False, explicit=explicit_of("k/", None))
    message = {"processing_type": "csv_inline", "csv_data": text, "output_prefix": "k/"}
    return Order(batch_id(job), "", dict.fromkeys(names, 1), [json.dumps(message)], job=job)


@pytest.mark.parametrize("seed", range(1, 3))
def test_a_batch_whose_workers_are_killed_a_hundred_times_while_they_make_progress_is_done(seed: int) -> None:
    world = Harried(seed)
    ran = world.run()
    assert ran.broken == [], ran.broken[:5]
    assert world.wire.hits["kill"] >= KILLS * 0.9
    assert (world.queue.dead, ran.redrives) == ([], 0)
    # A creator that was alone on trial each time when its worker was killed looks like one that ends its workers.
    assert world.watch.given_up <= CREATORS // 200
