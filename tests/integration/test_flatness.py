"""Many messages through one worker: its memory stays where it was, and it leaves nothing open."""

import json
import math
from typing import Any

import pytest

from tests.integration.pictures import SMALL, Origin, manifest, token
from tests.integration.places import Place
from tests.integration.processes import Worker
from tests.integration.waiting import until


def send(place: Place, origin: Origin, tag: str, count: int) -> None:
    """Send messages of one creator with one small image each; ten in a call."""
    text = manifest([(tag, origin.photo(SMALL[0], tag))])
    job: dict[str, Any] = {"processing_type": "csv_inline", "csv_data": text}
    job["processing_config"] = {"cell_size": 32, "rows": 1, "cols": 1, "quality": 50}
    for first in range(0, count, 10):
        numbers = range(first, min(first + 10, count))
        bodies = [json.dumps(job | {"output_prefix": f"{tag}/{number}/"}) for number in numbers]
        place.aws.sqs.send_message_batch(
            QueueUrl=place.queue_url,
            Entries=[{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)],
        )


@pytest.mark.parametrize(
    ("early", "late"),
    [
        pytest.param(30, 120, id="120 messages"),
        pytest.param(100, 1_000, id="1000 messages", marks=[pytest.mark.soak, pytest.mark.timeout(1_200)]),
    ],
)
def test_memory_after_many_messages_is_what_it_was_after_few(
    place: Place, origin: Origin, early: int, late: int
) -> None:
    with Worker(place.env(MAX_CONCURRENT_JOBS=4, LOG_LEVEL="warning")) as worker:
        held = math.nan
        for count in (early, late - early):
            tag = token()
            send(place, origin, tag, count)
            until(lambda: place.waiting() == 0, "an empty queue", within=900, every=0.25)
            # a collage, a part, the table of creators, the summary and the report of each
            assert len(place.listed(prefix=f"{tag}/")) == 5 * count
            before, held = held, worker.resident_bytes()
        assert held < before * 1.1, f"{held / 1e6:.0f} MB after {late} messages, {before / 1e6:.0f} MB after {early}"
        assert worker.stop() == 0
        assert worker.stderr == "", "no warning, nothing left open"
