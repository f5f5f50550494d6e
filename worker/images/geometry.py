"""Where the pixels of a cell come from, and where they go on the canvas. Whole numbers and fractions, no I/O.

An image covers its cell as the system before this one did it, to the pixel: an image relatively wider than the cell
is scaled to `(int(w·cell/h), cell)`, any other to `(cell, int(h·cell/w))`, and the crop starts at
`((w'-cell)//2, (h'-cell)//2)`. A rounding instead of `int` shifts the picture by a pixel.

Sizes are `(width, height)` and boxes `(left, top, right, bottom)`, in pixels, the right and lower edges left out.
"""

import math
from fractions import Fraction
from typing import TypeVar

Size = tuple[int, int]
Box = tuple[int, int, int, int]
FractionBox = tuple[Fraction, Fraction, Fraction, Fraction]
FloatBox = tuple[float, float, float, float]
_Side = TypeVar("_Side", int, Fraction)

UPRIGHT = 1
"""The EXIF orientation of an image that is stored as it is shown."""

_STORED: dict[int, tuple[bool, bool, bool]] = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
"""Orientation → (sides swapped, mirrored left to right, mirrored top to bottom), from the shown image to the stored
one; EXIF 2.32, 4.6.4, tag 0x0112."""

DRAFT_SCALES = (8, 4, 2)
"""What a JPEG can be divided by while it is decoded, as far as Pillow's `draft` goes."""

LANCZOS_REACH = 3
"""How far the filter looks, in pixels of whichever of the two pictures has the larger ones."""

EDGE = 3
"""Pixels beside a part's edge that a decoder may get a little wrong, because it takes chroma from beyond."""


def scaled_size(width: int, height: int, cell: int) -> Size:
    """Return the size at which an image just covers a square cell: one side is `cell`, the other at least that."""
    if width > height:
        return width * cell // height, cell
    return cell, height * cell // width


def crop_box(width: int, height: int, cell: int) -> Box:
    """Return the part of the scaled image that the cell shows, `cell` pixels a side."""
    scaled_width, scaled_height = scaled_size(width, height, cell)
    left, top = (scaled_width - cell) // 2, (scaled_height - cell) // 2
    return left, top, left + cell, top + cell


def shown_box(width: int, height: int, cell: int) -> FractionBox:
    """Return what the cell shows of the picture, in its pixels: `crop_box` before the scaling."""
    scaled_width, scaled_height = scaled_size(width, height, cell)
    left, top, right, bottom = crop_box(width, height, cell)
    across, down = Fraction(width, scaled_width), Fraction(height, scaled_height)
    return left * across, top * down, right * across, bottom * down


def shown_size(stored: Size, orientation: int) -> Size:
    """Return the size of an image once its EXIF orientation (1 to 8) is applied; its own inverse."""
    width, height = stored
    return (height, width) if _STORED[orientation][0] else (width, height)


def stored_box(
    box: tuple[_Side, _Side, _Side, _Side], stored: Size, orientation: int
) -> tuple[_Side, _Side, _Side, _Side]:
    """Return where a box of the shown image lies in the stored one, whose size is `stored`."""
    swapped, mirrored_across, mirrored_down = _STORED[orientation]
    left, top, right, bottom = box
    if swapped:
        left, top, right, bottom = top, left, bottom, right
    if mirrored_across:
        left, right = stored[0] - right, stored[0] - left
    if mirrored_down:
        top, bottom = stored[1] - bottom, stored[1] - top
    return left, top, right, bottom


def draft_scale(stored: Size, needed: Size, reserve: Fraction) -> int:
    """Return what to divide a JPEG by while decoding, so that `reserve` times the `needed` size is left each way."""
    for scale in DRAFT_SCALES:
        if all(side >= scale * reserve * least for side, least in zip(stored, needed, strict=True)):
            return scale
    return 1


def looked_at(box: FractionBox, whole: Size, cell: int) -> Box:
    """Return the pixels of a picture of size `whole` that make the cell which shows `box` of it, and a few more.

    LANCZOS looks three pixels of the cell far, and decoders are exact a pixel or two inside the edges of a part only.
    """
    scales = [max(Fraction(1), (box[2 + i] - box[i]) / cell) for i in (0, 1)]
    reaches = [math.ceil(LANCZOS_REACH * scale) + EDGE for scale in scales]
    left, top = (max(0, math.floor(box[i]) - reaches[i]) for i in (0, 1))
    right, bottom = (min(whole[i], math.ceil(box[2 + i]) + reaches[i]) for i in (0, 1))
    return left, top, right, bottom


def kept_size(width: int, height: int, longest: int) -> Size:
    """Return the size of an image whose longest side may be `longest`; it is never enlarged, no side falls below 1."""
    if max(width, height) <= longest:
        return width, height
    share = Fraction(longest, max(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


def pages(count: int, rows: int, cols: int) -> list[range]:
    """Return which of `count` images stand on which page of `rows` times `cols`."""
    return [range(first, min(first + rows * cols, count)) for first in range(0, count, rows * cols)]


def canvas_size(count: int, cols: int, cell: int, gutter: int) -> Size:
    """Return the size of a page with `count` images: always `cols` cells wide, and as high as its rows."""
    rows = -(-count // cols)
    return cols * cell + (cols - 1) * gutter, rows * cell + (rows - 1) * gutter


def cell_origin(index: int, cols: int, cell: int, gutter: int) -> tuple[int, int]:
    """Return the upper left corner of the cell at `index`, counted row by row from 0."""
    row, col = divmod(index, cols)
    return col * (cell + gutter), row * (cell + gutter)
