"""What the integration tests share: one emulator, one origin and one proxy; a place of its own for who asks."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.integration.emulator import CREDENTIALS, REGION, Aws, aws_at, emulator
from tests.integration.faulty import Faulty, faulty
from tests.integration.pictures import Origin, origin_server
from tests.integration.places import Place, make_place
from tests.integration.processes import Worker
from worker.aws.clients import Clients, open_clients


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.markexpr or any("::" in argument for argument in config.args):
        return  # somebody chose
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; pytest -m soak runs it"))


@pytest.fixture(scope="session")
def aws() -> Iterator[Aws]:
    with emulator() as endpoint, aws_at(endpoint) as found, pytest.MonkeyPatch.context() as environment:
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        yield found


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    with origin_server() as found:
        yield found


@pytest.fixture
def place(aws: Aws) -> Place:
    """Buckets, queues and a table that only this test uses."""
    return make_place(aws)


@pytest.fixture(scope="module")
def shared_place(aws: Aws) -> Place:
    """Buckets, queues and a table that only this module uses."""
    return make_place(aws)


@pytest.fixture(scope="module")
def shared_worker(shared_place: Place, origin: Origin) -> Iterator[Worker]:
    """A worker for the whole module, for tests that leave it alone."""
    with Worker(shared_place.env()) as worker:
        yield worker.ready()


@pytest.fixture(scope="session")
def session_proxy(aws: Aws) -> Iterator[Faulty]:
    with faulty(aws.endpoint) as proxy:
        yield proxy


@pytest.fixture
def proxy(session_proxy: Faulty) -> Iterator[Faulty]:
    """The way to the emulator that can be broken; whole again after each test."""
    session_proxy.mend()
    yield session_proxy
    session_proxy.mend()
    session_proxy.come_back()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def clients(aws: Aws) -> AsyncIterator[Clients]:
    """The worker's own clients, straight to the emulator."""
    async with open_clients(region=REGION, endpoint_url=aws.endpoint) as found:
        yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shaky_clients(session_proxy: Faulty) -> AsyncIterator[Clients]:
    """The worker's own clients, by way of the proxy."""
    async with open_clients(region=REGION, endpoint_url=session_proxy.endpoint) as found:
        yield found
