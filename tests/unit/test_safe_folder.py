"""A folder that is written to, and nothing outside of it."""

import errno
import os
from pathlib import Path

import pytest

from worker.cli.safe_folder import SafeFolder
from worker.errors import JobReason, Unavailable


def everything(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*") if not found.is_dir())


def test_a_file_appears_whole_in_folders_that_are_made(tmp_path: Path) -> None:
    folder = SafeFolder(tmp_path / "new" / "out")
    folder.write("a/b/c.jpg", b"1")
    folder.write("a/b/c.jpg", b"2")
    assert everything(tmp_path) == ["new/out/a/b/c.jpg"]
    assert (tmp_path / "new/out/a/b/c.jpg").read_bytes() == b"2"
    folder.remove("a/b/c.jpg")
    folder.remove("a/b/c.jpg")
    assert everything(tmp_path) == []


def test_nothing_unfinished_is_left_where_the_disk_is_full(tmp_path: Path) -> None:
    def half() -> None:
        with SafeFolder(tmp_path).writing("a/c.jpg") as file:
            file.write(b"some of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(Unavailable, match="No space left") as caught:
        half()
    assert caught.value.reason is JobReason.DISK_FULL
    assert everything(tmp_path) == []


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".c.jpg.part").write_bytes(b"half")
    SafeFolder(tmp_path).write("c.jpg", b"whole")
    assert everything(tmp_path) == ["c.jpg"]


@pytest.mark.parametrize("name", ["link/c.jpg", "a/link/c.jpg"])
def test_nothing_is_written_through_a_symbolic_link(tmp_path: Path, name: str) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (out / "a").mkdir(parents=True)
    elsewhere.mkdir()
    (out / name).parent.symlink_to(elsewhere)
    with pytest.raises(Unavailable, match="is a symbolic link") as caught:
        SafeFolder(out).write(name, b"x")
    assert caught.value.reason is JobReason.OUTPUT_UNWRITABLE
    assert everything(elsewhere) == []


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / "c.jpg").symlink_to(victim)
    (out / ".c.jpg.part").symlink_to(victim)
    SafeFolder(out).write("c.jpg", b"x")
    assert victim.read_bytes() == b"mine"
    assert (out / "c.jpg").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["../c.jpg", "a/../../c.jpg", "/etc/c.jpg", ".."])
def test_no_name_leads_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(Unavailable, match="leads out"):
        SafeFolder(tmp_path / "out").write(name, b"x")
    assert everything(tmp_path) == []


def test_a_chosen_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    SafeFolder(tmp_path / "out").write("c.jpg", b"x")
    assert everything(tmp_path / "real") == ["c.jpg"]
