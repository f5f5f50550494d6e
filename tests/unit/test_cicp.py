"""Colours that a file names by number are shown as they are meant."""

import numpy as np
import pytest
from PIL import Image

from worker.images import cicp, profiles


def shown(colour: tuple[int, int, int], primaries: int, transfer: int) -> tuple[int, ...]:
    picture = profiles.in_srgb(Image.new("RGB", (2, 2), colour), cicp.profile(primaries, transfer))
    found = picture.getpixel((0, 0))
    assert isinstance(found, tuple)
    return tuple(int(level) for level in found)


@pytest.mark.parametrize("primaries", [1, 2, 0, 255])
@pytest.mark.parametrize("transfer", [1, 2, 6, 13, 14, 15, 0, 255])
def test_srgb_video_and_what_is_not_told_are_left_alone(primaries: int, transfer: int) -> None:
    assert cicp.profile(primaries, transfer) is None


TO_SRGB = {
    12: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),  # Display P3
    9: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),  # BT.2020
}
"""Linear light of other primaries → of sRGB's, as the literature gives it."""


@pytest.mark.parametrize("primaries", TO_SRGB)
@pytest.mark.parametrize("colour", [(200, 130, 130), (120, 140, 120), (128, 128, 128), (90, 100, 180)])
def test_primaries_are_brought_to_those_of_srgb(primaries: int, colour: tuple[int, int, int]) -> None:
    light = (np.array(colour) / 255 + 0.055) / 1.055
    light = np.array(TO_SRGB[primaries]) @ light**2.4
    wanted = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(np.array(shown(colour, primaries, 13)) - wanted).max() <= 1.5


@pytest.mark.parametrize(
    ("colour", "primaries", "transfer", "wanted"),
    [
        ((128, 128, 128), 9, 14, (128, 128, 128)),
        ((128, 128, 128), 1, 4, (129, 129, 129)),  # a gamma of 2.2
        ((128, 128, 128), 1, 8, (188, 188, 188)),  # linear
        ((255, 255, 255), 9, 16, (255, 255, 255)),  # PQ
        ((0, 0, 0), 9, 18, (0, 0, 0)),  # HLG
    ],
)
def test_colours_are_brought_to_srgb(
    colour: tuple[int, int, int], primaries: int, transfer: int, wanted: tuple[int, int, int]
) -> None:
    found = shown(colour, primaries, transfer)
    assert max(abs(have - want) for have, want in zip(found, wanted, strict=True)) <= 2, found


@pytest.mark.parametrize("transfer", [16, 18])
def test_a_high_dynamic_range_grows_from_black_to_white(transfer: int) -> None:
    levels = [shown((level, level, level), 9, transfer)[1] for level in range(0, 256, 5)]
    assert levels == sorted(levels)
    assert (levels[0], levels[-1]) == (0, 255)
    white_of_print = {16: 148, 18: 191}[transfer]
    assert 170 <= shown((white_of_print,) * 3, 9, transfer)[1] <= 200
