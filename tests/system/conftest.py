"""What the system tests share. They import nothing of the product: they use it as its users do."""

import os
import sys
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.system.compose import Compose
from tests.system.environment import Environment

HERE = Path(__file__).parent
EXTERNAL = os.environ.get("SYSTEM_ENDPOINT_URL", "")
KEEP = os.environ.get("SYSTEM_KEEP", "")
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.timeout(900))  # the first one may build the image


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a failure where the `compose` fixture sees it: it makes the containers anew, and their logs go with them."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def _containers() -> Iterator[Compose | None]:
    if EXTERNAL:
        yield None
        return
    compose = Compose()
    compose.down()  # what an earlier run left, with all it knew
    try:
        compose.run("build", "worker")
        compose.up()
        yield compose
    finally:
        if sys.exception():
            sys.stderr.write(compose.run("logs", "--no-color", "worker", check=False).stdout)
        if not KEEP:
            compose.down()


@pytest.fixture(scope="session")
def environment(_containers: Compose | None) -> Iterator[Environment]:
    """The environment under test: what compose brought up, or the one that SYSTEM_ENDPOINT_URL names."""
    if _containers:
        endpoint, control = _containers.address("localstack", 4566), _containers.address("origin", 8080)
        found = Environment(endpoint, "http://origin:8080", control)
    else:
        origin = os.environ.get("SYSTEM_ORIGIN_URL", "http://origin:8080")
        control = os.environ.get("SYSTEM_ORIGIN_CONTROL_URL", origin)
        found = Environment(None if EXTERNAL == "aws" else EXTERNAL, origin, control)
    yield found
    found.close()


@pytest.fixture
def compose(request: pytest.FixtureRequest, _containers: Compose | None, environment: Environment) -> Iterator[Compose]:
    """The containers, for tests that start, stop or look into them; the one worker is back afterwards."""
    if _containers is None:
        pytest.skip("needs containers of its own: leave SYSTEM_ENDPOINT_URL unset")
    yield _containers
    if request.node.stash.get(FAILED, False):
        sys.stderr.write(_containers.run("logs", "--no-color", "worker", check=False).stdout)
    _containers.up()


@pytest.fixture
def name() -> str:
    """A name that no other test and no earlier run has used: for a manifest, or part of its creators' names."""
    return f"t{uuid.uuid4().hex[:10]}"
