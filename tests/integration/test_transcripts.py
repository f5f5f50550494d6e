"""What each command says, held against a transcript that is kept: a person reads the diff where it changes.

`UPDATE_TRANSCRIPTS=1 pytest tests/integration/test_transcripts.py` writes them anew. What differs between runs (ids,
times, paths, ports) has a name in capitals there.
"""

import json
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.emulator import Aws
from tests.integration.pictures import SMALL, Origin, manifest
from tests.integration.places import Place, make_place
from tests.integration.processes import Worker, command

KEPT = Path(__file__).parent / "transcripts"
CHANGING = (
    (r"An error occurred \(.*?(?=; make what|\n)", "AWS SAYS SO"),  # each emulator in its own words
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z(?=\")", "TIME"),
    (r"[?&](X-Amz-|AWSAccessKeyId)\S*?(?=\"|\s|$)", "?SIGNATURE"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "MESSAGE-ID"),
    (r"\b[0-9a-f]{64}\b", "HASH"),
    (r"(s3_[a-z]+-)[0-9a-f]{8}", r"\1HASH"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME"),
    (r"_\d{8}_\d{6}", "_STAMP"),
    (r"\b\d+(\.\d+)? (s|min)\b(?! (until|in))", "N s"),
    (r"\d+\.\d/s N s left ", ""),
    (r"(seconds\": )\d+\.\d+", r"\1N"),
    (r"(\"(SentTimestamp|ApproximateFirstReceiveTimestamp|ApproximateReceiveCount)\": )\"\d+\"", r'\1"N"'),
    (r"\"sender\": \{[^}]*\}", '"sender": {}'),
    (r"(?<=\S) {2,}", "  "),
)


@dataclass
class Session:
    """Types commands, and keeps what they say."""

    place: Place
    env: dict[str, str]
    names: dict[str, str]
    lines: list[str] = field(default_factory=list)

    def type(self, *arguments: str, typed: str = "", told: str = "", **env: str) -> str:
        """Run a command; returns its stdout. `told` are the variables that the transcript shows."""
        found = command(*arguments, env={**self.env, **env}, typed=typed)
        shown = " ".join(f"'{word}'" if re.search(r"[\s#]", word) else word for word in arguments)
        self.lines.append(f"$ {told}{' ' if told else ''}collage {shown}")
        self.lines += [f"  {line}".rstrip() for line in found.stdout.splitlines()]
        self.lines += [f"! {in_order(line)}".rstrip() for line in found.stderr.splitlines()]
        self.lines.append(f"= {found.returncode}\n")
        assert "Traceback" not in found.stderr
        return found.stdout

    def text(self) -> str:
        """Return the transcript, with names in place of what changes."""
        text = "\n".join(self.lines)
        for name, instead in sorted(self.names.items(), key=lambda item: -len(item[0])):
            text = text.replace(name, instead)
        for pattern, instead in CHANGING:
            text = re.sub(pattern, instead, text)
        return text


def in_order(line: str) -> str:
    """Return a line of the log with its keys in the order of their names: what is bound to it has none."""
    return json.dumps(json.loads(line), sort_keys=True, ensure_ascii=False) if line.startswith('{"timestamp"') else line


def held(session: Session, name: str) -> None:
    """Compare a transcript with the one that is kept, or keep it."""
    path = KEPT / f"{name}.txt"
    if os.environ.get("UPDATE_TRANSCRIPTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(session.text(), encoding="utf-8")
    assert session.text() == path.read_text(encoding="utf-8")


@pytest.fixture
def session(aws: Aws, origin: Origin, tmp_path: Path) -> Session:
    place = make_place(aws)
    return Session(place, place.env(), names_of(place, origin, tmp_path))


def names_of(place: Place, origin: Origin, tmp_path: Path) -> dict[str, str]:
    return {
        place.queue_url: "QUEUE-URL",
        place.dlq_url: "DLQ-URL",
        place.queue_url.rpartition("/")[2]: "QUEUE",
        place.dlq_url.rpartition("/")[2]: "DLQ",
        place.input: "INPUT",
        place.output: "OUTPUT",
        place.settings.temp_bucket: "TEMP",
        place.table: "TABLE",
        place.aws.endpoint: "http://AWS",
        origin.base: "http://COVERS",
        str(tmp_path): "DIR",
    }


def covers(tmp_path: Path, origin: Origin) -> str:
    rows = [("王小明", origin.photo(SMALL[0], "x")), ("ann", origin.photo(SMALL[1], "x"))]
    rows += [("ann", f"{origin.base}/status/404?x"), ("ann", origin.photo(SMALL[1], "x"))]
    path = tmp_path / "covers.csv"
    path.write_text(manifest(rows), encoding="utf-8")
    return str(path)


def test_a_batch_from_its_submission_to_its_files(session: Session, origin: Origin, tmp_path: Path) -> None:
    path, page, out = covers(tmp_path, origin), str(tmp_path / "page.html"), str(tmp_path / "out")
    session.type("list")
    session.type("submit", path, "--set", "rowz=3")
    session.type("submit", path, "--set", "rows=0")
    session.type("submit", "nowhere.csv")
    batch = session.type("submit", path, "--set", "cell_size=32").strip()
    session.type("status", batch)
    session.type("status", "s3_nothing-00000000", "--watch")
    with Worker(session.env):
        session.type("submit", path, "--set", "cell_size=32", "--wait")
    session.type("submit", path, "--set", "cell_size=32")
    session.type("list")
    session.type("list", "--json")
    session.type("list", "--status", "failed", "--since", "1h")
    session.type("list", "--since", "yesterday")
    session.type("status", "s3_covers")
    session.type("status", "covers", "--json")
    session.type("status", batch, "--links")
    session.type("status", batch, "--watch", "--json")
    session.type("show", batch, "ann")
    session.type("show", batch, "ann", "--json")
    session.type("show", batch, "nobody")
    session.type("report", batch, "-o", page)
    session.type("report", batch, "-o", page, "--json")
    session.type("download", batch, "-o", out)
    session.type("download", batch, "-o", out, "--json")
    session.type("cancel", batch)
    session.type("retry", batch)
    held(session, "batches")


def test_a_batch_that_failed(session: Session, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("who,what\n1,2\n", encoding="utf-8")
    with Worker(session.env):
        session.type("submit", str(bad), "--wait")
    session.type("submit", str(bad))
    session.type("submit", str(bad), "--json")
    session.type("status", "bad")
    session.type("retry", "bad")
    held(session, "failed")


def letter(session: Session, body: object, **told: str) -> None:
    session.place.aws.sqs.send_message(
        QueueUrl=session.place.dlq_url,
        MessageBody=body if isinstance(body, str) else json.dumps(body),
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in told.items()},
    )


def test_dead_letters(session: Session) -> None:
    session.type("dlq", "list")
    job = {"processing_type": "csv_s3", "s3_bucket": session.place.input}
    why = {"error_code": "manifest_missing", "error_message": "there is no such object"}
    for number in (1, 2, 3):
        key = f"manual-uploads/{number}.csv"
        letter(
            session, {**job, "s3_key": key}, **why, failed_at=f"2025-01-19T12:00:0{number}Z", batch_id="s3_a-00000000"
        )
    letter(session, "no json", error_code="bad_json", error_message="it is not JSON", failed_at="2025-01-19T13:00:00Z")
    session.type("dlq", "list")
    listed = session.type("dlq", "list", "--json")
    one = re.findall(r'"message_id": "([^"]+)"', listed)[0]
    session.type("dlq", "show", one)
    session.type("dlq", "show", one, "--json")
    session.type("dlq", "show", "00000000")
    session.type("dlq", "redrive", "--cause", "manifest_mising")
    session.type("dlq", "redrive", "--cause", "manifest_missing", "--dry-run")
    session.type("dlq", "redrive", "--batch", "nothing")
    session.type("dlq", "redrive", "--cause", "manifest_missing", "--canary-wait", "1")
    session.type("dlq", "delete")
    session.type("dlq", "delete", "--cause", "bad_json", typed="n\n")
    session.type("dlq", "delete", "--cause", "bad_json", "--yes")
    session.type("dlq", "delete", "--cause", "manifest_missing", "--yes", "--json")
    session.type("dlq", "list")
    held(session, "dead-letters")


def test_a_job_on_this_machine(session: Session, origin: Origin, tmp_path: Path) -> None:
    path, out = covers(tmp_path, origin), str(tmp_path / "out")
    (tmp_path / "page.csv").write_bytes(b"%PDF-1.7\n")
    (tmp_path / "file").write_bytes(b"")
    session.type("process", path, "-o", out, "--set", "cell_size=32")
    session.type("process", path, "-o", out, "--set", "cell_size=32")
    session.type("process", path, "-o", out, "--set", "cell_size=32", "--json")
    session.type("process", path, "-o", out, "--set", "cellsize=32")
    session.type("process", path, "-o", out, "--set", "rows")
    session.type("process", path, "-o", str(tmp_path / "file" / "in"))
    session.type("process", "nowhere.csv", "-o", out)
    session.type("process", str(tmp_path / "page.csv"), "-o", out)
    held(session, "process")


@pytest.fixture
def silent() -> Iterator[str]:
    """Give the address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_what_is_wrong_is_told_with_what_mends_it(session: Session, silent: str, tmp_path: Path) -> None:
    session.names |= {silent: "http://SILENT"}
    session.type("list", told="AWS_ENDPOINT_URL=http://127.0.0.1:9", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    session.type("list", told="AWS_ENDPOINT_URL=http://SILENT", AWS_ENDPOINT_URL=silent)
    session.type("list", told="DYNAMODB_TABLE_NAME=none-such", DYNAMODB_TABLE_NAME="none-such")
    queue = session.place.queue_url + "-gone"
    (tmp_path / "x.csv").write_text("creator_name,cover_url\n", encoding="utf-8")
    session.type("submit", str(tmp_path / "x.csv"), told="SQS_QUEUE_URL=QUEUE-URL-gone", SQS_QUEUE_URL=queue)
    session.type("submit", str(tmp_path / "x.csv"), told="INPUT_BUCKET=none-such", INPUT_BUCKET="none-such")
    session.type("dlq", "list", told="SQS_DLQ_URL=QUEUE-URL-gone", SQS_DLQ_URL=queue)
    session.type("submit", str(tmp_path / "x.csv"), told="SQS_QUEUE_URL=", SQS_QUEUE_URL="")
    session.type("list", told="DEFAULT_ROWS=0", DEFAULT_ROWS="0")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del session.env[name]
    nowhere = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    session.type("list", told="AWS_ACCESS_KEY_ID=", **nowhere)
    session.type("bootstrap", told="AWS_ENDPOINT_URL=", AWS_ENDPOINT_URL="")
    session.type("lisst")
    session.type("dlq", "redrive", "--dryrun")
    held(session, "errors")
