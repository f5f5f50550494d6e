"""The deployment tells success from failure, and goes back where it failed."""

import io
import re
import subprocess
from pathlib import Path
from typing import Any

import deploy
import deploy_image
import pytest
from deploy_rollout import Service, steady
from deploy_smoke import s3_client, smoke
from deploy_terraform import DeployError, Half, NothingChanged, confirmed

OLD, NEW = "arn:aws:ecs:::task-definition/collage:1", "arn:aws:ecs:::task-definition/collage:2"


def deployment(
    revision: str,
    running: int = 1,
    *,
    desired: int = 1,
    state: str = "COMPLETED",
    status: str = "PRIMARY",
    failed: int = 0,
) -> dict[str, Any]:
    return {
        "failedTasks": failed,
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


def test_a_revision_whose_first_task_comes_after_its_deployment_is_given_up_by_us() -> None:
    """A deployment to no task is completed at once; the circuit breaker does not watch what is started later."""
    with pytest.raises(DeployError, match="3 tasks in a row"):
        wait([deployment(NEW, 0, failed=2)], [deployment(NEW, 0, failed=3)])


def test_failures_under_the_circuit_breakers_eyes_are_left_to_it() -> None:
    coming = [deployment(NEW, 0, failed=9, state="IN_PROGRESS"), deployment(OLD, status="ACTIVE")]
    assert wait(coming, [deployment(NEW)]) == 10


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
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send_message(self, **arguments: Any) -> None:
        self.sent.append(arguments)


def test_a_smoke_batch_that_never_ends_is_a_failure() -> None:
    time = FakeTime()
    names = dict.fromkeys(("input_bucket", "output_bucket", "temp_bucket", "queue_url"), "x")
    with pytest.raises(DeployError, match="not come to an end"):
        smoke(FakeS3(), FakeSqs(), names, "0123abc", patience=60, clock=time, sleep=time.sleep)


def test_a_smoke_batch_need_not_wait_behind_a_large_one() -> None:
    time, sqs = FakeTime(), FakeSqs()
    names = dict.fromkeys(("input_bucket", "output_bucket", "temp_bucket", "queue_url"), "x")
    with pytest.raises(DeployError):
        smoke(FakeS3(), sqs, names, "0123abc", patience=0, clock=time, sleep=time.sleep)
    assert sqs.sent[0]["MessageGroupId"].startswith("smoke_0123abc_")


def test_links_to_the_smoke_batchs_photos_name_the_regions_own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The global host sends requests for a new bucket of another region elsewhere, which breaks the signature."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    link = s3_client("eu-west-1").generate_presigned_url("get_object", Params={"Bucket": "temp", "Key": "a"})
    assert link.startswith("https://temp.s3.eu-west-1.amazonaws.com/a?X-Amz-Algorithm=")


@pytest.fixture
def applied_tags(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Deploy on nothing: remembers what Terraform would have applied."""
    applied: list[Any] = []
    names = {"region": "us-east-1", "environment": "staging", "repository_arn": "arn:aws:ecr:::repository/collage"}
    outputs = {"for_service": names, "disposable": False, "task_definition_arn": NEW}

    def apply(half: Half, variables: dict[str, Any], *, yes: bool) -> None:
        applied.append((half.name, variables.get("image_tag")))

    monkeypatch.setattr(Half, "init", lambda _half: None)
    monkeypatch.setattr(Half, "apply", apply)
    monkeypatch.setattr(Half, "destroy", lambda half, *_, **__: applied.append((half.name, "destroyed")))
    monkeypatch.setattr(Half, "output", lambda _half, name: outputs.get(name, "shown"))
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


def test_a_plan_that_is_not_agreed_to_changes_nothing(applied_tags: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Going back would apply, unasked, the very changes that were declined."""

    def decline(half: Half, variables: dict[str, Any], *, yes: bool) -> None:
        if half.name == "service":
            confirmed("apply this plan", yes=yes)
            applied_tags.append((half.name, variables["image_tag"]))

    monkeypatch.setattr(Half, "apply", decline)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert deploy.main(["deploy", "staging", "--tag", "bbbbbbb"]) == 1
    assert applied_tags == []


def test_a_plan_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Half, "_run", lambda *_: (_ for _ in ()).throw(DeployError("terraform plan failed")))
    with pytest.raises(NothingChanged, match="plan failed"):
        Half("service", "staging").apply({}, yes=True)


def test_the_data_half_is_thrown_away_only_where_it_may_be(
    applied_tags: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Terraform would first take away all that it can: the queue with its messages, the buckets' policies."""
    assert deploy.main(["destroy", "production", "--data", "--yes"]) == 1
    assert applied_tags == []
    assert "force_destroy" in capsys.readouterr().err
    assert deploy.main(["destroy", "production", "--yes"]) == 0
    assert applied_tags == [("service", "destroyed")]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with one commit, in place of this one."""
    monkeypatch.setattr(deploy_image, "ROOT", tmp_path)
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    me = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    for command in (("init", "-q"), ("add", "."), (*me, "commit", "-q", "-m", "first")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_an_image_is_named_after_a_commit_that_holds_everything(repository: Path) -> None:
    named = deploy_image.commit()
    assert re.fullmatch("[0-9a-f]{12}", named)
    (repository / "worker" / "new.py").write_text("")
    with pytest.raises(DeployError, match="has changes"):
        deploy_image.commit()


def test_the_image_says_what_it_is_and_is_pushed_as_one(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[list[str], dict[str, Any]]] = []

    def run(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        ran.append((command, options))
        return subprocess.CompletedProcess(command, 0)

    class FakeEcr:
        def get_authorization_token(self) -> Any:
            return {"authorizationData": [{"authorizationToken": "QVdTOnNlY3JldA=="}]}

    monkeypatch.setattr(deploy_image.subprocess, "run", run)
    deploy_image.build_and_push(FakeEcr(), "1.dkr.ecr.example.com/worker", "0123abc")
    (build, _), (login, given), (push, _) = ran
    assert [build[3], build[5], build[7]] == ["linux/amd64", "VERSION=1.2.3", "REVISION=0123abc"]
    assert given["input"] == "secret"
    assert "secret" not in login
    assert push == ["docker", "push", "1.dkr.ecr.example.com/worker:0123abc"]
    assert {options["env"]["BUILDX_NO_DEFAULT_ATTESTATIONS"] for _, options in ran} == {"1"}


def test_an_environment_that_is_none_is_refused_before_anything_happens(capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(["deploy", "nowhere", "--tag", "bbbbbbb", "--yes"]) == 1
    assert "infra/env/nowhere" in capsys.readouterr().err


def test_nothing_is_changed_where_nobody_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(DeployError, match="nobody is here"):
        confirmed("destroy it", yes=False)
    confirmed("destroy it", yes=True)
