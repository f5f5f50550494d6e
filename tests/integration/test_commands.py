"""What a person types: exit codes, and what goes to stdout and what to stderr."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.integration.faulty import Faulty
from tests.integration.pictures import SMALL, Origin, manifest, token
from tests.integration.places import Place
from tests.integration.processes import ROOT, Worker, command, environment
from tests.integration.waiting import until

BATCH_ID = re.compile(r"s3_[A-Za-z0-9._%~-]+-[0-9a-f]{8}")


@pytest.fixture
def place(shared_place: Place) -> Place:
    return shared_place


def file_of(tmp_path: Path, origin: Origin, name: str) -> Path:
    path = tmp_path / f"{name}.csv"
    rows = [(name, origin.photo(SMALL[0], name)), (name, f"{origin.base}/status/404?{name}")]
    path.write_text(manifest(rows), encoding="utf-8")
    return path


def test_wrong_settings_end_a_command_with_2_and_each_is_named(place: Place) -> None:
    wrong = {
        "DEFAULT_ROWS": "0",
        "DEFAULT_QUALITY": "high",
        "MEMORY_WARNING_THRESHOLD": "101",
        "CONTENT_HASH_ALGORITHM": "crc",
        "INPUT_BUCKET": "Not A Bucket",
        "ENABLE_DEDUPLICATION": "perhaps",
    }
    env = place.env(**wrong)
    del env["SQS_QUEUE_URL"]
    found = command("run", env=env)
    assert found.returncode == 2
    assert found.stdout == ""
    for name, value in wrong.items():
        (line,) = [line for line in found.stderr.splitlines() if line.startswith(f"{name}:")]
        assert value in line
    assert "SQS_QUEUE_URL:" in found.stderr
    assert "Traceback" not in found.stderr


def test_settings_that_do_not_go_together_are_named_too(place: Place) -> None:
    found = command("run", env=place.env(MEMORY_WARNING_THRESHOLD=95, MEMORY_CRITICAL_THRESHOLD=90))
    assert found.returncode == 2
    assert "MEMORY_WARNING_THRESHOLD" in found.stderr
    assert "MEMORY_CRITICAL_THRESHOLD" in found.stderr


@pytest.mark.parametrize("arguments", [("run",), ("status", "s3_x-00000000"), ("health",)])
def test_an_aws_configuration_that_cannot_be_used_is_told_in_a_line(place: Place, arguments: tuple[str, ...]) -> None:
    found = command(*arguments, env=place.env(AWS_PROFILE="nobody-has-this"))
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.splitlines()[-1] == "AWS: The config profile (nobody-has-this) could not be found"
    assert "Traceback" not in found.stderr


def test_bootstrap_can_be_repeated(place: Place) -> None:
    first, second = command("bootstrap", env=place.env()), command("bootstrap", env=place.env())
    assert (first.returncode, second.returncode) == (0, 0)
    for name in (place.input, place.output, place.table, place.queue_url, place.dlq_url):
        assert name.rpartition("/")[2] in second.stdout
    assert second.stderr == ""
    attributes = place.aws.sqs.get_queue_attributes(QueueUrl=place.queue_url, AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "900"
    assert str(json.loads(attributes["RedrivePolicy"])["maxReceiveCount"]) == "3"


def test_bootstrap_without_a_local_endpoint_is_a_wrong_call(place: Place) -> None:
    env = place.env()
    del env["AWS_ENDPOINT_URL"]
    assert command("bootstrap", env=env).returncode == 2


def test_submit_status_and_wait_follow_a_batch_to_its_end(place: Place, origin: Origin, tmp_path: Path) -> None:
    name = token()
    path = file_of(tmp_path, origin, name)
    submitted = command("submit", str(path), "--set", "rows=2", "--output-prefix", "p/", env=place.env())
    assert submitted.returncode == 0
    batch_id = submitted.stdout.strip()
    assert BATCH_ID.fullmatch(batch_id), "stdout holds the batch id and nothing else"
    assert place.listed(place.input, f"manual-uploads/{name}") == [f"manual-uploads/{name}.csv"]

    unknown = command("status", batch_id, env=place.env())
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert batch_id in unknown.stderr

    with Worker(place.env()):
        waited = command("submit", str(path), "--set", "rows=2", "--output-prefix", "p/", "--wait", env=place.env())
        assert waited.returncode == 0
        assert waited.stdout.splitlines()[0].strip() == batch_id, "the same file is the same batch"

        told = command("status", batch_id, "--json", env=place.env())
        assert (told.returncode, told.stderr) == (0, "")
        document = json.loads(told.stdout)
        assert (document["batch_id"], document["state"]) == (batch_id, "completed")
        assert document["counts"]["creators_completed"] == 1
        assert document["counts"]["errors"] == {"not_found": 1}
        assert document["summary_key"] == f"p/results/processing-summaries/{batch_id}.json"

        shown = command("status", batch_id, env=place.env())
        assert shown.returncode == 0
        assert batch_id in shown.stdout
        assert "not_found" in shown.stdout

        bad = tmp_path / f"{name}-bad.csv"
        bad.write_text("who,what\n1,2\n", encoding="utf-8")
        failed = command("submit", str(bad), "--wait", env=place.env())
        assert failed.returncode == 1, "the batch failed as a whole"
        assert "manifest_columns" in failed.stdout + failed.stderr


def test_report_gives_a_page_whose_pictures_can_be_seen_from_here(place: Place, origin: Origin, tmp_path: Path) -> None:
    name = token()
    path = tmp_path / f"{name}.csv"
    path.write_text(manifest([("a b/ü", origin.photo(SMALL[0], name))]), encoding="utf-8")
    page = tmp_path / "page.html"
    with Worker(place.env()):
        sent = command("submit", str(path), "--output-prefix", "x/y-", "--wait", env=place.env())
    batch_id = sent.stdout.split()[0]
    for rebuilt in (False, True):
        if rebuilt:
            key = f"x/y-results/processing-summaries/{batch_id}.html"
            place.aws.s3.delete_object(Bucket=place.output, Key=key)
        found = command("report", batch_id, "-o", str(page), env=place.env())
        assert (found.returncode, found.stdout, found.stderr) == (0, f"{page}\n", "")
        text = page.read_text(encoding="utf-8")
        assert batch_id in text
        links = json.loads(re.findall(r'id="links">(.*?)</script>', text)[0])
        ((creator,),) = map(json.loads, re.findall(r'class="creators">(.*?)</script>', text))
        number, _, signature = links["signed"][0].partition(":")
        with urllib.request.urlopen(
            f"{links['base']}{creator[3][0]}?{links['queries'][int(number)]}{signature}"
        ) as answer:
            assert answer.read(3) == b"\xff\xd8\xff"


def test_a_batch_that_failed_is_told_so_and_again_begins_it_anew(place: Place, tmp_path: Path) -> None:
    bad = tmp_path / f"{token()}.csv"
    bad.write_text("who,what\n1,2\n", encoding="utf-8")
    with Worker(place.env()) as worker:
        first = command("submit", str(bad), "--wait", env=place.env())
        told = command("submit", str(bad), "--wait", env=place.env())
        assert len(worker.logged("batch.failed", source_csv=bad.name)) == 1
        anew = command("submit", str(bad), "--wait", "--again", env=place.env())
        assert len(worker.logged("batch.failed", source_csv=bad.name)) == 2
    assert [each.returncode for each in (first, told, anew)] == [1, 1, 1]
    assert "--again" in told.stderr
    assert "manifest_columns" in told.stderr
    assert first.stdout.split()[0] == told.stdout.split()[0] == anew.stdout.split()[0]


def test_report_shows_what_a_batch_that_goes_on_has_done_so_far(
    place: Place, origin: Origin, proxy: Faulty, tmp_path: Path
) -> None:
    tag, page = token(), tmp_path / "page.html"
    names = [f"{number:02}.{tag}" for number in range(17)]  # one more than a part has
    held = proxy.hold(rf"s3\.PUT .*/by-creator/16\.{tag}/", times=None)
    with Worker(place.env(proxy.endpoint)):
        rows = manifest([(name, origin.photo(SMALL[0], name)) for name in names])
        place.send_job(rows, tag, processing_config={"max_workers": 1})
        until(held.reached.is_set, "the last creator's collage")
        until(lambda: len(place.items()) > 16, "the records of the first part")
        batch_id, _ = place.batch(tag, state="running")
        found = command("report", batch_id, "-o", str(page), env=place.env())
        held.release()
        place.batch(tag)
    assert (found.returncode, found.stderr) == (0, "")
    text = page.read_text(encoding="utf-8")
    assert "The batch is not at its end" in text
    assert [name in text for name in names] == [True] * 16 + [False]
    assert len(json.loads(re.findall(r'id="links">(.*?)</script>', text)[0])["signed"]) == 16
    assert place.summary(batch_id)["counts"]["creators_completed"] == 17, "and the batch went on undisturbed"


def test_report_says_that_there_is_none_or_why_a_batch_failed(place: Place, tmp_path: Path) -> None:
    unknown = command("report", "s3_none-00000000", "-o", str(tmp_path / "p.html"), env=place.env())
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "s3_none-00000000" in unknown.stderr
    bad = tmp_path / f"{token()}.csv"
    bad.write_text("who,what\n1,2\n", encoding="utf-8")
    with Worker(place.env()):
        batch_id = command("submit", str(bad), "--wait", env=place.env()).stdout.split()[0]
    failed = command("report", batch_id, "-o", str(tmp_path / "p.html"), env=place.env())
    assert failed.returncode == 0
    assert "manifest_columns" in (tmp_path / "p.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("submit", "nowhere.csv"), "nowhere.csv"),
        (("submit", "s3://somebody-elses/x.csv"), "somebody-elses"),
        (("submit", "nowhere.csv", "--set", "rowz=1"), "rowz"),
        (("submit", "README.md", "--output-prefix", "/leading"), "output_prefix"),
    ],
)
def test_a_wrong_submit_ends_with_2_and_sends_nothing(place: Place, arguments: tuple[str, ...], words: str) -> None:
    before = place.waiting()
    found = command(*arguments, env=place.env())
    assert (found.returncode, found.stdout) == (2, "")
    assert words in found.stderr
    assert place.waiting() == before


def test_health_is_0_where_everything_is_there(place: Place) -> None:
    found = command("health", "--json", env=place.env(MEMORY_CRITICAL_THRESHOLD=99))
    assert (found.returncode, found.stderr) == (0, "")
    document = json.loads(found.stdout)
    assert document["healthy"] is True
    assert {"memory", "s3", "sqs", "dynamodb", "network"} <= document["checks"].keys()


def test_health_is_1_where_something_is_missing_and_tells_what(place: Place) -> None:
    found = command("health", env=place.env(DYNAMODB_TABLE_NAME="no-such-table", MEMORY_CRITICAL_THRESHOLD=99))
    assert found.returncode == 1
    lines = {line.split()[1]: line.split()[0] for line in found.stdout.splitlines() if line.strip()}
    assert lines["dynamodb"] == "failed"
    assert lines["s3"] == lines["sqs"] == "ok"


def test_process_does_a_whole_job_without_aws(origin: Origin, tmp_path: Path) -> None:
    name = token()
    env = {"ALLOW_PRIVATE_ADDRESSES": "true", "RETRY_BACKOFF_FACTOR": "0.05"}
    out = tmp_path / "out"
    found = command("process", str(file_of(tmp_path, origin, name)), "-o", str(out), "--set", "cell_size=32", env=env)
    assert found.returncode == 0, found.stderr
    (collage,) = out.glob(f"collages/by-creator/{name}/collage_*.jpg")
    assert found.stdout.split() == [str(collage)], "stdout holds the collages' paths and nothing else"
    (summary,) = out.glob("results/processing-summaries/*.json")
    assert json.loads(summary.read_bytes())["failures_by_reason"] == {"not_found": 1}
    assert list(out.glob("results/processing-summaries/*.html"))
    assert [path.name for path in sorted(out.glob("results/metadata/*/*"))] == [
        "creators.jsonl.gz",
        "part-000001-000001.jsonl.gz",
    ]


def test_what_stdout_cannot_encode_is_shown_escaped(origin: Origin, tmp_path: Path) -> None:
    out = tmp_path / "ö\udcff"
    env = {"ALLOW_PRIVATE_ADDRESSES": "true", "PYTHONIOENCODING": "ascii"}
    found = command("process", str(file_of(tmp_path, origin, token())), "-o", str(out), env=env)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith(f"{tmp_path}/\\xf6\\udcff/collages/")


def test_the_second_ctrl_c_ends_process_at_once(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "slow.csv").write_text(manifest([("slow", origin.slow(29_999))]), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "worker", "process", str(tmp_path / "slow.csv"), "-o", str(tmp_path / "out")],
        env=environment({"ALLOW_PRIVATE_ADDRESSES": "true"}),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        until(lambda: origin.asked("/slow/29999/"), "the request of the cover")
        process.send_signal(signal.SIGINT)
        assert any("once more" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert "Traceback" not in process.stderr.read()


def test_process_that_makes_nothing_fails_and_says_what_the_failures_have_in_common(
    origin: Origin, tmp_path: Path
) -> None:
    path = tmp_path / "covers.txt"
    path.write_text(f"creator;cover\nann;{origin.base}/status/404?1\nbob;{origin.base}/status/404?2\n")
    env = {"ALLOW_PRIVATE_ADDRESSES": "true", "RETRY_BACKOFF_FACTOR": "0.05"}
    found = command("process", str(path), "-o", str(tmp_path / "out"), env=env)
    assert (found.returncode, found.stdout) == (1, "")
    assert "all 2 failures are not_found" in found.stderr
    assert "csv, utf-8, delimiter ';', creators from 'creator', covers from 'cover'" in found.stderr


def test_process_of_what_is_no_manifest_fails(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    found = command("process", str(path), "-o", str(tmp_path / "out"), env={})
    assert (found.returncode, found.stdout) == (1, "")
    assert "manifest_not_csv" in found.stderr
    assert command("process", str(tmp_path / "none.csv"), "-o", str(tmp_path), env={}).returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_causes(shell: str) -> None:
    """The variables are those with which the scripts of `--show-completion` ask."""
    typed = "collage dlq redrive --cause manifest_mis"
    asked = {"COMP_WORDS": typed, "COMP_CWORD": "4", "_TYPER_COMPLETE_ARGS": typed}
    script = collage({"_COLLAGE_COMPLETE": f"source_{shell}"})
    assert "_COLLAGE_COMPLETE" in script
    found = collage(asked | {"_COLLAGE_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"})
    assert "manifest_missing" in found
    assert "manifest_empty" not in found


def collage(env: dict[str, str]) -> str:
    program = Path(sys.executable).with_name("collage")
    return subprocess.run([program], env=environment(env), capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("arguments", [(), ("dlq",), ("process",), ("dlq", "redrive")])
def test_h_and_help_say_the_same(arguments: tuple[str, ...]) -> None:
    short, long = command(*arguments, "-h", env={}), command(*arguments, "--help", env={})
    assert (short.returncode, short.stdout) == (0, long.stdout)
    assert "Usage:" in short.stdout
