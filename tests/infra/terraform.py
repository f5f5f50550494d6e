"""Terraform for the tests: finds it, and runs it in copies, so that nothing is left in the repository."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from deploy_guard import lifted, protected

ROOT = Path(__file__).resolve().parents[2]
PLACES = (Path("/opt"), Path("/usr/local/share"), Path("/usr/share/terraform"), Path.home() / ".terraform.d")
DEPTH = 9


@cache
def plugin_dir() -> str | None:
    """Return the folder above `registry.terraform.io` that holds the AWS provider, or None where there is none."""
    if given := os.environ.get("TF_PLUGIN_DIR"):
        return given
    for place in PLACES:
        for folder, folders, files in os.walk(place):
            if any(name.startswith("terraform-provider-aws") for name in files):
                parts = Path(folder).parts
                return str(Path(*parts[: parts.index("registry.terraform.io")])) if len(parts) > DEPTH - 4 else None
            if len(Path(folder).parts) - len(place.parts) >= DEPTH or "node_modules" in folder:
                folders.clear()
    return None


def environment(**further: str) -> dict[str, str]:
    """Return an environment in which nothing leaves this machine: no credentials but made-up ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
    made_up = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    return (
        kept
        | made_up
        | {"AWS_EC2_METADATA_DISABLED": "true", "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        | further
    )


class Half:
    """A copy of one half, ready to be tested, planned or applied."""

    def __init__(self, name: str, place: Path) -> None:
        self.folder = place / "infra" / name
        self.binary = shutil.which("terraform") or ""
        if not self.binary:
            pytest.skip("NO TERRAFORM on this machine: nothing of infra/ was tested")
        shutil.copytree(ROOT / "infra", place / "infra", ignore=shutil.ignore_patterns(".terraform", "*.tfstate*"))
        (place / "scripts").mkdir()
        self.environment: dict[str, str] = {}
        shutil.copy(ROOT / "scripts" / "infra_message_size.py", place / "scripts")

    def init(self, *arguments: str) -> None:
        """Initialise, with the provider that is on this machine if there is one."""
        from_here = [f"-plugin-dir={plugin_dir()}"] if plugin_dir() else []
        done = self._run("init", "-input=false", "-lockfile=readonly", *from_here, *arguments)
        if done.returncode:
            pytest.skip(f"NO AWS PROVIDER for Terraform: nothing of infra/ was tested ({done.stderr[-300:]})")

    def run(self, *arguments: str, **further: str) -> str:
        """Run a command to its good end; returns what it printed."""
        done = self._run(*arguments, **further)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def _run(self, *arguments: str, **further: str) -> "subprocess.CompletedProcess[str]":
        command = [self.binary, *arguments, "-no-color"]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment(**self.environment, **further),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


def applied_half(place: Path, url: str, **variables: object) -> Half:
    """Apply the data half, its real code, to an emulator; returns it, ready for further commands.

    Nothing but where the state is kept, and how buckets are addressed, differs from what goes to AWS.
    """
    half = Half("data", place)
    (half.folder / "test_override.tf").write_text(
        'terraform {\n  backend "local" {}\n}\n\nprovider "aws" {\n  s3_use_path_style = true\n}\n'
    )
    (half.folder / "test.auto.tfvars.json").write_text(json.dumps({"python": sys.executable, **variables}))
    half.init()
    half.environment = {"AWS_ENDPOINT_URL": url}
    half.run("apply", "-auto-approve", "-input=false")
    return half


class Rendered:
    """What a half comes to, applied to a mocked provider: resources by address, and outputs."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.outputs: dict[str, Any] = {name: each.get("value") for name, each in state.get("outputs", {}).items()}
        self.resources: dict[str, Any] = {
            each["address"]: each["values"] for each in state["root_module"]["resources"] if each["mode"] == "managed"
        }

    def one(self, address: str) -> Any:
        """Return the values of one resource."""
        return self.resources[address]

    def all(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Give every resource of a type with its address."""
        return ((name, values) for name, values in self.resources.items() if name.startswith(f"{kind}."))


def rendered(half: Half, environment_name: str, given: Mapping[str, object] | None = None) -> Rendered:
    """Apply the half with an environment's example variables to the mocked provider of its own tests.

    `given` takes the place of the variables that those tests have in common.
    """
    with lifted(half.folder, protected(half.folder)):  # or Terraform's test could not clear away what it made
        return _rendered(half, environment_name, given)


def _rendered(half: Half, environment_name: str, given: Mapping[str, object] | None) -> Rendered:
    source = next(
        path for path in sorted((half.folder / "tests").glob("*.tftest.hcl")) if not path.name.startswith("refused")
    )
    mocks = source.read_text().partition('\nrun "')[0].replace("override_during = plan", "")
    if given is not None:
        mocks = mocks.partition("\nvariables {")[0]
        (half.folder / "given.auto.tfvars.json").write_text(json.dumps(given))
    (half.folder / "tests" / "rendered.tftest.hcl").write_text(mocks + '\nrun "rendered" {}\n')
    variables = half.folder.parent / "env" / environment_name / f"{half.folder.name}.tfvars"
    out = half.run("test", "-json", "-verbose", f"-var-file={variables}", "-filter=tests/rendered.tftest.hcl")
    lines = [json.loads(line) for line in out.splitlines()]
    return Rendered(next(line["test_state"] for line in lines if line["type"] == "test_state"))
