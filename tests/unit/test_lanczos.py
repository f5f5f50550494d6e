"""Planes are resized as Pillow resizes them, and coloured as the standards say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.unit.pictures import photo
from worker.images import lanczos
from worker.images.webp import BT_601

pytestmark = pytest.mark.skipif(not lanczos.is_built(), reason="the C code was not built here")

SIDES = st.integers(1, 400)
SHARES = st.floats(0, 1)
JFIF = (1.0, 0.0, 1.402, -179.456, 1.0, -0.344136, -0.714136, 135.4588, 1.0, 1.772, 0.0, -226.816)
"""ITU-T T.871, clause 7, with the 128 that chroma is above itself taken off."""


def resized(picture: Image.Image, box: tuple[float, float, float, float], size: int) -> np.ndarray:
    plane = lanczos.Plane(picture.tobytes(), *picture.size)
    return np.asarray(lanczos.cell([plane], box, size, ())).astype(int)


def pillow_s(picture: Image.Image, box: tuple[float, float, float, float], size: int) -> np.ndarray:
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS, box=box)).astype(int)


@given(SIDES, SIDES, st.tuples(SHARES, SHARES, SHARES, SHARES), st.integers(1, 70))
def test_any_part_is_resized_as_pillow_resizes_it(
    width: int, height: int, shares: tuple[float, float, float, float], size: int
) -> None:
    """But for what is rounded, or clipped, between rows and columns, of which the other come first there."""
    picture = photo(width, height).convert("L").point(lambda level: 60 + level // 2)
    (left, right), (top, bottom) = sorted(shares[:2]), sorted(shares[2:])
    box = left * width, top * height, right * width, bottom * height
    if min(box[2] - box[0], box[3] - box[1]) < 0.5:
        return
    moved = np.abs(resized(picture, box, size) - pillow_s(picture, box, size))
    assert moved.max() <= 2


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
@pytest.mark.parametrize("side", [1, 2, 15, 16, 17, 33, 500])
def test_a_plane_of_one_level_stays_so(level: int, side: int) -> None:
    picture = Image.new("L", (side, side), level)
    assert (resized(picture, (0, 0, side, side), 37) == level).all()


def test_hard_edges_are_clipped_and_do_not_wrap_around() -> None:
    stripes = Image.fromarray(np.where(np.arange(300) // 7 % 2, 255, 0).astype(np.uint8)[None].repeat(300, axis=0))
    for picture in (stripes, stripes.transpose(Image.Transpose.ROTATE_90)):
        assert np.abs(resized(picture, (1, 2, 299, 297), 160) - pillow_s(picture, (1, 2, 299, 297), 160)).max() <= 1


def test_filters_of_many_sides_do_not_get_mixed_up() -> None:
    picture = photo(300, 300).convert("L")
    boxes = [(0, 0, 300 - i, 300 - i / 2) for i in range(40)]
    first = [resized(picture, box, 40) for box in boxes]
    for _ in range(2):
        for box, found in zip(reversed(boxes), reversed(first), strict=True):
            assert (resized(picture, box, 40) == found).all()


@pytest.mark.parametrize(
    ("width", "height", "box", "size"),
    [
        (10, 10, (0, 0, 10.01, 10), 5),
        (10, 10, (0, 0, 10, 11), 5),
        (10, 10, (-0.1, 0, 10, 10), 5),
        (10, 10, (5, 0, 5, 10), 5),
        (10, 10, (6, 0, 5, 10), 5),
        (10, 10, (0, float("nan"), 10, 10), 5),
        (10, 10, (0, 0, float("inf"), 10), 5),
        (10, 10, (0, 0, 10, 10), 0),
        (10, 10, (0, 0, 10, 10), 2**31),
        (10, 9, (0, 0, 9, 9), 5),
        (0, 0, (0, 0, 0, 0), 5),
        (2**32 - 1, 2**32 - 1, (0, 0, 1, 1), 5),
    ],
)
def test_a_part_that_is_none_is_refused(
    width: int, height: int, box: tuple[float, float, float, float], size: int
) -> None:
    with pytest.raises(ValueError, match="no part of that plane"):
        lanczos._lanczos.resized(bytes(100), width, height, *box, size)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1_000])
def test_colours_are_those_of_the_matrix(count: int) -> None:
    planes = np.random.default_rng(count).integers(0, 256, (3, count), np.uint8)
    for matrix in (JFIF, BT_601):
        rows = np.array(matrix).reshape(3, 4)
        wanted = (rows[:, :3] @ planes.astype(float) + rows[:, 3:]).T.clip(0, 255)
        found = lanczos._lanczos.coloured(*(plane.tobytes() for plane in planes), matrix)
        assert np.abs(np.frombuffer(found, np.uint8).reshape(-1, 3) - wanted).max() <= 0.6


def test_the_colours_of_webp_are_libwebp_s() -> None:
    """White, black, grey and the primaries: a lossy file of one colour keeps it to a level or two."""
    assert (
        lanczos._lanczos.coloured(b"\xeb\x10\x7e", b"\x80\x80\x80", b"\x80\x80\x80", BT_601)[:6]
        == b"\xff\xff\xff\0\0\0"
    )


@pytest.mark.parametrize("matrix", [(9.0, *JFIF[1:]), (float("nan"), *JFIF[1:]), (*JFIF[:3], 1e9, *JFIF[4:])])
def test_a_matrix_that_is_none_of_colours_is_refused(matrix: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="none of colours"):
        lanczos._lanczos.coloured(b"a", b"b", b"c", matrix)


def test_planes_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        lanczos._lanczos.coloured(b"ab", b"b", b"c", JFIF)
