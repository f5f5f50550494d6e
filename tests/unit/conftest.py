"""Fixtures of the unit tests."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.unit.byte_origin import Origin, serving
from tests.unit.certificates import self_signed


@pytest.fixture
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """However broken the code under test is, nothing beyond this machine is contacted."""
    real = asyncio.selector_events.BaseSelectorEventLoop.sock_connect

    async def guarded(loop: Any, sock: socket.socket, address: Any) -> None:
        target = ip_address(address[0])
        assert target.is_loopback or target.is_unspecified, f"a test tried to connect to {target}"
        await real(loop, sock, address)

    monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", guarded)


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with serving(Origin()) as origin:
        yield origin


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    now, day = datetime.now(UTC), timedelta(days=1)
    return self_signed(tmp_path_factory.mktemp("tls"), "cdn.example", now - day, now + day)


@pytest.fixture
async def secure(certificate: Path) -> AsyncIterator[Origin]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with serving(Origin(), context) as origin:
        yield origin
