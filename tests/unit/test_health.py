"""The health endpoint and the checks of the `health` command."""

import asyncio
import json
import socket
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError

from worker.aws.sqs import POLL_SLACK
from worker.service import app, health
from worker.service import receive as module
from worker.service.health import Check, as_json, check_all, health_endpoint, healthy
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
    receiver: Any = SimpleNamespace(silent_for=silent, in_flight=2)
    found, told = app._liveness(Settings(wait_time_seconds=20), receiver, stop)
    assert (found, told["status"], told["in_flight"]) == (well, status, 2)


def test_a_poll_that_sqs_does_not_answer_ends_before_the_worker_counts_as_deaf() -> None:
    """Otherwise an outage of SQS would have ECS end tasks in the middle of their work."""
    assert app.DEAF_AFTER > POLL_SLACK + module.PAUSE_AFTER_FAILURE * 1.5


class Aws:
    """Clients whose answers can be turned into refusals."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.s3 = self.sqs = self.dynamodb = self

    def _answer(self, name: str, answer: dict[str, Any]) -> dict[str, Any]:
        if name in self.broken:
            raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, name)
        return answer

    async def head_bucket(self, Bucket: str) -> dict[str, Any]:  # noqa: N803 -- boto3's name
        return self._answer("s3", {"Bucket": Bucket})

    async def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        return self._answer("sqs", {"Attributes": {"ApproximateNumberOfMessages": "3"}})

    async def describe_table(self, **_: Any) -> dict[str, Any]:
        return self._answer("dynamodb", {"Table": {"TableStatus": "ACTIVE"}})


async def checks_of(*broken: str, memory: float = 10.0, **settings: Any) -> dict[str, Check]:
    asked = Settings(**{"sqs_queue_url": "http://q/jobs", "allow_private_addresses": True, **settings})
    aws: Any = Aws(*broken)
    return {check.name: check for check in await check_all(asked, aws, lambda: memory)}


@pytest.fixture
async def outside(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stand in for the network outside."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    monkeypatch.setattr(health, "OUTSIDE", server.sockets[0].getsockname()[:2])
    yield server
    server.close()
    await server.wait_closed()


async def test_all_is_well_when_everything_answers(outside: Any) -> None:
    checks = await checks_of()
    assert set(checks) == {"memory", "s3", "sqs", "dynamodb", "network"}
    assert all(check.ok for check in checks.values()), checks
    assert healthy(list(checks.values()))
    assert "3 messages" in checks["sqs"].detail


@pytest.mark.parametrize("name", ["s3", "sqs", "dynamodb"])
async def test_what_does_not_answer_is_named_and_makes_the_whole_unwell(outside: Any, name: str) -> None:
    checks = await checks_of(name)
    assert [check.name for check in checks.values() if not check.ok] == [name]
    assert "Forbidden" in checks[name].detail
    assert not healthy(list(checks.values()))


async def test_critical_memory_is_unwell(outside: Any) -> None:
    checks = await checks_of(memory=95.0)
    assert not checks["memory"].ok
    assert "95%" in checks["memory"].detail
    assert "90%" in checks["memory"].detail


async def test_a_queue_that_is_not_named_is_unwell(outside: Any) -> None:
    checks = await checks_of(sqs_queue_url=None)
    assert "SQS_QUEUE_URL" in checks["sqs"].detail


@pytest.mark.parametrize(("private", "well"), [(True, True), (False, False)])
async def test_the_network_outside_is_required_unless_images_come_from_the_machine_itself(
    outside: Any, private: bool, well: bool
) -> None:
    outside.close()
    await outside.wait_closed()
    checks = await checks_of(allow_private_addresses=private)
    assert not checks["network"].ok
    assert healthy(list(checks.values())) is well


def test_the_answer_for_programs_names_every_check() -> None:
    told = json.loads(
        as_json([Check("s3", ok=False, detail="no answer"), Check("network", False, "-", required=False)])
    )
    assert told == {
        "healthy": False,
        "checks": {
            "s3": {"ok": False, "required": True, "detail": "no answer"},
            "network": {"ok": False, "required": False, "detail": "-"},
        },
    }
