"""What is told of batches: found without an id, followed, shown creator by creator, fetched as files."""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.emulator import Aws
from tests.integration.pictures import SMALL, Origin, manifest, token
from tests.integration.places import Place, make_place
from tests.integration.processes import ROOT, Worker, command, environment
from tests.integration.waiting import until


@dataclass(frozen=True, slots=True)
class Done:
    """A place with one batch that is done, whose creators have names that are hard on file systems."""

    place: Place
    batch_id: str
    stem: str
    uri: str


@pytest.fixture(scope="module")
def done(aws: Aws, origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Done:
    place, stem = make_place(aws), f"covers-{token()}"
    path = tmp_path_factory.mktemp("manifest") / f"{stem}.csv"
    rows = [
        ("王小明", origin.photo(SMALL[0], stem)),
        ("王小明", f"{origin.base}/status/404?{stem}&x-signature=hunter2"),
        ("Ann", origin.photo(SMALL[1], stem)),
        ("ann", origin.photo(SMALL[2], stem)),
        ("con", origin.photo(SMALL[3], stem)),
    ]
    path.write_text(manifest(rows), encoding="utf-8")
    with Worker(place.env()):
        sent = command("submit", str(path), "--output-prefix", "p/", "--set", "cell_size=32", "--wait", env=place.env())
    assert sent.returncode == 0, sent.stderr
    return Done(place, sent.stdout.split()[0], stem, f"s3://{place.input}/manual-uploads/{stem}.csv")


def test_list_shows_the_newest_batches_without_an_id(done: Done) -> None:
    shown = command("list", env=done.place.env())
    assert (shown.returncode, shown.stderr) == (0, "")
    (line,) = [line for line in shown.stdout.splitlines() if done.batch_id in line]
    assert line.split()[:5] == [done.batch_id, "completed", "4/4", "4", "1"]
    assert line.endswith(done.uri)
    assert done.batch_id not in command("list", "--status", "failed", env=done.place.env()).stdout
    (one,) = json.loads(command("list", "--json", "--since", "1h", env=done.place.env()).stdout)["batches"]
    assert (one["batch_id"], one["manifest"], one["state"]) == (done.batch_id, done.uri, "completed")
    assert json.loads(command("list", "--json", "--since", "2999-01-01", env=done.place.env()).stdout)["batches"] == []
    assert command("list", "--since", "yesterday", env=done.place.env()).returncode == 2


def test_a_batch_is_named_by_its_beginning_or_its_manifest(done: Done) -> None:
    for name in (done.batch_id[:-4], done.stem, done.uri):
        found = command("status", name, "--json", env=done.place.env())
        assert (found.returncode, json.loads(found.stdout)["batch_id"]) == (0, done.batch_id), name
    unknown = command("status", f"s3://{done.place.input}/manual-uploads/other.csv", env=done.place.env())
    assert (unknown.returncode, unknown.stdout) == (1, "")


def test_watching_an_unknown_batch_ends(done: Done) -> None:
    found = command("status", "s3_nothing-00000000", "--watch", env=done.place.env(), timeout=30)
    assert (found.returncode, found.stdout) == (1, "")
    assert "collage list" in found.stderr


def test_links_open_for_a_while_that_is_told(done: Done) -> None:
    told = json.loads(command("status", done.batch_id, "--links", "--json", env=done.place.env()).stdout)
    assert told["links"].keys() == {"summary", "report"}
    assert told["links_end_at"].endswith("Z")
    shown = command("status", done.batch_id, "--links", env=done.place.env()).stdout
    assert "S3_PRESIGNED_URL_EXPIRATION" in shown


def test_show_tells_a_creators_rows_and_their_fates(done: Done) -> None:
    shown = command("show", done.batch_id, "王小明", env=done.place.env())
    assert (shown.returncode, shown.stderr) == (0, "")
    for words in ("1 used, 1 failed", "not_found", "line      2  used", "line      3  failed", "X-Amz-Signature"):
        assert words in shown.stdout
    assert "hunter2" not in shown.stdout
    told = json.loads(command("show", done.stem, "王小明", "--json", env=done.place.env()).stdout)
    assert [(row["line"], row["outcome"]) for row in told["rows"]] == [(2, "used"), (3, "failed")]
    assert len(told["links"]) == len(told["collages"]) == 1
    unknown = command("show", done.batch_id, "nobody", env=done.place.env())
    assert (unknown.returncode, unknown.stdout) == (1, "")


def test_download_writes_files_that_people_can_read_and_goes_on_where_it_was(done: Done, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = command("download", done.batch_id, "-o", str(out), env=done.place.env())
    assert (found.returncode, found.stdout) == (0, f"{out}\n")
    folders = {path.name for path in (out / "collages" / "by-creator").iterdir()}
    assert {"王小明", "_con~1143da2b"} < folders
    assert len({name.casefold() for name in folders}) == 4, "Ann and ann are the same folder on a Mac"
    pictures = sorted(out.glob("collages/by-creator/*/collage_*.jpg"))
    assert [path.read_bytes()[:3] for path in pictures] == [b"\xff\xd8\xff"] * 4
    page = (out / f"results/processing-summaries/{done.batch_id}.html").read_text(encoding="utf-8")
    assert done.batch_id in page
    assert not list(out.rglob("*.part"))

    pictures[0].unlink()
    again = json.loads(command("download", done.batch_id, "-o", str(out), "--json", env=done.place.env()).stdout)
    assert again["already_there"] >= 3
    assert sorted(out.glob("collages/by-creator/*/collage_*.jpg")) == pictures


def test_download_writes_nothing_through_a_symbolic_link(done: Done, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "collages").symlink_to(elsewhere)
    found = command("download", done.batch_id, "-o", str(out), env=done.place.env())
    assert found.returncode == 1
    assert "output_unwritable" in found.stderr
    assert "symbolic link" in found.stderr
    assert list(elsewhere.iterdir()) == []


def test_ctrl_c_on_wait_says_that_the_batch_goes_on(done: Done, tmp_path: Path) -> None:
    path = tmp_path / f"{token()}.csv"
    path.write_text(manifest([("a", "http://127.0.0.1:9/x.jpg")]), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "worker", "submit", str(path), "--wait"],
        env=environment(done.place.env()),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: done.place.waiting() == 1, "the job in the queue")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"collage cancel {out.split()[0]}" in err
    assert "goes on" in err
    assert "Traceback" not in err


def test_nobody_who_reads_is_nobody_who_fails(done: Done) -> None:
    line = f"{sys.executable} -m worker list --json | true; echo ${{PIPESTATUS[0]}}"
    found = subprocess.run(
        ["bash", "-c", line], env=environment(done.place.env()), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (found.stdout, found.stderr) == ("0\n", "")


def test_retry_of_a_cancelled_batch_runs_what_it_never_did(done: Done, origin: Origin, tmp_path: Path) -> None:
    place, name = done.place, token()
    quick = [(f"a{number:02}", origin.photo(SMALL[0], f"{name}-{number}")) for number in range(16)]
    slow = [(f"z{number:02}", origin.slow(25_000 + number)) for number in range(20)]
    path = tmp_path / f"{name}.csv"
    path.write_text(manifest([*quick, *slow]), encoding="utf-8")
    with Worker(place.env(), check=False) as worker:
        batch_id = command("submit", str(path), "--set", "cell_size=32", env=place.env()).stdout.strip()
        until(lambda: place.listed(prefix=f"results/metadata/{batch_id}/part-"), "the first part", within=60)
        cancelled = command("cancel", batch_id, env=place.env())
        worker.kill()
    assert (cancelled.returncode, cancelled.stdout) == (0, f"{batch_id}  cancelled\n")
    assert f"collage retry {batch_id}" in cancelled.stderr
    told = command("submit", str(path), "--set", "cell_size=32", "--wait", env=place.env())
    assert told.returncode == 1
    assert "--again" in told.stderr

    retried = command("retry", batch_id, env=place.env())
    assert (retried.returncode, retried.stderr) == (0, "creators that are run anew: 20\n")
    (key,) = place.listed(place.input, f"manual-uploads/retry_{batch_id}")
    creators = {line.split(",")[0] for line in place.read(key, place.input).decode().splitlines()[1:]}
    assert creators == {creator for creator, _ in slow}
