"""Terraform, `bootstrap` and LocalStack's ready hook make the same things: whoever changes one changes all three."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.emulator import NAMES, found_at, moto, python, worker_environment
from tests.infra.terraform import ROOT

HOOK = ROOT / "docker" / "localstack" / "bootstrap.py"
HOOKS_ENDPOINT = "http://localhost:4566"


@pytest.fixture(scope="module")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto(tmp_path_factory.mktemp("bootstrap") / "moto.log") as url:
        python("-m", "worker", "bootstrap", env=worker_environment(url))
        yield url


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the hook's own text; only the address inside it is this test's."""
    place = tmp_path_factory.mktemp("hook")
    text = HOOK.read_text()
    assert text.count(HOOKS_ENDPOINT) == 1
    with moto(place / "moto.log") as url:
        (place / "hook.py").write_text(text.replace(HOOKS_ENDPOINT, url))
        python(str(place / "hook.py"), env=worker_environment(url, COLLAGE_REGION="us-east-1"))
        yield url


def test_bootstrap_makes_what_terraform_makes(applied: str, bootstrapped: str) -> None:
    assert found_at(bootstrapped) == found_at(applied) | {"gone after days": found_at(bootstrapped)["gone after days"]}


def test_the_hook_makes_what_bootstrap_makes(hooked: str, bootstrapped: str) -> None:
    assert found_at(hooked) == found_at(bootstrapped)


def test_scratch_files_are_gone_when_bootstrap_says_so(applied: str, bootstrapped: str) -> None:
    """Terraform also clears folders that only people and deployments write to."""
    assert found_at(bootstrapped)["gone after days"]["processing/"] == 7
    assert found_at(bootstrapped)["gone after days"].items() <= found_at(applied)["gone after days"].items()


def test_the_hook_is_what_localstack_runs() -> None:
    scripts = [path for path in Path(ROOT / "docker" / "localstack" / "ready.d").iterdir() if os.access(path, os.X_OK)]
    assert [path.name for path in scripts] == ["bootstrap.sh"]
    assert "exec python3 -B /opt/collage/bootstrap.py" in scripts[0].read_text()


def test_compose_gives_the_hook_every_name_it_asks_for() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    assert [name for name in (*NAMES, "COLLAGE_REGION") if name not in compose] == []
