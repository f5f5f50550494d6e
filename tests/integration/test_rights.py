"""docs/reference/rights.md says for each command which rights it uses: what it really asks of AWS, and nothing more."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from tests.integration.faulty import Faulty
from tests.integration.pictures import SMALL, Origin, manifest, token
from tests.integration.places import Place
from tests.integration.processes import ROOT, Worker, command
from tests.integration.waiting import until
from worker.cli.app import app

PAGE = ROOT / "docs/reference/rights.md"
PLACES = ("input bucket", "output bucket", "temp bucket", "queue", "dead-letter queue", "table")
SAME_RIGHT = {
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "TransactWriteItems": "UpdateItem",
    "HeadObject": "GetObject",
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
}


class Scene(NamedTuple):
    """A batch that is done, on a queue that a worker reads; what commands are tried on."""

    place: Place
    proxy: Faulty
    batch_id: str
    creator: str
    csv: Path
    folder: Path
    base: str


def asked(scene: Scene) -> dict[str, set[str]]:
    """Return the rights that the requests through the proxy took, by what they were asked of."""
    found: dict[str, set[str]] = {place: set() for place in PLACES}
    for label in scene.proxy.labels():
        place, operation = _s3(label, scene.place) if label.startswith("s3.") else _other(label, scene.place)
        found[place].add(SAME_RIGHT.get(operation, operation))
    return found


def _other(label: str, place: Place) -> tuple[str, str]:
    called, _, body = label.partition("\n")
    service, _, operation = called.partition(".")
    if service == "dynamodb":
        return "table", operation
    return ("dead-letter queue" if place.dlq_url.rpartition("/")[2] + '"' in body else "queue"), operation


def _s3(label: str, place: Place) -> tuple[str, str]:
    found = re.match(r"s3\.(\w+) /([^/?]+)(/[^?]+)?(\?.*)?", label)
    assert found, label
    method, bucket, key, query = found.groups()
    names = {place.input: PLACES[0], place.output: PLACES[1], place.settings.temp_bucket: PLACES[2]}
    kinds = {
        "GET": "GetObject",
        "HEAD": "HeadObject",
        "PUT": "PutObject",
        "POST": "PutObject",
        "DELETE": "DeleteObject",
    }
    assert key or method in {"GET", "HEAD"} or "delete" in (query or ""), label
    return names[bucket], kinds.get(
        method, "PutObject"
    ) if key else "HeadBucket" if method == "HEAD" else "ListObjectsV2"


def row(name: str, found: dict[str, set[str]]) -> str:
    """Write a line of the page's table."""
    cells = [", ".join(f"`{right}`" for right in sorted(found[place])) for place in PLACES]
    return f"| `{name}` |" + "".join(f" {cell} |" if cell else " |" for cell in cells)


@pytest.fixture(scope="module")
def scene(
    shared_place: Place,
    shared_worker: Worker,
    session_proxy: Faulty,
    origin: Origin,
    tmp_path_factory: pytest.TempPathFactory,
) -> Scene:
    folder, creator = tmp_path_factory.mktemp("rights"), token()
    csv = folder / f"{creator}.csv"
    rows = [(creator, origin.photo(SMALL[0], creator)), (creator, f"{origin.base}/status/500?{creator}")]
    csv.write_text(manifest(rows), encoding="utf-8")
    done = command("submit", str(csv), "--wait", env=shared_place.env())
    assert done.returncode == 0, done.stderr
    return Scene(shared_place, session_proxy, done.stdout.split()[0], creator, csv, folder, origin.base)


def submit(scene: Scene) -> Iterator[list[str]]:
    fresh = scene.folder / f"{token()}.csv"
    fresh.write_text(scene.csv.read_text(encoding="utf-8"), encoding="utf-8")
    yield ["submit", str(fresh), "--wait"]
    yield ["submit", str(scene.csv), "--again"]
    yield ["submit", f"s3://{scene.place.input}/{scene.place.listed(scene.place.input, 'manual-uploads/')[0]}"]


def on_the_batch(*arguments: str) -> Callable[[Scene], Iterator[list[str]]]:
    def calls(scene: Scene) -> Iterator[list[str]]:
        names = {"BATCH": scene.batch_id, "CREATOR": scene.creator, "FOLDER": str(scene.folder)}
        yield [re.sub("[A-Z]{5,}", lambda found: names.get(found[0], found[0]), each) for each in arguments]

    return calls


def cancel(scene: Scene) -> Iterator[list[str]]:
    """Cancel a batch that lasts until it is cancelled, and whose manifest is archived then."""
    name = token()
    scene.place.put(f"csv-files/{name}.csv", manifest([(name, f"{scene.base}/slow/60000/{SMALL[0]}?{name}")]))
    until(lambda: [1 for item in scene.place.batches(name).values() if item["state"] == "running"], "its beginning")
    yield ["cancel", f"s3_{name}"]


def dead(scene: Scene) -> str:
    """Put a letter into the dead-letter queue; returns its id."""
    cause = {"error_code": {"DataType": "String", "StringValue": "bad_value"}}
    sent = scene.place.aws.sqs.send_message(
        QueueUrl=scene.place.dlq_url,
        MessageBody="{}",
        MessageAttributes=cause,  # type: ignore[arg-type]
    )
    return sent["MessageId"]


def of_dead_letters(*arguments: str) -> Callable[[Scene], Iterator[list[str]]]:
    def calls(scene: Scene) -> Iterator[list[str]]:
        letter = dead(scene)
        yield ["dlq", *(letter if each == "LETTER" else each for each in arguments)]

    return calls


CALLS: dict[str, Callable[[Scene], Iterator[list[str]]]] = {
    "process": lambda scene: iter([["process", str(scene.csv), "--output", str(scene.folder / "here")]]),
    "submit": submit,
    "list": on_the_batch("list"),
    "status": on_the_batch("status", "BATCH", "--links"),
    "show": on_the_batch("show", "BATCH", "CREATOR"),
    "report": on_the_batch("report", "BATCH", "--output", "FOLDER/report.html"),
    "download": on_the_batch("download", "BATCH", "--output", "FOLDER/downloaded"),
    "cancel": cancel,
    "retry": on_the_batch("retry", "BATCH", "--wait"),
    "dlq list": of_dead_letters("list"),
    "dlq show": of_dead_letters("show", "LETTER"),
    "dlq redrive": of_dead_letters("redrive", "--cause", "bad_value"),
    "dlq delete": of_dead_letters("delete", "LETTER", "--yes"),
    "health": on_the_batch("health"),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_page_of_rights_says_what_a_command_asks_of_aws(scene: Scene, name: str) -> None:
    scene.proxy.mend()
    for arguments in CALLS[name](scene):
        found = command(*arguments, env=scene.place.env(endpoint=scene.proxy.endpoint))
        assert found.returncode in {0, 1}, found.stderr
        assert "Traceback" not in found.stderr, found.stderr
    line = row(name, asked(scene))
    assert line in PAGE.read_text(encoding="utf-8").splitlines(), f"write this into docs/reference/rights.md: {line}"


def test_every_command_has_its_line_on_the_page_of_rights_or_is_told_of_below() -> None:
    page, command = PAGE.read_text(encoding="utf-8"), typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    names = [
        f"{name} {inner}" if inner else name
        for name, each in command.commands.items()
        for inner in (each.commands if isinstance(each, typer.core.TyperGroup) else [""])
    ]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_policy_on_the_page_allows_what_its_commands_ask_and_nothing_more() -> None:
    page = PAGE.read_text(encoding="utf-8")
    policy = json.loads(page[page.index("```json\n") + 8 : page.rindex("```")])
    allowed = {
        action.partition(":")[2]
        for statement in policy["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        if not action.startswith("kms:")
    }
    (commands,) = re.findall(r"look at them \((.*?)\)", page)
    rows = [line for line in page.splitlines() if line.startswith("|") and line.split("|")[1].strip() in commands]
    needed = {right for line in rows for right in re.findall(r"`([A-Z]\w+)`", line)}
    assert allowed == needed | {"GetObjectVersion"}
