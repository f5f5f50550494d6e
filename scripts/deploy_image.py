"""The worker's image: built and pushed once, told by its digest, and copied from registry to registry as it is.

Tags are immutable: one that is there is used. `TAG-proved` is a second tag for an image that went through a deployment
and its smoke batch; only such an image is promoted to an environment that has a file `promote_from`.
"""

import base64
import os
import re
import subprocess
from dataclasses import dataclass
from typing import Any

from deploy_terraform import ROOT, DeployError

BUILDER = "collage-worker"
PLATFORMS = {"X86_64": "linux/amd64", "ARM64": "linux/arm64"}
PROVED = "-proved"
_REFERENCE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/"
    r"(?P<repository>[a-z0-9._/-]+)@(?P<digest>sha256:[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Image:
    """An image in a registry: the commit that it was built from, and the digest of its bytes."""

    tag: str
    digest: str


@dataclass(frozen=True)
class Repository:
    """A repository of ECR, and the client to look at it with."""

    ecr: Any
    name: str
    url: str
    account: str | None = None

    def reference(self, image: Image) -> str:
        """Return the name that tells exactly these bytes."""
        return f"{self.url}@{image.digest}"

    def tagged(self, tag: str) -> Image | None:
        """Return the image with this tag, or None."""
        found = self._described({"imageTag": tag})
        return Image(tag, found["imageDigest"]) if found else None

    def tags(self, digest: str) -> list[str]:
        """Return every tag of an image; none where there is no such image."""
        return list((self._described({"imageDigest": digest}) or {}).get("imageTags", []))

    def prove(self, image: Image) -> None:
        """Note that an image went through a deployment: give it the second tag."""
        tag = image.tag.removesuffix(PROVED) + PROVED
        if tag in self.tags(image.digest):
            return
        # Where nothing is named, ECR answers with the manifest of another type than what was pushed.
        found = self.ecr.batch_get_image(
            **self._where(), imageIds=[{"imageDigest": image.digest}], acceptedMediaTypes=MEDIA_TYPES
        )["images"]
        if not found:
            raise DeployError(f"the registry has no image {image.digest} to note as proved")
        self.ecr.put_image(
            **self._where(),
            imageManifest=found[0]["imageManifest"],
            imageManifestMediaType=found[0].get("imageManifestMediaType", MEDIA_TYPES[0]),
            imageTag=tag,
        )

    def manifest(self, digest: str) -> str:
        """Return the manifest of an image as it was pushed."""
        found = self.ecr.batch_get_image(
            **self._where(), imageIds=[{"imageDigest": digest}], acceptedMediaTypes=MEDIA_TYPES
        )["images"]
        if not found:
            raise DeployError(f"the registry {self.name} has no image {digest}")
        return str(found[0]["imageManifest"])

    def where(self) -> dict[str, str]:
        """Return what every call to ECR has to name."""
        return self._where()

    def log_in(self) -> None:
        """Let docker push and pull."""
        granted = self.ecr.get_authorization_token()["authorizationData"][0]
        user, _, password = base64.b64decode(granted["authorizationToken"]).decode().partition(":")
        # By standard input: a password among the arguments could be read by every process of this machine.
        _docker("login", "--username", user, "--password-stdin", self.url.partition("/")[0], stdin=password)

    def _described(self, image_id: dict[str, str]) -> Any:
        try:
            return self.ecr.describe_images(**self._where(), imageIds=[image_id])["imageDetails"][0]
        except self.ecr.exceptions.ImageNotFoundException:
            return None

    def _where(self) -> dict[str, str]:
        return {"repositoryName": self.name} | ({"registryId": self.account} if self.account else {})


MEDIA_TYPES = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
]


def commit() -> str:
    """Return the checked-out commit; refuses a tree with changes, whose image could not be told from the commit's."""
    if _git("status", "--porcelain"):
        raise DeployError("the working tree has changes; commit them, so that the image's tag says what is in it")
    return _git("rev-parse", "--short=12", "HEAD")


def build_and_push(repository: Repository, tag: str, architecture: str = "X86_64") -> None:
    """Build, with a statement of how it was built (SLSA provenance) and a bill of materials attached, and push."""
    image = f"{repository.url}:{tag}"
    repository.log_in()
    if _docker_says("buildx", "inspect", BUILDER):  # Docker's own builder attaches nothing
        _docker("buildx", "create", "--name", BUILDER, "--driver", "docker-container")
    given = {"VERSION": _version(), "REVISION": tag, "BASE": (ROOT / "docker" / "base-image").read_text().strip()}
    described = [part for name, value in given.items() for part in ("--build-arg", f"{name}={value}")]
    attached = ("--provenance", "mode=max", "--sbom", "true")
    platform = ("--platform", PLATFORMS[architecture])
    _docker(
        "buildx", "build", "--builder", BUILDER, *platform, *attached, *described, "--tag", image, "--push", str(ROOT)
    )


def promote(reference: str, source: Repository, target: Repository) -> Image:
    """Copy a proved image to another registry, byte for byte. Raises `DeployError` where it is not what was proved."""
    digest = reference.rpartition("@")[2]
    proved = [tag for tag in source.tags(digest) if tag.endswith(PROVED)]
    if not proved:
        raise DeployError(
            f"{reference} was never proved: it has no tag …{PROVED}. Deploy it where it comes from, until its smoke "
            "batch has gone through"
        )
    image = Image(proved[0].removesuffix(PROVED), digest)
    if target.tagged(image.tag) != image:
        source.log_in()
        target.log_in()
        # An index, as attestations make it, is copied as it is (buildx 0.22 or newer, for immutable tags).
        _docker("buildx", "imagetools", "create", "--tag", f"{target.url}:{image.tag}", f"{source.url}@{digest}")
    copied = target.tagged(image.tag)
    if copied != image:
        found = copied.digest if copied else "nothing"
        raise DeployError(f"{target.url}:{image.tag} should be {digest}, and is {found}: not what was proved")
    return image


def parsed(reference: str) -> dict[str, str]:
    """Return account, region, repository and digest of an ECR reference. Raises `DeployError` for any other text."""
    found = _REFERENCE.fullmatch(reference)
    if not found:
        raise DeployError(
            f"{reference!r} names no image; say ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY@sha256:DIGEST, as the "
            "deployment that proved it printed it"
        )
    return {key: value for key, value in found.groupdict().items() if value}


def _version() -> str:
    found = re.search(
        r'^__version__ = "(.+)"', (ROOT / "worker" / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    return found[1] if found else "dev"


def _docker(*arguments: str, stdin: str | None = None) -> None:
    if subprocess.run(["docker", *arguments], input=stdin, text=True, check=False).returncode:
        raise DeployError(f"docker {' '.join(arguments[:2])} failed; its output above says why")


def _docker_says(*arguments: str) -> int:
    return subprocess.run(["docker", *arguments], capture_output=True, check=False, env=os.environ).returncode


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeployError(f"git {arguments[0]}: {done.stderr.strip()}; give --tag to deploy an image that is pushed")
    return done.stdout.strip()
