"""The cell of an image that Pillow opens: JPEG, PNG, WebP and GIF."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import Image
from PIL.ExifTags import Base as ExifTag

from worker.images import geometry, jpeg, pillow_fixes, profiles, sniff, webp  # noqa: F401 -- pillow_fixes: for its effect
from worker.images.cell_spec import Cell, CellSpec, check_size
from worker.images.cutting import DRAFT_RESERVE, TRANSPOSES, cut_from_kept, over_background, planned, resized, upright

_JPEGS = ("JPEG", "MPO")
"""What Pillow calls the pictures that may be scaled while they are decoded."""


def make_pillow_cell(data: bytes, image_format: str, spec: CellSpec) -> Cell:
    """Return the cell of an image; raises `ImageError`, and whatever Pillow does."""
    with _opened(data, image_format, spec) as picture:
        orientation = _orientation(picture)
        width, height = geometry.shown_size(picture.size, orientation)
        cell = _cut(data, picture, orientation, spec)
        if picture.mode in ("RGB", "P", "L", "1") and not picture.has_transparency_data:
            cell = profiles.in_srgb(cell, picture.info.get("icc_profile"))
        cell = upright(cell if cell.mode == "RGBX" else cell.convert("RGB"), orientation)
        return Cell(cell.tobytes("raw", "RGB"), width, height, image_format)


@contextmanager
def _opened(data: bytes, image_format: str, spec: CellSpec) -> Iterator[Image.Image]:
    """Open the image with its size checked; all but those of which a part may be enough are decoded as well."""
    cap_before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, spec.max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which harms no pixel
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if image_format == "WEBP" and (canvas := sniff.webp_canvas(data)):
                check_size(canvas, spec)  # Pillow asks for memory for two canvases in opening it
            with Image.open(BytesIO(data), formats=(image_format,)) as picture:
                check_size(picture.size, spec)
                if image_format not in ("JPEG", "WEBP"):
                    picture.load()
                yield picture
    finally:
        Image.MAX_IMAGE_PIXELS = cap_before


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1 where it is missing, out of range or unreadable."""
    try:
        orientation = picture.getexif().get(ExifTag.Orientation, geometry.UPRIGHT)
    except Exception:  # noqa: BLE001 -- EXIF is the part of a file most often broken: any failure means none
        return geometry.UPRIGHT
    return orientation if orientation in TRANSPOSES else geometry.UPRIGHT


def _cut(data: bytes, picture: Image.Image, orientation: int, spec: CellSpec) -> Image.Image:
    """Return the stored picture's part that the cell shows, `spec.size` px a side, as L, RGB or RGBX."""
    if spec.size > spec.keep_side:
        stored = picture.size
        kept = geometry.kept_size(*stored, spec.keep_side)
        divisor = geometry.draft_scale(stored, kept, DRAFT_RESERVE) if picture.format in _JPEGS else 1
        whole = _decoded(picture, divisor, spec)
        return cut_from_kept(whole, stored, divisor, orientation, (spec.size, spec.keep_side))
    scales = picture.format in _JPEGS
    plan = planned(picture.size, orientation, spec.size, scales=scales)
    part = None
    if scales:
        part = jpeg.decoded_part(data, picture.size, plan.divisor, plan.looked_at)
    elif picture.format == "WEBP" and picture.mode == "RGB":
        cell = webp.cut(data, picture.size, plan.looked_at, plan.box, spec.size)
        if cell is not None:
            return cell
    if part is None:
        return resized(_decoded(picture, plan.divisor, spec), plan.box, spec.size)
    picture, left, top = part
    return resized(picture, (plan.box[0] - left, plan.box[1] - top, plan.box[2] - left, plan.box[3] - top), spec.size)


def _decoded(picture: Image.Image, divisor: int, spec: CellSpec) -> Image.Image:
    """Decode the whole, a JPEG scaled down by `divisor`, into a mode that resizes well."""
    stored = picture.size
    if divisor > 1:
        picture.draft(None, (stored[0] // divisor, stored[1] // divisor))
    return _resizable(picture, spec.background)


def _resizable(picture: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Return the picture as L or RGB: other modes are resized with NEAREST, or shown white, without a word."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return picture.convert("F").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if picture.has_transparency_data:
        return over_background(picture.convert("RGBA"), background, picture.info.get("icc_profile"))
    if picture.mode in ("L", "RGB"):
        picture.load()
        return picture  # converting would copy all of it
    return picture.convert("L" if picture.mode == "1" else "RGB")
