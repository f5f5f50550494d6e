"""Luma and chroma planes become colours: the matrices of ITU-T H.273, at the size of a cell where that is possible.

A cell of 200 x 200 px needs 40,000 conversions, the picture that it is cut from a million. The filter that makes the
cell is linear, and so is the matrix: the planes are resized first, and chroma, of which there is a quarter, needs no
enlarging.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image
from PIL.Image import Resampling

from worker.images import lanczos
from worker.images.geometry import FloatBox, Size

_KR_KB = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
"""Matrix coefficients → the shares of red and blue in luma; 5, 6 and whatever is unspecified or unknown: BT.601."""

_BT_601 = (0.299, 0.114)
_GBR, _YCGCO = 0, 8


@dataclass(frozen=True, slots=True)
class Planes:
    """A picture as its codec stores it: Y, or Y, Cb and Cr, of 8 bits; chroma may have fewer pixels."""

    planes: Sequence[Image.Image]
    matrix: int
    full_range: bool

    @property
    def size(self) -> Size:
        """Width and height, in px."""
        return self.planes[0].size

    def resized(self, box: FloatBox, size: Size) -> Image.Image:
        """Return a part of the picture at another size, as L or RGB."""
        luma = self.planes[0].size
        if lanczos.is_built() and len(self.planes) > 1 and size[0] == size[1]:
            planes = [_as_samples(plane, luma) for plane in self.planes]
            return lanczos.cell(planes, box, size[0], matrix_to_rgb(self.matrix, full_range=self.full_range))
        return self._in_colours([_resized(plane, box, luma, size, Resampling.LANCZOS) for plane in self.planes])

    def whole(self) -> Image.Image:
        """Return the picture as L or RGB."""
        box = (0.0, 0.0, float(self.size[0]), float(self.size[1]))
        return self._in_colours(
            [_resized(plane, box, self.size, self.size, Resampling.BILINEAR) for plane in self.planes]
        )

    def _in_colours(self, planes: list[Image.Image]) -> Image.Image:
        if len(planes) == 1:
            return planes[0] if self.full_range else planes[0].point(_widened)
        return Image.merge("RGB", planes).convert("RGB", matrix_to_rgb(self.matrix, full_range=self.full_range))


def _as_samples(plane: Image.Image, luma: Size) -> lanczos.Plane:
    across, down = (0.5 if half < whole else 1.0 for half, whole in zip(plane.size, luma, strict=True))
    return lanczos.Plane(plane.tobytes(), *plane.size, across, down)


def _resized(plane: Image.Image, box: FloatBox, luma: Size, size: Size, how: Resampling) -> Image.Image:
    if plane.size == size == luma:
        return plane
    across, down = plane.width / luma[0], plane.height / luma[1]
    region = box[0] * across, box[1] * down, box[2] * across, box[3] * down
    return plane.resize(size, how, box=region)


def _widened(level: int) -> int:
    return max(0, min(255, round((level - 16) * 255 / 219)))


@lru_cache(maxsize=32)
def matrix_to_rgb(matrix: int, *, full_range: bool) -> lanczos.Matrix:
    """Return the matrix from Y, Cb and Cr (for 0: G, B and R) to R, G and B; H.273, 8.3."""
    luma, chroma, black = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    if matrix == _GBR:
        rows = ((0.0, 0.0, luma), (luma, 0.0, 0.0), (0.0, luma, 0.0))
        return _with_offsets(rows, (black, black, black))
    if matrix == _YCGCO:  # Cg stands where Cb does, and Co where Cr does
        rows = ((luma, -chroma, chroma), (luma, chroma, 0.0), (luma, -chroma, -chroma))
        return _with_offsets(rows, (black, 128.0, 128.0))
    red, blue = _KR_KB.get(matrix, _BT_601)
    green = 1 - red - blue
    to_red, to_blue = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    rows = (
        (luma, 0.0, to_red),
        (luma, -to_blue * blue / green, -to_red * red / green),
        (luma, to_blue, 0.0),
    )
    return _with_offsets(rows, (black, 128.0, 128.0))


def _with_offsets(rows: Sequence[tuple[float, float, float]], zeros: tuple[float, float, float]) -> lanczos.Matrix:
    """Return the matrix for samples of which `zeros` stand for nothing."""
    return tuple(
        value for row in rows for value in (*row, -sum(share * zero for share, zero in zip(row, zeros, strict=True)))
    )
