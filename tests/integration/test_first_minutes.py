"""What a new user types first."""

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.integration.processes import ROOT, environment


def with_photos(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the README has it, with the photos served meanwhile."""
    with (Path(tempfile.gettempdir()) / "collage-first-command.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the photos have one port on each machine
        found = subprocess.run(
            ["samples/with-photos", *arguments],
            cwd=ROOT,
            env=environment({}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert "Traceback" not in found.stderr, found.stderr
    return found


def test_the_first_command_of_the_readme_makes_a_collage_of_the_three_rows(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command = "samples/with-photos collage process samples/first.csv --output first-output --set cols=3"
    assert command in readme
    assert (ROOT / "samples/first.csv").read_text(encoding="utf-8") in readme

    found = with_photos(*command.replace("first-output", str(tmp_path)).split()[1:])

    assert found.returncode == 0, found.stderr
    (collage,) = found.stdout.splitlines()
    with Image.open(collage) as picture:
        assert picture.size == (600, 200)


def test_the_sample_manifest_works_with_process_as_it_stands(tmp_path: Path) -> None:
    found = with_photos("collage", "process", "samples/covers.csv", "--output", str(tmp_path))
    assert found.returncode == 0, found.stderr
    assert len(found.stdout.splitlines()) == 5, "one creator of the six has no usable cover"


def test_the_shell_of_the_demo_knows_the_aws_of_the_demo() -> None:
    typed = "collage status $(basename -s .json demo-output/results/processing-summaries/*.json)\necho it was $?\n"
    found = subprocess.run(
        [sys.executable, "scripts/demo.py", "--shell"],
        cwd=ROOT,
        env={**os.environ, "SHELL": "/bin/sh"},
        input=typed,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    told = found.stdout.partition("until you leave this shell")[2]
    assert "completed" in told
    assert "it was 0" in told
