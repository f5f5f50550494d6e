"""A worker that does not hear any more is told from one that has nothing to do, and hears again when it can."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.crash.altered import altered
from tests.crash.scenarios import whole_batches
from tests.integration.faulty import Faulty
from tests.integration.pictures import EVERY, SMALL, Origin, manifest, token
from tests.integration.places import Place
from tests.integration.processes import Worker
from tests.integration.waiting import until

SOON_DEAF = "app.DEAF_AFTER = 2.0"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def health(port: int) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    except OSError:
        return 0, {}


def one_batch(place: Place, origin: Origin, *, within: float = 60) -> None:
    name = token()
    place.send_job(manifest([(name, origin.photo(SMALL[0], name))]), name)
    place.batch(name, within=within)
    place.until_empty(within=within)


def test_polls_that_do_not_come_back_are_told_and_forgiven(
    place: Place, origin: Origin, proxy: Faulty, tmp_path: Path
) -> None:
    port = free_port()
    env = place.env(proxy.endpoint, HEALTH_PORT=port, **altered(tmp_path, SOON_DEAF))
    with Worker(env, check=False) as worker:
        worker.ready()
        until(lambda: health(port)[0] == 200, "a worker that is well")
        held = proxy.hold(r"sqs\.ReceiveMessage", times=None)
        status, told = until(lambda: (health(port)[0] == 503) and health(port), "a worker that says it is deaf")
        assert (status, told["status"]) == (503, "deaf")
        assert told["seconds_since_poll"] > 2
        proxy.mend()
        until(lambda: health(port)[0] == 200, "a worker that hears again")
        assert held.reached.is_set()
        one_batch(place, origin)
        assert worker.stop() == 0


def test_the_heartbeat_keeps_time_while_every_core_is_busy(place: Place, origin: Origin, proxy: Faulty) -> None:
    name, cores = token(), os.cpu_count() or 1
    rows = [
        (f"{name}-{number % (15 * cores)}", origin.photo(EVERY[number % len(EVERY)], f"{name}-{number}"))
        for number in range(450 * cores)
    ]
    rows.append((f"{name}-0", f"{origin.base}/slow/10000/{SMALL[0]}?{name}"))  # or a fast machine were done too soon
    one_message = {"BATCH_COORDINATION_ENABLED": "false", "DECODE_PROCESSES": 2 * cores}
    env = place.env(proxy.endpoint, VISIBILITY_TIMEOUT=6, **one_message)
    with ExitStack() as stack, Worker(env) as worker:
        worker.ready()
        for _ in range(cores):
            burner = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(burner.kill)
        place.send_job(manifest(rows), name, processing_config={"max_workers": 64})
        batch_id, batch = place.batch(name, within=120)
        place.until_empty(within=60)
        assert len(worker.logged("message.received")) == 1, "it never became visible to others"
        assert worker.logged("heartbeat.failed") == []
    assert batch["fence"] == 1, "its lease never ran out"
    assert len(place.records(batch_id)) == 15 * cores
    assert proxy.seen(r"sqs\.ChangeMessageVisibility") >= 3, "the work lasted longer than the message was hidden for"


@pytest.mark.crash
def test_an_endpoint_that_is_away_and_comes_back_costs_nothing_but_time(
    place: Place, origin: Origin, proxy: Faulty, tmp_path: Path
) -> None:
    port = free_port()
    env = place.env(proxy.endpoint, HEALTH_PORT=port, VISIBILITY_TIMEOUT=4, **altered(tmp_path, SOON_DEAF))
    with Worker(env, check=False) as worker:
        worker.ready()
        one_batch(place, origin)
        proxy.go_away()
        name = token()
        place.send_job(manifest([(name, origin.photo(SMALL[0], name))]), name)
        worker.until_logged("queue.receive_failed", times=3, within=60)
        assert health(port)[0] == 200, "ECS would end the task, which mends nothing"
        proxy.come_back()
        place.batch(name, within=60)
        place.until_empty()
        until(lambda: health(port)[0] == 200, "a worker that is well again")
        assert worker.is_running
        assert place.dead_count() == 0


@pytest.mark.crash
def test_an_endpoint_that_goes_away_in_the_middle_of_a_batch_loses_none_of_it(
    place: Place, origin: Origin, proxy: Faulty
) -> None:
    name = token()
    rows = [(f"{name}-{number}", f"{origin.base}/slow/800/{SMALL[0]}?{name}-{number}") for number in range(12)]
    with Worker(place.env(proxy.endpoint, VISIBILITY_TIMEOUT=4, CHUNK_CREATORS=3, MAX_CONCURRENT_JOBS=1)) as worker:
        place.send_job(manifest(rows), name, processing_config={"max_workers": 1})
        worker.until_logged("creator.finished", times=2)
        proxy.go_away()
        worker.until_logged("lease.extension_failed", within=60)
        proxy.come_back()
        place.until_empty(within=90)
    ((batch_id, batch),) = whole_batches(place).items()
    assert batch["state"] == "completed"
    records = place.records(batch_id)
    assert {record["status"] for record in records.values()} == {"completed"}
    assert len(records) == len(rows) == len(place.listed(prefix="collages/"))
    assert place.dead_count() == 0


@pytest.mark.parametrize(
    "code",
    [
        "def read(self): raise RuntimeError('the gauge broke')\napp.MemoryGauge.read = read",
        "async def keep(self): raise RuntimeError('the gauge broke')\napp.ScaleIn.keep = keep",
        "async def receive(self, *a, **k): raise RuntimeError('the gauge broke')\napp.Queue.receive = receive",
    ],
    ids=["the memory gauge", "the scale-in protection", "the poll"],
)
def test_a_side_task_that_dies_ends_the_process_loudly(place: Place, tmp_path: Path, code: str) -> None:
    with Worker(place.env(**altered(tmp_path, code)), check=False) as worker:
        assert worker.exit_code(within=60) == 1
        (line,) = worker.logged("worker.died")
        assert line["level"] == "critical"
        assert "the gauge broke" in json.dumps(line["exception"])
        assert "Traceback (most recent" not in worker.stderr, "it is told in one line of JSON"
