"""The part of a JPEG that a cell shows, decoded by `_jpeg.c`: half of the time that Pillow takes for all of it.

Pillow decodes whole pictures; of a portrait in a square cell, nearly half of that is cropped away. What the C code
does not take (CMYK, damaged or odd in any other way), and everything where it was not built, is Pillow's.
"""

from typing import NamedTuple

from PIL import Image

from worker.images.geometry import Box, Size

try:
    from worker.images import _jpeg, _jpeg_rows
except ImportError:  # not built: slower, all but the same cells, and what libjpeg only warns of is not seen
    _jpeg = _jpeg_rows = None  # type: ignore[assignment]

_EIGHTHS = 8

MOST_LINES = {2: 125.0, 4: 45.0, 8: 45.0}
"""What a JPEG is divided by → the energy of fine lines, in levels squared a pixel, above which it is divided by half of
that: libjpeg averages few pixels, and of lines that are as fine broad bands are left that the picture does not have.
docs/performance.md has the measurements."""


class Region(NamedTuple):
    """A decoded part of a scaled picture: L or RGBX, where its upper left corner lies, and the energy of its lines."""

    picture: Image.Image
    left: int
    top: int
    lines: float

    def divisor(self, tried: int) -> int:
        """Return what the picture may be divided by, where it was divided by `tried`."""
        while tried > 1 and self.lines > MOST_LINES[tried]:
            tried //= 2
        return tried


def is_built() -> bool:
    """Tell whether the C code is there."""
    return _jpeg is not None


def decoded_region(data: bytes, stored: Size, divisor: int, region: Box) -> Region | None:
    """Decode `region`, a box of the picture scaled by 1/`divisor`, of a file that says it has `stored` px.

    The picture may hold a little more. None for a file that Pillow is to decide about. Raises `MemoryError`, and
    `ValueError` where libjpeg does not see a picture of `stored` px.
    """
    found = _jpeg.decode(data, *stored, _EIGHTHS // divisor, *region) if is_built() else None
    if found is None:
        return None
    mode, pixels, left, top, right, bottom, lines = found
    return Region(Image.frombuffer(mode, (right - left, bottom - top), pixels, "raw", mode, 0, 1), left, top, lines)


def rows_held(data: bytes) -> int | None:
    """Return how many rows, from the top, of the stored picture the file holds.

    All of them where no pixel is missing, whatever else is odd. None where that cannot be told.
    """
    return _jpeg_rows.rows_held(data) if is_built() else None
