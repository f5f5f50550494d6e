"""`process` goes on where it was stopped, however it was stopped, and does nothing twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.pictures import SMALL, Origin, manifest, token
from tests.integration.processes import ROOT, command, environment
from tests.integration.waiting import until

SLOWLY = ("--set", "max_workers=2")
ENV = {"ALLOW_PRIVATE_ADDRESSES": "true", "RETRY_BACKOFF_FACTOR": "0.01"}


def manifest_of(tmp_path: Path, origin: Origin, name: str, *, slow: int = 0) -> Path:
    """Write a manifest of ten quick creators and some that take seconds."""
    rows = [(f"{name}-{number}", origin.photo(SMALL[0], f"{name}-{number}")) for number in range(10)]
    rows += [(f"{name}-slow-{number}", origin.slow(4_000 + number)) for number in range(slow)]
    path = tmp_path / "covers.csv"
    path.write_text(manifest(rows), encoding="utf-8")
    return path


def begun(path: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "worker", "process", str(path), "-o", str(out), *SLOWLY],
        env=environment(ENV),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pictures(out: Path) -> list[str]:
    return sorted(path.parent.name for path in out.glob("collages/by-creator/*/collage_*.jpg"))


def test_a_rerun_with_nothing_to_do_says_so_and_asks_for_nothing(origin: Origin, tmp_path: Path) -> None:
    name, out = token(), tmp_path / "out"
    path = manifest_of(tmp_path, origin, name)
    first = command("process", str(path), "-o", str(out), env=ENV)
    asked = origin.asked(name)
    again = command("process", str(path), "-o", str(out), env=ENV)
    assert (first.returncode, again.returncode) == (0, 0)
    assert "nothing to do: all 10 creators were done before" in again.stderr
    assert again.stdout == first.stdout
    assert origin.asked(name) == asked

    picture = next(out.glob(f"collages/by-creator/{name}-3/*.jpg"))
    picture.unlink()
    told = json.loads(command("process", str(path), "-o", str(out), "--json", env=ENV).stdout)
    assert (told["creators_done_now"], picture.exists()) == (1, True), "what is gone is made anew"


@pytest.mark.parametrize("how", ["interrupted", "interrupted twice", "killed"])
def test_what_was_done_before_it_was_stopped_is_not_done_again(origin: Origin, tmp_path: Path, how: str) -> None:
    name, out = token(), tmp_path / "out"
    path = manifest_of(tmp_path, origin, name, slow=4)
    with begun(path, out) as process:
        until(lambda: len(pictures(out)) == 10, "ten collages")
        assert process.stderr is not None
        if how == "killed":
            process.kill()
        else:
            process.send_signal(signal.SIGINT)
            assert any("once more" in line for line in process.stderr)
            if how == "interrupted twice":
                process.send_signal(signal.SIGINT)
        out_text, err = process.communicate(timeout=90)
    if how != "killed":
        assert process.returncode == 130
        assert "the same command goes on from here" in err
        assert len(out_text.splitlines()) >= 10
        (summary,) = out.glob("results/processing-summaries/*.json")
        assert json.loads(summary.read_bytes())["counts"]["creators_completed"] >= 10
        assert summary.with_suffix(".html").exists()
    asked = origin.asked(f"/{name}-")
    last = command("process", str(path), "-o", str(out), "--json", *SLOWLY, env=ENV)
    assert last.returncode == 0, last.stderr
    assert json.loads(last.stdout)["counts"]["creators_completed"] == 14
    assert origin.asked(f"/{name}-") == asked, "the ten are done"
    assert not list(out.rglob("*.part"))


def test_retry_failed_does_anew_what_missed_images_and_nothing_else(origin: Origin, tmp_path: Path) -> None:
    name, out = token(), tmp_path / "out"
    path = manifest_of(tmp_path, origin, name)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{name}-0,{origin.base}/status/503?{name}\n{name}-1,{origin.base}/status/404?{name}\n")
    assert command("process", str(path), "-o", str(out), env=ENV).returncode == 0
    before = pictures(out)
    again = command("process", str(path), "-o", str(out), "--retry-failed", "--json", env=ENV)
    told = json.loads(again.stdout)
    assert (again.returncode, told["creators_done_now"], told["counts"]["creators_completed"]) == (0, 1, 10)
    assert pictures(out) == before


def test_a_folder_that_cannot_be_written_is_told_with_what_mends_it(origin: Origin, tmp_path: Path) -> None:
    path = manifest_of(tmp_path, origin, token())
    out = tmp_path / "out"
    out.write_bytes(b"a file")
    found = command("process", str(path), "-o", str(out / "in"), env=ENV)
    assert (found.returncode, found.stdout) == (1, "")
    assert "output_unwritable" in found.stderr
    assert "-o" in found.stderr


def test_two_at_a_time_in_one_folder_are_told_apart(origin: Origin, tmp_path: Path) -> None:
    name, out = token(), tmp_path / "out"
    path = manifest_of(tmp_path, origin, name, slow=1)
    with begun(path, out) as process:
        until(lambda: len(pictures(out)) == 10, "ten collages")
        second = command("process", str(path), "-o", str(out), env=ENV)
        os.kill(process.pid, signal.SIGKILL)
    assert second.returncode == 1
    assert "another command is at work" in second.stderr


def test_ctrl_c_while_the_manifest_is_read_leaves_nothing_to_tell(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("creator_name,cover_url\n")
        file.writelines(f"c{number},http://127.0.0.1:9/{number}.jpg\n" for number in range(600_000))
    with begun(path, tmp_path / "out") as process:
        until((tmp_path / "out" / ".collage").exists, "the run's beginning")
        assert process.stderr is not None
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
