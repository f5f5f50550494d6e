"""What was deployed before: image, code and variables. It stands in the state, and is what a roll-back restores.

The service half's output `deployment` holds it. Terraform's code of then is taken out of git: with today's code, the
variables of yesterday need not make yesterday's task definition.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy_image import Image
from deploy_terraform import ROOT, Half


@dataclass(frozen=True)
class Deployment:
    """One deployment of the service half."""

    image_tag: str
    image_digest: str
    commit: str
    """The commit whose infra/service was applied."""
    variables: str
    """The text of service.tfvars that went with it."""

    @property
    def image(self) -> Image:
        """The image that it runs."""
        return Image(self.image_tag, self.image_digest)

    def given(self, names: dict[str, Any]) -> dict[str, Any]:
        """Return the variables that scripts/deploy.py itself gives to Terraform."""
        record = {"commit": self.commit, "variables": self.variables}
        image = {"image_tag": self.image_tag, "image_digest": self.image_digest}
        return {"data_half": names, "deployment_record": record} | image

    def written(self) -> dict[str, str]:
        """Return it as the output has it."""
        return asdict(self)


def before(service: Half) -> Deployment | None:
    """Return what is deployed now, or None before the first time."""
    found = service.outputs().get("deployment")
    return Deployment(**found) if found and found.get("image_digest") and found.get("commit") else None


@contextmanager
def half_of(service: Half, deployment: Deployment) -> Iterator[Half]:
    """Give the service half with the code and the variables of an earlier deployment, ready to be applied."""
    with tempfile.TemporaryDirectory() as place:
        code = _code_of(deployment.commit, Path(place))
        if code is None:
            print(
                f"deploy: this clone lacks the commit {deployment.commit}: its variables are applied with today's code",
                file=sys.stderr,
            )
        half = service.at(code, deployment.variables)
        if code is not None:
            half.init()
        yield half


def _code_of(commit: str, place: Path) -> Path | None:
    done = subprocess.run(["git", "archive", commit, "infra/service"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(place, filter="data")
    return place / "infra" / "service"
