"""Memory in use, as the kernel tells it: cgroup v2, cgroup v1, or the machine."""

import gc
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tests.unit.test_cgroups import cgroups
from worker.jobs.gate import Memory
from worker.service.memory import READ_EVERY, MemoryGauge, spare_the_collector

MIB = 1 << 20
MACHINE = Memory(37.5, 5 << 30)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    there = SimpleNamespace(percent=MACHINE.percent, available=MACHINE.free_bytes, total=8 << 30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: there)


def read(root: Path, own: str | None, files: Mapping[str, object]) -> Memory:
    return MemoryGauge(cgroups(root, own, files)).read()


def v2(
    group: str = "", limit: object = 1000 * MIB, used: int = 600 * MIB, inactive: int = 100 * MIB
) -> dict[str, object]:
    return {
        f"{group}memory.max": limit,
        f"{group}memory.current": used,
        f"{group}memory.stat": f"anon 1\ninactive_anon 7\ninactive_file {inactive}\nactive_file 3",
    }


def v1(group: str = "", limit: int = 1000 * MIB, used: int = 600 * MIB) -> dict[str, object]:
    return {
        f"memory/{group}memory.limit_in_bytes": limit,
        f"memory/{group}memory.usage_in_bytes": used,
        f"memory/{group}memory.stat": f"cache 1\nrss 2\ninactive_file {100 * MIB}\ntotal_inactive_file {100 * MIB}",
    }


HALF = Memory(50.0, 500 * MIB)


def test_a_containers_own_limit_counts_and_idle_file_pages_do_not(tmp_path: Path) -> None:
    assert read(tmp_path, "0::/\n", v2()) == HALF


def test_a_nested_group_is_found_by_its_path(tmp_path: Path) -> None:
    assert read(tmp_path, "0::/ecs/task/container\n", v2("ecs/task/container/")) == HALF


def test_a_group_without_a_limit_is_held_to_the_one_above_it(tmp_path: Path) -> None:
    files = v2("ecs/task/", used=700 * MIB) | v2("ecs/task/container/", limit="max", used=1)
    assert read(tmp_path, "0::/ecs/task/container\n", files) == Memory(60.0, 400 * MIB)


def test_a_group_that_is_not_mounted_here_is_held_to_the_mounts_root(tmp_path: Path) -> None:
    assert read(tmp_path, "0::/../../elsewhere\n", v2()) == HALF


def test_without_a_limit_the_machine_counts(tmp_path: Path) -> None:
    assert read(tmp_path, "0::/\n", v2(limit="max")) == MACHINE


def test_a_limit_above_the_machines_memory_is_none(tmp_path: Path) -> None:
    assert read(tmp_path, "0::/\n", v2(limit=16 << 30)) == MACHINE


def test_version_one_groups_are_read_as_well(tmp_path: Path) -> None:
    own = "12:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n"
    assert read(tmp_path, own, v1("docker/abc/")) == HALF


def test_a_version_one_group_inside_its_container_stands_at_the_mounts_root(tmp_path: Path) -> None:
    assert read(tmp_path, "4:memory:/docker/abc\n", v1()) == HALF


def test_the_huge_number_that_version_one_writes_is_no_limit(tmp_path: Path) -> None:
    assert read(tmp_path, "4:memory:/\n", v1(limit=9_223_372_036_854_771_712)) == MACHINE


def test_a_machine_without_cgroups_counts_as_a_whole(tmp_path: Path) -> None:
    assert read(tmp_path, None, {}) == MACHINE


@pytest.mark.parametrize("stat", ["", "nonsense", "anon 5"])
def test_statistics_that_say_nothing_of_idle_pages_are_taken_as_none(tmp_path: Path, stat: str) -> None:
    assert read(tmp_path, "0::/\n", v2() | {"memory.stat": stat}) == Memory(60.0, 400 * MIB)


def test_more_idle_pages_than_use_is_no_use(tmp_path: Path) -> None:
    assert read(tmp_path, "0::/\n", v2(used=50 * MIB)) == Memory(0.0, 1000 * MIB)


def test_use_beyond_the_limit_leaves_nothing_free(tmp_path: Path) -> None:
    found = read(tmp_path, "0::/\n", v2(used=1200 * MIB, inactive=0))
    assert (found.percent, found.free_bytes) == (120.0, 0)


def test_files_that_go_away_leave_the_machine(tmp_path: Path) -> None:
    gauge = MemoryGauge(cgroups(tmp_path, "0::/\n", v2()))
    (tmp_path / "cgroup/memory.current").unlink()
    assert gauge.read() == MACHINE


def test_a_reading_stands_for_a_moment(tmp_path: Path) -> None:
    now = 100.0
    gauge = MemoryGauge(cgroups(tmp_path, "0::/\n", v2()), clock=lambda: now)
    assert gauge.read() == HALF
    cgroups(tmp_path, None, v2(used=1000 * MIB))
    now += READ_EVERY / 2
    assert gauge.read() == HALF
    now += READ_EVERY
    assert gauge.read().percent == 90.0


def test_this_machine_can_be_read() -> None:
    assert MemoryGauge().read().percent >= 0


def test_a_spared_collector_leaves_out_what_was_there_and_frees_what_comes_later() -> None:
    class Loop:
        alive = 0

        def __init__(self) -> None:
            self.itself = self
            Loop.alive += 1

        def __del__(self) -> None:
            Loop.alive -= 1

    before = gc.get_threshold()
    try:
        spare_the_collector()
        assert gc.get_freeze_count() > 10_000
        for _ in range(50_000):
            Loop()
            assert Loop.alive < 20_000
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
    gc.collect()
    assert Loop.alive == 0
