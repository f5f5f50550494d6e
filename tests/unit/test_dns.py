"""Asking name servers, against one of our own on loopback that answers as the name tells it to."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import cast

import pytest

from worker.download.dns import DnsResolver
from worker.download.host_names import HostNames

A, AAAA = 1, 28
ANSWERED, FAILED, NO_SUCH_NAME = 0x8180, 0x8182, 0x8183


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers 127.0.0.9 and ::9 for all names but those that begin with what is to go wrong."""

    questions: list[tuple[str, int]] = field(default_factory=list)
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    @property
    def address(self) -> str:
        assert self.transport is not None
        return f"127.0.0.1:{self.transport.get_extra_info('sockname')[1]}"

    def datagram_received(self, packet: bytes, sender: tuple[str | int, int]) -> None:
        name, kind, end = _question(packet)
        self.questions.append((name, kind))
        answer = self._answer(name, kind, packet[:2], packet[12:end])
        if answer is not None and self.transport is not None:
            self.transport.sendto(answer, sender)

    def _answer(self, name: str, kind: int, number: bytes, question: bytes) -> bytes | None:
        def head(flags: int, answers: int = 0) -> bytes:
            return number + b"".join(part.to_bytes(2) for part in (flags, 1, answers, 0, 0)) + question

        if name.startswith("silent") or (name.startswith("only-ipv4") and kind == AAAA):
            return None
        if name.startswith("no-such"):
            return head(NO_SUCH_NAME)
        if name.startswith("failing"):
            return head(FAILED)
        if name.startswith("empty"):
            return head(ANSWERED)
        address = socket.inet_pton(*((socket.AF_INET, "127.0.0.9") if kind == A else (socket.AF_INET6, "::9")))
        record = b"\xc0\x0c" + b"".join(part.to_bytes(2) for part in (kind, 1, 0, 60, len(address))) + address
        return head(ANSWERED, 1) + record


def _question(packet: bytes) -> tuple[str, int, int]:
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode())
        at += packet[at] + 1
    return ".".join(labels), int.from_bytes(packet[at + 1 : at + 3]), at + 5


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    yield server
    transport.close()


@pytest.fixture
async def resolver(server: NameServer) -> AsyncIterator[DnsResolver]:
    resolver = DnsResolver(name_servers=[server.address])
    yield resolver
    await resolver.close()


async def code(resolver: DnsResolver, host: str) -> int | None:
    with pytest.raises(socket.gaierror) as raised:
        await resolver.resolve(host)
    return raised.value.errno


async def test_a_name_has_its_addresses_of_both_kinds(resolver: DnsResolver, server: NameServer) -> None:
    found = await resolver.resolve("cdn.example", 443)
    assert {(one["family"], one["host"], one["port"]) for one in found} == {
        (socket.AF_INET, "127.0.0.9", 443),
        (socket.AF_INET6, "::9", 443),
    }
    assert sorted(server.questions) == [("cdn.example", A), ("cdn.example", AAAA)]


async def test_a_name_can_be_asked_for_addresses_of_one_kind(resolver: DnsResolver, server: NameServer) -> None:
    assert [one["host"] for one in await resolver.resolve("cdn.example", 443, socket.AF_INET)] == ["127.0.0.9"]
    assert server.questions == [("cdn.example", A)]


@pytest.mark.parametrize("host", ["no-such.example", "empty.example", "hidden.onion"])
async def test_a_name_that_there_is_not_is_told_from_one_that_may_come_back(resolver: DnsResolver, host: str) -> None:
    assert await code(resolver, host) == socket.EAI_NONAME


async def test_a_name_server_that_fails_may_recover(resolver: DnsResolver) -> None:
    assert await code(resolver, "failing.example") == socket.EAI_AGAIN


async def test_a_name_server_that_is_not_there_may_come_back(server: NameServer) -> None:
    assert server.transport is not None
    address = server.address
    server.transport.close()
    resolver = DnsResolver(name_servers=[address])
    assert await code(resolver, "cdn.example") == socket.EAI_AGAIN
    await resolver.close()


async def test_an_address_of_one_kind_does_not_wait_long_for_the_other(resolver: DnsResolver) -> None:
    began = time.monotonic()
    assert [one["host"] for one in await resolver.resolve("only-ipv4.example")] == ["127.0.0.9"]
    assert time.monotonic() - began < 3


async def test_the_machine_s_own_names_are_known_without_a_name_server(
    resolver: DnsResolver, server: NameServer
) -> None:
    assert "127.0.0.1" in [one["host"] for one in await resolver.resolve("localhost")]
    assert server.questions == []


async def test_a_stranger_s_name_is_asked_for_as_it_is(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALDOMAIN", "internal.example")
    resolver = DnsResolver(name_servers=[server.address])
    for host in ("single", "no-such.example"):
        server.questions.clear()
        try:
            await resolver.resolve(host, 0, socket.AF_INET)
        except socket.gaierror:
            assert host.startswith("no-such")
        assert server.questions == [(host, A)]
    await resolver.close()


async def test_search_domains_are_for_names_inside_a_private_network(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALDOMAIN", "internal.example")
    resolver = DnsResolver(name_servers=[server.address], search_domains=True)
    await resolver.resolve("single", 0, socket.AF_INET)
    assert ("single.internal.example", A) in server.questions
    await resolver.close()


async def test_a_cancelled_question_ends_at_once(resolver: DnsResolver, server: NameServer) -> None:
    task = asyncio.create_task(resolver.resolve("silent.example"))
    async with asyncio.timeout(10):
        while not server.questions:
            await asyncio.sleep(0.001)
        began = time.monotonic()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert time.monotonic() - began < 5


async def test_three_hundred_names_without_answer_keep_no_thread_from_anybody(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = HostNames(DnsResolver(name_servers=[server.address]), time.monotonic)
    dead = [asyncio.create_task(names.look_up(f"silent-{number}.example", "job")) for number in range(300)]
    async with asyncio.timeout(10):
        while len(server.questions) < 16:
            await asyncio.sleep(0.001)
    began = time.monotonic()
    await asyncio.gather(*(asyncio.to_thread(os.getpid) for _ in range(100)))  # what plans
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)  # how AWS is looked up
    await names.look_up("cdn.example", "another job")
    assert time.monotonic() - began < 5  # behind the dead names it would be ten and more
    for task in dead:
        task.cancel()
    await asyncio.wait(dead)
    await names.close()
    assert time.monotonic() - began < 8


async def test_it_can_be_closed_with_questions_under_way_and_used_anew(server: NameServer) -> None:
    resolver = DnsResolver(name_servers=[server.address])
    await resolver.close()
    for _ in range(3):
        task = asyncio.create_task(resolver.resolve("silent.example"))
        await asyncio.sleep(0)
        await resolver.close()
        task.cancel()
        await asyncio.wait([task])
        assert await resolver.resolve("cdn.example")
    await resolver.close()
