"""`docker run` over a folder, as the how-to has it: `collage process`, with files that belong to the person."""

import os
import pty
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.system.compose import PROJECT, ROOT, Compose
from tests.system.environment import Environment
from tests.system.manifests import manifest

HOW_TO = ROOT / "docs/how-to/docker-folder.md"
SOMEBODY = 12345


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a person who is not root."""
    if os.getuid() == 0:
        for parent in [tmp_path, *tmp_path.parents[:3]]:
            parent.chmod(0o755)
        os.chown(tmp_path, SOMEBODY, SOMEBODY)
    return tmp_path


def as_documented(folder: Path, image: str) -> list[str]:
    """Return the command of the how-to, for this folder and the origin of these tests."""
    text = next(line for line in HOW_TO.read_text(encoding="utf-8").splitlines() if line.startswith("$ docker run"))
    owner = folder.stat()
    text = text.removeprefix("$ ").replace("$(id -u):$(id -g)", f"{owner.st_uid}:{owner.st_gid}")
    options = f"--network {PROJECT}_default --env ALLOW_PRIVATE_ADDRESSES=true "
    return shlex.split(text.replace("$PWD", str(folder)).replace("collage-worker:local", options + image))


def at_a_terminal(command: list[str], seconds: float) -> tuple[int, str]:
    """Run a command at a terminal; returns its exit code and what the terminal got."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 65_536):
                shown += block
        except OSError:  # the terminal's other end is closed: the command has ended
            pass
        finally:
            os.close(ours)
        return process.wait(seconds), shown.decode(errors="replace")


def test_one_docker_run_over_a_folder_makes_collages_that_belong_to_the_person(
    compose: Compose, environment: Environment, folder: Path
) -> None:
    rows = [("lina.bakes", f"{environment.origin}/photos/{name}.jpg") for name in ("koala", "moose", "bison")]
    (folder / "covers.csv").write_bytes(manifest(rows))
    (folder / "worker").mkdir()  # what lies in the folder is no code
    (folder / "typing.py").write_text("raise SystemExit('code of the folder was run')\n", encoding="utf-8")

    code, shown = at_a_terminal(as_documented(folder, compose.worker().state()["Image"]), seconds=60)

    assert code == 0, shown
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"covers\.csv\s+1/1\b", seen), f"no progress bar in {seen!r}"
    (collage,) = (folder / "collages").rglob("collage_*.jpg")
    assert collage.read_bytes()[:3] == b"\xff\xd8\xff"
    assert list((folder / "collages").rglob("*.html"))
    owner = folder.stat()
    made = [folder / "collages", *(folder / "collages").rglob("*")]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(owner.st_uid, owner.st_gid)}
