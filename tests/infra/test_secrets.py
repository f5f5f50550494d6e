"""Nothing secret stands where people and logs can see it."""

import json
import re
from pathlib import Path

import pytest

from tests.infra.terraform import ROOT, Rendered

SECRET_NAME = re.compile(r"(?i)secret|passw|token|credential|private_key|api_?key|access_key")
SECRET_VALUE = re.compile(
    r"AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}"  # access keys
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|gh[pousr]_[A-Za-z0-9]{30}|xox[abp]-"  # tokens of GitHub and Slack
    r"|://[^/\s:@]+:[^/\s:@]+@"  # a password in a URL
    r"|[?&]X-Amz-Signature="
)


def secrets_in(name: str, value: object) -> list[str]:
    text = value if isinstance(value, str) else json.dumps(value)
    return [f"{name}: {text[:80]}"] if SECRET_NAME.search(name) or SECRET_VALUE.search(text) else []


def test_the_search_finds_secrets() -> None:
    for name, value in (
        ("DB_PASSWORD", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("URL", "mysql://me:hunter2@host/"),
        ("ID", "AKIA" + "A" * 16),
    ):
        assert secrets_in(name, value)
    assert not secrets_in("SQS_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/test-queue")


def test_no_environment_variable_holds_a_secret(service: Rendered) -> None:
    task = service.one("aws_ecs_task_definition.worker")
    for container in json.loads(task["container_definitions"]):
        assert "secrets" not in container
        found = [line for each in container["environment"] for line in secrets_in(each["name"], each["value"])]
        assert found == []


@pytest.mark.parametrize("half", ["service", "data"])
def test_no_output_holds_a_secret(half: str, request: pytest.FixtureRequest) -> None:
    rendered: Rendered = request.getfixturevalue(half)
    assert rendered.outputs
    assert [line for name, value in rendered.outputs.items() for line in secrets_in(name, value)] == []


@pytest.mark.parametrize("half", ["service", "data"])
def test_no_resource_holds_a_secret(half: str, request: pytest.FixtureRequest) -> None:
    rendered: Rendered = request.getfixturevalue(half)
    assert not [address for address, values in rendered.resources.items() if SECRET_VALUE.search(json.dumps(values))]


def files() -> list[Path]:
    return [path for path in (ROOT / "infra").rglob("*") if path.is_file() and ".terraform" not in str(path)]


def test_no_file_of_infra_holds_a_secret() -> None:
    assert [str(path) for path in files() if SECRET_VALUE.search(path.read_text())] == []
