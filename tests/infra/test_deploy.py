"""The deployment tells success from failure, and goes back where it failed."""

import io
from pathlib import Path
from typing import Any

import deploy
import pytest
from deploy_image import Image
from deploy_record import Deployment
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


DIGESTS = {tag: "sha256:" + letter * 64 for tag, letter in (("aaaaaaa", "a"), ("bbbbbbb", "b"))}


class FakeRepository:
    """A registry with two images."""

    url = "123456789012.dkr.ecr.us-east-1.amazonaws.com/collage"

    def __init__(self) -> None:
        self.proved: list[str] = []

    def tagged(self, tag: str) -> Image | None:
        return Image(tag, DIGESTS[tag]) if tag in DIGESTS else None

    def reference(self, image: Image) -> str:
        return f"{self.url}@{image.digest}"

    def prove(self, image: Image) -> None:
        self.proved.append(image.tag)


class World:
    """Deploys on nothing: remembers what Terraform would have applied, with which variables."""

    def __init__(self) -> None:
        self.applied: list[Any] = []
        self.repository = FakeRepository()
        self.earlier: Deployment | None = Deployment("aaaaaaa", DIGESTS["aaaaaaa"], "unknown", "cpu = 512\n")
        self.names = {"region": "us-east-1", "environment": "staging", "repository_arn": "arn:aws:ecr:::repository/c"}
        self.tasks = [{"cpu": "512"}, {"cpu": "512"}]

    def outputs(self, half: Half) -> dict[str, Any]:
        found = {"for_service": self.names | {"environment": half.environment}, "disposable": False}
        found |= {"task_definition_arn": NEW, "dashboard_url": "shown"}
        return found | ({"deployment": self.earlier.written()} if self.earlier else {})

    def apply(self, half: Half, variables: dict[str, Any], *, yes: bool) -> None:
        self.applied.append((half.name, variables.get("image_tag"), half.variables_text))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)
    monkeypatch.setattr(Half, "init", lambda _half: None)
    monkeypatch.setattr(Half, "apply", lambda half, *given, yes: made.apply(half, *given, yes=yes))
    monkeypatch.setattr(Half, "destroy", lambda half, *_, **__: made.applied.append((half.name, "destroyed", None)))
    monkeypatch.setattr(Half, "outputs", lambda half: made.outputs(half))  # noqa: PLW0108 -- some tests replace it
    monkeypatch.setattr(deploy, "_repository", lambda _names: made.repository)
    monkeypatch.setattr(deploy, "scanned", lambda *_: [])
    monkeypatch.setattr(deploy, "_commit", lambda: "cafecafecafe")
    monkeypatch.setattr(Service, "task", lambda _service: made.tasks.pop(0))
    monkeypatch.setattr(deploy.boto3, "client", lambda *_, **__: FakeEcs([deployment(NEW)]))
    return made


def test_a_proved_deployment_stays_and_its_image_is_noted_as_proved(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(deploy, "_prove", lambda *_: None)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    assert deploy.main(["deploy", "staging", "--tag", "bbbbbbb", "--yes"]) == 0
    assert (tmp_path / "output").read_text() == f"image={FakeRepository.url}@{DIGESTS['bbbbbbb']}\n"
    assert world.applied == [("data", None, None), ("service", "bbbbbbb", None)]
    assert world.repository.proved == ["bbbbbbb"]


def fail(*_: Any) -> None:
    raise DeployError("the smoke batch failed")


@pytest.mark.parametrize("fails", ["start", "smoke batch"])
def test_a_deployment_that_fails_goes_back_with_the_variables_of_before(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails: str
) -> None:
    states = [[deployment(NEW, 0, state="FAILED")]] if fails == "start" else []
    ecs = FakeEcs(*states, [deployment(NEW)])
    monkeypatch.setattr(deploy.boto3, "client", lambda *_, **__: ecs)
    monkeypatch.setattr(deploy, "smoke", fail)
    assert deploy.main(["deploy", "staging", "--tag", "bbbbbbb", "--yes"]) == 1
    assert world.applied == [("data", None, None), ("service", "bbbbbbb", None), ("service", "aaaaaaa", "cpu = 512\n")]
    assert world.repository.proved == []
    assert "aaaaaaa runs again, its task definition as before" in capsys.readouterr().err


def test_a_deployment_of_the_same_image_with_other_variables_goes_back_as_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "_prove", fail)
    monkeypatch.setattr(deploy, "steady", lambda *_, **__: None)
    assert deploy.main(["deploy", "staging", "--tag", "aaaaaaa", "--yes"]) == 1
    assert world.applied[-1] == ("service", "aaaaaaa", "cpu = 512\n")


def test_a_task_definition_that_is_not_what_it_was_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.tasks = [{"cpu": "512", "memory": "1024"}, {"cpu": "512", "memory": "2048"}]
    monkeypatch.setattr(deploy, "_prove", fail)
    monkeypatch.setattr(deploy, "steady", lambda *_, **__: None)
    assert deploy.main(["deploy", "staging", "--tag", "bbbbbbb", "--yes"]) == 1
    assert "the task definition is not what it was: memory" in capsys.readouterr().err


def test_the_first_deployment_has_nothing_to_go_back_to(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.earlier = None
    monkeypatch.setattr(deploy, "_prove", fail)
    assert deploy.main(["deploy", "staging", "--tag", "bbbbbbb", "--yes"]) == 1
    assert len(world.applied) == 2
    assert "nothing to go back to" in capsys.readouterr().err


def test_a_critical_finding_stops_the_deployment_before_the_service_is_touched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "scanned", fail)
    assert deploy.main(["deploy", "staging", "--tag", "bbbbbbb", "--yes"]) == 1
    assert world.applied == [("data", None, None)]


def test_production_takes_what_staging_runs_and_builds_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def promoted(reference: str, *_: Any) -> Image:
        asked.append(reference)
        return Image("aaaaaaa", DIGESTS["aaaaaaa"])

    monkeypatch.setattr(deploy, "promote", promoted)
    monkeypatch.setattr(deploy, "build_and_push", fail)
    monkeypatch.setattr(deploy, "_prove", lambda *_: None)
    assert deploy.main(["deploy", "production", "--yes"]) == 0
    assert asked == [f"{FakeRepository.url}@{DIGESTS['aaaaaaa']}"]


def test_a_state_of_another_environment_is_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.outputs = lambda _half: {"for_service": world.names}  # type: ignore[method-assign]
    assert deploy.main(["deploy", "production", "--tag", "bbbbbbb", "--yes"]) == 1
    assert "the state of production holds staging" in capsys.readouterr().err


def test_the_variables_of_the_commands_are_written_for_a_shell(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"commands_environment": {"INPUT_BUCKET": "in put"}}
    outputs = world.outputs
    world.outputs = lambda half: outputs(half) | names  # type: ignore[method-assign]
    assert deploy.main(["env", "staging"]) == 0
    assert capsys.readouterr().out == "export INPUT_BUCKET='in put'\n"


def test_outputs_are_asked_of_the_environment_that_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(["output", "staging", "dashboard_url"]) == 0
    assert capsys.readouterr().out == "shown\n"
    assert deploy.main(["output", "staging", "dashbord_url"]) == 1
    assert "it has dashboard_url" in capsys.readouterr().err


def test_an_address_that_names_nothing_is_refused_before_anything_happens(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(["deploy", "staging", "--tag", "bbbbbbb", "--yes", "--allow-replace", "aws_sqs_queue.job"]) == 1
    assert world.applied == []
    assert "aws_sqs_queue.job" in capsys.readouterr().err


def test_a_plan_that_is_not_agreed_to_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going back would apply, unasked, the very changes that were declined."""

    def decline(half: Half, variables: dict[str, Any], *, yes: bool) -> None:
        if half.name == "service":
            confirmed("apply this plan", yes=yes)
            world.applied.append((half.name, variables["image_tag"], None))

    monkeypatch.setattr(Half, "apply", decline)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert deploy.main(["deploy", "staging", "--tag", "bbbbbbb"]) == 1
    assert world.applied == []


def test_a_plan_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Half, "_run", lambda *_: (_ for _ in ()).throw(DeployError("terraform plan failed")))
    with pytest.raises(NothingChanged, match="plan failed"):
        Half("service", "staging").apply({}, yes=True)


def test_the_data_half_is_thrown_away_only_where_it_may_be(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Terraform would first take away all that it can: the queue with its messages, the buckets' policies."""
    assert deploy.main(["destroy", "production", "--data", "--yes"]) == 1
    assert world.applied == []
    assert "force_destroy" in capsys.readouterr().err
    assert deploy.main(["destroy", "production", "--yes"]) == 0
    assert world.applied == [("service", "destroyed", None)]


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_placeholder_for_the_states_bucket_is_refused_before_aws_is_asked(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Half, "_terraform", fail)
    assert deploy.main(["deploy", name, "--tag", "bbbbbbb", "--yes"]) == 1
    assert f"infra/env/{name}/backend.hcl names the bucket 'example-terraform-state'" in capsys.readouterr().err


def test_variables_of_another_environment_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy_terraform.ROOT", tmp_path)
    folder = tmp_path / "infra" / "env" / "qa"
    folder.mkdir(parents=True)
    (folder / "backend.hcl").write_text('bucket = "ours"\n')
    (folder / "data.tfvars").write_text('environment = "staging"\n')
    with pytest.raises(DeployError, match=r"it must be 'qa'"):
        Half("data", "qa").init()


def test_an_environment_that_is_none_is_refused_before_anything_happens(capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(["deploy", "nowhere", "--tag", "bbbbbbb", "--yes"]) == 1
    assert "infra/env/nowhere" in capsys.readouterr().err


def test_nothing_is_changed_where_nobody_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(DeployError, match="nobody is here"):
        confirmed("destroy it", yes=False)
    confirmed("destroy it", yes=True)
