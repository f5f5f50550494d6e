"""The checks of the `health` command."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from worker.decode import pool
from worker.service.checks import OUTSIDE, Check, as_json, check_all, confinement, healthy
from worker.service.health import health_endpoint
from worker.settings import Settings


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


async def checks_of(
    *broken: str, memory: float = 10.0, outside: tuple[str, int] = OUTSIDE, **settings: Any
) -> dict[str, Check]:
    usual = {"sqs_queue_url": "http://q/jobs", "allow_private_addresses": True, "health_port": 0}
    asked = Settings(**{**usual, **settings})
    aws: Any = Aws(*broken)

    async def memory_percent() -> float:
        return memory

    return {check.name: check for check in await check_all(asked, aws, memory_percent, outside)}


@pytest.fixture
async def outside() -> AsyncIterator[tuple[str, int]]:
    """Stand in for the network outside."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[:2]
    server.close()
    await server.wait_closed()


async def test_all_is_well_when_everything_answers(outside: tuple[str, int]) -> None:
    checks = await checks_of(outside=outside)
    assert set(checks) == {"memory", "sandbox", "s3", "sqs", "dynamodb", "network", "worker"}
    assert all(check.ok for check in checks.values() if check.required), checks
    assert healthy(list(checks.values()))
    assert "3 messages" in checks["sqs"].detail


@pytest.mark.parametrize("name", ["s3", "sqs", "dynamodb"])
async def test_what_does_not_answer_is_named_and_makes_the_whole_unwell(outside: tuple[str, int], name: str) -> None:
    checks = await checks_of(name, outside=outside)
    assert [check.name for check in checks.values() if check.required and not check.ok] == [name]
    assert "Forbidden" in checks[name].detail
    assert not healthy(list(checks.values()))


@pytest.mark.parametrize(
    ("waits_for", "ok", "told"),
    [
        ({}, True, "ok, 2 messages in flight"),
        ({"s3": {"error": "writing s3://b/k: 403"}}, False, "it waits for s3: writing s3://b/k: 403"),
    ],
)
async def test_the_worker_of_this_machine_tells_what_it_waits_for(
    outside: tuple[str, int], unused_tcp_port: int, waits_for: dict[str, Any], ok: bool, told: str
) -> None:
    document = {"status": "ok", "in_flight": 2, "waits_for": waits_for}
    async with health_endpoint(unused_tcp_port, lambda: (True, document)):
        checks = await checks_of(outside=outside, health_port=unused_tcp_port)
    assert (checks["worker"].ok, checks["worker"].detail) == (ok, told)


async def test_where_no_worker_runs_here_that_is_told_and_is_no_fault(outside: tuple[str, int]) -> None:
    checks = await checks_of(outside=outside)
    assert not checks["worker"].ok
    assert healthy(list(checks.values()))


async def test_critical_memory_is_unwell(outside: tuple[str, int]) -> None:
    checks = await checks_of(outside=outside, memory=95.0)
    assert not checks["memory"].ok
    assert "95%" in checks["memory"].detail
    assert "90%" in checks["memory"].detail


async def test_what_confines_the_decoders_is_told(outside: tuple[str, int]) -> None:
    check = (await checks_of(outside=outside))["sandbox"]
    assert (check.ok, check.required) == (True, True)
    assert "seccomp" in check.detail


@pytest.mark.parametrize("required", [True, False])
async def test_decoders_that_seccomp_does_not_confine_are_unwell_unless_that_was_allowed(
    outside: tuple[str, int], monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    monkeypatch.setattr(pool, "DECODER", "tests.security.unconfined")
    checks = await checks_of(outside=outside, require_sandbox=required)
    assert (checks["sandbox"].ok, checks["sandbox"].required) == (False, required)
    assert "seccomp" in checks["sandbox"].detail
    assert healthy(list(checks.values())) is not required


@pytest.mark.parametrize(
    ("levels", "told"),
    [
        (
            {"seccomp": True, "network_namespace": True, "user_namespace": True, "landlock": 7},
            "decoders are confined by seccomp, namespaces, Landlock (version 7)",
        ),
        (
            {"seccomp": True, "network_namespace": False, "landlock": 0},
            "decoders are confined by seccomp; without namespaces, Landlock",
        ),
        (
            {"seccomp": False, "landlock": 3},
            "decoders are confined by Landlock (version 3); without seccomp, namespaces",
        ),
        ({}, "decoders are confined by limits only; without seccomp, namespaces, Landlock"),
    ],
)
def test_it_is_said_what_confines_the_decoders_and_what_does_not(levels: dict[str, bool | int], told: str) -> None:
    assert confinement(levels) == told


async def test_a_queue_that_is_not_named_is_unwell(outside: tuple[str, int]) -> None:
    checks = await checks_of(outside=outside, sqs_queue_url=None)
    assert "SQS_QUEUE_URL" in checks["sqs"].detail


@pytest.mark.parametrize(("private", "well"), [(True, True), (False, False)])
async def test_the_network_outside_is_required_unless_images_come_from_the_machine_itself(
    unused_tcp_port: int, private: bool, well: bool
) -> None:
    checks = await checks_of(outside=("127.0.0.1", unused_tcp_port), allow_private_addresses=private)
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
