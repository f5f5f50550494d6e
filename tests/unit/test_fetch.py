"""Fetching as a whole: what goes out, what comes back, within which time and slots."""

import asyncio
from dataclasses import replace

import pytest

from tests.unit.byte_origin import (
    IMAGE,
    POLICY,
    FakeResolver,
    Origin,
    Talk,
    failure,
    fetch,
    reply,
    trickle,
)
from worker.download.body_budget import SMALL_BODY_BYTES
from worker.download.fetch import Fetcher, timeouts
from worker.errors import ImageReason
from worker.limiter import Limiter

pytestmark = pytest.mark.usefixtures("only_loopback")


async def test_an_image_comes_with_the_tries_it_took_and_its_seconds(origin: Origin) -> None:
    origin.answers = [reply(503), reply(429), reply()]
    fetched = await fetch(origin.url(), max_retries=3)
    assert (fetched.body, fetched.attempts) == (IMAGE, 3)
    assert 0 < fetched.seconds < 5


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


async def test_a_referer_is_sent_where_one_is_set(origin: Origin) -> None:
    origin.answers = [reply(302, "Location: /b"), reply()]
    await fetch(origin.url(), replace(POLICY, referer="https://www.tiktok.example/"))
    assert all(b"\r\nReferer: https://www.tiktok.example/\r\n" in head for head in origin.heads)
    assert len(origin.heads) == 2


async def test_one_connection_serves_many_images(origin: Origin) -> None:
    async with Fetcher(POLICY) as fetcher:
        for _ in range(3):
            await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=Limiter(1))
    assert (len(origin.heads), origin.connections) == (3, 1)


async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


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
    limits = timeouts(seconds)
    assert (limits.total, limits.connect, limits.sock_read) == (None, part, part)


async def test_an_expired_link_costs_no_request(origin: Origin) -> None:
    error = await failure(origin.url("/a?x-expires=1&x-signature=s3cret"), max_retries=3)
    assert (error.reason, error.transient) == (ImageReason.EXPIRED, False)
    assert origin.connections == 0
    assert "s3cret" not in str(error)


async def test_a_bad_url_costs_no_request(origin: Origin) -> None:
    assert (await failure("http://2130706433:1/", max_retries=3)).reason is ImageReason.BAD_URL


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
        held = [await fetcher.fetch(origin.url(), timeout=2, max_retries=0, slots=job) for _ in range(3)]
        task = asyncio.create_task(fetcher.fetch(origin.url(), timeout=2, max_retries=0, slots=job))
        await asyncio.wait([task], timeout=2.5)  # longer than the time-out: the time itself is what is tested
        assert fetcher.body_budget.waiting == 1
        held.pop().release()
        fetched = await task
        assert fetched.seconds < 2
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


async def test_only_the_ports_of_the_web_are_connected_to_outside_local_runs(origin: Origin) -> None:
    resolver = FakeResolver(["127.0.0.1"])
    error = await failure(origin.url(host="public.example"), replace(POLICY, allow_private=False), resolver=resolver)
    assert error.reason is ImageReason.ADDRESS_REFUSED
    assert str(error).endswith("is refused; allowed: 80, 443")
    assert (resolver.asked, origin.connections) == (0, 0)
