"""Runs Terraform for a half of infra/, in an environment.

Each environment has a working folder of Terraform's own (`TF_DATA_DIR`): a `terraform output` by hand, which would
speak of whichever environment came last, finds none. `make output ENV=…` asks the right one.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deploy_guard import lifted, losses, protected

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
    code: Path | None = None
    """Where its Terraform code is, if not in this checkout."""
    variables_text: str | None = None
    """The environment's variables, if not those of this checkout."""
    allow: Sequence[str] = field(default=())
    """Addresses of what may be deleted or replaced although it holds data."""

    @property
    def folder(self) -> Path:
        """Where its Terraform code is."""
        return self.code or ROOT / "infra" / self.name

    @property
    def variables(self) -> Path:
        """Return the environment's variable file."""
        return ROOT / "infra" / "env" / self.environment / f"{self.name}.tfvars"

    def read_variables(self) -> str:
        """Return the text of the environment's variables."""
        return self.variables_text if self.variables_text is not None else self.variables.read_text(encoding="utf-8")

    def setting(self, name: str) -> str | None:
        """Return a string variable as the environment's file has it, or None."""
        found = re.search(rf'^\s*{name}\s*=\s*"([^"]*)"', self.read_variables(), re.MULTILINE)
        return found[1] if found else None

    def init(self) -> None:
        """Connect to the environment's state. Placeholders are refused before AWS is asked for anything."""
        backend = self.variables.parent / "backend.hcl"
        for path in (self.variables, backend):
            if not path.is_file():
                raise DeployError(f"there is no {path.relative_to(ROOT)}; copy another environment's and adapt it")
        _no_placeholder(backend)
        if self.setting("environment") not in {None, self.environment}:
            raise DeployError(
                f"{self.variables.relative_to(ROOT)} says environment = {self.setting('environment')!r}; "
                f"it must be {self.environment!r}, the folder's name"
            )
        key = f"key=collage-worker/{self.environment}/{self.name}.tfstate"
        plugins = os.environ.get("TF_PLUGIN_DIR")
        further = [f"-plugin-dir={plugins}"] if plugins else []
        locked = ("-reconfigure", "-lockfile=readonly")
        self._run("init", *locked, f"-backend-config={backend}", f"-backend-config={key}", *further)

    def apply(self, variables: dict[str, Any], *, yes: bool) -> None:
        """Plan, show, ask, and apply exactly what was shown. Raises `NothingChanged` where it does not come to that."""
        with self._files(variables) as given, tempfile.TemporaryDirectory() as place, lifted(self.folder, self.allow):
            plan = Path(place) / "plan"
            try:
                self._run("plan", *given, f"-out={plan}")
            except DeployError as error:
                raise NothingChanged(f"{error}. {HOW_TO_ALLOW}") from error
            self._refuse_losses(plan)
            confirmed(f"apply this plan to the {self.name} half of {self.environment}", yes=yes)
            self._run("apply", str(plan))

    def destroy(self, variables: dict[str, Any], *, yes: bool) -> None:
        """Take everything of this half away, with what it holds."""
        confirmed(f"destroy the {self.name} half of {self.environment}", yes=yes)
        with self._files(variables) as given, lifted(self.folder, protected(self.folder)):
            self._run("destroy", *given, "-auto-approve")

    def output(self, name: str) -> Any:
        """Return one output."""
        try:
            return self.outputs()[name]
        except KeyError:
            raise DeployError(
                f"the {self.name} half of {self.environment} has no output {name}: is it deployed?"
            ) from None

    def outputs(self) -> dict[str, Any]:
        """Return all outputs by name; none where nothing is deployed."""
        done = self._terraform("output", "-json", capture=True)
        if done.returncode:
            raise DeployError(f"terraform output of the {self.name} half of {self.environment}: {done.stderr.strip()}")
        return {name: each["value"] for name, each in json.loads(done.stdout or "{}").items()}

    def at(self, code: Path | None, variables: str) -> "Half":
        """Return this half with the code (None: this checkout's) and the variables of an earlier deployment."""
        return replace(self, code=code, variables_text=variables)

    @contextmanager
    def _files(self, variables: dict[str, Any]) -> Iterator[list[str]]:
        with tempfile.TemporaryDirectory() as place:
            usual, given = Path(place) / "usual.tfvars", Path(place) / "given.tfvars.json"
            usual.write_text(self.read_variables(), encoding="utf-8")
            given.write_text(json.dumps(variables), encoding="utf-8")
            yield [f"-var-file={usual}", f"-var-file={given}"]

    def _refuse_losses(self, plan: Path) -> None:
        done = self._terraform("show", "-json", str(plan), capture=True)
        if done.returncode:
            raise NothingChanged(f"terraform show of the plan failed: {done.stderr.strip()}")
        if found := losses(json.loads(done.stdout), self.allow):
            raise NothingChanged("the plan is refused: " + "; ".join(found) + f". {HOW_TO_ALLOW}")

    def _run(self, *arguments: str) -> None:
        if self._terraform(arguments[0], "-input=false", *arguments[1:]).returncode:
            raise DeployError(f"terraform {arguments[0]} of the {self.name} half failed; its output above says why")

    def _terraform(self, *arguments: str, capture: bool = False) -> "subprocess.CompletedProcess[str]":
        env = os.environ | {"TF_DATA_DIR": str(ROOT / "infra" / self.name / ".terraform" / self.environment)}
        return subprocess.run(
            ["terraform", *arguments], cwd=self.folder, env=env, capture_output=capture, text=True, check=False
        )


HOW_TO_ALLOW = (
    "Nothing was changed. What holds data is replaced or deleted only where it is named: "
    "--allow-replace ADDRESS (make: ALLOW_REPLACE=ADDRESS), for example aws_sqs_queue.jobs. It is lost then"
)


def _no_placeholder(backend: Path) -> None:
    for name in re.findall(r'^\s*bucket\s*=\s*"([^"]*)"', backend.read_text(encoding="utf-8"), re.MULTILINE):
        if "example" in name:
            raise DeployError(
                f"{backend.relative_to(ROOT)} names the bucket {name!r}, which is a placeholder; put in the name of "
                "the bucket that you made for Terraform's state (infra/README.md, step 2)"
            )


def confirmed(what: str, *, yes: bool) -> None:
    """Ask before something is changed; raises `NothingChanged` unless the answer is yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise NothingChanged(f"nobody is here to agree to: {what}; give --yes (make: AUTO=1)")
    if input(f"{what}? [yes/no] ").strip().lower() not in {"y", "yes"}:
        raise NothingChanged(f"you did not agree to: {what}; nothing was changed by it")
