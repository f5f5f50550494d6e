"""Connections that forgive what browsers forgive."""

import asyncio

import pytest

from tests.unit.byte_origin import IMAGE, POLICY, Origin, fetch, reply
from worker.download.fetch import Fetcher
from worker.limiter import Limiter

pytestmark = pytest.mark.usefixtures("only_loopback")

LENGTH = f"Content-Length: {len(IMAGE)}"


@pytest.mark.parametrize(
    "headers",
    [(LENGTH,), (LENGTH, "X: y", LENGTH), (LENGTH.lower(),), (LENGTH.replace(" ", ""),), (f"{LENGTH}, {len(IMAGE)}",)],
    ids=["twice", "four times", "in lower case", "without a space", "as a list"],
)
@pytest.mark.parametrize("step", [None, 1, 7])
async def test_a_length_that_is_told_again_is_told_once(
    origin: Origin, headers: tuple[str, ...], step: int | None
) -> None:
    answer = reply(200, *headers)

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for at in range(0, len(answer), step or len(answer)):
            writer.write(answer[at : at + (step or len(answer))])
            await writer.drain()
            await asyncio.sleep(0)

    origin.answers = [talk]
    assert (await fetch(origin.url())).body == IMAGE


async def test_a_connection_is_used_on_after_such_an_answer(origin: Origin) -> None:
    origin.answers = [reply(200, LENGTH)]
    async with Fetcher(POLICY) as fetcher:
        for _ in range(3):
            fetched = await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=Limiter(1))
            assert fetched.body == IMAGE
    assert (len(origin.heads), origin.connections) == (3, 1)
