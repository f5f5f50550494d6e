"""The worker in its task is configured as the worker understands it."""

import json
import re
from typing import Any

import pytest

from tests.infra.terraform import ROOT, Rendered
from worker.settings import Settings

# Settings that nobody sets in AWS: ECS itself sets the addresses of its agent and of the task's metadata; no emulator;
# no private addresses; no database, which only people export from; nothing that makes the worker die on purpose.
NOT_IN_AWS = {
    "ECS_AGENT_URI",
    "ECS_CONTAINER_METADATA_URI_V4",
    "AWS_ENDPOINT_URL",
    "ALLOW_PRIVATE_ADDRESSES",
    "MYSQL_URL",
    "MYSQL_CA",
    "FAILPOINTS",
}
ALSO_SET = {"TMPDIR"}
SET_WHERE_ASKED_FOR = {"ALLOWED_INPUT_BUCKETS", "S3_KMS_KEY"}


def container(service: Rendered) -> Any:
    return json.loads(service.one("aws_ecs_task_definition.worker")["container_definitions"])[0]


def environment(service: Rendered) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(service)["environment"]}


def free_settings() -> set[str]:
    text = (ROOT / "infra" / "service" / "task_environment.tf").read_text()
    return set(re.findall(r'"([A-Z0-9_]+)"', text.partition("free_settings = [")[2].partition("]")[0]))


def test_every_setting_of_the_worker_is_set_here_or_may_be_set(service: Rendered) -> None:
    known = {name.upper() for name in Settings.model_fields}
    settled = free_settings() | set(environment(service)) | NOT_IN_AWS | SET_WHERE_ASKED_FOR
    assert known - settled == set(), "task_environment.tf does not know these settings"
    assert settled - known - ALSO_SET == set(), "the worker does not know these settings"
    assert free_settings() & set(environment(service)) == {"LOG_LEVEL"} & set(environment(service))


def test_the_worker_accepts_its_environment(service: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.input_bucket == "test-input"
    assert settings.log_format == "json"


def test_the_worker_stops_before_ecs_kills_it(service: Rendered) -> None:
    assert float(environment(service)["STOP_GRACE_SECONDS"]) <= container(service)["stopTimeout"] - 10


def test_the_health_check_is_the_one_of_the_image(service: Rendered) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    found = re.search(r"HEALTHCHECK .*?CMD (\[.*?\])", dockerfile, re.DOTALL)
    assert found is not None
    assert container(service)["healthCheck"]["command"] == ["CMD", *json.loads(found[1])]
    assert environment(service)["HEALTH_PORT"] == "8080"


def test_the_task_runs_as_the_images_user_and_starts_what_the_image_starts(service: Rendered) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert container(service)["user"] == "10001"
    assert re.search(r"^USER 10001", dockerfile, re.MULTILINE)
    assert f"CMD {json.dumps(container(service)['command'])}" in dockerfile


def test_the_image_gives_the_volume_at_tmp_its_mode() -> None:
    """Fargate makes an empty volume root's alone, unless the image declares one at the same path."""
    assert re.search(r'^VOLUME \["/tmp"\]|^VOLUME /tmp$', (ROOT / "Dockerfile").read_text(), re.MULTILINE), (
        'the Dockerfile needs VOLUME ["/tmp"], or user 10001 cannot write to /tmp on Fargate'
    )
