"""What the crash tests share: one emulator, one origin, and the matrix, whose cases run some at a time."""

from collections.abc import Iterator

import pytest

from tests.crash.matrix import QUICK, Matrix
from tests.integration.emulator import CREDENTIALS, Aws, aws_at, emulator
from tests.integration.faulty import Faulty, faulty
from tests.integration.pictures import Origin, origin_server
from tests.integration.places import Place, make_place


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones to `-m crash` (make test-crash)."""
    if config.option.markexpr or any("::" in argument for argument in config.args):
        return  # somebody chose
    for item in items:
        if item.get_closest_marker("crash"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; pytest -m crash runs it"))


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


@pytest.fixture
def proxy(aws: Aws) -> Iterator[Faulty]:
    """A way to the emulator that can be broken."""
    with faulty(aws.endpoint) as found:
        yield found


@pytest.fixture(scope="session")
def matrix(aws: Aws, origin: Origin, request: pytest.FixtureRequest) -> Iterator[Matrix]:
    """The matrix, with every case begun that is going to be asked for."""
    found = Matrix(aws, origin)
    asked = [item.callspec.params["case"] for item in request.session.items if _is_case(item)]
    found.begin(asked or QUICK)
    yield found
    found.end()


def _is_case(item: pytest.Item) -> bool:
    skipped = any(marker.name == "skip" for marker in item.iter_markers())
    return not skipped and "case" in getattr(getattr(item, "callspec", None), "params", {})
