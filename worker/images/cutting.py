"""The steps that images of all formats share: which part the cell shows, resized, over the background, upright."""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from PIL import Image
from PIL.Image import Resampling, Transpose

from worker.images import geometry, profiles
from worker.images.geometry import FloatBox

DRAFT_RESERVE = Fraction(4, 3)
"""How much larger than needed a JPEG is decoded, at least, when decoding scales it down. docs/performance.md has the
measurements: below 5/4 grainy photographs fall under an SSIM of 0.96; at 4/3 all stay above, and covers of the usual
sizes are decoded at a half or a quarter, where 3/2 would decode some of them whole."""

TRANSPOSES = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""EXIF orientation → what shows a stored image upright."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How a cell is cut out of a picture: what to divide it by in decoding, and the rest in pixels after that."""

    divisor: int
    box: FloatBox
    looked_at: geometry.Box


@lru_cache(maxsize=256)  # covers come in a few sizes, and fractions are slow
def cut_for(stored: geometry.Size, orientation: int, size: int, *, scales: bool, most: int = 8) -> Cut:
    """Return how the cell of `size` px is cut out of a picture; where its codec `scales`, divided by `most` at most."""
    shown = geometry.shown_size(stored, orientation)
    needed = geometry.shown_size(geometry.scaled_size(*shown, size), orientation)
    divisor = min(most, geometry.draft_scale(stored, needed, DRAFT_RESERVE)) if scales else 1
    box = geometry.stored_box(geometry.shown_box(*shown, size), stored, orientation)
    box = scaled_box(box, Fraction(1, divisor), Fraction(1, divisor))
    whole = -(-stored[0] // divisor), -(-stored[1] // divisor)
    return Cut(divisor, floats(box), geometry.looked_at(box, whole, size))


def cut_from_kept(
    picture: Image.Image, stored: geometry.Size, divisor: int, orientation: int, sides: tuple[int, int]
) -> Image.Image:
    """Cut the cell out of the picture (L or RGB, divided by `divisor`) as it is reduced first.

    `sides` are those of the cell, and the longest one that is kept, in px.
    """
    size, keep = sides
    kept = geometry.kept_size(*stored, keep)
    picture = picture.resize(kept, Resampling.LANCZOS, box=(0, 0, stored[0] / divisor, stored[1] / divisor))
    box = geometry.shown_box(*geometry.shown_size(stored, orientation), size)
    box = geometry.stored_box(box, stored, orientation)
    return resized(picture, floats(scaled_box(box, Fraction(kept[0], stored[0]), Fraction(kept[1], stored[1]))), size)


def scaled_box(box: geometry.FractionBox, across: Fraction, down: Fraction) -> geometry.FractionBox:
    """Return where a box lies in a picture scaled so."""
    left, top, right, bottom = box
    return left * across, top * down, right * across, bottom * down


def floats(box: geometry.FractionBox) -> FloatBox:
    """Return a box as Pillow takes it."""
    left, top, right, bottom = box
    return float(left), float(top), float(right), float(bottom)


def resized(picture: Image.Image, box: FloatBox, size: int) -> Image.Image:
    """Return a part of a picture as a square of `size` px."""
    return picture.resize((size, size), Resampling.LANCZOS, box=box)


def over_background(picture: Image.Image, background: tuple[int, int, int], profile: object) -> Image.Image:
    """Lay an RGBA picture over the background, which is sRGB, so that the picture's colours must be so before."""
    colours = profiles.in_srgb(picture, profile)
    canvas = Image.new("RGB", colours.size, background)
    canvas.paste(colours.convert("RGB"), (0, 0), colours.getchannel("A"))
    return canvas


def upright(cell: Image.Image, orientation: int) -> Image.Image:
    """Return the cell turned as its EXIF orientation says."""
    transpose = TRANSPOSES.get(orientation)
    return cell if transpose is None else cell.transpose(transpose)
