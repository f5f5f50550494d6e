"""The part of a WebP that a cell shows, decoded by `_webp.c`: a fourth of the time that Pillow takes for all of it.

Pillow decodes every WebP as an animation, whole. What the C code does not take (animations, alpha, damaged files), and
everything where it was not built, is Pillow's.
"""

from PIL import Image

from worker.images import lanczos
from worker.images.geometry import Box, FloatBox, Size

try:
    from worker.images import _webp
except ImportError:  # not built: slower, and all but the same cells
    _webp = None  # type: ignore[assignment]


IN_PLANES_FROM = 2.5
"""Pixels to one of the cell's from which on a lossy file stays in its planes until it has the size of the cell, and the
seams between its blocks are left in: the filter against them takes a fifth of libwebp's time, and such a cell hardly
shows it. docs/performance.md has the measurements: at a quality of 10 the worst cell keeps an SSIM of 0.987, where at
2 it would be 0.972, and at 1 0.909. Below 2 chroma would be enlarged besides."""

BT_601 = (
    *(1.164384, 0.0, 1.596027, -222.921),
    *(1.164384, -0.391762, -0.812968, 135.5758),
    *(1.164384, 2.017232, 0.0, -276.8363),
)
"""From Y of 16 to 235 and chroma of 16 to 240 to RGB: what WebP's planes are (RFC 6386, 9.2)."""


def is_built() -> bool:
    """Tell whether the C code is there."""
    return _webp is not None


def cut(data: bytes, stored: Size, region: Box, box: FloatBox, size: int) -> Image.Image | None:
    """Return the part `box` of a file that says it has `stored` px, as `size` px a side, RGB or RGBX.

    `region` is what has to be decoded for it. None for a file that Pillow is to decide about. Raises `MemoryError`.
    """
    in_planes = lanczos.is_built() and min(box[2] - box[0], box[3] - box[1]) >= IN_PLANES_FROM * size
    found = _webp.decode(data, *stored, *region, in_planes) if is_built() else None
    if found is None:
        return None
    left, top, *decoded = found
    width, height = region[2] - left, region[3] - top
    box = box[0] - left, box[1] - top, box[2] - left, box[3] - top
    if len(decoded) == 1:
        picture = Image.frombuffer("RGBX", (width, height), decoded[0], "raw", "RGBX", 0, 1)
        return picture.resize((size, size), Image.Resampling.LANCZOS, box=box)
    return lanczos.cell(_planes(decoded, width, height), box, size, BT_601)


def _planes(decoded: list[bytes], width: int, height: int) -> list[lanczos.Plane]:
    luma, *chroma = decoded
    half = (width + 1) // 2, (height + 1) // 2
    return [lanczos.Plane(luma, width, height), *(lanczos.Plane(each, *half, 0.5, 0.5) for each in chroma)]
