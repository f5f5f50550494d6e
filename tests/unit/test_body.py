"""Bodies as they come off the wire: how long, how slow, how broken."""

import asyncio
import zlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.unit.byte_origin import (
    IMAGE,
    MAX_BYTES,
    POLICY,
    Origin,
    failure,
    fetch,
    reply,
    trickle,
)
from worker.download.body import SpeedWatch
from worker.download.body_budget import SMALL_BODY_BYTES
from worker.download.content_codings import Unpacker
from worker.download.fetch import Fetcher
from worker.errors import ImageError, ImageReason
from worker.limiter import Limiter

pytestmark = pytest.mark.usefixtures("only_loopback")


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


@pytest.mark.parametrize(
    ("stretches", "slow"),
    [
        ([(4.9, 1)], False),
        ([(5.0, 5_119)], True),
        ([(5.0, 5_120)], False),
        ([(60.0, 1_000_000)], False),
        ([(0.1, 1_000_000), (5.0, 1_000_100)], False),
        ([(0.1, 1_000_000), (5.0, 1_000_100), (10.1, 1_000_200)], True),
        ([(5.0, 100_000), (10.0, 105_119)], True),
        ([(5.0, 100_000), (10.0, 105_120), (15.0, 110_240)], False),
        ([(5.0, 100_000), (9.0, 100_001), (10.0, 105_200)], False),
    ],
    ids=str,
)
def test_a_body_is_too_slow_that_is_so_for_five_seconds_however_fast_it_was_before(
    stretches: list[tuple[float, int]], slow: bool
) -> None:
    speed = SpeedWatch(1_024, 5.0, now=0.0)
    assert any(speed.is_too_slow(received, now) for now, received in stretches) is slow


SOON = replace(POLICY, slow_after_seconds=0.02)


async def test_a_trickling_body_is_given_up_before_the_timeout(origin: Origin) -> None:
    origin.answers = [trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"x")]
    error = await failure(origin.url(), SOON)
    assert error.reason is ImageReason.TIMEOUT
    assert "less than 1,024 bytes/s" in str(error)


async def test_a_body_that_begins_fast_and_then_trickles_is_given_up_as_well(origin: Origin) -> None:
    origin.answers = [trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + bytes(8_000), b"x")]
    error = await failure(origin.url(), SOON)
    assert (error.reason, error.transient) == (ImageReason.TIMEOUT, True)


async def test_a_server_that_hangs_up_while_it_waits_for_our_memory_costs_no_try(origin: Origin) -> None:
    large = IMAGE + bytes(3 * SMALL_BODY_BYTES)

    async def hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(body=large)[: 2 * SMALL_BODY_BYTES])

    policy, job = replace(POLICY, max_bytes=2 * len(large)), Limiter(16)
    async with Fetcher(policy) as fetcher, asyncio.timeout(20):
        origin.answers = [reply(body=large)]
        held = [await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=job) for _ in range(3)]
        origin.answers = [hangs_up, reply(body=large)]
        task = asyncio.create_task(fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=job))
        while not fetcher.body_budget.waiting:
            await asyncio.sleep(0)
        held.pop().release()
        fetched = await task
        assert (fetched.body, fetched.attempts) == (large, 1)


# What it begins like


def begins_like_an_image(head: bytes) -> bool:
    return head.startswith(IMAGE[:3]) or len(head) < 3


@pytest.mark.parametrize("kind", ["image/jpeg", "text/html", "application/octet-stream", "imagery/x", "", None])
async def test_the_bytes_decide_and_not_the_content_type(origin: Origin, kind: str | None) -> None:
    async with Fetcher(POLICY, could_be_image=begins_like_an_image) as fetcher:
        origin.answers = [reply(kind=kind)]
        assert (await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=Limiter(1))).body == IMAGE
        origin.answers = [reply(kind=kind, body=b"<!doctype html>")]
        with pytest.raises(ImageError) as raised:
            await fetcher.fetch(origin.url(), timeout=5, max_retries=3, slots=Limiter(1))
    assert (raised.value.reason, raised.value.transient) == (ImageReason.NOT_AN_IMAGE, False)
    assert "begins with b'<!doctype html>'" in str(raised.value)
    assert f"calls it '{kind or ''}'" in str(raised.value)


async def test_reading_ends_as_soon_as_the_first_bytes_are_no_image_s(origin: Origin) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(body=b"no image", length=9_000))
        await reader.read()
        origin.left.set()

    origin.answers = [talk]
    async with Fetcher(POLICY, could_be_image=begins_like_an_image) as fetcher, asyncio.timeout(5):
        with pytest.raises(ImageError, match="no image"):
            await fetcher.fetch(origin.url(), timeout=60, max_retries=0, slots=Limiter(1))
        await origin.left.wait()


@pytest.mark.parametrize("step", [1, 2, 500])
async def test_an_image_that_comes_in_small_steps_is_judged_by_what_has_come(origin: Origin, step: int) -> None:
    heads: list[bytes] = []

    def note(head: bytes) -> bool:
        heads.append(head)
        return begins_like_an_image(head)

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = reply()
        writer.write(whole[: -len(IMAGE)])
        for at in range(0, len(IMAGE), step):
            writer.write(IMAGE[at : at + step])
            await writer.drain()
            await asyncio.sleep(0)

    origin.answers = [talk]
    async with Fetcher(POLICY, could_be_image=note) as fetcher:
        assert (await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=Limiter(1))).body == IMAGE
    assert all(IMAGE.startswith(head) for head in heads)
    assert sum(len(head) >= 1_024 for head in heads) == 1, "after that many bytes it is judged"


# Packed bodies


def packed(coding: str, body: bytes) -> bytes:
    forms = {
        "gzip": 16 + zlib.MAX_WBITS,
        "x-gzip": 16 + zlib.MAX_WBITS,
        "deflate": zlib.MAX_WBITS,
        "raw": -zlib.MAX_WBITS,
    }
    squeeze = zlib.compressobj(wbits=forms[coding])
    return squeeze.compress(body) + squeeze.flush()


@pytest.mark.parametrize(
    ("said", "coding"),
    [("gzip", "gzip"), (" GZip ", "gzip"), ("x-gzip", "gzip"), ("deflate", "deflate"), ("deflate", "raw")],
)
async def test_a_packed_body_that_nobody_asked_for_is_unpacked(origin: Origin, said: str, coding: str) -> None:
    origin.answers = [reply(200, f"Content-Encoding: {said}", body=packed(coding, IMAGE))]
    async with Fetcher(POLICY, could_be_image=begins_like_an_image) as fetcher:
        assert (await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=Limiter(1))).body == IMAGE


async def test_an_image_that_is_only_said_to_be_packed_is_taken_as_it_is(origin: Origin) -> None:
    origin.answers = [reply(200, "Content-Encoding: gzip")]
    assert (await fetch(origin.url())).body == IMAGE


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw"])
async def test_a_packed_body_counts_by_what_is_in_it(origin: Origin, coding: str) -> None:
    said = "deflate" if coding == "raw" else coding
    origin.answers = [reply(200, f"Content-Encoding: {said}", body=packed(coding, bytes(MAX_BYTES)))]
    assert len((await fetch(origin.url())).body) == MAX_BYTES
    origin.answers = [reply(200, f"Content-Encoding: {said}", body=packed(coding, bytes(MAX_BYTES + 1)))]
    error = await failure(origin.url(), max_retries=3)
    assert (error.reason, error.transient) == (ImageReason.TOO_LARGE, False)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw"])
async def test_a_packed_body_that_grows_as_no_picture_does_is_left_long_before_the_cap(
    origin: Origin, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked: list[int] = []
    feed = Unpacker.feed

    def counted(self: Unpacker, packed: bytes) -> Iterator[bytes]:
        for piece in feed(self, packed):
            unpacked.append(len(piece))
            yield piece

    monkeypatch.setattr(Unpacker, "feed", counted)
    said = "deflate" if coding == "raw" else coding
    bomb = packed(coding, IMAGE + bytes(20_000_000))
    origin.answers = [reply(200, f"Content-Encoding: {said}", body=bomb)]
    async with Fetcher(replace(POLICY, max_bytes=30_000_000)) as fetcher:
        with pytest.raises(ImageError) as refused:
            await fetcher.fetch(origin.url(), timeout=5, max_retries=3, slots=Limiter(1))
    assert (refused.value.reason, refused.value.transient) == (ImageReason.TOO_LARGE, False)
    assert "times as many" in str(refused.value)
    assert sum(unpacked) < 3_000_000


async def test_a_packed_body_that_begins_like_no_image_is_left_at_its_first_piece(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[bytes] = []
    feed = Unpacker.feed

    def counted(self: Unpacker, packed: bytes) -> Iterator[bytes]:
        for piece in feed(self, packed):
            pieces.append(piece)
            yield piece

    monkeypatch.setattr(Unpacker, "feed", counted)
    origin.answers = [reply(200, "Content-Encoding: gzip", body=packed("gzip", bytes(900_000)))]
    async with Fetcher(replace(POLICY, max_bytes=30_000_000), could_be_image=begins_like_an_image) as fetcher:
        with pytest.raises(ImageError) as refused:
            await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=Limiter(1))
    assert refused.value.reason is ImageReason.NOT_AN_IMAGE
    assert len(pieces) == 1


async def test_a_small_picture_that_packs_well_is_taken(origin: Origin) -> None:
    flat = IMAGE + bytes(900_000)
    origin.answers = [reply(200, "Content-Encoding: gzip", body=packed("gzip", flat))]
    async with Fetcher(replace(POLICY, max_bytes=30_000_000)) as fetcher:
        assert (await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=Limiter(1))).body == flat


async def test_a_packed_body_that_breaks_off_is_truncated_and_tried_again(origin: Origin) -> None:
    whole = packed("gzip", IMAGE)
    origin.answers = [
        reply(200, "Content-Encoding: gzip", body=whole[:-9]),
        reply(200, "Content-Encoding: gzip", body=whole),
    ]
    assert (await fetch(origin.url(), max_retries=1)).attempts == 2
    origin.answers = [reply(200, "Content-Encoding: gzip", body=whole[:-9])]
    assert (await failure(origin.url())).reason is ImageReason.TRUNCATED


@pytest.mark.parametrize("damaged", [b"\x1f\x8b" + bytes(40), packed("gzip", IMAGE)[:20] + bytes(200)])
async def test_a_packed_body_that_cannot_be_unpacked_is_told_so(origin: Origin, damaged: bytes) -> None:
    origin.answers = [reply(200, "Content-Encoding: gzip", body=damaged)]
    error = await failure(origin.url(), max_retries=3)
    assert (error.reason, error.transient) == (ImageReason.UNSUPPORTED_ENCODING, False)
    assert "gzip" in str(error)
