"""Our own decoder makes of a JPEG what Pillow makes of it, and leaves to Pillow what is odd."""

import itertools
import math
import random
import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from tests.unit.pictures import BACKGROUND, PHOTOS, encoded, exif_with_orientation, photo
from worker.errors import ImageError, ImageReason
from worker.images import jpeg
from worker.images.cell import Cell, CellSpec, make_cell

pytestmark = pytest.mark.skipif(not jpeg.is_built(), reason="the C code was not built here")

SPEC = CellSpec(size=40, background=BACKGROUND, min_side=10, max_pixels=4_000_000)
SUBSAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
WHOLE = (0, 0, 160, 284)
TALL = photo(160, 284, 3)


def fate(data: bytes, spec: CellSpec = SPEC) -> Cell | ImageReason:
    try:
        return make_cell(data, spec)
    except ImageError as refusal:
        return refusal.reason


def pillow_s_fate(data: bytes, monkeypatch: pytest.MonkeyPatch, spec: CellSpec = SPEC) -> Cell | ImageReason:
    with monkeypatch.context() as patch:
        patch.setattr(jpeg, "_jpeg", None)
        return fate(data, spec)


@pytest.fixture(autouse=True)
def _no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow does not look for fine lines; `test_likeness.py` tells what ours gains by it."""
    monkeypatch.setattr(jpeg, "MOST_LINES", dict.fromkeys(jpeg.MOST_LINES, math.inf))


def assert_same(ours: Cell | ImageReason, theirs: Cell | ImageReason) -> None:
    """Compare pixels to 4 levels: a faster transform of chroma moves them by so many at most, and luma by 1.

    Grey ones are resized by our own filter, rows before columns: where both are clipped, that shows in luma as well.
    """
    if isinstance(ours, Cell) and isinstance(theirs, Cell):
        assert replace(ours, pixels=b"") == replace(theirs, pixels=b"")
        pixels = [np.frombuffer(cell.pixels, np.uint8).reshape(-1, 3).astype(float) for cell in (ours, theirs)]
        assert np.abs(pixels[0] - pixels[1]).max() <= 4
        is_grey = (pixels[0] == pixels[0][:, :1]).all()
        assert np.abs((pixels[0] - pixels[1]) @ (0.299, 0.587, 0.114)).max() < (5 if is_grey else 2)
    else:
        assert ours == theirs


def is_taken(data: bytes, size: tuple[int, int] = TALL.size) -> bool:
    return jpeg.decoded_region(data, size, 1, (0, 0, *size)) is not None


def without_end(data: bytes) -> bytes:
    assert data.endswith(b"\xff\xd9")
    return data[:-2]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("sampling", SUBSAMPLINGS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    "size", [(40, 40), (57, 101), (160, 284), (284, 160), (403, 717), (331, 90), (90, 331), (719, 1279)], ids=str
)
def test_a_cell_is_the_same_as_pillow_s(
    size: tuple[int, int], mode: str, sampling: str, progressive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"quality": 90, "subsampling": SUBSAMPLINGS[sampling], "progressive": progressive}
    data = encoded(photo(*size).convert(mode), "JPEG", **options)
    assert is_taken(data, size)
    assert_same(fate(data), pillow_s_fate(data, monkeypatch))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(403, 717), (717, 403)], ids=str)
def test_a_turned_cell_is_the_same_as_pillow_s(
    orientation: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(photo(*size), "JPEG", quality=90, exif=exif_with_orientation(orientation))
    assert_same(fate(data), pillow_s_fate(data, monkeypatch))


def test_the_cells_of_photographs_are_the_same_as_pillow_s(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(SPEC, size=200)
    for path in PHOTOS:
        data = path.read_bytes()
        assert_same(fate(data, spec), pillow_s_fate(data, monkeypatch, spec))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("divisor", [1, 2, 4, 8])
@pytest.mark.parametrize("sampling", SUBSAMPLINGS)
def test_any_part_is_that_part_of_the_whole(divisor: int, sampling: str, progressive: bool) -> None:
    data = encoded(TALL, "JPEG", quality=90, subsampling=SUBSAMPLINGS[sampling], progressive=progressive)
    wide, high = -(-TALL.width // divisor), -(-TALL.height // divisor)
    found = jpeg.decoded_region(data, TALL.size, divisor, (0, 0, wide, high))
    assert found is not None
    whole = np.asarray(found[0])[..., :3].astype(int)
    assert whole.shape == (high, wide, 3)
    chance = random.Random(divisor)
    for _ in range(60):
        left, right = sorted(chance.sample(range(wide + 1), 2))
        top, bottom = sorted(chance.sample(range(high + 1), 2))
        found = jpeg.decoded_region(data, TALL.size, divisor, (left, top, right, bottom))
        assert found is not None
        picture, x, y, _ = found
        assert x <= left
        assert y <= top
        assert x + picture.width >= right
        assert y + picture.height == bottom
        part = np.asarray(picture)[..., :3].astype(int)
        # the outermost columns and rows take their chroma from less than the whole; a cell looks at none of them
        inner = (
            slice(2 if y else 0, None),
            slice(2 if x else 0, picture.width - (2 if x + picture.width < wide else 0)),
        )
        same = whole[y:bottom, x : x + picture.width]
        assert (part[inner] == same[inner]).all()


@pytest.mark.parametrize(
    "part",
    [
        (0, 0, 0, 284),
        (0, 0, 160, 0),
        (0, 0, 161, 284),
        (0, 0, 160, 285),
        (80, 0, 80, 284),
        (90, 0, 80, 284),
        (0, 284, 160, 284),
        (0, 0, 2**32 - 1, 2**32 - 1),
    ],
)
def test_a_part_outside_of_the_picture_is_not_decoded(part: tuple[int, int, int, int]) -> None:
    assert jpeg.decoded_region(encoded(TALL, "JPEG"), TALL.size, 1, part) is None


@pytest.mark.parametrize("eighths", [0, 9, 2**31])
def test_a_scale_that_there_is_not_is_not_tried(eighths: int) -> None:
    assert jpeg._jpeg.decode(encoded(TALL, "JPEG"), *TALL.size, eighths, *WHOLE) is None


@pytest.mark.parametrize("size", [(160, 283), (161, 284), (284, 160), (0, 0)], ids=str)
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=str)
def test_a_picture_of_another_size_than_was_checked_is_decoded_by_nobody(
    size: tuple[int, int], options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(TALL, "JPEG", **options)
    with pytest.raises(ValueError, match="one size to one reader"):
        jpeg.decoded_region(data, size, 1, (0, 0, 1, 1))
    monkeypatch.setattr(JpegImageFile, "load", lambda *_: pytest.fail("Pillow decodes it"))
    monkeypatch.setattr(JpegImageFile, "size", property(lambda _: (64, 64)))
    assert fate(data) is ImageReason.TRUNCATED


def twelve_bits(data: bytes) -> bytes:
    start = data.index(b"\xff\xc0")
    return data[: start + 4] + b"\x0c" + data[start + 5 :]


def arithmetic(data: bytes) -> bytes:
    return data.replace(b"\xff\xc0", b"\xff\xc9", 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xd9",
        encoded(TALL, "PNG"),
        encoded(TALL.convert("CMYK"), "JPEG"),
        twelve_bits(encoded(TALL, "JPEG")),
        arithmetic(encoded(TALL, "JPEG")),
        without_end(encoded(TALL, "JPEG")),
        encoded(TALL, "JPEG")[:2_000],
    ],
    ids=["empty", "start", "no frame", "png", "cmyk", "12 bits", "arithmetic", "no end", "cut"],
)
def test_what_is_odd_is_left_to_pillow(data: bytes) -> None:
    assert not is_taken(data)


@pytest.mark.parametrize("extra", [b"", b"\0" * 300, b"more\xff\xd8\xff"])
def test_bytes_behind_the_end_do_no_harm(extra: bytes) -> None:
    assert is_taken(encoded(TALL, "JPEG") + extra)


@pytest.mark.parametrize("interval", [1, 7, 300])
def test_restart_markers_are_passed(interval: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(TALL, "JPEG", restart_marker_blocks=interval)
    assert struct.pack(">HHH", 0xFFDD, 4, interval) in data
    assert is_taken(data)
    assert_same(fate(data), pillow_s_fate(data, monkeypatch))


@pytest.mark.parametrize(
    "options",
    [{}, {"restart_marker_rows": 1}, {"subsampling": 0}, {"exif": exif_with_orientation(6)}, {"progressive": True}],
    ids=str,
)
def test_a_file_cut_anywhere_is_refused_or_gives_the_same_cell(options: dict[str, object]) -> None:
    data = encoded(photo(64, 113), "JPEG", quality=60, **options)
    whole = fate(data)
    fates = [fate(data[:length] + end) for length in range(0, len(data), 3) for end in (b"", b"\xff\xd9")]
    for found in fates:
        assert isinstance(found, ImageReason) or found == whole
    assert fate(without_end(data)) == whole


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_file_is_a_cell_or_refused_as_pillow_refuses_it_or_as_cut(
    seed: int, progressive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encoded(photo(64, 113, seed), "JPEG", quality=60, progressive=progressive)
    chance = random.Random(seed)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 5)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        ours, theirs = fate(bytes(data)), pillow_s_fate(bytes(data), monkeypatch)
        assert isinstance(ours, Cell) or ours in (ImageReason.TRUNCATED, theirs)


def test_one_file_after_another_leaves_nothing_behind() -> None:
    good, bad = encoded(TALL, "JPEG"), encoded(TALL, "JPEG")[:3_000]
    first = fate(good)
    for _, data in zip(range(400), itertools.cycle([good, bad, b"", without_end(good)]), strict=False):
        fate(data)
    assert fate(good) == first


def test_without_the_c_code_cells_are_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg, "_jpeg", None)
    assert not jpeg.is_built()
    assert isinstance(fate(encoded(Image.new("RGB", (50, 60)), "JPEG")), Cell)
