"""What a new user types first."""

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.integration.processes import ROOT, environment


def test_the_first_command_of_the_readme_makes_a_collage_of_the_three_rows(tmp_path: Path) -> None:
    command = "samples/with-photos collage process samples/first.csv --output first-output --set cols=3"
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / "samples/first.csv").read_text(encoding="utf-8") in (ROOT / "README.md").read_text(encoding="utf-8")
    typed = command.replace("first-output", str(tmp_path)).split()
    with (Path(tempfile.gettempdir()) / "collage-first-command.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the photos have one port on each machine
        found = subprocess.run(
            typed, cwd=ROOT, env=environment({}), capture_output=True, text=True, timeout=120, check=False
        )
    assert (found.returncode, "Traceback" in found.stderr) == (0, False), found.stderr
    (collage,) = found.stdout.splitlines()
    with Image.open(collage) as picture:
        assert picture.size == (600, 200)


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
