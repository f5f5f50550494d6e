"""Images are told by their digests: built once with what they are made of attached, noted as proved, and copied."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deploy_image
import pytest
from deploy_image import Image, Repository, build_and_push, parsed, promote
from deploy_terraform import DeployError

from tests.infra.emulator import client, moto

INDEX = "application/vnd.oci.image.index.v1+json"
REFERENCE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/staging@sha256:" + "0" * 64


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with moto(tmp_path_factory.mktemp("registry") / "moto.log") as url:
        yield client("ecr", url)


def repository(ecr: Any, name: str) -> Repository:
    try:
        found = ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")["repository"]
    except ecr.exceptions.RepositoryAlreadyExistsException:
        found = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    return Repository(ecr, name, found["repositoryUri"])


def index_of(tag: str) -> str:
    part = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "1" * 64, "size": 3}
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [part], "annotations": {"tag": tag}})


def pushed(where: Repository, tag: str) -> Image:
    """Push an index; what is in it does not matter to the registry."""
    where.ecr.put_image(
        repositoryName=where.name, imageManifest=index_of(tag), imageManifestMediaType=INDEX, imageTag=tag
    )
    found = where.tagged(tag)
    assert found is not None
    return found


def test_an_image_is_found_by_its_tag_and_named_by_its_digest(registry: Any) -> None:
    where = repository(registry, "found")
    image = pushed(where, "0123abc")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", image.digest)
    assert where.reference(image) == f"{where.url}@{image.digest}"
    assert where.tagged("fffffff") is None
    assert where.tags("sha256:" + "f" * 64) == []


def test_a_proved_image_has_a_second_tag_and_the_same_digest(registry: Any) -> None:
    where = repository(registry, "proved")
    image = pushed(where, "0123abc")
    where.prove(image)
    where.prove(image)
    assert sorted(where.tags(image.digest)) == ["0123abc", "0123abc-proved"]
    assert where.tagged("0123abc-proved") == Image("0123abc-proved", image.digest)


def test_an_image_that_is_not_proved_is_not_promoted(registry: Any) -> None:
    source, target = repository(registry, "source"), repository(registry, "target")
    image = pushed(source, "1111111")
    with pytest.raises(DeployError, match="never proved"):
        promote(source.reference(image), source, target)


def test_a_proved_image_is_copied_by_its_digest_and_keeps_it(registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = repository(registry, "source"), repository(registry, "target")
    image = pushed(source, "2222222")
    source.prove(image)
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        ran.append(command)
        if command[1:4] == ["buildx", "imagetools", "create"]:
            registry.put_image(
                repositoryName="target",
                imageManifest=index_of(image.tag),
                imageDigest=image.digest,  # moto makes digests up, where ECR reckons them
                imageManifestMediaType=INDEX,
                imageTag=command[5].rpartition(":")[2],
            )
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(deploy_image.subprocess, "run", run)
    assert promote(source.reference(image), source, target) == image
    assert ran[-1][4:] == ["--tag", f"{target.url}:2222222", source.reference(image)]
    before = len(ran)
    assert promote(source.reference(image), source, target) == image
    assert len(ran) == before, "what is there already is not copied again"


def test_a_copy_of_other_bytes_is_refused(registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = repository(registry, "source"), repository(registry, "target")
    image = pushed(source, "3333333")
    source.prove(image)
    monkeypatch.setattr(deploy_image.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0))
    with pytest.raises(DeployError, match="and is nothing"):
        promote(source.reference(image), source, target)


@pytest.mark.parametrize(
    "text", ["", "latest", "collage:0123abc", REFERENCE[:-1], REFERENCE.replace("ecr", "elsewhere")]
)
def test_what_names_no_image_by_digest_is_refused(text: str) -> None:
    with pytest.raises(DeployError, match="names no image"):
        parsed(text)


def test_an_image_of_another_account_and_partition_is_understood() -> None:
    assert parsed(REFERENCE)["account"] == "123456789012"
    china = parsed(REFERENCE.replace("us-east-1.amazonaws.com", "cn-north-1.amazonaws.com.cn"))
    assert (china["region"], china["repository"]) == ("cn-north-1", "staging")


# --- building ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with one commit, in place of this one."""
    monkeypatch.setattr(deploy_image, "ROOT", tmp_path)
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "base-image").write_text("python:3.13@sha256:0123\n")
    me = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    for command in (("init", "-q"), ("add", "."), (*me, "commit", "-q", "-m", "first")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_an_image_is_named_after_a_commit_that_holds_everything(checkout: Path) -> None:
    assert re.fullmatch("[0-9a-f]{12}", deploy_image.commit())
    (checkout / "worker" / "new.py").write_text("")
    with pytest.raises(DeployError, match="has changes"):
        deploy_image.commit()


@pytest.mark.parametrize(("architecture", "platform"), [("X86_64", "linux/amd64"), ("ARM64", "linux/arm64")])
def test_an_image_is_pushed_with_what_it_was_made_of(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, platform: str
) -> None:
    ran: list[tuple[list[str], dict[str, Any]]] = []

    def run(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        ran.append((command, options))
        return subprocess.CompletedProcess(command, 1 if "inspect" in command else 0)

    class FakeEcr:
        def get_authorization_token(self) -> Any:
            return {"authorizationData": [{"authorizationToken": "QVdTOnNlY3JldA=="}]}

    monkeypatch.setattr(deploy_image.subprocess, "run", run)
    build_and_push(Repository(FakeEcr(), "worker", "1.dkr.ecr.example.com/worker"), "0123abc", architecture)
    (login, given), _, (create, _), (build, _) = ran
    assert given["input"] == "secret"
    assert "secret" not in login
    assert create[2:] == ["create", "--name", "collage-worker", "--driver", "docker-container"]
    text = " ".join(build)
    assert f"--platform {platform} --provenance mode=max --sbom true" in text
    assert "VERSION=1.2.3" in text
    assert "--build-arg BASE=python:3.13@sha256:0123 " in text
    assert text.endswith(f"--tag 1.dkr.ecr.example.com/worker:0123abc --push {checkout}")
