"""The worker does its batches with the rights that Terraform gives its task, where an emulator enforces them."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.infra.emulator import answers, client, eventually
from tests.infra.terraform import ROOT, Rendered, environment
from tests.integration.pictures import Origin, manifest, origin_server
from worker.aws.bootstrap import bootstrap
from worker.settings import Settings

MINISTACK = ROOT / ".venv-ministack" / "bin" / "ministack"
ACCOUNT = "123456789012"
ROOT_KEY = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


OF_THE_EMULATOR = {"sqs:SendMessage": "sqs:SendMessageBatch", "dynamodb:UpdateItem": "dynamodb:TransactWriteItems"}
"""Rights that it asks for where AWS asks for the first alone: its calls of many at once have none of their own."""


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an emulator that asks each caller for its rights; `test` is its root, which has all."""
    if not MINISTACK.exists():
        pytest.skip("NO MINISTACK on this machine (scripts/test_ministack --setup): no right was tried")
    place = tmp_path_factory.mktemp("ministack")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "DOCKER_HOST": f"unix://{place}/no-docker",
        "TMPDIR": str(place),
    }
    with (place / "log").open("w") as log:
        server = subprocess.Popen([str(MINISTACK)], env=environment(**own, **ROOT_KEY), stdout=log, stderr=log)
        try:
            answers(port, patience=60)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)


@pytest.fixture(scope="module")
def task_environment(service: Rendered, aws: str) -> dict[str, str]:
    """Return the environment of a task, in a place that has what its names say."""
    container = json.loads(service.one("aws_ecs_task_definition.worker")["container_definitions"])[0]
    given = {each["name"]: each["value"] for each in container["environment"]}
    for name in ("SQS_QUEUE_URL", "SQS_DLQ_URL"):
        given[name] = f"{aws}/{ACCOUNT}/{given[name].rpartition('/')[2]}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ROOT_KEY.items():
            patch.setenv(name, value)
        known = {name.lower(): value for name, value in given.items() if name.lower() in Settings.model_fields}
        list(bootstrap(Settings(**known, aws_endpoint_url=aws)))
    return given


def rights_of(service: Rendered) -> list[Any]:
    """Return the statements of the task's policy, as the emulator reads them."""
    statements: list[Any] = json.loads(service.one("aws_iam_role_policy.task")["policy"])["Statement"]
    for each in statements:
        actions = each["Action"] if isinstance(each["Action"], list) else [each["Action"]]
        each["Action"] = actions + [OF_THE_EMULATOR[action] for action in actions if action in OF_THE_EMULATOR]
    return statements


def key_with(aws: str, name: str, statements: list[Any]) -> dict[str, str]:
    """Make a user with these rights; returns its key as environment variables."""
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam = client("iam", aws)
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}


@contextmanager
def worker(aws: str, given: dict[str, str], key: dict[str, str], place: Path) -> Iterator[Path]:
    """Run a worker with a key, in a task's environment; gives its log."""
    here = {
        "AWS_ENDPOINT_URL": aws,
        "TMPDIR": str(place),
        "HEALTH_PORT": "0",
        "WAIT_TIME_SECONDS": "1",
        "ALLOW_PRIVATE_ADDRESSES": "true",
        "CHUNK_CREATORS": "2",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
    env = kept | given | here | key | {"PYTHONPATH": str(ROOT)}
    log = place / "worker.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "worker", "run"], cwd=ROOT, env=env, stdout=out, stderr=out)
        try:
            yield log
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait(10)


def covers(origin: Origin) -> bytes:
    """Return a manifest of five creators: three chunks, of which the last waits for the others."""
    rows = [(f"creator {number}", url) for number in range(5) for url in origin.photos(2, f"c{number}")]
    return manifest(rows).encode()


def keys(s3: Any, bucket: str) -> set[str]:
    return {each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}


def test_batches_small_and_split_and_bad_ones_take_no_right_that_the_task_has_not(
    service: Rendered, aws: str, task_environment: dict[str, str], tmp_path: Path
) -> None:
    given, s3 = task_environment, client("s3", aws)
    wanted = {
        "archived/processed/csv-files/split.csv",
        "archived/failed/csv-files/bad.csv",
        "archived/failed/csv-files/bad.csv.error.json",
    }
    with (
        origin_server() as origin,
        worker(aws, given, key_with(aws, "task", rights_of(service)), tmp_path) as log,
    ):
        s3.put_object(Bucket=given["INPUT_BUCKET"], Key="csv-files/split.csv", Body=covers(origin))
        s3.put_object(Bucket=given["INPUT_BUCKET"], Key="csv-files/bad.csv", Body=b"no columns\nat all\n")
        eventually(lambda: wanted <= keys(s3, given["INPUT_BUCKET"]) or None, seconds=240)
    collages = {key for key in keys(s3, given["OUTPUT_BUCKET"]) if key.startswith("collages/")}
    assert len(collages) == 5
    assert "Denied" not in log.read_text(errors="replace")


def test_a_task_without_its_table_does_no_batch(
    service: Rendered, aws: str, task_environment: dict[str, str], tmp_path: Path
) -> None:
    """The emulator does enforce rights: or the test before would show nothing."""
    fewer = [each for each in rights_of(service) if each["Sid"] != "KeepState"]
    given, s3 = task_environment, client("s3", aws)
    with (
        origin_server() as origin,
        worker(aws, given, key_with(aws, "no-table", fewer), tmp_path) as log,
    ):
        s3.put_object(Bucket=given["INPUT_BUCKET"], Key="csv-files/waits.csv", Body=covers(origin))
        eventually(lambda: "AccessDenied" in log.read_text(errors="replace") or None, seconds=120)
    assert "csv-files/waits.csv" in keys(s3, given["INPUT_BUCKET"])
