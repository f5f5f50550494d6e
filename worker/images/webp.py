"""The part of a WebP that a cell shows, decoded by `_webp.c`: a third of the time that Pillow takes for all of it.

Pillow decodes every WebP as an animation, whole. What the C code does not take (animations, alpha, damaged files), and
everything where it was not built, is Pillow's.
"""

from PIL import Image

from worker.images.geometry import Box, Size

try:
    from worker.images import _webp
except ImportError:  # not built: slower, and all but the same cells
    _webp = None  # type: ignore[assignment]


def is_built() -> bool:
    """Tell whether the C code is there."""
    return _webp is not None


def decoded_part(data: bytes, stored: Size, part: Box) -> tuple[Image.Image, int, int] | None:
    """Decode `part`, a box of the picture, of a file that says it has `stored` px.

    Returns the picture (mode RGBX), which may begin a pixel further up or to the left, and where its upper left corner
    lies; None for a file that Pillow is to decide about. Raises `MemoryError`.
    """
    found = _webp.decode(data, *stored, *part) if is_built() else None
    if found is None:
        return None
    pixels, left, top = found
    return Image.frombuffer("RGBX", (part[2] - left, part[3] - top), pixels, "raw", "RGBX", 0, 1), left, top
