"""Servers on loopback that answer byte by byte what a test says, and short ways to fetch from them."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from worker.download.fetch import Fetched, Fetcher
from worker.download.policy import FetchPolicy
from worker.errors import ImageError
from worker.limiter import Limiter

NOW = 1_737_288_000.0  # Sun, 19 Jan 2025 12:00:00 GMT
MAX_BYTES = 10_000
IMAGE = b"\xff\xd8\xff" + bytes(range(256)) * 8
POLICY = FetchPolicy(
    max_bytes=MAX_BYTES,
    user_agent="collage-tests",
    allow_private=True,
    backoff_factor=0.0,
    max_delay=0.01,
    connections=8,
)
STRICT = replace(POLICY, allow_private=False, allowed_ports=frozenset(range(1, 65_536)))

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def reply(
    status: int = 200, *headers: str, body: bytes = IMAGE, kind: str | None = "image/jpeg", length: int | None = None
) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *headers]
    lines += [f"Content-Type: {kind}"] if kind is not None else []
    lines += [f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@dataclass
class Origin:
    """A server that gives `answers` in turn, the last one for ever. An empty answer closes the connection."""

    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    answers: list[bytes | Talk] = field(default_factory=lambda: [reply()])
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def url(self, path: str = "/a.jpeg", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.add(asyncio.create_task(self._talk(reader, writer)))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if callable(answer):
                    return await answer(reader, writer)
                if not answer:
                    return None
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            writer.close()


@asynccontextmanager
async def serving(origin: Origin, tls: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
    server = await asyncio.start_server(origin.accept, "127.0.0.1", 0, ssl=tls)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        server.close()
        for task in origin.tasks:
            task.cancel()
        await asyncio.gather(*origin.tasks, return_exceptions=True)
        await asyncio.sleep(0)


class FakeResolver(AbstractResolver):
    """Answers in turn, the last one for ever, with addresses or a failure."""

    def __init__(self, *answers: list[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> list[ResolveResult]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in answer
        ]

    async def close(self) -> None:
        pass


async def fetch(
    url: str,
    policy: FetchPolicy = POLICY,
    *,
    timeout: float = 5.0,  # noqa: ASYNC109 -- the signature under test
    max_retries: int = 0,
    resolver: AbstractResolver | None = None,
    now: float = NOW,
) -> Fetched:
    async with Fetcher(policy, clock=lambda: now, resolver=resolver) as fetcher:
        return await fetcher.fetch(url, timeout=timeout, max_retries=max_retries, slots=Limiter(4))


async def failure(*args: Any, **kwargs: Any) -> ImageError:
    with pytest.raises(ImageError) as raised:
        await fetch(*args, **kwargs)
    return raised.value


async def free_port() -> int:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


def trickle(first: bytes, drop: bytes) -> Talk:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.005)  # the behaviour under test: always something, never enough

    return talk
