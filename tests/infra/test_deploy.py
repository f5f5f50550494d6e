"""The deployment tells success from failure, and goes back where it failed."""

import io
from typing import Any

import deploy
import pytest
from deploy_rollout import Service, steady
from deploy_smoke import smoke
from deploy_terraform import DeployError, Half, confirmed

OLD, NEW = "arn:aws:ecs:::task-definition/collage:1", "arn:aws:ecs:::task-definition/collage:2"


def deployment(
    revision: str, running: int = 1, *, desired: int = 1, state: str = "COMPLETED", status: str = "PRIMARY"
) -> dict[str, Any]:
    return {
        "taskDefinition": revision,
        "runningCount": running,
        "desiredCount": desired,
        "rolloutState": state,
        "status": status,
    }


class FakeEcs:
    """Answers with one state of the service after the other; the last one stays."""

    def __init__(self, *states: list[dict[str, Any]], desired: int = 1) -> None:
        self.states = list(states)
        self.desired = desired
        self.calls: list[tuple[str, Any]] = []

    def describe_services(self, **_: Any) -> Any:
        now = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {
            "services": [{"status": "ACTIVE", "desiredCount": self.desired, "taskDefinition": OLD, "deployments": now}]
        }

    def update_service(self, **arguments: Any) -> None:
        self.calls.append(("update_service", arguments["desiredCount"]))

    def register_scalable_target(self, **arguments: Any) -> None:
        self.calls.append(("scale-in suspended", arguments["SuspendedState"]["DynamicScalingInSuspended"]))


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def wait(*states: list[dict[str, Any]]) -> float:
    ecs, time = FakeEcs(*states), FakeTime()
    steady(Service(ecs, ecs, "c", "s"), NEW, patience=300, clock=time, sleep=time.sleep)
    return time.now


def test_a_revision_that_has_replaced_the_old_one_is_steady() -> None:
    coming = [deployment(NEW, 0, state="IN_PROGRESS"), deployment(OLD, status="ACTIVE")]
    assert wait(coming, coming, [deployment(NEW)]) == 20


def test_tasks_of_the_old_revision_that_are_still_busy_are_waited_for() -> None:
    with pytest.raises(DeployError, match="after 5 minutes"):
        wait([deployment(NEW), deployment(OLD, status="DRAINING")])


def test_a_roll_back_is_no_success_although_the_service_is_steady() -> None:
    with pytest.raises(DeployError, match="rolled back"):
        wait([deployment(NEW, 0, state="IN_PROGRESS"), deployment(OLD, status="ACTIVE")], [deployment(OLD)])


def test_a_revision_that_ecs_gave_up_is_a_failure() -> None:
    with pytest.raises(DeployError, match="gave the new revision up"):
        wait([deployment(NEW, 0, state="FAILED")])


def test_a_revision_without_tasks_has_proved_nothing() -> None:
    with pytest.raises(DeployError, match="0 of 0 tasks"):
        wait([deployment(NEW, 0, desired=0)])


def test_an_idle_service_is_kept_awake_meanwhile_and_let_go_whatever_happens() -> None:
    ecs = FakeEcs([deployment(NEW)], desired=0)
    with pytest.raises(RuntimeError), Service(ecs, ecs, "c", "s").kept_awake():
        raise RuntimeError
    assert ecs.calls == [("scale-in suspended", True), ("update_service", 1), ("scale-in suspended", False)]


class FakeS3:
    """Takes everything and never has a summary."""

    def put_object(self, **_: Any) -> None:
        pass

    def generate_presigned_url(self, *_: Any, **__: Any) -> str:
        return "https://example.com/photo"

    def list_objects_v2(self, **_: Any) -> dict[str, Any]:
        return {}


class FakeSqs:
    def send_message(self, **_: Any) -> None:
        pass


def test_a_smoke_batch_that_never_ends_is_a_failure() -> None:
    time = FakeTime()
    names = dict.fromkeys(("input_bucket", "output_bucket", "temp_bucket", "queue_url"), "x")
    with pytest.raises(DeployError, match="not come to an end"):
        smoke(FakeS3(), FakeSqs(), names, "0123abc", patience=60, clock=time, sleep=time.sleep)


@pytest.fixture
def applied_tags(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Deploy on nothing: remembers what Terraform would have applied."""
    applied: list[Any] = []
    names = {"region": "us-east-1", "environment": "staging", "repository_arn": "arn:aws:ecr:::repository/collage"}

    def apply(half: Half, variables: dict[str, Any], *, yes: bool) -> None:
        applied.append((half.name, variables.get("image_tag")))

    monkeypatch.setattr(Half, "init", lambda _half: None)
    monkeypatch.setattr(Half, "apply", apply)
    monkeypatch.setattr(Half, "output", lambda _half, name: names if name == "for_service" else "shown")
    monkeypatch.setattr(deploy, "_image", lambda *_, **__: None)
    monkeypatch.setattr(Service, "image_tag", lambda _service: "aaaaaaa")
    monkeypatch.setattr(deploy.boto3, "client", lambda *_, **__: FakeEcs([deployment(NEW)]))
    return applied


def test_a_proved_deployment_stays(applied_tags: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "_prove", lambda *_: None)
    assert deploy.main(["deploy", "staging", "--tag", "bbbbbbb", "--yes"]) == 0
    assert applied_tags == [("data", None), ("service", "bbbbbbb")]


def test_a_deployment_that_proves_nothing_goes_back(applied_tags: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise DeployError("the smoke batch failed")

    monkeypatch.setattr(deploy, "_prove", fail)
    assert deploy.main(["deploy", "staging", "--tag", "bbbbbbb", "--yes"]) == 1
    assert applied_tags == [("data", None), ("service", "bbbbbbb"), ("service", "aaaaaaa")]


def test_an_environment_that_is_none_is_refused_before_anything_happens(capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(["deploy", "nowhere", "--tag", "bbbbbbb", "--yes"]) == 1
    assert "infra/env/nowhere" in capsys.readouterr().err


def test_nothing_is_changed_where_nobody_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(DeployError, match="nobody is here"):
        confirmed("destroy it", yes=False)
    confirmed("destroy it", yes=True)
