"""How Pillow is used for strangers' bytes: one named format, within the bounds, and modes that resize well."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import Image, ImageFile
from PIL.ExifTags import Base as ExifTag

from worker.images import geometry, pillow_fixes, profiles  # noqa: F401 -- pillow_fixes: for its effect
from worker.images.cell_spec import CellSpec, check_size, refuse_missing_rows
from worker.images.cutting import TRANSPOSES, cut_for, cut_from_kept, over_background, resized, upright


@contextmanager
def opened(data: bytes, image_format: str, spec: CellSpec) -> Iterator[Image.Image]:
    """Open an image with its size checked; raises `ImageError`, and whatever Pillow does."""
    cap_before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, spec.max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which harms no pixel
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=(image_format,)) as picture:
                check_size(picture.size, spec)
                yield picture
    finally:
        Image.MAX_IMAGE_PIXELS = cap_before


def decoded(data: bytes, image_format: str, spec: CellSpec, needed: int) -> Image.Image:
    """Return the whole picture, decoded; of one whose data end early or are broken, `needed` rows have to be there.

    Raises `ImageError` with `truncated` where one of them is not, and whatever Pillow does.
    """
    try:
        with opened(data, image_format, spec) as picture:
            picture.load()
            return picture
    except (OSError, ValueError, SyntaxError):
        dark, light = (_decoded_over(level, data, image_format, spec) for level in (b"\0", b"\xff"))
        refuse_missing_rows(image_format, _rows_alike(dark, light), dark.height, needed)
        return dark


def _decoded_over(level: bytes, data: bytes, image_format: str, spec: CellSpec) -> Image.Image:
    """Decode what there is of a picture over memory that is filled with a level, which shows what there is not."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with opened(data, image_format, spec) as picture:
            blank = Image.new(picture.mode, picture.size)
            picture.im = Image.frombytes(picture.mode, picture.size, level * len(blank.tobytes())).im
            picture.load()
            return picture
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _rows_alike(one: Image.Image, other: Image.Image) -> int:
    """Return how many rows, from the top, two pictures share."""
    samples = one.tobytes(), other.tobytes()
    row = len(samples[0]) // one.height
    rows = (slice(at, at + row) for at in range(0, len(samples[0]), row))
    return next((index for index, part in enumerate(rows) if samples[0][part] != samples[1][part]), one.height)


def on_canvas(picture: Image.Image, frame: geometry.Box, canvas: geometry.Size) -> Image.Image:
    """Return the picture where its frame lies on a clear canvas; most fill it."""
    if frame == (0, 0, *canvas):
        return picture
    clear = Image.new("RGBA", canvas)
    clear.paste(picture.convert("RGBA"), frame)
    return clear


def exif_orientation(exif: object) -> int:
    """Return the orientation that EXIF tells, 1 where it is missing, out of range or unreadable.

    Browsers read it from EXIF alone: not from XMP, which Pillow's `getexif` takes as well.
    """
    if not isinstance(exif, bytes):
        return geometry.UPRIGHT
    try:
        read = Image.Exif()
        read.load(exif)
        orientation = read.get(ExifTag.Orientation, geometry.UPRIGHT)
    except Exception:  # noqa: BLE001 -- EXIF is the part of a file most often broken: any failure means none
        return geometry.UPRIGHT
    return orientation if orientation in TRANSPOSES else geometry.UPRIGHT


def cell_of_whole(picture: Image.Image, orientation: int, profile: object, spec: CellSpec) -> Image.Image:
    """Return the cell of a decoded picture of any mode: RGB, in sRGB, upright."""
    if picture.has_transparency_data:
        picture, profile = _over_background(picture, spec.background, profile), None
    if spec.size > spec.keep_side:
        sides = spec.size, spec.keep_side
        cell = cut_from_kept(resizable(picture), picture.size, 1, orientation, sides)
    else:
        cut = cut_for(picture.size, orientation, spec.size, scales=False)
        cell = resized(resizable(picture), cut.box, spec.size)
    return finished(cell, orientation, None if picture.mode == "CMYK" else profile)


def _over_background(picture: Image.Image, background: tuple[int, int, int], profile: object) -> Image.Image:
    if picture.mode in ("1", "L", "LA"):  # a grey profile is for these alone
        picture, profile = profiles.in_srgb(picture.convert("LA"), profile), None
    return over_background(picture.convert("RGBA"), background, profile)


def resizable(picture: Image.Image) -> Image.Image:
    """Return an opaque picture as L or RGB: other modes are resized with NEAREST, or shown white, without a word."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return picture.convert("F").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if picture.mode in ("L", "RGB"):
        picture.load()
        return picture  # converting would copy all of it
    return picture.convert("L" if picture.mode == "1" else "RGB")


def finished(cell: Image.Image, orientation: int, profile: object) -> Image.Image:
    """Return a cell (L, RGB, RGBX or CMYK) as RGB or RGBX, its colours brought to sRGB, upright."""
    cell = profiles.in_srgb(cell, profile)
    return upright(cell if cell.mode == "RGBX" else cell.convert("RGB"), orientation)
