"""Runs Terraform for a half of infra/, in an environment."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class DeployError(Exception):
    """The deployment cannot go on; the text says why and what to do."""


class NothingChanged(DeployError):
    """It ended before anything was changed: there is nothing to go back from."""


@dataclass(frozen=True)
class Half:
    """One half (data or service) of an environment."""

    name: str
    environment: str

    @property
    def folder(self) -> Path:
        """Where its Terraform code is."""
        return ROOT / "infra" / self.name

    @property
    def variables(self) -> Path:
        """Return the environment's variable file."""
        return ROOT / "infra" / "env" / self.environment / f"{self.name}.tfvars"

    def init(self) -> None:
        """Connect to the environment's state."""
        backend = self.variables.parent / "backend.hcl"
        for path in (self.variables, backend):
            if not path.is_file():
                raise DeployError(f"there is no {path.relative_to(ROOT)}; copy another environment's and adapt it")
        key = f"key=collage-worker/{self.environment}/{self.name}.tfstate"
        plugins = os.environ.get("TF_PLUGIN_DIR")
        further = [f"-plugin-dir={plugins}"] if plugins else []
        self._run(
            "init",
            "-reconfigure",
            "-lockfile=readonly",
            f"-backend-config={backend}",
            f"-backend-config={key}",
            *further,
        )

    def apply(self, variables: dict[str, Any], *, yes: bool) -> None:
        """Plan, show, ask, and apply exactly what was shown. Raises `NothingChanged` where it does not come to that."""
        with tempfile.TemporaryDirectory() as place:
            given, plan = Path(place) / "given.tfvars.json", Path(place) / "plan"
            given.write_text(json.dumps(variables), encoding="utf-8")
            try:
                self._run("plan", f"-var-file={self.variables}", f"-var-file={given}", f"-out={plan}")
            except DeployError as error:
                raise NothingChanged(str(error)) from error
            confirmed(f"apply this plan to the {self.name} half of {self.environment}", yes=yes)
            self._run("apply", str(plan))

    def destroy(self, variables: dict[str, Any], *, yes: bool) -> None:
        """Take everything of this half away."""
        confirmed(f"destroy the {self.name} half of {self.environment}", yes=yes)
        with tempfile.TemporaryDirectory() as place:
            given = Path(place) / "given.tfvars.json"
            given.write_text(json.dumps(variables), encoding="utf-8")
            self._run("destroy", f"-var-file={self.variables}", f"-var-file={given}", "-auto-approve")

    def output(self, name: str) -> Any:
        """Return one output."""
        done = subprocess.run(
            ["terraform", "output", "-json", name], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DeployError(f"the {self.name} half of {self.environment} has no output {name}: is it deployed?")
        return json.loads(done.stdout)

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(["terraform", arguments[0], "-input=false", *arguments[1:]], cwd=self.folder, check=False)
        if done.returncode:
            raise DeployError(f"terraform {arguments[0]} of the {self.name} half failed; its output above says why")


def confirmed(what: str, *, yes: bool) -> None:
    """Ask before something is changed; raises `NothingChanged` unless the answer is yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise NothingChanged(f"nobody is here to agree to: {what}; give --yes (make: AUTO=1)")
    if input(f"{what}? [yes/no] ").strip().lower() not in {"y", "yes"}:
        raise NothingChanged(f"you did not agree to: {what}; nothing was changed by it")
