"""What the infrastructure tests share: both halves as they would be made, on a mocked provider."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.infra.emulator import NAMES, TERRAFORM_NAMES, client, moto
from tests.infra.terraform import Half, Rendered, applied_half, rendered

PATIENCE = 1_200
"""Seconds for one of these tests, with what it applies first: two minutes on a quiet machine, more on a busy one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(PATIENCE))


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Return the service half with production's example variables."""
    half = Half("service", tmp_path_factory.mktemp("service"))
    half.init("-backend=false")
    return rendered(half, "production")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Return the data half with production's example variables."""
    half = Half("data", tmp_path_factory.mktemp("data"))
    half.init("-backend=false")
    return rendered(half, "production")


@pytest.fixture(scope="session")
def without_tls(applied: str) -> str:
    """Let the worker speak HTTP to the emulator: the buckets' policies refuse that, as they should."""
    s3 = client("s3", applied)
    for name in ("INPUT_BUCKET", "OUTPUT_BUCKET", "TEMP_BUCKET"):
        with pytest.raises(ClientError, match=r"Forbidden|AccessDenied"):
            s3.put_object(Bucket=NAMES[name], Key="without-tls", Body=b"")
        s3.delete_bucket_policy(Bucket=NAMES[name])
    return applied


@dataclass(frozen=True)
class Applied:
    """The data half's real code, applied to emulators over HTTP."""

    url: str
    """An emulator with the names of the worker's own defaults."""
    half: Half
    shared_url: str
    """One with two environments side by side, as in one account."""
    environments: dict[str, Half]


@pytest.fixture(scope="session")
def everything_applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applied]:
    """Apply two at a time: most of it is waiting, but three at once meet the provider's time-outs on a busy machine."""
    place = tmp_path_factory.mktemp("applied")
    for name in ("defaults", "staging", "production"):
        (place / name).mkdir()
    with moto(place / "moto.log") as url, moto(place / "shared.log") as shared, ThreadPoolExecutor(2) as pool:
        half = pool.submit(applied_half, place / "defaults", url, environment="test", **TERRAFORM_NAMES)
        others = {
            name: pool.submit(applied_half, place / name, shared, environment=name)
            for name in ("staging", "production")
        }
        yield Applied(url, half.result(), shared, {name: each.result() for name, each in others.items()})


@pytest.fixture(scope="session")
def applied(everything_applied: Applied) -> str:
    """Return the URL of an emulator that the data half was applied to; a second plan changes nothing."""
    again = everything_applied.half.run("plan", "-input=false")
    assert "No changes." in again, again[-2000:]
    return everything_applied.url
