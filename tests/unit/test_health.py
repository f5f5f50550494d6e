"""The health endpoint: the process, not AWS."""

import asyncio
import json
import socket
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from worker.aws.calls import PROBE_DEADLINE
from worker.aws.sqs import POLL_SLACK
from worker.service import app
from worker.service.breaker import TIMES
from worker.service.health import health_endpoint
from worker.settings import Settings


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


async def answer(port: int, path: str = "/healthz") -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


@pytest.mark.parametrize(("well", "status"), [(True, 200), (False, 503)])
async def test_the_endpoint_says_how_the_worker_is(port: int, well: bool, status: int) -> None:
    async with health_endpoint(port, lambda: (well, {"status": "as told"})):
        found, body = await answer(port)
    assert (found, json.loads(body)) == (status, {"status": "as told"})


async def test_the_endpoint_knows_no_other_path(port: int) -> None:
    async with health_endpoint(port, lambda: (True, {})):
        assert (await answer(port, "/"))[0] == 404


async def test_the_endpoint_ends_with_its_body(port: int) -> None:
    async with health_endpoint(port, lambda: (True, {})):
        pass
    with pytest.raises(aiohttp.ClientConnectionError):
        await answer(port)


async def test_a_port_that_is_taken_does_not_stop_the_worker() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        async with health_endpoint(taken.getsockname()[1], lambda: (True, {})):
            pass


async def test_port_zero_is_no_endpoint() -> None:
    async with health_endpoint(0, lambda: (True, {})):
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(
    ("silent", "stopping", "well", "status"),
    [
        (0.0, False, True, "ok"),
        (20.0 + app.DEAF_AFTER - 1, False, True, "ok"),
        (20.0 + app.DEAF_AFTER + 1, False, False, "deaf"),
        (9_999.0, True, True, "stopping"),
    ],
)
def test_a_worker_that_has_not_polled_for_long_is_deaf_unless_it_stops(
    silent: float, stopping: bool, well: bool, status: str
) -> None:
    stop = asyncio.Event()
    if stopping:
        stop.set()
    receiver: Any = SimpleNamespace(silent_for=silent, in_flight=2, waits_for={})
    found, told = app.liveness(Settings(wait_time_seconds=20), receiver, stop)
    assert (found, told["status"], told["in_flight"]) == (well, status, 2)


def test_a_poll_that_sqs_does_not_answer_ends_before_the_worker_counts_as_deaf() -> None:
    """Otherwise an outage of SQS would have ECS end tasks in the middle of their work."""
    assert max(POLL_SLACK, TIMES.longest_pause + PROBE_DEADLINE) < app.DEAF_AFTER
