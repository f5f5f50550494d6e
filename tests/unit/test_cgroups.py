"""The limits of the process's control groups, in both layouts, as containers and machines show them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from worker.service.cgroups import Cgroups, MemoryFiles, number


def cgroups(root: Path, own: str | None, files: Mapping[str, object]) -> Cgroups:
    """Lay out the files of groups, and the list of the process's own groups."""
    for name, content in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n", encoding="ascii")
    if own is not None:
        (root / "self").write_text(own, encoding="ascii")
    return Cgroups(root / "cgroup", root / "self")


V1 = "12:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n"


@pytest.mark.parametrize(
    ("own", "files", "cpus"),
    [
        pytest.param("0::/\n", {"cpu.max": "25000 100000"}, 0.25, id="a container with a quarter"),
        pytest.param("0::/\n", {"cpu.max": "max 100000"}, None, id="a container without a quota"),
        pytest.param(
            "0::/ecs/task/container\n",
            {"ecs/task/container/cpu.max": "max 100000", "ecs/task/cpu.max": "150000 100000"},
            1.5,
            id="the group above has the quota",
        ),
        pytest.param(
            "0::/a/b\n", {"a/b/cpu.max": "300000 100000", "a/cpu.max": "100000 100000"}, 1.0, id="the smaller of two"
        ),
        pytest.param("0::/../../elsewhere\n", {"cpu.max": "50000 100000"}, 0.5, id="a group that is not mounted here"),
        pytest.param(
            V1, {"cpu/docker/abc/cpu.cfs_quota_us": 200000, "cpu/docker/abc/cpu.cfs_period_us": 100000}, 2.0, id="v1"
        ),
        pytest.param(
            V1, {"cpu,cpuacct/cpu.cfs_quota_us": 25000, "cpu,cpuacct/cpu.cfs_period_us": 100000}, 0.25,
            id="v1, inside its container",
        ),
        pytest.param(V1, {"cpu/cpu.cfs_quota_us": -1, "cpu/cpu.cfs_period_us": 100000}, None, id="v1 without a quota"),
        pytest.param(V1, {"cpu/cpu.cfs_quota_us": 100000}, None, id="v1 without a period"),
        pytest.param("0::/\n", {"cpu.max": "nonsense"}, None, id="nonsense"),
        pytest.param(None, {}, None, id="no groups at all"),
    ],
)  # fmt: skip
def test_the_smallest_quota_counts(
    tmp_path: Path, own: str | None, files: Mapping[str, object], cpus: float | None
) -> None:
    assert cgroups(tmp_path, own, files).cpus() == cpus


def test_the_memory_files_are_those_of_the_nearest_group_with_a_limit(tmp_path: Path) -> None:
    files = {"a/b/memory.max": "max", "a/b/memory.current": 1, "a/memory.max": 500, "memory.max": 900}
    found = cgroups(tmp_path, "0::/a/b\n", files).memory()
    assert found is not None
    assert found.limit == tmp_path / "cgroup/a/memory.max"


@pytest.mark.parametrize(
    ("own", "files", "usage"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/b/memory.current": 7, "a/memory.current": 9}, "a/b/memory.current"),
        ("0::/\n", {"memory.max": "max", "memory.current": 7}, "memory.current"),
        (
            "4:memory:/ecs/task\n",
            {"memory/memory.limit_in_bytes": 9_223_372_036_854_771_712, "memory/memory.usage_in_bytes": 7},
            "memory/memory.usage_in_bytes",
        ),
    ],
)
def test_without_a_limit_the_processs_own_use_is_found(
    tmp_path: Path, own: str, files: Mapping[str, object], usage: str
) -> None:
    path = tmp_path / "cgroup" / usage
    assert cgroups(tmp_path, own, files).memory() == MemoryFiles(None, path, path.parent / "memory.stat")


def test_without_groups_there_is_nothing(tmp_path: Path) -> None:
    assert cgroups(tmp_path, None, {}).memory() is None


def test_this_machines_groups_can_be_read() -> None:
    quota = Cgroups().cpus()
    assert quota is None or quota > 0


def test_a_file_that_is_not_there_or_says_max_holds_no_number(tmp_path: Path) -> None:
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "seven").write_text("7\n")
    assert [number(tmp_path / name) for name in ("max", "none", "seven")] == [None, None, 7]
