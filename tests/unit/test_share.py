"""The worker's share of its machine: what its cgroup, ECS and the machine tell, and which of them counts."""

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_cgroups import cgroups
from worker.aws import ecs
from worker.errors import SettingsError, WorkerError
from worker.jobs.gate import Memory
from worker.service import share as module
from worker.service.share import own_share, usable_cores

MIB = 1 << 20
MACHINE = SimpleNamespace(percent=37.5, available=5 << 30, total=8 << 30)
UNLIMITED_V2 = {"memory.max": "max", "memory.current": 384 * MIB, "memory.stat": f"inactive_file {128 * MIB}"}
UNLIMITED_V1 = {
    "memory/memory.limit_in_bytes": 9_223_372_036_854_771_712,
    "memory/memory.usage_in_bytes": 384 * MIB,
    "memory/memory.stat": f"total_inactive_file {128 * MIB}",
}
V1, V2 = "4:memory:/ecs/t\n3:cpu,cpuacct:/ecs/t\n", "0::/\n"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two cores and 8 GiB, as a quarter of a vCPU on Fargate may see."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: MACHINE)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _pid: {0, 1})
    monkeypatch.setattr(ecs, "METADATA_PAUSES", (0.0, 0.0))


@asynccontextmanager
async def metadata(*answers: object) -> AsyncIterator[str]:
    """Serve a task's metadata; the last answer is given again and again. A number is an HTTP status."""
    left = list(answers)

    async def task(_request: web.Request) -> web.Response:
        answer = left.pop(0) if len(left) > 1 else left[0]
        return web.Response(status=answer) if isinstance(answer, int) else web.json_response(answer)

    application = web.Application()
    application.router.add_get("/v4/abc/task", task)
    async with TestServer(application) as server:
        yield f"http://127.0.0.1:{server.port}/v4/abc"


def task(cpu: float | None = 0.25, memory: float | None = 512) -> dict[str, Any]:
    limits = {name: value for name, value in (("CPU", cpu), ("Memory", memory)) if value is not None}
    return {"Cluster": "c", "TaskARN": "arn:aws:ecs:t", "LaunchType": "FARGATE", "Limits": limits, "Containers": []}


@pytest.mark.parametrize(("own", "files"), [(V2, UNLIMITED_V2), (V1, UNLIMITED_V1)], ids=["cgroup 2", "cgroup 1"])
async def test_where_the_cgroup_shows_no_limit_the_tasks_counts(
    tmp_path: Path, own: str, files: Mapping[str, object]
) -> None:
    async with metadata(task(memory=512)) as uri:
        share = await own_share(uri, cgroups(tmp_path, own, files))
    assert share.gauge.read() == Memory(50.0, 256 * MIB)
    assert share.gauge.limit_bytes == 512 * MIB


@pytest.mark.parametrize(
    ("own", "files"),
    [
        (V2, UNLIMITED_V2 | {"memory.max": 768 * MIB}),
        (V1, UNLIMITED_V1 | {"memory/memory.limit_in_bytes": 768 * MIB}),
    ],
    ids=["cgroup 2", "cgroup 1"],
)
async def test_a_limit_of_the_cgroup_comes_first(tmp_path: Path, own: str, files: Mapping[str, object]) -> None:
    async with metadata(task(memory=2048)) as uri:
        share = await own_share(uri, cgroups(tmp_path, own, files))
    assert share.gauge.limit_bytes == 768 * MIB


async def test_the_lower_limit_counts(tmp_path: Path) -> None:
    async with metadata(task(memory=512)) as uri:
        share = await own_share(uri, cgroups(tmp_path, V2, UNLIMITED_V2 | {"memory.max": 4096 * MIB}))
    assert share.gauge.limit_bytes == 512 * MIB


async def test_a_task_as_large_as_its_machine_has_its_own_limit(tmp_path: Path) -> None:
    async with metadata(task(memory=8 * 1024)) as uri:
        share = await own_share(uri, cgroups(tmp_path, V2, UNLIMITED_V2))
    assert share.gauge.limit_bytes == 8 << 30


async def test_a_task_whose_groups_tell_nothing_counts_what_its_machine_uses(tmp_path: Path) -> None:
    async with metadata(task(memory=6 * 1024)) as uri:
        share = await own_share(uri, cgroups(tmp_path, None, {}))
    assert share.gauge.read() == Memory(50.0, 3 << 30)


async def test_a_task_without_any_limit_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with metadata(task(memory=None)) as uri:
        with pytest.raises(SettingsError, match="`memory`"):
            await own_share(uri, cgroups(tmp_path, V2, UNLIMITED_V2))


async def test_a_task_without_a_limit_of_its_own_goes_by_its_cgroup(tmp_path: Path) -> None:
    async with metadata({"Cluster": "c"}) as uri:
        share = await own_share(uri, cgroups(tmp_path, V2, UNLIMITED_V2 | {"memory.max": 768 * MIB}))
    assert (share.cores, share.gauge.limit_bytes) == (2, 768 * MIB)


async def test_metadata_that_is_not_there_yet_is_asked_for_again(tmp_path: Path) -> None:
    async with metadata(404, 500, task()) as uri:
        share = await own_share(uri, cgroups(tmp_path, V2, UNLIMITED_V2))
    assert share.gauge.limit_bytes == 512 * MIB


@pytest.mark.parametrize("answer", [500, [], "oops"])
async def test_metadata_that_cannot_be_read_ends_the_worker_and_nothing_is_guessed(
    tmp_path: Path, answer: object
) -> None:
    async with metadata(answer) as uri:
        with pytest.raises(WorkerError, match="ECS_CONTAINER_METADATA_URI_V4"):
            await own_share(uri, cgroups(tmp_path, V2, UNLIMITED_V2))


async def test_an_endpoint_that_is_not_there_ends_the_worker(tmp_path: Path) -> None:
    async with metadata(task()) as uri:
        pass
    with pytest.raises(WorkerError):
        await own_share(uri, cgroups(tmp_path, V2, UNLIMITED_V2))


@pytest.mark.parametrize("cpu", [0.25, 0.5, 1])
async def test_a_task_with_less_than_two_vcpus_plans_for_one_core_though_it_sees_two(
    tmp_path: Path, cpu: float
) -> None:
    async with metadata(task(cpu=cpu)) as uri:
        assert (await own_share(uri, cgroups(tmp_path, V2, UNLIMITED_V2))).cores == 1


async def test_outside_of_ecs_the_cgroup_counts_and_without_one_the_machine(tmp_path: Path) -> None:
    share = await own_share(None, cgroups(tmp_path, V2, UNLIMITED_V2 | {"cpu.max": "50000 100000"}))
    assert (share.cores, share.gauge.limit_bytes) == (1, None)
    assert share.gauge.read() == Memory(37.5, 5 << 30)


@pytest.mark.parametrize(
    ("visible", "shares", "cores"),
    [
        (2, (None, None), 2),
        (2, (0.25, None), 1),
        (2, (None, 0.25), 1),
        (16, (1.5, 4), 2),
        (16, (8, 4), 4),
        (2, (64, 64), 2),
        (1, (), 1),
    ],
)
def test_cores_follow_the_smallest_share_rounded_up(visible: int, shares: tuple[float | None, ...], cores: int) -> None:
    assert usable_cores(visible, *shares) == cores


@given(st.integers(1, 256), st.lists(st.none() | st.floats(0.01, 512)))
def test_cores_are_at_least_one_and_never_more_than_are_visible(visible: int, shares: list[float | None]) -> None:
    cores = usable_cores(visible, *shares)
    assert 1 <= cores <= visible
    assert all(cores <= math.ceil(share) for share in shares if share is not None)
