"""The cell of a PNG."""

import math
from dataclasses import replace

from PIL import Image, ImageChops

from worker.images import cicp, geometry, png
from worker.images.cell_spec import Cell, CellSpec, check_size
from worker.images.cutting import cut_for
from worker.images.icc import grey_profile, matrix_profile
from worker.images.pillow import cell_of_whole, decoded, exif_orientation, on_canvas, resizable

_SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290))
_SRGB_GAMMA = 1 / 2.2
_SAME = 0.05
"""How far a gamma may be from sRGB's, as a share of it, to be taken for the same; as libpng does."""


def make_png_cell(data: bytes, image_format: str, spec: CellSpec) -> Cell:
    """Return the cell of a PNG; raises `ImageError`, and whatever Pillow does."""
    found = png.read(data)
    check_size(found.size, spec)
    orientation = exif_orientation(found.exif)
    picture = _decoded(found, image_format, orientation, spec)
    cell = cell_of_whole(picture, orientation, _profile(found), spec)
    width, height = geometry.shown_size(found.size, orientation)
    return Cell(cell.tobytes("raw", "RGB"), width, height, image_format)


def _decoded(found: png.Png, image_format: str, orientation: int, spec: CellSpec) -> Image.Image:
    """Return the picture on its canvas."""
    needed = cut_for(found.size, orientation, spec.size, scales=False).looked_at[3] - found.frame[1]
    picture = decoded(found.plain_file(), image_format, replace(spec, min_side=1), needed)
    return on_canvas(_with_alpha(picture), found.frame, found.size)


def _with_alpha(picture: Image.Image) -> Image.Image:
    """Return a grey picture of 16 bits with one transparent level as one of 8 bits with alpha: Pillow has no such."""
    key = picture.info.get("transparency")
    if not picture.mode.startswith("I;16") or not isinstance(key, int):
        return picture
    low, high = Image.frombytes("LA", picture.size, picture.tobytes()).split()
    is_low, is_high = (
        band.point([255 * (level == wanted) for level in range(256)])
        for band, wanted in ((low, key & 255), (high, key >> 8))
    )
    del picture.info["transparency"]
    return Image.merge("LA", (resizable(picture), ImageChops.invert(ImageChops.multiply(is_low, is_high))))


def _profile(found: png.Png) -> bytes | None:
    """Return what brings the colours to sRGB, of all that a file may say the one that comes first; 4.3."""
    is_grey = found.colour_type in (0, 4)
    if found.cicp is not None:
        return None if is_grey else cicp.profile(*found.cicp[:2])
    if found.profile is not None or found.is_srgb or found.gamma is None:
        return found.profile
    if found.chromaticities is None and abs(found.gamma / _SRGB_GAMMA - 1) < _SAME:
        return None
    exponent = 1 / found.gamma
    if is_grey:
        return grey_profile(lambda level: math.pow(level, exponent))
    return matrix_profile(found.chromaticities or _SRGB_PRIMARIES, lambda level: math.pow(level, exponent))
