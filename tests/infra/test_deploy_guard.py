"""Nothing that holds data is deleted or replaced unasked: tables of planned JSON, and a queue that is renamed."""

import io
import os
import shutil
from pathlib import Path
from typing import Any

import deploy_terraform
import pytest
from deploy_guard import bad_addresses, lifted, losses, protected
from deploy_terraform import NothingChanged

from tests.infra.conftest import Applied
from tests.infra.emulator import client
from tests.infra.terraform import ROOT, Half, environment

NEW_NAME = "renamed-queue"


def plan(kind: str, *actions: str, name: str = "jobs", before: dict[str, Any] | None = None) -> dict[str, Any]:
    change = {"actions": list(actions), "before": before, "replace_paths": [["name"]]}
    return {"resource_changes": [{"address": f"{kind}.{name}", "type": kind, "change": change}]}


@pytest.mark.parametrize(
    ("kind", "actions", "told"),
    [
        (
            "aws_sqs_queue",
            ("delete", "create"),
            "replaces the queue old-name (aws_sqs_queue.jobs), because name changes",
        ),
        ("aws_sqs_queue", ("create", "delete"), "replaces the queue old-name"),
        ("aws_sqs_queue", ("delete",), "deletes the queue old-name"),
        ("aws_s3_bucket", ("delete", "create"), "replaces the bucket"),
        ("aws_dynamodb_table", ("delete",), "deletes the table"),
        ("aws_kms_key", ("delete",), "deletes the key"),
        ("aws_ecr_repository", ("delete",), "deletes the image registry"),
        ("aws_cloudwatch_log_group", ("delete", "create"), "replaces the log group"),
    ],
)
def test_a_plan_that_loses_data_is_told_by_name(kind: str, actions: tuple[str, ...], told: str) -> None:
    (line,) = losses(plan(kind, *actions, before={"name": "old-name"}))
    assert told in line


@pytest.mark.parametrize("actions", [("no-op",), ("create",), ("update",), ("read",), ("forget",)])
def test_a_plan_that_loses_nothing_is_let_through(actions: tuple[str, ...]) -> None:
    assert losses(plan("aws_sqs_queue", *actions)) == []


def test_what_holds_no_data_may_be_replaced() -> None:
    assert losses(plan("aws_ecs_task_definition", "delete", "create")) == []
    assert losses(plan("aws_sqs_queue_policy", "delete")) == []


def test_only_what_is_named_is_allowed() -> None:
    both = plan("aws_sqs_queue", "delete")["resource_changes"] + plan("aws_kms_key", "delete")["resource_changes"]
    (line,) = losses({"resource_changes": both}, ["aws_sqs_queue.jobs"])
    assert "key" in line


def test_one_of_many_is_named_without_its_index() -> None:
    found = plan("aws_s3_bucket", "delete", name='all["input"]')
    assert losses(found, ["aws_s3_bucket.all"]) == []


def test_addresses_that_name_nothing_are_told() -> None:
    folders = [ROOT / "infra" / "data", ROOT / "infra" / "service"]
    named = ["aws_sqs_queue.jobs", "aws_sqs_queue.job", "jobs", "aws_s3_bucket.input"]
    assert bad_addresses(named, folders) == ["aws_sqs_queue.job", "jobs"]


def test_everything_that_holds_data_is_protected_by_terraform_as_well() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "infra" / "data").glob("*.tf"))
    found = protected(ROOT / "infra" / "data")
    assert len(found) == 8
    for address in found:
        kind, _, name = address.partition(".")
        block = text.partition(f'resource "{kind}" "{name}" {{')[2].partition("\n}")[0]
        assert "prevent_destroy = true" in block, address


def test_the_override_is_gone_afterwards_whatever_happens(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('resource "aws_sqs_queue" "jobs" {\n}\n')
    written: list[str] = []

    def fail() -> None:
        with lifted(tmp_path, ["aws_sqs_queue.jobs", "aws_kms_key.main"]):
            written.extend(path.read_text() for path in tmp_path.glob("*_override.tf"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    (text,) = written
    assert "jobs" in text
    assert "main" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["main.tf"]


# --- a queue is renamed -----------------------------------------------------------------------------------------------


@pytest.fixture
def deployed(everything_applied: Applied) -> tuple[Half, str]:
    return everything_applied.environments["staging"], everything_applied.shared_url


@pytest.fixture
def half(deployed: tuple[Half, str], monkeypatch: pytest.MonkeyPatch) -> deploy_terraform.Half:
    """Return what the deployment would work on, with another name for the queue in its variables."""
    there, url = deployed
    place = there.folder.parent.parent
    monkeypatch.setattr(deploy_terraform, "ROOT", place)
    for name in [name for name in os.environ if name.startswith(("AWS_", "TF_"))]:
        monkeypatch.delenv(name)
    for name, value in environment(AWS_ENDPOINT_URL=url).items():
        monkeypatch.setenv(name, value)
    working = there.folder / ".terraform"
    if not (working / "staging").exists():
        # A copy: other tests go on with what Terraform keeps in its usual place.
        shutil.copytree(working, there.folder / "staging.copied", symlinks=True)
        (there.folder / "staging.copied").rename(working / "staging")
    return deploy_terraform.Half("data", "staging", variables_text=f'queue_name = "{NEW_NAME}"\n')


def queues(url: str) -> list[str]:
    return sorted(address.rpartition("/")[2] for address in client("sqs", url).list_queues()["QueueUrls"])


def test_a_renamed_queue_is_refused_and_keeps_its_messages(
    deployed: tuple[Half, str], half: deploy_terraform.Half, capfd: pytest.CaptureFixture[str]
) -> None:
    sqs, before = client("sqs", deployed[1]), queues(deployed[1])
    address = sqs.get_queue_url(QueueName="tiktok-image-processing-queue-staging-us-east-1")["QueueUrl"]
    sqs.send_message(QueueUrl=address, MessageBody="still here")
    with pytest.raises(NothingChanged, match=r"--allow-replace ADDRESS"):
        half.apply({}, yes=True)
    assert "aws_sqs_queue.jobs has lifecycle.prevent_destroy" in " ".join(capfd.readouterr().err.split())
    assert queues(deployed[1]) == before
    found = sqs.receive_message(QueueUrl=address, VisibilityTimeout=0, MaxNumberOfMessages=10)["Messages"]
    assert "still here" in [message["Body"] for message in found]  # besides the test event of S3


def test_without_terraforms_own_protection_the_plan_is_read_and_refused(half: deploy_terraform.Half) -> None:
    """What is taken out of the code altogether has no `prevent_destroy` any more: only the plan tells of it."""
    with lifted(half.folder, protected(half.folder)):
        aside = half.folder / "aside_override.tf"  # `apply` clears away the file of `lifted`'s own name
        (half.folder / "allow_replace_override.tf").rename(aside)
        try:
            with pytest.raises(
                NothingChanged, match=r"replaces the queue .* \(aws_sqs_queue\.jobs\), because name changes"
            ):
                half.apply({}, yes=True)
        finally:
            aside.unlink()


def test_a_queue_that_is_named_is_let_through_to_the_question(
    half: deploy_terraform.Half, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not answered here: to delete a queue, the provider waits for minutes."""
    allowed = deploy_terraform.Half(
        "data", "staging", variables_text=half.variables_text, allow=("aws_sqs_queue.jobs",)
    )
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(NothingChanged, match="nobody is here to agree to: apply this plan"):
        allowed.apply({}, yes=False)
    assert not list(half.folder.glob("allow_replace*"))
