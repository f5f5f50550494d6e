"""Redirects: followed as they are given, as many as browsers allow, each judged like the first URL."""

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiohappyeyeballs import AddrInfoType

from tests.unit.byte_origin import (
    IMAGE,
    POLICY,
    STRICT,
    FakeResolver,
    Origin,
    failure,
    fetch,
    reply,
    serving,
)
from worker.download.fetch import Fetcher
from worker.errors import ImageError, ImageReason
from worker.limiter import Limiter

pytestmark = pytest.mark.usefixtures("only_loopback")


async def test_a_redirect_is_followed_exactly_as_it_was_given(origin: Origin) -> None:
    target = "/b;?x-signature=%2F%2B&;=//"
    origin.answers = [reply(302, f"Location: {target}"), reply(301, f"Location: {origin.url(target)}"), reply()]
    assert (await fetch(origin.url())).attempts == 1
    assert [head.split(b" ")[1].decode() for head in origin.heads] == ["/a.jpeg", target, target]


async def test_a_redirect_loop_ends(origin: Origin) -> None:
    origin.answers = [reply(302, "Location: /a.jpeg?x-signature=s3cret")]
    error = await failure(origin.url(), max_retries=2)
    assert (error.reason, error.transient) == (ImageReason.SERVER_ERROR, False)
    assert len(origin.heads) == 1 + POLICY.max_redirects
    assert "after 10 redirects; allowed are 10" in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_as_many_redirects_as_allowed_are_followed(origin: Origin, status: int) -> None:
    hop = reply(status, "Location: b?c")
    origin.answers = [hop] * 10 + [reply()]
    assert (await fetch(origin.url("/x/a"))).body == IMAGE
    assert origin.heads[-1].startswith(b"GET /x/b?c ")


def any_socket(info: AddrInfoType) -> socket.socket:
    return socket.socket(*info[:3])


@pytest.mark.parametrize("local", [True, False])
async def test_a_redirect_from_https_to_http_is_followed_in_local_runs_only(
    secure: Origin, certificate: Path, local: bool
) -> None:
    trust = ssl.create_default_context(cafile=certificate)
    # or loopback would be refused first
    parts: dict[str, Any] = {"resolver": FakeResolver(["127.0.0.1"]), "tls": trust, "sockets": any_socket}
    async with serving(Origin()) as plain, Fetcher(POLICY if local else STRICT, **parts) as fetcher:
        secure.answers = [reply(302, f"Location: {plain.url()}")]
        fetching = fetcher.fetch(
            secure.url(host="cdn.example", scheme="https"), timeout=5, max_retries=3, slots=Limiter(1)
        )
        if local:
            assert (await fetching).body == IMAGE
            return
        with pytest.raises(ImageError, match="redirects to http") as raised:
            await fetching
        assert raised.value.reason is ImageReason.BAD_URL
        assert (len(secure.heads), len(plain.heads)) == (1, 0)


@pytest.mark.parametrize(
    ("location", "path"),
    [("/a b.jpeg", "/a%20b.jpeg"), ("c d?e f=g%2Fh", "/x/c%20d?e%20f=g%2Fh"), ("/\u5c01 a", "/%E5%B0%81%20a")],
)
async def test_spaces_in_a_location_are_encoded_as_browsers_do(origin: Origin, location: str, path: str) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    origin.answers = [head, reply()]
    assert (await fetch(origin.url("/x/y"))).body == IMAGE
    assert origin.heads[1].startswith(f"GET {path} HTTP/1.1\r\n".encode())


async def test_the_last_of_many_redirects_is_judged_like_the_first(origin: Origin) -> None:
    hop = reply(302, "Location: /b")
    origin.answers = [hop] * 9 + [reply(302, "Location: http://169.254.169.254/latest/")]
    assert (await failure(origin.url())).reason is ImageReason.ADDRESS_REFUSED
