"""Planes become the colours that they stand for."""

import numpy as np
import pytest
from PIL import Image

from tests.unit.pictures import photo
from worker.images.planes import Planes, matrix_to_rgb

PICTURE = photo(60, 44)


def grey(level: int) -> Image.Image:
    return Image.new("L", (4, 4), level)


@pytest.mark.parametrize(
    ("matrix", "full_range", "levels", "colour"),
    [
        (6, True, (76, 85, 255), (254, 0, 0)),  # BT.601, as in JPEG
        (2, True, (76, 85, 255), (254, 0, 0)),
        (1, False, (63, 102, 240), (255, 1, 0)),  # BT.709, as in television
        (9, False, (74, 97, 240), (255, 0, 0)),  # BT.2020
        (0, True, (10, 20, 30), (30, 10, 20)),  # G, B, R
        (8, True, (64, 64, 255), (255, 0, 1)),  # Y, Cg, Co
        (1, False, (16, 128, 128), (0, 0, 0)),
        (1, False, (235, 128, 128), (255, 255, 255)),
        (6, True, (128, 128, 128), (128, 128, 128)),
    ],
)
def test_levels_stand_for_colours(
    matrix: int, full_range: bool, levels: tuple[int, int, int], colour: tuple[int, int, int]
) -> None:
    found = Planes([grey(level) for level in levels], matrix, full_range).whole().getpixel((1, 1))
    assert isinstance(found, tuple)
    assert max(abs(have - want) for have, want in zip(found, colour, strict=True)) <= 2


@pytest.mark.parametrize(("full_range", "levels"), [(True, (0, 128, 255)), (False, (0, 130, 255))])
def test_one_plane_is_a_grey_picture(full_range: bool, levels: tuple[int, int, int]) -> None:
    shown = [Planes([grey(level)], 6, full_range).whole() for level in (0, 128, 255)]
    assert {picture.mode for picture in shown} == {"L"}
    assert tuple(picture.getpixel((0, 0)) for picture in shown) == levels


def test_a_part_is_cut_out_and_resized_as_in_rgb() -> None:
    planes = Planes(PICTURE.convert("YCbCr").split(), 6, full_range=True)
    box = (10.5, 3.25, 50.0, 40.0)
    wanted = PICTURE.resize((20, 20), Image.Resampling.LANCZOS, box=box)
    found = planes.resized(box, (20, 20))
    assert np.abs(np.asarray(found).astype(int) - np.asarray(wanted)).mean() < 1.5


@pytest.mark.parametrize("halves", [(2, 2), (2, 1), (1, 1)])
def test_chroma_may_have_fewer_pixels(halves: tuple[int, int]) -> None:
    soft = PICTURE.resize((6, 4), Image.Resampling.BOX).resize((61, 45), Image.Resampling.BICUBIC)
    luma, *chroma = soft.convert("YCbCr").split()
    smaller = [plane.resize((-(-61 // halves[0]), -(-45 // halves[1])), Image.Resampling.BOX) for plane in chroma]
    planes = Planes([luma, *smaller], 6, full_range=True)
    assert planes.whole().size == (61, 45)
    for found, wanted in (
        (planes.whole(), soft),
        (planes.resized((0, 0, 61, 45), (30, 22)), soft.resize((30, 22), Image.Resampling.LANCZOS)),
    ):
        assert np.abs(np.asarray(found).astype(int) - np.asarray(wanted)).max() < 12


@pytest.mark.parametrize("matrix", [1, 4, 5, 6, 7, 9])
@pytest.mark.parametrize("full_range", [True, False])
def test_white_is_white_and_black_is_black_by_every_matrix(matrix: int, full_range: bool) -> None:
    rows = np.array(matrix_to_rgb(matrix, full_range=full_range)).reshape(3, 4)
    low, high = (0, 255) if full_range else (16, 235)
    for luma, level in ((low, 0), (high, 255)):
        assert rows @ np.array([luma, 128, 128, 1]) == pytest.approx([level] * 3, abs=0.01)
