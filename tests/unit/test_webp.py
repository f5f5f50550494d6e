"""Our own decoder makes of a WebP what Pillow makes of it, and leaves to Pillow what is odd."""

import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.unit.pictures import BACKGROUND, PHOTOS, encoded, exif_with_orientation, photo, with_alpha
from worker.errors import ImageError, ImageReason
from worker.images import webp
from worker.images.cell import Cell, CellSpec, make_cell

pytestmark = pytest.mark.skipif(not webp.is_built(), reason="the C code was not built here")

SPEC = CellSpec(size=40, background=BACKGROUND, min_side=10, max_pixels=4_000_000)
KINDS: dict[str, dict[str, object]] = {"lossy": {"quality": 80}, "lossless": {"lossless": True}}
TALL = photo(121, 215, 3)
WHOLE = (0, 0, *TALL.size)


def fate(data: bytes, spec: CellSpec = SPEC) -> Cell | ImageReason:
    try:
        return make_cell(data, spec)
    except ImageError as refusal:
        return refusal.reason


def pillow_s_fate(data: bytes, monkeypatch: pytest.MonkeyPatch, spec: CellSpec = SPEC) -> Cell | ImageReason:
    with monkeypatch.context() as patch:
        patch.setattr(webp, "_webp", None)
        return fate(data, spec)


def assert_same(ours: Cell | ImageReason, theirs: Cell | ImageReason) -> None:
    """Compare pixels to a level where the file is decoded to pixels: a filter's weights are rounded differently.

    Where it stays in planes, only what is a block's seam, or lies beside a colour's edge, may be another by more.
    """
    if isinstance(ours, Cell) and isinstance(theirs, Cell):
        assert replace(ours, pixels=b"") == replace(theirs, pixels=b"")
        pixels = [np.frombuffer(cell.pixels, np.uint8).astype(int) for cell in (ours, theirs)]
        moved = np.abs(pixels[0] - pixels[1])
        in_planes = min(ours.width, ours.height) ** 2 * 3 >= webp.IN_PLANES_FROM**2 * len(ours.pixels)
        if in_planes:
            assert moved.mean() < 1.5
            assert np.percentile(moved, 99) <= 10
        else:
            assert moved.max() <= 1
    else:
        assert ours == theirs


def part_of(data: bytes, size: tuple[int, int], part: tuple[int, int, int, int]) -> tuple[Image.Image, int, int] | None:
    """Return a part as our decoder makes it of the file, and where it begins."""
    found = webp._webp.decode(data, *size, *part, False)
    assert found == webp._webp.decode(data, *size, *part, False)
    if found is None:
        assert webp._webp.decode(data, *size, *part, True) is None
        return None
    left, top, pixels = found
    return Image.frombytes("RGBX", (part[2] - left, part[3] - top), pixels), left, top


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(40, 40), (57, 101), (121, 215), (215, 121), (403, 717), (331, 90)], ids=str)
def test_a_cell_is_the_same_as_pillow_s(size: tuple[int, int], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(photo(*size), "WEBP", **KINDS[kind])
    assert part_of(data, size, (0, 0, *size)) is not None
    assert_same(fate(data), pillow_s_fate(data, monkeypatch))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_cell_is_the_same_as_pillow_s(orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(TALL, "WEBP", quality=80, exif=exif_with_orientation(orientation))
    assert_same(fate(data), pillow_s_fate(data, monkeypatch))


def test_the_cells_of_photographs_are_the_same_as_pillow_s(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(SPEC, size=200)
    for path in PHOTOS:
        if path.suffix == ".webp":
            data = path.read_bytes()
            assert_same(fate(data, spec), pillow_s_fate(data, monkeypatch, spec))


@pytest.mark.parametrize("kind", KINDS)
def test_any_part_is_that_part_of_the_whole(kind: str) -> None:
    data = encoded(TALL, "WEBP", **KINDS[kind])
    found = part_of(data, TALL.size, WHOLE)
    assert found is not None
    whole = np.asarray(found[0])[..., :3]
    chance = random.Random(5)
    for _ in range(60):
        left, right = sorted(chance.sample(range(TALL.width + 1), 2))
        top, bottom = sorted(chance.sample(range(TALL.height + 1), 2))
        found = part_of(data, TALL.size, (left, top, right, bottom))
        assert found is not None
        picture, x, y = found
        assert left - x in (0, 1)
        assert top - y in (0, 1)
        assert (x + picture.width, y + picture.height) == (right, bottom)
        part = np.asarray(picture)[..., :3].astype(int)
        # the outermost columns and rows take their chroma from less than the whole; a cell looks at none of them
        inner = (slice(1, -1), slice(1, -1))
        assert (part[inner] == whole[y:bottom, x:right][inner]).all()


@pytest.mark.parametrize(
    "part", [(0, 0, 0, 215), (0, 0, 121, 0), (0, 0, 122, 215), (0, 0, 121, 216), (90, 0, 80, 215), (0, 0, 2**32 - 1, 9)]
)
def test_a_part_outside_of_the_picture_is_not_decoded(part: tuple[int, int, int, int]) -> None:
    assert part_of(encoded(TALL, "WEBP"), TALL.size, part) is None


@pytest.mark.parametrize("size", [(121, 214), (122, 215), (0, 0), (2**32 - 1, 2**32 - 1)], ids=str)
def test_a_picture_of_another_size_than_was_checked_is_not_decoded(size: tuple[int, int]) -> None:
    assert part_of(encoded(TALL, "WEBP"), size, (0, 0, 1, 1)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFF\xff\xff\xff\xffWEBP",
        encoded(TALL, "PNG"),
        encoded(with_alpha(TALL), "WEBP"),
        encoded(TALL, "WEBP", save_all=True, append_images=[photo(121, 215, 9)], duration=40),
        encoded(TALL, "WEBP")[:-1],
        encoded(TALL, "WEBP")[:500],
    ],
    ids=["empty", "start", "header", "png", "alpha", "animation", "a byte short", "cut"],
)
def test_what_is_odd_is_left_to_pillow(data: bytes) -> None:
    assert part_of(data, TALL.size, WHOLE) is None


@pytest.mark.parametrize("size", [(40, 71), (102, 110)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_is_refused_or_gives_the_same_cell(kind: str, size: tuple[int, int]) -> None:
    data = encoded(photo(*size), "WEBP", **KINDS[kind])
    whole = fate(data)
    assert isinstance(whole, Cell)
    for length in range(0, len(data), 7):
        found = fate(data[:length])
        assert isinstance(found, ImageReason) or found == whole


@pytest.mark.parametrize("size", [(40, 71), (102, 110)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_a_cell_wherever_pillow_makes_one(
    kind: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encoded(photo(*size), "WEBP", **KINDS[kind])
    chance = random.Random(kind)
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        ours, theirs = fate(bytes(data)), pillow_s_fate(bytes(data), monkeypatch)
        assert isinstance(ours, Cell) or ours == theirs
        assert isinstance(ours, Cell) >= isinstance(theirs, Cell)


def test_without_the_c_code_cells_are_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webp, "_webp", None)
    assert not webp.is_built()
    assert isinstance(fate(encoded(Image.new("RGB", (50, 60)), "WEBP")), Cell)
