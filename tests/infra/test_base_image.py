"""The image that ours is built on is named by its digest where it is deployed, and by its tag where people build it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.terraform import ROOT

PINNED = re.compile(r"(?P<tag>python:3\.\d+-slim-[a-z]+)@sha256:[0-9a-f]{64}\n")
NEWER = "sha256:" + "ab" * 32


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository with a registry behind `docker` that has a newer image under the tag."""
    for name in ("docker/base-image", "scripts/base_image"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    registry(tmp_path, f"echo {NEWER}")
    return tmp_path


def registry(place: Path, answer: str) -> None:
    """Let `docker` answer so."""
    (place / "bin").mkdir(exist_ok=True)
    docker = place / "bin" / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >>{place}/asked\n{answer}\n')
    docker.chmod(0o755)


def base_image(place: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    env = os.environ | {"PATH": f"{place / 'bin'}:{os.environ['PATH']}"}
    command = [str(place / "scripts" / "base_image"), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_the_digest_is_one_of_the_tag_that_the_dockerfile_builds_on_by_itself() -> None:
    found = PINNED.fullmatch((ROOT / "docker" / "base-image").read_text())
    assert found
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"\nARG BASE={found['tag']}\n" in dockerfile
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${BASE}"}


def test_it_is_printed_for_a_build(place: Path) -> None:
    done = base_image(place)
    assert (done.returncode, done.stdout) == (0, (place / "docker" / "base-image").read_text())


def test_a_tag_that_has_moved_is_told_and_then_taken_over(place: Path) -> None:
    assert base_image(place, "--check").returncode == 1
    assert base_image(place, "--renew").returncode == 0
    assert (place / "docker" / "base-image").read_text() == f"python:3.13-slim-trixie@{NEWER}\n"
    assert base_image(place, "--check").returncode == 0
    assert "imagetools inspect --format {{.Manifest.Digest}} python:3.13-slim-trixie" in (place / "asked").read_text()


@pytest.mark.parametrize("answer", ["exit 1", "echo no digest", "true"])
def test_a_registry_that_tells_no_digest_changes_nothing(place: Path, answer: str) -> None:
    before = (place / "docker" / "base-image").read_text()
    registry(place, answer)
    assert base_image(place, "--renew").returncode == 1
    assert (place / "docker" / "base-image").read_text() == before


def test_an_unknown_option_is_told_with_those_that_there_are(place: Path) -> None:
    done = base_image(place, "--update")
    assert done.returncode == 2
    assert "--check and --renew" in done.stderr
