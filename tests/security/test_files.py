"""Hostile files: each becomes what its family's table says, in a decoder, within its time and memory."""

# ruff: noqa: PT017 -- that an error is raised is not what is asserted

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import psutil
import pytest

from tests.security import corpus
from tests.security.attacks import MARK
from worker.decode import pool
from worker.decode.pool import DecodePool
from worker.errors import ImageError, ImageReason
from worker.images.cell import CellSpec, make_cell

SPEC = CellSpec(size=16, background=(255, 255, 255), min_side=10, max_pixels=50_000_000)
BROKEN = {ImageReason.TRUNCATED, ImageReason.NOT_AN_IMAGE, corpus.CELL}


async def outcome(decodes: DecodePool, data: bytes) -> str:
    try:
        cell = await decodes.decode(data, SPEC)
    except ImageError as error:
        assert str(error)
        return error.reason
    assert len(cell.pixels) == 16 * 16 * 3
    return corpus.CELL


@pytest.mark.parametrize("family", corpus.FAMILIES)
async def test_every_file_of_a_family_has_the_fate_that_its_table_says(family: str) -> None:
    async with DecodePool(2, decode_timeout=10, memory_limit=1 << 30) as decodes:
        for name, (data, expected) in corpus.FAMILIES[family]():
            found = await outcome(decodes, data)
            assert found in expected, f"{name} ({len(data)} bytes) is {found}"
        # The whole suite's emulator is a child of this process, too.
        mine = [child for child in psutil.Process().children() if "worker.decode.child" in child.cmdline()]
        held = max(child.memory_info().rss for child in mine)
        assert held < 150 << 20, "a decoder keeps what a file has made it take"


@pytest.mark.parametrize("name", corpus.CUT)
async def test_a_file_cut_at_any_byte_is_a_cell_or_told_to_be_broken(name: str) -> None:
    data = corpus.CUT[name]
    async with DecodePool(2) as decodes:
        found = await asyncio.gather(*(outcome(decodes, data[:length]) for length in range(len(data))))
    assert set(found) <= BROKEN
    assert corpus.CELL not in found[: len(data) // 2]


async def test_a_slow_file_costs_itself_only() -> None:
    slow = corpus.jpeg_with_scans(4_000)
    async with DecodePool(2, decode_timeout=1) as decodes:
        found = await asyncio.gather(*(outcome(decodes, data) for data in (slow, *[corpus.PNG] * 40)))
    assert found == [ImageReason.DECODE_TIMEOUT, *[corpus.CELL] * 40]


async def test_memory_that_a_file_asks_for_beyond_its_share_is_told() -> None:
    async with DecodePool(1, memory_limit=200 << 20) as decodes:
        big = next(data for name, (data, _) in corpus.bombs() if name.startswith("png just below"))
        assert await outcome(decodes, big) == ImageReason.DECODE_MEMORY
        assert await outcome(decodes, corpus.PNG) == corpus.CELL


def test_a_ycck_jpeg_is_not_shown_inverted() -> None:
    white = make_cell(corpus.encoded(corpus.Image.new("CMYK", (64, 64), (0, 0, 0, 0)), "JPEG"), SPEC)
    assert min(white.pixels) > 250
    cell = np.frombuffer(make_cell(corpus.ycck(), SPEC).pixels, np.uint8)
    assert 5 < cell.mean() < 250


def test_an_interlaced_png_is_shown_whole() -> None:
    cell = np.frombuffer(make_cell(corpus.interlaced(), SPEC).pixels, np.uint8).reshape(16, 16, 3)[..., 0].astype(int)
    assert (np.diff(cell, axis=1) > 0).all()
    assert (np.diff(cell, axis=0) > 0).all()


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[bytes], Any]]:
    monkeypatch.setattr(pool, "DECODER", "tests.security.intruder")
    async with DecodePool(1) as decodes:

        async def events() -> list[str]:
            with pytest.raises(ImageError) as answer:
                await decodes.decode(MARK + json.dumps(["seen"]).encode(), SPEC)
            return list(json.loads(str(answer.value))["got"])

        async def see(data: bytes) -> list[str]:
            await outcome(decodes, data)
            return await events()

        await events()  # what was opened on the way into the sandbox
        yield see


@pytest.mark.parametrize("family", ["polyglots", "metadata", "kinds"])
async def test_no_file_makes_a_decoder_ask_for_what_it_cannot_have(
    watched: Callable[[bytes], Any], family: str
) -> None:
    """Nothing is opened or imported after the sandbox is sealed: `preload` has loaded it all."""
    for name, (data, _) in corpus.FAMILIES[family]():
        assert await watched(data) == [], name
