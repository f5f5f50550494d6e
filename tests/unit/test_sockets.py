"""Addresses that are out of bounds are never connected to, whatever leads to them."""

import pytest

from tests.unit.byte_origin import (
    IMAGE,
    POLICY,
    STRICT,
    FakeResolver,
    Origin,
    failure,
    fetch,
    free_port,
    reply,
)
from worker.download.fetch import Fetcher
from worker.download.host_names import REMEMBERED_SECONDS
from worker.download.sockets import refusal_of_text
from worker.errors import ImageError, ImageReason
from worker.limiter import Limiter

pytestmark = pytest.mark.usefixtures("only_loopback")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"]
)
async def test_a_literal_address_inside_is_refused_and_never_connected_to(origin: Origin, host: str) -> None:
    error = await failure(origin.url(host=host), STRICT, max_retries=3)
    assert (error.reason, error.transient) == (ImageReason.ADDRESS_REFUSED, False)
    assert origin.connections == 0


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest/", "http://[fd00:ec2::254]/", "http://[64:ff9b::a9fe:aa02]/v2"]
)
async def test_a_redirect_to_a_credentials_endpoint_is_refused_in_local_runs_too(origin: Origin, target: str) -> None:
    origin.answers = [reply(302, f"Location: {target}")]
    error = await failure(origin.url(), max_retries=3)
    assert (error.reason, error.transient) == (ImageReason.ADDRESS_REFUSED, False)
    assert len(origin.heads) == 1


async def test_a_name_that_resolves_to_an_inside_address_is_refused(origin: Origin) -> None:
    error = await failure(origin.url(host="evil.example"), STRICT, resolver=FakeResolver(["127.0.0.1"]))
    assert error.reason is ImageReason.ADDRESS_REFUSED
    assert "127.0.0.1 (loopback)" in str(error)
    assert origin.connections == 0


async def test_a_name_that_resolves_to_something_else_the_second_time_is_refused_then(origin: Origin) -> None:
    resolver, now = FakeResolver(["127.0.0.1"], ["0.0.0.0"]), [0.0]
    origin.answers = [reply(200, "Connection: close")]
    async with Fetcher(POLICY, resolver=resolver, seconds=lambda: now[0]) as fetcher:
        url = origin.url(host="rebinding.example")
        await fetcher.fetch(url, timeout=5, max_retries=0, slots=Limiter(1))
        now[0] += REMEMBERED_SECONDS
        with pytest.raises(ImageError) as raised:
            await fetcher.fetch(url, timeout=5, max_retries=3, slots=Limiter(1))
    assert raised.value.reason is ImageReason.ADDRESS_REFUSED
    assert (resolver.asked, origin.connections) == (2, 1)


@pytest.mark.parametrize(
    "addresses",
    [
        ["0.0.0.0", "127.0.0.1"],
        ["127.0.0.1", "0.0.0.0"],
        ["127.0.0.1", "0.0.0.0", "127.0.0.2"],
        ["0.0.0.0", "224.0.0.1"],
        ["0.0.0.0", "::", "ff02::1"],
        ["::", "127.0.0.1", "127.0.0.2"],
    ],
)
async def test_a_refused_address_is_told_even_where_others_merely_fail(addresses: list[str]) -> None:
    url = f"http://mixed.example:{await free_port()}/"
    error = await failure(url, max_retries=3, resolver=FakeResolver(addresses))
    assert (error.reason, error.transient) == (ImageReason.ADDRESS_REFUSED, False)


async def test_a_name_with_a_usable_address_among_refused_ones_is_fetched_from_that(origin: Origin) -> None:
    resolver = FakeResolver(["0.0.0.0", "224.0.0.1", "127.0.0.1"])
    assert (await fetch(origin.url(host="mixed.example"), resolver=resolver)).body == IMAGE


async def test_a_name_that_resolves_to_a_name_is_refused() -> None:
    assert refusal_of_text("metadata.internal", allow_private=True) == "not an address"
    error = await failure("http://alias.example/", resolver=FakeResolver(["localhost"]))
    assert error.reason is ImageReason.ADDRESS_REFUSED
