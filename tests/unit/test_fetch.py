"""Fetching, against hand-made servers on loopback that answer byte by byte what the test says."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohappyeyeballs import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult
from structlog.testing import capture_logs

from tests.unit.certificates import self_signed
from worker.download.body_budget import SMALL_BODY_BYTES
from worker.download.fetch import Fetched, Fetcher, FetchPolicy, _timeouts, is_too_slow
from worker.download.host_names import REMEMBERED_SECONDS
from worker.download.http_answers import reason_for_status, seconds_asked
from worker.download.sockets import refusal_of_text
from worker.errors import ImageError, ImageReason
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


@pytest.fixture(autouse=True)
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


# What comes back


async def test_an_image_comes_with_the_tries_it_took_and_its_seconds(origin: Origin) -> None:
    origin.answers = [reply(503), reply(429), reply()]
    fetched = await fetch(origin.url(), max_retries=3)
    assert (fetched.body, fetched.attempts) == (IMAGE, 3)
    assert 0 < fetched.seconds < 5


@pytest.mark.parametrize(
    "kind", ["image/webp", "IMAGE/JPEG; q=1", "application/octet-stream", "binary/octet-stream", "", None]
)
async def test_content_types_under_which_images_travel_pass(origin: Origin, kind: str | None) -> None:
    origin.answers = [reply(kind=kind)]
    assert (await fetch(origin.url())).body == IMAGE


async def test_a_chunked_body_of_exactly_the_cap_passes(origin: Origin) -> None:
    half = MAX_BYTES // 2
    chunk = f"{half:x}\r\n".encode() + b"x" * half + b"\r\n"
    origin.answers = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 2 + b"0\r\n\r\n"]
    assert len((await fetch(origin.url())).body) == MAX_BYTES


async def test_a_body_that_ends_with_the_connection_passes(origin: Origin) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + IMAGE)

    origin.answers = [talk]
    assert (await fetch(origin.url())).body == IMAGE


# What goes out


@pytest.mark.parametrize(
    "path",
    [
        "/obj/a~tplv-dy:323:430.jpeg?x-signature=abc%2Fdef%2B1%3D&x=a%20b+c&x-expires=1737288001",
        "/a/../b//c;d=e?&&=?/%zz%2f{}|^[]\"'<>`",
        "/%41%7e?x=%C3%BC",
        "/@user/a@b:c",
    ],
)
async def test_a_url_goes_onto_the_wire_exactly_as_it_was_given(origin: Origin, path: str) -> None:
    await fetch(origin.url(path))
    assert origin.heads[0].split(b"\r\n")[0] == f"GET {path} HTTP/1.1".encode()


async def test_characters_outside_ascii_go_out_as_encoded_utf_8_without_touching_a_signature(origin: Origin) -> None:
    await fetch(origin.url("/封.jpeg?s=%2F%2b"))
    assert origin.heads[0].startswith(b"GET /%E5%B0%81.jpeg?s=%2F%2b HTTP/1.1\r\n")


async def test_a_redirect_is_followed_exactly_as_it_was_given(origin: Origin) -> None:
    target = "/b;?x-signature=%2F%2B&;=//"
    origin.answers = [reply(302, f"Location: {target}"), reply(301, f"Location: {origin.url(target)}"), reply()]
    assert (await fetch(origin.url())).attempts == 1
    assert [head.split(b" ")[1].decode() for head in origin.heads] == ["/a.jpeg", target, target]


async def test_headers_ask_for_plain_images_and_bring_no_cookies_back(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    origin.answers = [reply(302, "Location: /b", "Set-Cookie: a=b; Path=/"), reply()]
    await fetch(origin.url())
    for head in origin.heads:
        lines = head.decode().split("\r\n")[1:-2]
        assert dict(line.split(": ", 1) for line in lines) == {
            "Host": f"127.0.0.1:{origin.port}",
            "Accept": "image/jpeg, image/*;q=0.8",
            "Accept-Encoding": "identity",
            "User-Agent": "collage-tests",
        }


async def test_one_connection_serves_many_images(origin: Origin) -> None:
    async with Fetcher(POLICY) as fetcher:
        for _ in range(3):
            await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=Limiter(1))
    assert (len(origin.heads), origin.connections) == (3, 1)


# What an answer means

ANSWERS: dict[str, tuple[bytes, ImageReason, bool]] = {
    "400": (reply(400), ImageReason.BAD_URL, False),
    "401": (reply(401), ImageReason.FORBIDDEN, False),
    "402": (reply(402), ImageReason.FORBIDDEN, False),
    "403": (reply(403), ImageReason.FORBIDDEN, False),
    "404": (reply(404), ImageReason.NOT_FOUND, False),
    "407": (reply(407), ImageReason.FORBIDDEN, False),
    "408": (reply(408), ImageReason.TIMEOUT, True),
    "410": (reply(410), ImageReason.NOT_FOUND, False),
    "414": (reply(414), ImageReason.BAD_URL, False),
    "418": (reply(418), ImageReason.FORBIDDEN, False),
    "429": (reply(429), ImageReason.RATE_LIMITED, True),
    "451": (reply(451), ImageReason.FORBIDDEN, False),
    "500": (reply(500), ImageReason.SERVER_ERROR, True),
    "501": (reply(501), ImageReason.SERVER_ERROR, False),
    "502": (reply(502), ImageReason.SERVER_ERROR, True),
    "503": (reply(503), ImageReason.SERVER_ERROR, True),
    "504": (reply(504), ImageReason.SERVER_ERROR, True),
    "505": (reply(505), ImageReason.SERVER_ERROR, False),
    "599": (reply(599), ImageReason.SERVER_ERROR, True),
    "999": (reply(999), ImageReason.SERVER_ERROR, False),
    "101": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", ImageReason.SERVER_ERROR, False),
    "204": (b"HTTP/1.1 204 None\r\n\r\n", ImageReason.SERVER_ERROR, False),
    "206": (reply(206), ImageReason.SERVER_ERROR, False),
    "300": (reply(300), ImageReason.SERVER_ERROR, False),
    "304": (b"HTTP/1.1 304 Same\r\n\r\n", ImageReason.SERVER_ERROR, False),
    "302 without a Location": (reply(302), ImageReason.SERVER_ERROR, False),
    "302 with an empty Location": (reply(302, "Location:"), ImageReason.SERVER_ERROR, False),
    "302 to ftp": (reply(302, "Location: ftp://host/"), ImageReason.BAD_URL, False),
    "302 to a file": (reply(302, "Location: file:///etc/passwd"), ImageReason.BAD_URL, False),
    "302 with a user": (reply(302, "Location: http://user:pass@127.0.0.1/"), ImageReason.BAD_URL, False),
    "302 to a number": (reply(302, "Location: http://2852039166/latest"), ImageReason.BAD_URL, False),
    "302 to bytes that are no text": (reply(302, "Location: /\xff\xfe"), ImageReason.BAD_URL, False),
    "302 to an expired link": (reply(302, f"Location: /b?x-expires={NOW - 1:.0f}"), ImageReason.EXPIRED, False),
    "HTML": (reply(kind="text/html; charset=utf-8"), ImageReason.NOT_AN_IMAGE, False),
    "JSON": (reply(kind="application/json"), ImageReason.NOT_AN_IMAGE, False),
    "imagery": (reply(kind="imagery/x"), ImageReason.NOT_AN_IMAGE, False),
    "gzip": (reply(200, "Content-Encoding: gzip"), ImageReason.NOT_AN_IMAGE, False),
    "brotli": (reply(200, "Content-Encoding: br"), ImageReason.NOT_AN_IMAGE, False),
    "empty body": (reply(body=b""), ImageReason.NOT_AN_IMAGE, False),
    "too long by its own account": (reply(length=MAX_BYTES + 1), ImageReason.TOO_LARGE, False),
    "huge by its own account": (reply(length=10**18), ImageReason.TOO_LARGE, False),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", ImageReason.SERVER_ERROR, False),
    "bad status": (b"HTTP/1.1 abc\r\n\r\n", ImageReason.SERVER_ERROR, False),
    "huge header": (reply(200, "X: " + "x" * 100_000), ImageReason.SERVER_ERROR, False),
    "too many headers": (reply(200, *["X: x"] * 5_000), ImageReason.SERVER_ERROR, False),
    "two lengths": (reply(200, "Content-Length: 5"), ImageReason.SERVER_ERROR, False),
    "negative length": (reply(length=-1), ImageReason.SERVER_ERROR, False),
    "disconnect": (b"", ImageReason.CONNECT, True),
}


@pytest.mark.parametrize(("answer", "reason", "transient"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_an_answer_has_its_reason_and_is_asked_for_again_only_where_that_may_help(
    origin: Origin, answer: bytes, reason: ImageReason, transient: bool
) -> None:
    origin.answers = [answer]
    error = await failure(origin.url("/a?x-signature=s3cret"), max_retries=2)
    assert (error.reason, error.transient) == (reason, transient)
    assert len(origin.heads) == (3 if transient else 1)
    assert "s3cret" not in str(error)
    assert str(error).isprintable()
    assert error.__cause__ is None, "aiohttp's own texts hold the signature"


@pytest.mark.parametrize("max_retries", [0, 1, 4])
async def test_a_failing_origin_sees_one_request_and_the_retries_asked_for(origin: Origin, max_retries: int) -> None:
    origin.answers = [b""]
    await failure(origin.url(), max_retries=max_retries)
    assert len(origin.heads) == 1 + max_retries


@pytest.mark.parametrize(
    "start",
    [
        reply(length=len(IMAGE) + 1),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_body_cut_short_is_truncated_and_tried_again(origin: Origin, start: bytes, reset: bool) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        if reset:
            writer.transport.abort()

    origin.answers = [talk, reply()]
    assert (await fetch(origin.url(), max_retries=1)).attempts == 2
    origin.answers = [talk]
    error = await failure(origin.url())
    assert (error.reason, error.transient) == (ImageReason.TRUNCATED, True)


async def test_chunks_that_are_no_chunks_are_an_image_error(origin: Origin) -> None:
    origin.answers = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n"]
    assert (await failure(origin.url())).reason in (ImageReason.TRUNCATED, ImageReason.SERVER_ERROR)


async def test_an_endless_body_is_left_as_soon_as_it_passes_the_cap(origin: Origin) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()

    origin.answers = [talk]
    error = await failure(origin.url(), max_retries=2)
    assert (error.reason, error.transient) == (ImageReason.TOO_LARGE, False)
    async with asyncio.timeout(5):
        await origin.left.wait()
    assert len(origin.heads) == 1


async def test_a_body_announced_too_large_is_not_waited_for(origin: Origin) -> None:
    origin.answers = [reply(length=MAX_BYTES + 1, body=b"x")]
    async with Fetcher(POLICY) as fetcher:
        with pytest.raises(ImageError, match="10,001 bytes; allowed are 10,000"):
            await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=Limiter(1))
        async with asyncio.timeout(5):
            await origin.left.wait()


# Time


async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


def trickle(first: bytes, drop: bytes) -> Talk:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.005)  # the behaviour under test: always something, never enough

    return talk


@pytest.mark.parametrize(
    "talk",
    [
        never,
        trickle(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        trickle(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"x"),
        trickle(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nx", b""),
    ],
    ids=["silence", "headers", "one header", "continues", "body", "chunks", "silent body"],
)
async def test_a_server_that_keeps_us_waiting_costs_no_more_than_the_timeout(origin: Origin, talk: Talk) -> None:
    origin.answers = [talk]
    began = asyncio.get_running_loop().time()
    error = await failure(origin.url("/a?x-signature=s3cret"), timeout=0.1, max_retries=1)
    assert (error.reason, error.transient) == (ImageReason.TIMEOUT, True)
    assert 0.2 <= asyncio.get_running_loop().time() - began < 3
    assert len(origin.heads) == 2
    assert "s3cret" not in str(error)


async def test_the_timeout_spans_redirects(origin: Origin) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.04)  # the behaviour under test: each hop is quick enough, all of them are not
        writer.write(reply(302, "Location: /again"))

    origin.answers = [talk]
    error = await failure(origin.url(), replace(POLICY, max_redirects=20), timeout=0.1)
    assert error.reason is ImageReason.TIMEOUT


@pytest.mark.parametrize(("seconds", "part"), [(0.5, 0.5), (10, 10), (300, 10)])
def test_connecting_and_silence_take_ten_seconds_at_most(seconds: float, part: float) -> None:
    timeouts = _timeouts(seconds)
    assert (timeouts.total, timeouts.connect, timeouts.sock_read) == (None, part, part)


@pytest.mark.parametrize(
    ("size", "seconds", "slow"),
    [(1, 5.0, False), (1, 5.1, True), (10_239, 10.0, True), (10_240, 10.0, False), (10**6, 60.0, False)],
)
def test_a_body_below_a_kilobyte_a_second_is_too_slow_after_a_while(size: int, seconds: float, slow: bool) -> None:
    assert is_too_slow(size, seconds) is slow


async def test_a_trickling_body_is_given_up_before_the_timeout(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.download.fetch._SLOW_AFTER_SECONDS", 0.02)
    origin.answers = [trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"x")]
    error = await failure(origin.url())
    assert error.reason is ImageReason.TIMEOUT
    assert "less than 1,024 bytes/s" in str(error)


# Retries


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Sun, 99 Jan 2025 12:00:00 GMT", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, float("inf")),
        ("Sun, 19 Jan 2025 12:00:30 GMT", 30.0),
        ("Sunday, 19-Jan-25 12:00:30 GMT", 30.0),
        ("Sun, 19 Jan 2025 12:00:30 -0000", 30.0),
        ("Sun, 19 Jan 2025 11:00:00 GMT", 0.0),
        ("Mon, 19 Jan 2026 12:00:00 GMT", 365 * 86_400.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert seconds_asked(header, NOW) == seconds


async def delay_after(origin: Origin, answer: bytes, policy: FetchPolicy) -> float:
    """Fetch until the first wait, give up there, and return how long it would have been."""
    origin.answers = [answer]
    slots = Limiter(1)
    async with Fetcher(policy, clock=lambda: NOW) as fetcher:
        with capture_logs() as logs:
            task = asyncio.create_task(fetcher.fetch(origin.url(), timeout=5, max_retries=1, slots=slots))
            async with asyncio.timeout(5):
                while not logs:
                    await asyncio.sleep(0)
            assert (slots.in_use, fetcher.slots.in_use) == (0, 0), "a slot is held while nothing is done with it"
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert len(origin.heads) == 1
    return float(logs[0]["delay"])


@pytest.mark.parametrize(
    ("header", "delay"),
    [
        ("7", 7.0),
        ("Sun, 19 Jan 2025 12:00:30 GMT", 30.0),
        ("31536000", 60.0),
        ("Mon, 19 Jan 2026 12:00:00 GMT", 60.0),
        ("0", 0.0),
        ("soon", 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_says_when_to_come_back_is_listened_to_within_bounds(
    origin: Origin, status: int, header: str, delay: float
) -> None:
    policy = replace(POLICY, max_delay=60.0)
    assert await delay_after(origin, reply(status, f"Retry-After: {header}"), policy) == delay


async def test_without_a_hint_the_wait_is_jittered_between_zero_and_the_backoff(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, float]] = []

    def highest(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    monkeypatch.setattr("random.uniform", highest)
    policy = replace(POLICY, backoff_factor=0.001, max_delay=0.003)
    origin.answers = [reply(500)]
    with capture_logs() as logs:
        await failure(origin.url(), policy, max_retries=4)
    assert asked[:4] == [(0, 0.001), (0, 0.002), (0, 0.003), (0, 0.003)]
    assert [line["delay"] for line in logs] == [0.001, 0.002, 0.003, 0.003]


async def test_retries_are_logged_without_the_signature(origin: Origin) -> None:
    origin.answers = [reply(500, "Connection: close"), b"", reply()]
    with capture_logs() as logs:
        await fetch(origin.url("/a?x-signature=s3cret"), max_retries=3)
    shown = origin.url("/a?x-signature=***")
    assert logs == [
        {
            "event": "image.fetch_retried",
            "log_level": "info",
            "attempt": n,
            "delay": 0.0,
            "reason": reason,
            "url": shown,
        }
        for n, reason in ((1, "server_error"), (2, "connect"))
    ]


async def test_a_link_that_expires_between_two_tries_is_not_asked_for_again(origin: Origin) -> None:
    origin.answers = [reply(503)]
    times = iter([NOW, NOW, NOW + 2])
    async with Fetcher(POLICY, clock=lambda: next(times)) as fetcher:
        url = origin.url(f"/a?x-expires={NOW + 1:.0f}")
        with pytest.raises(ImageError) as raised:
            await fetcher.fetch(url, timeout=5, max_retries=3, slots=Limiter(1))
    assert raised.value.reason is ImageReason.EXPIRED
    assert len(origin.heads) == 1


async def test_an_expired_link_costs_no_request(origin: Origin) -> None:
    error = await failure(origin.url("/a?x-expires=1&x-signature=s3cret"), max_retries=3)
    assert (error.reason, error.transient) == (ImageReason.EXPIRED, False)
    assert origin.connections == 0
    assert "s3cret" not in str(error)


async def test_a_bad_url_costs_no_request(origin: Origin) -> None:
    assert (await failure("http://2130706433:1/", max_retries=3)).reason is ImageReason.BAD_URL


async def test_a_kept_connection_that_died_is_replaced_at_the_cost_of_no_try(origin: Origin) -> None:
    origin.answers = [reply(), b"", reply()]
    async with Fetcher(POLICY) as fetcher:
        for _ in range(2):
            fetched = await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=Limiter(1))
            assert fetched.attempts == 1
    assert (len(origin.heads), origin.connections) == (3, 2)


# Slots and cancellation


async def test_no_more_tries_run_at_a_time_than_the_job_and_the_worker_allow(origin: Origin) -> None:
    running, peak = 0, 0

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        for _turn in range(20):
            await asyncio.sleep(0)
        running -= 1
        writer.write(reply(200, "Connection: close"))

    origin.answers = [talk]
    async with Fetcher(replace(POLICY, connections=3)) as fetcher:
        for slots, limit, allowed in ((Limiter(2), 3, 2), (Limiter(9), 3, 3), (Limiter(9), 1, 1)):
            peak = 0
            fetcher.slots.limit = limit
            await asyncio.gather(
                *(fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=slots) for _ in range(12))
            )
            assert peak == allowed
            assert (slots.in_use, fetcher.slots.in_use) == (0, 0)


async def test_waiting_for_a_slot_is_not_counted_against_the_timeout(origin: Origin) -> None:
    slots = Limiter(1)
    async with Fetcher(POLICY) as fetcher:
        async with slots:
            task = asyncio.create_task(fetcher.fetch(origin.url(), timeout=0.1, max_retries=0, slots=slots))
            await asyncio.sleep(0.15)  # longer than the time-out: the time itself is what is tested
            assert not task.done()
        assert (await task).body == IMAGE


async def test_waiting_for_the_memory_of_large_bodies_is_not_counted_against_the_timeout(origin: Origin) -> None:
    origin.answers = [reply(body=IMAGE + bytes(SMALL_BODY_BYTES))]
    policy, job = replace(POLICY, max_bytes=2 * SMALL_BODY_BYTES, connections=16), Limiter(16)
    async with Fetcher(policy) as fetcher:
        held: list[Fetched] = []
        task = asyncio.create_task(fetcher.fetch(origin.url(), timeout=0.5, max_retries=0, slots=job))
        while (await asyncio.wait([task], timeout=1.0))[
            0
        ]:  # a second, in which each would come: time is what is tested
            held.append(task.result())
            task = asyncio.create_task(fetcher.fetch(origin.url(), timeout=0.5, max_retries=0, slots=job))
        assert held
        held.pop().release()
        fetched = await task
        assert fetched.seconds < 0.5
        assert fetched.attempts == 1


async def test_a_try_that_waits_for_its_job_keeps_no_slot_from_other_jobs(origin: Origin) -> None:
    async with Fetcher(replace(POLICY, connections=1)) as fetcher:
        busy = Limiter(1)
        async with busy:
            waiting = asyncio.create_task(fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=busy))
            await asyncio.sleep(0)
            await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=Limiter(1))
        await waiting


async def test_a_cancelled_fetch_ends_at_once_and_gives_its_slots_back(origin: Origin) -> None:
    asked = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        origin.left.set()

    origin.answers = [talk]
    slots = Limiter(1)
    async with Fetcher(POLICY) as fetcher:
        task = asyncio.create_task(fetcher.fetch(origin.url(), timeout=60, max_retries=9, slots=slots))
        async with asyncio.timeout(5):
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await origin.left.wait()
        assert (slots.in_use, fetcher.slots.in_use) == (0, 0)
    assert len(origin.heads) == 1


async def test_a_closed_fetcher_says_how_it_is_to_be_used(origin: Origin) -> None:
    fetcher = Fetcher(POLICY)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="async with"):
            await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=Limiter(1))
        async with fetcher:
            pass


# The way there


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


async def test_a_redirect_loop_ends(origin: Origin) -> None:
    origin.answers = [reply(302, "Location: /a.jpeg?x-signature=s3cret")]
    error = await failure(origin.url(), max_retries=2)
    assert (error.reason, error.transient) == (ImageReason.SERVER_ERROR, False)
    assert len(origin.heads) == 1 + POLICY.max_redirects
    assert "allowed are 3 redirects" in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_as_many_redirects_as_allowed_are_followed(origin: Origin, status: int) -> None:
    hop = reply(status, "Location: b?c")
    origin.answers = [hop, hop, hop, reply()]
    assert (await fetch(origin.url("/x/a"))).body == IMAGE
    assert origin.heads[-1].startswith(b"GET /x/b?c ")


# Addresses that are out of bounds


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


async def test_only_the_ports_of_the_web_are_connected_to_outside_local_runs(origin: Origin) -> None:
    resolver = FakeResolver(["127.0.0.1"])
    error = await failure(origin.url(host="public.example"), replace(POLICY, allow_private=False), resolver=resolver)
    assert error.reason is ImageReason.ADDRESS_REFUSED
    assert str(error).endswith("is refused; allowed: 80, 443")
    assert (resolver.asked, origin.connections) == (0, 0)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    now, day = datetime.now(UTC), timedelta(days=1)
    return self_signed(tmp_path_factory.mktemp("tls"), "cdn.example", now - day, now + day)


@pytest.fixture
async def secure(certificate: Path) -> AsyncIterator[Origin]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with serving(Origin(), context) as origin:
        yield origin


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


# Whatever else


def test_every_status_has_a_meaning() -> None:
    for status in range(300, 1000):
        reason, transient = reason_for_status(status)
        assert transient is (status in (408, 429) or (500 <= status <= 599 and status not in (501, 505)))
        assert (reason is ImageReason.SERVER_ERROR) is not (400 <= status <= 499)


@pytest.mark.parametrize("strange", [ValueError("http://h/?s3cret"), AssertionError(), RuntimeError(), KeyError()])
async def test_a_client_library_that_fails_in_a_new_way_costs_one_image(strange: Exception) -> None:
    def fail(_: AddrInfoType) -> socket.socket:
        raise strange

    async with Fetcher(POLICY, sockets=fail) as fetcher:
        with pytest.raises(ImageError) as raised:
            await fetcher.fetch("http://127.0.0.1/", timeout=5, max_retries=2, slots=Limiter(1))
    assert (raised.value.reason, raised.value.transient) == (ImageReason.SERVER_ERROR, False)
    assert "s3cret" not in str(raised.value)
