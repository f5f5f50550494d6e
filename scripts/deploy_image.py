"""Builds the worker's image and pushes it, tagged with the commit. Tags are immutable: one that is there is used."""

import base64
import os
import re
import subprocess
from typing import Any

from deploy_terraform import ROOT, DeployError


def commit() -> str:
    """Return the checked-out commit; refuses a tree with changes, whose image could not be told from the commit's."""
    if _git("status", "--porcelain"):
        raise DeployError("the working tree has changes; commit them, so that the image's tag says what is in it")
    return _git("rev-parse", "--short=12", "HEAD")


def in_registry(ecr: Any, repository: str, tag: str) -> bool:
    """Say whether the registry has an image with this tag."""
    try:
        ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
    except ecr.exceptions.ImageNotFoundException:
        return False
    return True


def build_and_push(ecr: Any, repository_url: str, tag: str) -> None:
    """Build for x86-64 and push."""
    image = f"{repository_url}:{tag}"
    described = ("--build-arg", f"VERSION={_version()}", "--build-arg", f"REVISION={tag}")
    _docker("build", "--platform", "linux/amd64", *described, "--tag", image, str(ROOT))
    granted = ecr.get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(granted["authorizationToken"]).decode().partition(":")
    # By standard input: a password among the arguments could be read by every process of this machine.
    _docker("login", "--username", user, "--password-stdin", repository_url.partition("/")[0], stdin=password)
    _docker("push", image)


def _version() -> str:
    found = re.search(
        r'^__version__ = "(.+)"', (ROOT / "worker" / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    return found[1] if found else "dev"


def _docker(*arguments: str, stdin: str | None = None) -> None:
    # One image for each tag: attestations would be pushed as two more, which the registry counts and expires as images.
    env = os.environ | {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    if subprocess.run(["docker", *arguments], input=stdin, text=True, env=env, check=False).returncode:
        raise DeployError(f"docker {arguments[0]} failed; its output above says why")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeployError(f"git {arguments[0]}: {done.stderr.strip()}; give --tag to deploy an image that is pushed")
    return done.stdout.strip()
