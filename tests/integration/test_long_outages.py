"""Minutes without one of AWS's services, a thousand messages in the queue: nothing is lost, and work goes on by itself.

`OUTAGE_SECONDS` and `OUTAGE_MESSAGES` make it shorter or longer; a lease is never longer than an outage.
"""

import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.faulty import Answer, Faulty, json_error, xml_error
from tests.integration.pictures import SMALL, Origin, manifest
from tests.integration.places import Place
from tests.integration.processes import Worker
from tests.integration.waiting import until

SECONDS = float(os.environ.get("OUTAGE_SECONDS", "180"))
MESSAGES = int(os.environ.get("OUTAGE_MESSAGES", "1000"))
BACK_WITHIN = 60.0
SLOTS = 4

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1_800)]

Breaks = Callable[[Faulty], object]


def refuses(pattern: str, answer: Answer) -> Breaks:
    return lambda proxy: proxy.refuse(pattern, answer)


FAULTS: dict[str, tuple[str, Breaks]] = {
    "S3 answers 500": ("s3", refuses(r"^s3\.", xml_error(500, "InternalError"))),
    "S3 answers 503 SlowDown": ("s3", refuses(r"^s3\.", xml_error(503, "SlowDown"))),
    "S3 denies": ("s3", refuses(r"^s3\.", xml_error(403, "AccessDenied"))),
    "S3 denies puts alone": ("s3", refuses(r"^s3\.PUT", xml_error(403, "AccessDenied"))),
    "the token is expired": ("s3", refuses(r"^s3\.", xml_error(400, "ExpiredToken"))),
    "DynamoDB answers 500": ("dynamodb", refuses(r"^dynamodb\.", json_error(500, "InternalServerError"))),
    "DynamoDB throttles": ("dynamodb", refuses(r"^dynamodb\.", json_error(400, "ThrottlingException"))),
    "DynamoDB denies": ("dynamodb", refuses(r"^dynamodb\.", json_error(400, "AccessDeniedException"))),
    "DynamoDB denies puts alone": (
        "dynamodb",
        refuses(r"^dynamodb\.PutItem", json_error(400, "AccessDeniedException")),
    ),
    "SQS answers 500": ("sqs", refuses(r"^sqs\.", json_error(500, "InternalError"))),
    "SQS throttles": ("sqs", refuses(r"^sqs\.", json_error(400, "RequestThrottled"))),
    "SQS denies": ("sqs", refuses(r"^sqs\.", json_error(400, "AccessDeniedException"))),
    "SQS denies deletes alone": ("sqs", refuses(r"^sqs\.DeleteMessage", json_error(400, "AccessDeniedException"))),
    "the network is gone": ("", Faulty.go_away),
}


def send(place: Place, origin: Origin) -> None:
    """Send messages of one creator with one small image each."""
    settings = {"cell_size": 32, "rows": 1, "cols": 1, "quality": 50}
    for first in range(0, MESSAGES, 10):
        bodies = []
        for number in range(first, min(first + 10, MESSAGES)):
            text = manifest([(f"creator-{number}", origin.photo(SMALL[0], f"{place.table}-{number}"))])
            bodies.append({"processing_type": "csv_inline", "csv_data": text, "processing_config": settings})
        place.aws.sqs.send_message_batch(
            QueueUrl=place.queue_url,
            Entries=[{"Id": str(number), "MessageBody": json.dumps(body)} for number, body in enumerate(bodies)],
        )


def rate(worker: Worker, done: int, seconds: float) -> float:
    """Return messages a second from now on; waits for them for so long."""
    began = time.monotonic()
    while time.monotonic() - began < seconds and deleted(worker) < MESSAGES:
        time.sleep(0.5)
    return (deleted(worker) - done) / (time.monotonic() - began)


def deleted(worker: Worker) -> int:
    return len(worker.logged("message.deleted"))


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_and_the_work_goes_on_within_a_minute(
    place: Place, origin: Origin, proxy: Faulty, fault: str
) -> None:
    dependency, breaks = FAULTS[fault]
    send(place, origin)
    settings: Any = {"VISIBILITY_TIMEOUT": min(120.0, SECONDS / 3), "MAX_CONCURRENT_JOBS": SLOTS}
    with Worker(place.env(proxy.endpoint, **settings)) as worker:
        until(lambda: deleted(worker) >= 20, "the first messages' end", within=120)
        before = rate(worker, deleted(worker), 10.0)

        breaks(proxy)
        worker.until_logged("dependency.down", within=SECONDS, **({"dependency": dependency} if dependency else {}))
        time.sleep(SECONDS)  # the outage itself
        assert deleted(worker) < MESSAGES, "the outage came too late to show anything"

        proxy.come_back()
        proxy.mend()
        ended, done = time.monotonic(), deleted(worker)
        until(lambda: deleted(worker) >= done + 2 * SLOTS, "messages' ends after the outage", within=BACK_WITHIN)
        back_after = time.monotonic() - ended
        after = rate(worker, deleted(worker), 10.0)
        print(f"\n{fault}: {before:.1f}/s before, {after:.1f}/s from {back_after:.0f} s after its end on")

        place.until_empty(within=600)
        assert place.dead_count() == 0
        assert worker.stop() == 0

    records = [item for item in place.items() if not item["creator_name"].startswith(" ")]
    assert sorted(record["status"] for record in records) == ["completed"] * MESSAGES
    assert len([key for key in place.listed() if "/by-creator/" in key]) == MESSAGES
    # Work that was under way when the outage came is begun again, and nothing else.
    twice = origin.asked(f"{place.table}-") - MESSAGES
    assert twice <= 3 * SLOTS, f"{twice} images were fetched twice"
