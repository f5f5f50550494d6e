"""Failures on the way to a server: names, connections, certificates, and what nobody foresaw."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
from aiohappyeyeballs import AddrInfoType

from tests.unit.byte_origin import (
    POLICY,
    FakeResolver,
    Origin,
    failure,
    free_port,
    reply,
)
from worker.download.fetch import Fetcher
from worker.errors import ImageError, ImageReason
from worker.limiter import Limiter

pytestmark = pytest.mark.usefixtures("only_loopback")


@pytest.mark.parametrize(
    ("code", "transient"),
    [(socket.EAI_AGAIN, True), (socket.EAI_NONAME, False), (socket.EAI_NODATA, False), (socket.EAI_FAIL, False)],
)
async def test_a_name_that_does_not_resolve_is_asked_again_only_if_that_may_change(code: int, transient: bool) -> None:
    resolver = FakeResolver(socket.gaierror(code, "why"))
    error = await failure("http://gone.example/", max_retries=2, resolver=resolver)
    assert (error.reason, error.transient) == (ImageReason.DNS, transient)
    assert resolver.asked == (3 if transient else 1)


async def test_a_port_where_nobody_listens_is_tried_again() -> None:
    error = await failure(f"http://127.0.0.1:{await free_port()}/", max_retries=1)
    assert (error.reason, error.transient) == (ImageReason.CONNECT, True)


async def test_a_connection_reset_before_the_answer_is_tried_again(origin: Origin) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    origin.answers = [talk]
    error = await failure(origin.url(), max_retries=2)
    assert (error.reason, error.transient) == (ImageReason.CONNECT, True)
    assert len(origin.heads) == 3


@pytest.mark.parametrize("trusted", [False, True])
async def test_a_certificate_that_does_not_hold_is_a_tls_failure_and_not_tried_again(
    secure: Origin, certificate: Path, trusted: bool
) -> None:
    trust = ssl.create_default_context(cafile=certificate) if trusted else None
    async with Fetcher(POLICY, resolver=FakeResolver(["127.0.0.1"]), tls=trust) as fetcher:
        url = secure.url(host="other.example" if trusted else "cdn.example", scheme="https")
        with pytest.raises(ImageError) as raised:
            await fetcher.fetch(url, timeout=5, max_retries=3, slots=Limiter(1))
    assert (raised.value.reason, raised.value.transient) == (ImageReason.TLS, False)
    assert (len(secure.heads), secure.connections) == (0, 0)


async def test_tls_spoken_to_a_plain_server_is_a_tls_failure(origin: Origin) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(reply(400))
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    error = await failure(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", max_retries=3)
    server.close()
    assert (error.reason, error.transient) == (ImageReason.TLS, False)


@pytest.mark.parametrize("strange", [ValueError("http://h/?s3cret"), AssertionError(), RuntimeError(), KeyError()])
async def test_a_client_library_that_fails_in_a_new_way_costs_one_image(strange: Exception) -> None:
    def fail(_: AddrInfoType) -> socket.socket:
        raise strange

    async with Fetcher(POLICY, sockets=fail) as fetcher:
        with pytest.raises(ImageError) as raised:
            await fetcher.fetch("http://127.0.0.1/", timeout=5, max_retries=2, slots=Limiter(1))
    assert (raised.value.reason, raised.value.transient) == (ImageReason.SERVER_ERROR, False)
    assert "s3cret" not in str(raised.value)
