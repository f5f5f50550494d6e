"""Planes of luma and chroma become a cell, by `_lanczos.c`: each is resized by itself, and colours are made at the end.

The filter is linear, and so is the matrix of colours: what it makes is what colours of all pixels would give, but for
levels that are clipped. Chroma is resized from as few samples as the file has of it, and never enlarged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from worker.images.geometry import FloatBox

try:
    from worker.images import _lanczos
except ImportError:  # not built: Pillow decodes and resizes
    _lanczos = None  # type: ignore[assignment]

Matrix = tuple[float, ...]
"""Three rows of the shares of Y, Cb and Cr in R, G and B, and what is added, as Pillow's `convert` takes it."""


@dataclass(frozen=True, slots=True)
class Plane:
    """Samples of a byte each, row by row; and how many of them there are for a pixel of the picture, each way."""

    samples: bytes
    width: int
    height: int
    across: float = 1.0
    down: float = 1.0


def is_built() -> bool:
    """Tell whether the C code is there."""
    return _lanczos is not None


def cell(planes: Sequence[Plane], box: FloatBox, size: int, matrix: Matrix) -> Image.Image:
    """Return the part `box` of the picture, in pixels, as `size` px a side: L of one plane, RGB of three.

    Raises `MemoryError`, and `ValueError` for a box that does not lie in the picture.
    """
    resized = [_resized(plane, box, size) for plane in planes]
    if len(resized) == 1:
        return Image.frombytes("L", (size, size), resized[0])
    luma, blue, red = resized
    return Image.frombytes("RGB", (size, size), _lanczos.coloured(luma, blue, red, matrix))


def _resized(plane: Plane, box: FloatBox, size: int) -> bytes:
    left, top, right, bottom = box
    region = left * plane.across, top * plane.down, right * plane.across, bottom * plane.down
    return _lanczos.resized(plane.samples, plane.width, plane.height, *region, size)
