"""Twenty minutes of virtual time without one of AWS's services, a thousand messages in the queue."""

import json
import random
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from tests.simulation.misfortunes import OUTAGE_SECONDS, Misfortunes
from tests.simulation.orders import CONFIG, Order
from tests.simulation.refusals import Refusal
from tests.simulation.sqs import QUEUE
from tests.simulation.wire import Trouble
from tests.simulation.world import SLOTS, World
from worker.jobs.messages import explicit_of
from worker.keys import batch_id
from worker.model import InlineManifest, Job

MANY, FEW = 1_000, 100
BEGINS = 5.0
BACK_WITHIN = 60.0
WORKERS = 2

EVERYTHING = [
    (where, kind)
    for where in (r"^s3\.", r"^dynamodb\.", r"^sqs\.")
    for kind in ("outage", "throttled", "denied", "expired", "missing")
]
SOME = [(r"^dynamodb\.", "throttled"), (r"^s3\.", "denied"), (r"^sqs\.", "outage")]
IN_PART = [
    (r"^dynamodb\.put_item", "denied"),
    (r"^dynamodb\.transact", "throttled"),
    (r"^s3\.put_object", "denied"),
    (r"^s3\..*tiktok-image-output", "missing"),
    (r"^sqs\.delete_message", "denied"),
    (r"^sqs\.send_message", "denied"),
    (r".", "unreachable"),
]


class Busy(World):
    """A world in which nothing happens but this outage, and a thousand messages wait."""

    def __init__(self, refusal: Refusal, messages: int) -> None:
        super().__init__(1, Misfortunes(refusals=[refusal]))
        self.trouble = self.wire.trouble = Trouble()
        self.queue.duplicates = 0.0
        self.flaky, self.split, self.pace, self.wanted = False, False, 0.5, WORKERS
        self.troubled_for = refusal.ends
        self.orders = [_order(number) for number in range(messages)]
        self.deleted: list[float] = []

    def _troubles(self) -> Iterator[Coroutine[Any, Any, None]]:
        return iter(())

    async def _send(self, body: str) -> None:
        self.queue.send_message(None, QueueUrl=QUEUE, MessageBody=body)


def _order(number: int) -> Order:
    text, prefix = f"creator,url\nann,https://origin/{number}/ann/0/good\n", f"in{number}/"
    message = {"processing_type": "csv_inline", "csv_data": text, "output_prefix": prefix}
    job = Job(InlineManifest(text), prefix, CONFIG, from_event=False, explicit=explicit_of(prefix, None))
    return Order(batch_id(job), "", {"ann": 1}, [json.dumps(message)], job=job)


@pytest.mark.parametrize(
    ("where", "kind", "messages"),
    [pytest.param(*each, MANY, marks=pytest.mark.soak, id=" ".join(each)) for each in EVERYTHING + IN_PART]
    + [pytest.param(*each, FEW, id=" ".join(each) + " few") for each in SOME],
)
def test_twenty_minutes_without_a_service_dead_letter_nothing_and_work_is_back_within_a_minute(
    where: str, kind: str, messages: int
) -> None:
    random.seed(1)
    world = Busy(Refusal(where, kind, BEGINS, BEGINS + OUTAGE_SECONDS), messages)
    ran = world.run()
    assert ran.broken == [], ran.broken[:5]
    assert world.wire.hits["refused"] > 0, "the outage met no call"
    assert (world.queue.dead, ran.redrives) == ([], 0)
    ends = BEGINS + OUTAGE_SECONDS
    closed = [at for at, _, what, came in world.wire.trace if what.startswith("sqs.delete_message") and came == "ok"]
    assert len([at for at in closed if at < BEGINS]) > SLOTS, "work had begun before the outage"
    back = [at for at in closed if at > ends][2 * WORKERS * SLOTS]
    assert back - ends <= BACK_WITHIN, f"back after {back - ends:.0f} s"
    puts = [what for _, _, what, came in world.wire.trace if what.startswith("s3.put_object") and "by-creator" in what]
    assert len(set(puts)) == messages
