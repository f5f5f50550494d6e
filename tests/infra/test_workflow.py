"""The workflow on GitHub: no keys, nothing deployed that was not checked, nothing run that can be moved under it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.infra.terraform import ROOT

PATH = ROOT / ".github" / "workflows" / "deploy.yml"
DEPLOYING = {"staging": "staging", "production": "production"}
RUNS = {
    "staging": 'make deploy ENV="$ENVIRONMENT" AUTO=1',
    "production": 'make deploy ENV="$ENVIRONMENT" IMAGE="$IMAGE" AUTO=1',
}


@pytest.fixture(scope="module")
def workflow() -> Any:
    return yaml.safe_load(PATH.read_text())


def steps(workflow: Any, job: str) -> Iterator[Any]:
    yield from workflow["jobs"][job]["steps"]


def test_it_holds_no_keys() -> None:
    assert not re.search(r"secrets\.|AKIA|aws-access-key-id|aws-secret-access-key", PATH.read_text())


def test_only_jobs_that_deploy_may_ask_for_a_token(workflow: Any) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    asking = {name for name, job in workflow["jobs"].items() if job["permissions"].get("id-token") == "write"}
    assert asking == set(DEPLOYING)
    for name, environment in DEPLOYING.items():
        assert workflow["jobs"][name]["environment"] == environment
        assert workflow["jobs"][name]["permissions"] == {"contents": "read", "id-token": "write"}


def test_nothing_is_deployed_that_was_not_linted_and_tested(workflow: Any) -> None:
    ran = [step.get("run") for step in steps(workflow, "check")]
    assert {"make test", "make test-infra"} <= set(ran)
    infra = next(step for step in steps(workflow, "check") if step.get("run") == "make test-infra")
    assert infra["env"]["INFRA_REQUIRED"] == "1"
    for name in DEPLOYING:
        assert workflow["jobs"][name]["needs"] == {"staging": "check", "production": "staging"}[name]
        assert "github.ref == 'refs/heads/main'" in workflow["jobs"][name]["if"]


@pytest.mark.parametrize("job", sorted(DEPLOYING))
def test_a_deployment_is_the_one_of_make_and_is_not_cut_off_by_the_next(workflow: Any, job: str) -> None:
    (run,) = [step for step in steps(workflow, job) if "run" in step]
    assert run["run"] == RUNS[job]
    assert run["env"]["ENVIRONMENT"] == DEPLOYING[job]
    assert workflow["jobs"][job]["concurrency"] == f"deploy-{job}"


def test_actions_are_named_by_commit(workflow: Any) -> None:
    used = {step["uses"] for job in workflow["jobs"] for step in steps(workflow, job) if "uses" in step}
    assert used
    assert [name for name in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", name)] == []


def test_values_reach_the_shell_through_the_environment_only(workflow: Any) -> None:
    for job in workflow["jobs"]:
        assert not any("${{" in step.get("run", "") for step in steps(workflow, job))


def test_production_runs_the_image_that_staging_proved_in_the_same_run(workflow: Any) -> None:
    (image,) = [step["env"]["IMAGE"] for step in steps(workflow, "production") if "run" in step]
    assert image == "${{ needs.staging.outputs.image }}"
    assert workflow["jobs"]["production"]["needs"] == "staging"
    assert workflow["jobs"]["production"]["if"].startswith("github.event_name == 'workflow_dispatch'")
    assert workflow["jobs"]["staging"]["outputs"] == {"image": "${{ steps.deploy.outputs.image }}"}
    assert [step["id"] for step in steps(workflow, "staging") if "run" in step] == ["deploy"]
    assert (ROOT / "infra" / "env" / "production" / "promote_from").read_text() == "staging\n"
    assert not (ROOT / "infra" / "env" / "staging" / "promote_from").exists()


@pytest.mark.parametrize("job", sorted(DEPLOYING))
def test_a_deployment_has_the_history_to_go_back_in(workflow: Any, job: str) -> None:
    (checkout,) = [step for step in steps(workflow, job) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["fetch-depth"] == 0
