"""Workers that end in the middle of a batch."""

import time

import pytest

from tests.system.compose import Compose
from tests.system.environment import Environment
from tests.system.manifests import creators, slow_manifest
from tests.system.test_delivered_twice import check_one_set
from tests.system.waiting import wait_for

CREATORS = 24
"""Three times as many as a worker has in hand at once, so that there is a middle."""


def test_a_worker_killed_in_the_middle_of_a_batch_and_started_again_finishes_it(
    compose: Compose, environment: Environment, name: str
) -> None:
    _start_batch(environment, name, milliseconds=1500)
    done_before = wait_for(lambda: _completed(environment, name), "the first creators")

    compose.run("kill", "--signal", "SIGKILL", "worker")

    done_before = done_before | _completed(environment, name)
    assert compose.worker().state()["State"]["ExitCode"] == 137
    assert 0 < len(done_before) < CREATORS, "it was killed in the middle"
    compose.up()
    check_one_set(environment, name, creators(name, CREATORS))
    asked = environment.requests(name)
    assert {count for path, count in asked.items() if path.rpartition("=")[2] in done_before} == {1}, (
        "what was done before was not done anew"
    )


@pytest.mark.parametrize(
    ("grace", "milliseconds"),
    [
        pytest.param("100", 1500, id="creators in hand are finished within the grace period"),
        pytest.param("7", 6000, id="what does not fit in the grace period is handed back"),
    ],
)
def test_sigterm_in_the_middle_of_a_batch_exits_0_in_time_and_the_next_worker_finishes_at_no_attempts_cost(
    compose: Compose, environment: Environment, name: str, grace: str, milliseconds: int
) -> None:
    compose.up(STOP_GRACE_SECONDS=grace)
    _start_batch(environment, name, milliseconds)
    wait_for(lambda: environment.requests(name), "requests")

    began = time.monotonic()
    compose.run("stop", "worker")

    assert time.monotonic() - began < float(grace) + 5
    first = compose.worker()
    assert first.state()["State"]["ExitCode"] == 0
    assert first.log()[-1]["event"] == "worker.stopped"
    assert not environment.summaries(name), "it was stopped in the middle"
    assert environment.messages_left() == 1

    lines_before = len(first.log())
    compose.up(STOP_GRACE_SECONDS=grace)  # the same container again: its log goes on
    check_one_set(environment, name, creators(name, CREATORS))
    received = [line for line in compose.worker().log()[lines_before:] if line["event"] == "message.received"]
    assert [line["receives"] for line in received] == [1]


def _start_batch(environment: Environment, name: str, milliseconds: int) -> None:
    environment.wait_until_idle()
    key = f"manual-uploads/{name}.csv"
    environment.upload(key, slow_manifest(environment.origin, creators(name, CREATORS), milliseconds))
    environment.send_job(key)


def _completed(environment: Environment, name: str) -> set[str]:
    """Return the creators that are done, told from their collages: the batch's id is not known yet."""
    keys = environment.keys(environment.output_bucket, f"collages/by-creator/{name}")
    records = [
        environment.table.query(
            KeyConditionExpression="creator_name = :creator", ExpressionAttributeValues={":creator": key.split("/")[2]}
        )["Items"]
        for key in keys
    ]
    return {str(item["creator_name"]) for items in records for item in items if item["status"] == "completed"}
