"""A roll-back has the code and the variables of the deployment before, taken out of git."""

import subprocess
from pathlib import Path

import deploy_record
import pytest
from deploy_record import Deployment, half_of
from deploy_terraform import Half


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make a repository with two commits of infra/service, in place of this one; returns them."""
    monkeypatch.setattr(deploy_record, "ROOT", tmp_path)
    monkeypatch.setattr(Half, "init", lambda _half: None)
    (tmp_path / "infra" / "service").mkdir(parents=True)
    me = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    commits = []
    for text in ("# old\n", "# new\n"):
        (tmp_path / "infra" / "service" / "main.tf").write_text(text)
        for command in (("add", "."), (*me, "commit", "-q", "-m", text)):
            subprocess.run(["git", *command], cwd=tmp_path, check=True)
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True)
        commits.append(found.stdout.strip()[:12])
    return commits


def test_the_code_and_the_variables_of_then_are_applied(history: list[str]) -> None:
    earlier = Deployment("aaaaaaa", "sha256:a", history[0], "cpu = 512\n")
    with half_of(Half("service", "staging"), earlier) as half:
        assert (half.folder / "main.tf").read_text() == "# old\n"
        assert half.read_variables() == "cpu = 512\n"
        assert (half.name, half.environment) == ("service", "staging")


def test_without_the_commit_the_variables_of_then_are_applied_with_todays_code(
    history: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = Deployment("aaaaaaa", "sha256:a", "0" * 12, "cpu = 512\n")
    with half_of(Half("service", "staging"), earlier) as half:
        assert half.code is None
        assert half.read_variables() == "cpu = 512\n"
    assert f"lacks the commit {'0' * 12}" in capsys.readouterr().err
    assert history


def test_what_is_given_to_terraform_comes_back_as_the_output_has_it() -> None:
    one = Deployment("aaaaaaa", "sha256:a", "0123abc", "cpu = 512\n")
    given = one.given({"region": "us-east-1"})
    assert given["deployment_record"] == {"commit": "0123abc", "variables": "cpu = 512\n"}
    assert Deployment(**one.written()) == one
