"""What a cell is to be, what it is when it is made, and which sizes of images are refused."""

from dataclasses import dataclass

from worker.errors import ImageError, ImageReason
from worker.images.geometry import Size


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


def check_size(size: Size, spec: CellSpec) -> None:
    """Raise `ImageError` (`too_many_pixels`, `too_small`) for an image of a size that is refused."""
    width, height = size
    if width * height > spec.max_pixels:
        raise too_many_pixels(spec, f"{width} x {height} px; ")
    if min(size) < spec.min_side:
        raise ImageError(
            ImageReason.TOO_SMALL, f"the image is {width} x {height} px; each side must have {spec.min_side} px"
        )


def too_many_pixels(spec: CellSpec, found: str = "too large; ") -> ImageError:
    """Return the error for an image with too many pixels."""
    return ImageError(ImageReason.TOO_MANY_PIXELS, f"the image is {found}allowed are {spec.max_pixels} px in all")


def refuse_missing_rows(image_format: str, held: int, rows: int, needed: int) -> None:
    """Raise `ImageError` (`truncated`) where a file holds fewer of an image's rows, from the top, than are needed."""
    needed = min(needed, rows)
    if held < needed:
        raise ImageError(
            ImageReason.TRUNCATED,
            f"the {image_format} is cut short or damaged: it holds {held} of {rows} rows, and the cell shows {needed}",
        )
