"""Which seeds are run: `pytest tests/simulation --seed 7` for one; SIMULATION_SEEDS=0-20000 for many."""

import os
from collections.abc import Iterator

import pytest

from tests.integration.emulator import CREDENTIALS, Aws, aws_at, emulator

DEFAULT_SEEDS = "0-400"
AT_A_TIME = 50


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="run this seed of the simulation only")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seeds" not in metafunc.fixturenames:
        return
    seed = metafunc.config.getoption("--seed", default=None)
    first, _, last = os.environ.get("SIMULATION_SEEDS", DEFAULT_SEEDS).partition("-")
    whole = range(seed, seed + 1) if seed is not None else range(int(first), int(last))
    some = [whole[at : at + AT_A_TIME] for at in range(0, len(whole), AT_A_TIME)]
    metafunc.parametrize("seeds", some, ids=[f"{one.start}-{one.stop}" for one in some])


@pytest.fixture(scope="session")
def simulation_aws() -> Iterator[Aws]:
    """An emulator that knows DynamoDB better than we do."""
    with emulator() as endpoint, aws_at(endpoint) as found, pytest.MonkeyPatch.context() as environment:
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        yield found
