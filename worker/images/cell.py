"""The bytes of one image become one cell. It runs in a decoder process, because the bytes may be hostile.

Pillow-SIMD lacks the later security fixes of Pillow: formats are always named, sizes are checked before memory is
taken, and colour profiles are applied to one combination of modes only (see `docs/decisions/`).
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from io import BytesIO

from PIL import AvifImagePlugin, Image, UnidentifiedImageError, features
from PIL.ExifTags import Base as ExifTag
from PIL.Image import Resampling, Transpose

from worker.errors import ImageError, ImageReason
from worker.images import geometry, jpeg, pillow_fixes, profiles, sniff, webp  # noqa: F401 -- pillow_fixes: for its effect

DRAFT_RESERVE = Fraction(4, 3)
"""How much larger than needed a JPEG is decoded, at least, when decoding scales it down. docs/performance.md has the
measurements: below 5/4 grainy photographs fall under an SSIM of 0.96; at 4/3 all stay above, and covers of the usual
sizes are decoded at a half or a quarter, where 3/2 would decode some of them whole."""

_FloatBox = tuple[float, float, float, float]

_JPEGS = ("JPEG", "MPO")
"""What Pillow calls the pictures that may be scaled while they are decoded."""

_TRANSPOSES = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""EXIF orientation → what shows a stored image upright."""


# Asked once: the question is an import, which a sealed decoder cannot make any more.
_DECODABLE = tuple(name for name in sniff.ALLOWED_FORMATS if name != "AVIF" or features.check("avif"))


@dataclass(frozen=True, slots=True)
class CellSpec:
    """What a cell is to be: `size` px a side over `background`, and which images are refused.

    An image is refused when a side is shorter than `min_side` px or when it has more than `max_pixels`. Only a cell
    larger than `keep_side` px makes that limit felt: its image is first reduced to `keep_side` on the longest side.
    """

    size: int
    background: tuple[int, int, int]
    min_side: int
    max_pixels: int
    keep_side: int = 800


@dataclass(frozen=True, slots=True)
class Cell:
    """A finished cell: `size * size * 3` bytes of sRGB, row by row, and what the image was (upright, in px)."""

    pixels: bytes
    width: int
    height: int
    format: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a cell is cut out of a picture: what to divide it by in decoding, and the rest in pixels after that."""

    divisor: int
    box: _FloatBox
    looked_at: geometry.Box


def make_cell(data: bytes, spec: CellSpec) -> Cell:
    """Return the cell of one image; the same bytes give the same cell.

    Raises `ImageError` with `too_small`, `too_many_pixels`, `truncated`, `not_an_image`, `unsupported_format` or
    `decode_memory`, and nothing else.
    """
    image_format = _allowed_format(data)
    with _failures_told(image_format, spec), _opened(data, image_format, spec) as picture:
        orientation = _orientation(picture)
        width, height = geometry.shown_size(picture.size, orientation)
        cell = _cut(data, picture, orientation, spec)
        if picture.mode in ("RGB", "P") and not picture.has_transparency_data:
            cell = profiles.in_srgb(cell, picture.info.get("icc_profile"))
        cell = _upright(cell if cell.mode == "RGBX" else cell.convert("RGB"), orientation)
        return Cell(cell.tobytes("raw", "RGB"), width, height, image_format)


def _allowed_format(data: bytes) -> str:
    found = sniff.sniffed_format(data)
    if found is None:
        raise ImageError(ImageReason.NOT_AN_IMAGE, f"the data begins with {data[:12]!r}, as no known image does")
    if found not in _DECODABLE:
        raise ImageError(ImageReason.UNSUPPORTED_FORMAT, f"the image is {found}; allowed are {', '.join(_DECODABLE)}")
    return found


@contextmanager
def _failures_told(image_format: str, spec: CellSpec) -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(ImageReason.DECODE_MEMORY, f"no memory left to decode this {image_format}") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_many_pixels(spec) from error
    except UnidentifiedImageError as error:
        raise ImageError(ImageReason.TRUNCATED, f"{image_format} whose header cannot be read") from error
    except Exception as error:  # whatever Pillow raises on hostile data, it is this image that cannot be used
        if "out of memory" in str(error):
            raise ImageError(ImageReason.DECODE_MEMORY, f"no memory left to decode this {image_format}") from error
        raise ImageError(ImageReason.TRUNCATED, f"{image_format} that cannot be decoded: {error!s:.200}") from error


@contextmanager
def _opened(data: bytes, image_format: str, spec: CellSpec) -> Iterator[Image.Image]:
    """Open the image with its size checked; all but those of which a part may be enough are decoded as well."""
    cap_before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, spec.max_pixels
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # else it starts a thread for each core, in every decoder
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which harms no pixel
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if image_format == "WEBP" and (canvas := sniff.webp_canvas(data)):
                _check_size(canvas, spec)  # Pillow asks for memory for two canvases in opening it
            with Image.open(BytesIO(data), formats=(image_format,)) as picture:
                _check_size(picture.size, spec)
                if image_format not in ("JPEG", "WEBP"):
                    picture.load()
                yield picture
    finally:
        Image.MAX_IMAGE_PIXELS = cap_before


def _check_size(size: geometry.Size, spec: CellSpec) -> None:
    width, height = size
    if width * height > spec.max_pixels:
        raise _too_many_pixels(spec, f"{width} x {height} px; ")
    if min(size) < spec.min_side:
        raise ImageError(
            ImageReason.TOO_SMALL, f"the image is {width} x {height} px; each side must have {spec.min_side} px"
        )


def _too_many_pixels(spec: CellSpec, found: str = "too large; ") -> ImageError:
    return ImageError(ImageReason.TOO_MANY_PIXELS, f"the image is {found}allowed are {spec.max_pixels} px in all")


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1 where it is missing, out of range or unreadable."""
    try:
        orientation = picture.getexif().get(ExifTag.Orientation, geometry.UPRIGHT)
    except Exception:  # noqa: BLE001 -- EXIF is the part of a file most often broken: any failure means none
        return geometry.UPRIGHT
    return orientation if orientation in _TRANSPOSES else geometry.UPRIGHT


def _cut(data: bytes, picture: Image.Image, orientation: int, spec: CellSpec) -> Image.Image:
    """Return the stored picture's part that the cell shows, `spec.size` px a side, as L, RGB or RGBX."""
    if spec.size > spec.keep_side:
        return _cut_from_kept(picture, orientation, spec)
    scales = picture.format in _JPEGS
    plan = _planned(picture.size, orientation, spec.size, scales=scales)
    part = None
    if scales:
        part = jpeg.decoded_part(data, picture.size, plan.divisor, plan.looked_at)
    elif picture.format == "WEBP" and picture.mode == "RGB":
        cell = webp.cut(data, picture.size, plan.looked_at, plan.box, spec.size)
        if cell is not None:
            return cell
    if part is None:
        return _resized(_decoded(picture, plan.divisor, spec), plan.box, spec.size)
    picture, left, top = part
    return _resized(picture, (plan.box[0] - left, plan.box[1] - top, plan.box[2] - left, plan.box[3] - top), spec.size)


@lru_cache(maxsize=256)  # covers come in a few sizes, and fractions are slow
def _planned(stored: geometry.Size, orientation: int, size: int, *, scales: bool) -> _Plan:
    shown = geometry.shown_size(stored, orientation)
    needed = geometry.shown_size(geometry.scaled_size(*shown, size), orientation)
    divisor = geometry.draft_scale(stored, needed, DRAFT_RESERVE) if scales else 1
    box = geometry.stored_box(geometry.source_box(*shown, size), stored, orientation)
    box = _scaled_box(box, Fraction(1, divisor), Fraction(1, divisor))
    whole = -(-stored[0] // divisor), -(-stored[1] // divisor)
    return _Plan(divisor, _floats(box), geometry.looked_at(box, whole, size))


def _cut_from_kept(picture: Image.Image, orientation: int, spec: CellSpec) -> Image.Image:
    """Cut the cell out of the picture as it is reduced to `spec.keep_side` first."""
    stored = picture.size
    kept = geometry.kept_size(*stored, spec.keep_side)
    divisor = geometry.draft_scale(stored, kept, DRAFT_RESERVE) if picture.format in _JPEGS else 1
    picture = _decoded(picture, divisor, spec)
    picture = picture.resize(kept, Resampling.LANCZOS, box=(0, 0, stored[0] / divisor, stored[1] / divisor))
    box = geometry.source_box(*geometry.shown_size(stored, orientation), spec.size)
    box = geometry.stored_box(box, stored, orientation)
    box = _scaled_box(box, Fraction(kept[0], stored[0]), Fraction(kept[1], stored[1]))
    return _resized(picture, _floats(box), spec.size)


def _scaled_box(box: geometry.FractionBox, across: Fraction, down: Fraction) -> geometry.FractionBox:
    left, top, right, bottom = box
    return left * across, top * down, right * across, bottom * down


def _floats(box: geometry.FractionBox) -> _FloatBox:
    left, top, right, bottom = box
    return float(left), float(top), float(right), float(bottom)


def _resized(picture: Image.Image, box: _FloatBox, size: int) -> Image.Image:
    return picture.resize((size, size), Resampling.LANCZOS, box=box)


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
        return _over_background(picture, background)
    if picture.mode in ("L", "RGB"):
        picture.load()
        return picture  # converting would copy all of it
    return picture.convert("L" if picture.mode == "1" else "RGB")


def _over_background(picture: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Lay the picture over the background, which is sRGB, so that the picture's colours must be so before."""
    colours = profiles.in_srgb(picture.convert("RGBA"), picture.info.get("icc_profile"))
    canvas = Image.new("RGB", colours.size, background)
    canvas.paste(colours.convert("RGB"), (0, 0), colours.getchannel("A"))
    return canvas


def _upright(cell: Image.Image, orientation: int) -> Image.Image:
    transpose = _TRANSPOSES.get(orientation)
    return cell if transpose is None else cell.transpose(transpose)
