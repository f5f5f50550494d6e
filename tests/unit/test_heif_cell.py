"""Cells of HEIC and AVIF: only what is shown is decoded, within bounds, in the colours that the file tells."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.heifs import Item, coded_item, grid, ispe, nclx, written
from tests.unit.memory import fill_memory
from tests.unit.pictures import encoded, photo, wide_gamut_profile
from worker.decode.pool import DecodePool
from worker.errors import ImageError, ImageReason
from worker.images import heif_decoding
from worker.images.cell import Cell, CellSpec, make_cell

CASES = Path(__file__).parents[1] / "cases" / "images"
HEIC, AVIF = (CASES / "heic.heic").read_bytes(), (CASES / "avif.avif").read_bytes()
SPEC = CellSpec(size=40, background=(255, 255, 255), min_side=10, max_pixels=1_000_000)
CODED = coded_item(HEIC)
WIDTH, HEIGHT = 96, 128
PICTURE = photo(WIDTH, HEIGHT, 7)
"""What the two files show."""
PLAIN = [*CODED.properties, ispe(WIDTH, HEIGHT), nclx(1, 13, 6, full_range=True)]


def pixels(cell: Cell) -> np.ndarray:
    side = int((len(cell.pixels) // 3) ** 0.5)
    return np.frombuffer(cell.pixels, np.uint8).reshape(side, side, 3).astype(int)


def refusal(data: bytes, spec: CellSpec = SPEC) -> ImageError:
    with pytest.raises(ImageError) as found:
        make_cell(data, spec)
    return found.value


def column_of_tiles(rows: int) -> tuple[bytes, int]:
    """Return a grid of the same tile, one below the other, and the size of a tile's data."""
    items = {1: Item(b"grid", grid(rows, 1, WIDTH, rows * HEIGHT), [ispe(WIDTH, rows * HEIGHT), PLAIN[-1]])}
    items |= {number: Item(b"hvc1", CODED.data, PLAIN) for number in range(2, 2 + rows)}
    return written(items, references=[(b"dimg", 1, range(2, 2 + rows))]), len(CODED.data)


@pytest.mark.parametrize(("data", "name"), [(HEIC, "HEIC"), (AVIF, "AVIF")])
async def test_a_sealed_decoder_makes_the_same_cell(data: bytes, name: str) -> None:
    async with DecodePool(1, decode_timeout=10) as decodes:
        cell = await decodes.decode(data, SPEC)
    assert cell == make_cell(data, SPEC)
    assert (cell.width, cell.height, cell.format) == (WIDTH, HEIGHT, name)


def test_tiles_that_are_not_shown_may_be_missing() -> None:
    whole, tile = column_of_tiles(5)
    assert make_cell(whole[:-tile], SPEC) == make_cell(whole, SPEC)
    assert refusal(whole[: -2 * tile - 1]).reason is ImageReason.TRUNCATED


def test_a_cell_that_spans_tiles_shows_them_joined() -> None:
    whole, _ = column_of_tiles(2)
    tile = pixels(make_cell(HEIC, replace(SPEC, size=WIDTH)))
    cell = pixels(make_cell(whole, replace(SPEC, size=WIDTH)))
    # the middle of the tall picture: the lower part of one tile, and the upper part of the next
    assert np.abs(cell[:30] - tile[64:94]).mean() < 3
    assert np.abs(cell[66:] - tile[2:32]).mean() < 3


@pytest.mark.parametrize(("name", "package"), [("HEIC", "libde265-dev"), ("AVIF", "libdav1d-dev")])
def test_a_machine_without_the_codec_says_which_package_brings_it(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heif_decoding, "_hevc", None)
    monkeypatch.setattr(heif_decoding, "_av1", None)
    assert not heif_decoding.is_built(name)
    error = refusal(HEIC if name == "HEIC" else AVIF)
    assert error.reason is ImageReason.UNSUPPORTED_FORMAT
    assert name in str(error)
    assert package in str(error)


def test_a_picture_with_too_many_pixels_is_refused_by_its_description() -> None:
    huge = written({1: Item(b"hvc1", b"", [*CODED.properties, ispe(60_000, 60_000)])})
    assert refusal(huge).reason is ImageReason.TOO_MANY_PIXELS
    assert refusal(HEIC, replace(SPEC, max_pixels=WIDTH * HEIGHT - 1)).reason is ImageReason.TOO_MANY_PIXELS
    assert make_cell(HEIC, replace(SPEC, max_pixels=WIDTH * HEIGHT))


def test_a_picture_that_is_too_small_is_refused() -> None:
    assert refusal(AVIF, replace(SPEC, min_side=WIDTH + 1)).reason is ImageReason.TOO_SMALL


@pytest.mark.parametrize("file", [HEIC, AVIF], ids=["HEIC", "AVIF"])
@pytest.mark.parametrize("size", [(16, 16), (WIDTH + 1, HEIGHT), (WIDTH, HEIGHT + 300)])
def test_a_coded_picture_of_another_size_than_its_description_s_is_refused(file: bytes, size: tuple[int, int]) -> None:
    coded = coded_item(file)
    brand = b"heic" if file is HEIC else b"avif"
    lying = written({1: Item(coded.kind, coded.data, [*coded.properties, ispe(*size)])}, brand=brand)
    assert refusal(lying).reason is ImageReason.TRUNCATED


@pytest.mark.parametrize("file", [HEIC, AVIF], ids=["HEIC", "AVIF"])
def test_a_coded_picture_whose_bytes_are_not_all_there_is_refused(file: bytes) -> None:
    coded = coded_item(file)
    brand = b"heic" if file is HEIC else b"avif"
    for length in (0, 1, len(coded.data) // 2, len(coded.data) - 1):
        short = Item(coded.kind, coded.data[:length], [*coded.properties, ispe(WIDTH, HEIGHT)])
        assert refusal(written({1: short}, brand=brand)).reason is ImageReason.TRUNCATED


def test_a_cell_larger_than_the_side_an_image_is_kept_at_shows_the_reduced_image() -> None:
    spec = replace(SPEC, size=90, keep_side=30)
    reduced = pixels(make_cell(HEIC, spec))
    assert np.abs(reduced - pixels(make_cell(encoded(PICTURE, "PNG"), spec))).mean() < 2
    assert np.abs(reduced - pixels(make_cell(HEIC, replace(SPEC, size=90)))).mean() > 3


def test_a_profile_is_applied_before_alpha_meets_the_background() -> None:
    tagged = written({1: Item(b"hvc1", CODED.data, [*PLAIN, (b"colr", b"prof" + wide_gamut_profile())])})
    named = written({1: Item(b"hvc1", CODED.data, [*PLAIN[:-1], nclx(12, 13, 6, full_range=True)])})
    plain = pixels(make_cell(HEIC, SPEC))
    assert np.abs(pixels(make_cell(tagged, SPEC)) - plain).max() > 20
    assert np.abs(pixels(make_cell(named, SPEC)) - plain).max() > 10


def test_the_same_bytes_give_the_same_cell() -> None:
    assert make_cell(HEIC, SPEC) == make_cell(HEIC, SPEC)
    assert make_cell(AVIF, SPEC) == make_cell(AVIF, SPEC)


@pytest.mark.parametrize(
    ("name", "at", "byte"),
    [("heic.heic", 3752, 53), ("heic.heic", 1013, 147), ("heic.heic", 2445, 0), ("heic-4-4-4.heic", 835, 0)],
)
def test_a_damaged_picture_of_which_some_blocks_are_never_decoded_is_refused(name: str, at: int, byte: int) -> None:
    """libde265 says nothing of them, and before 1.0.16 they show whatever the memory held before."""
    damaged = bytearray((CASES / name).read_bytes())
    damaged[at] = byte
    for filling in (0x11, 0xC3):
        fill_memory(filling)
        assert refusal(bytes(damaged)).reason is ImageReason.TRUNCATED
    fill_memory(0)


def test_a_damaged_grey_picture_gives_the_same_cell_whatever_memory_held() -> None:
    damaged = bytearray((CASES / "heic-grey.heic").read_bytes())
    damaged[512] = 197
    cells = []
    for filling in (0x11, 0xC3):
        fill_memory(filling)
        cells.append(make_cell(bytes(damaged), SPEC))
    fill_memory(0)
    assert cells[0] == cells[1]
