"""Cells become the finished page."""

import os
from collections.abc import Sequence

from PIL import Image, ImageColor

from worker.extract import PreviewSpec
from worker.images.geometry import canvas_size, cell_origin
from worker.images.preview import preview_of

CHROMA = "4:2:0"
"""JPEG subsampling: a sixth fewer bytes and less time than 4:4:4, at a difference that photographs hardly show."""


def compose(
    cells: Sequence[bytes],
    *,
    rows: int,
    cols: int,
    cell: int,
    gutter: int,
    background: tuple[int, int, int],
    format: str,  # noqa: A002 -- the name that jobs use
    quality: int,
) -> bytes:
    """Return one page as a JPEG, PNG or WebP file: the same cells give the same bytes.

    Arguments are those of `compose_with_preview`.
    """
    canvas = _drawn(cells, rows, cols, cell, gutter, background)
    return _encoded(canvas, format, quality)


def compose_with_preview(
    cells: Sequence[bytes],
    *,
    rows: int,
    cols: int,
    cell: int,
    gutter: int,
    background: tuple[int, int, int],
    format: str,  # noqa: A002 -- the name that jobs use
    quality: int,
    preview: PreviewSpec | None,
) -> tuple[bytes, bytes | None]:
    """Return one page as a JPEG, PNG or WebP file and, where one is asked for, a small JPEG of it.

    Each of the 1 to `rows * cols` cells is `cell * cell * 3` bytes of RGB; `gutter` is in pixels, `format` one of
    jpeg, png and webp, `quality` 1 to 100 (for a PNG without meaning). Raises `ValueError` for anything else.
    """
    canvas = _drawn(cells, rows, cols, cell, gutter, background)
    return _encoded(canvas, format, quality), preview_of(canvas, preview) if preview else None


def _drawn(
    cells: Sequence[bytes], rows: int, cols: int, cell: int, gutter: int, background: tuple[int, int, int]
) -> Image.Image:
    if not 1 <= len(cells) <= rows * cols:
        raise ValueError(f"a page of {rows} x {cols} holds 1 to {rows * cols} cells, got {len(cells)}")
    canvas = Image.new("RGB", canvas_size(len(cells), cols, cell, gutter), background)
    for index, pixels in enumerate(cells):
        picture = Image.frombuffer("RGB", (cell, cell), pixels, "raw", "RGB", 0, 1)
        canvas.paste(picture, cell_origin(index, cols, cell, gutter))
    return canvas


def parse_background(text: str) -> tuple[int, int, int]:
    """Return the RGB of a CSS colour. Raises `ValueError` if it is none, or not opaque."""
    try:
        red, green, blue = bytes(ImageColor.getrgb(text))  # `bytes`, because the numbers of `rgb()` go unchecked
    except ValueError:
        raise ValueError(
            f"the background is {text!r}; allowed are CSS colour names and opaque colours such as #ffffff or rgb(0,0,0)"
        ) from None
    return red, green, blue


def _encoded(canvas: Image.Image, file_format: str, quality: int) -> bytes:
    """Encode into a file in memory: Pillow holds the GIL while it encodes a JPEG into anything that is no file."""
    with os.fdopen(os.memfd_create("collage"), "w+b") as file:
        if file_format == "jpeg":
            canvas.save(file, "JPEG", quality=quality, subsampling=CHROMA, optimize=False, progressive=False)
        elif file_format == "png":
            canvas.save(file, "PNG")
        elif file_format == "webp":
            canvas.save(file, "WEBP", quality=quality)
        else:
            raise ValueError(f"the format is {file_format!r}; allowed are jpeg, png and webp")
        file.seek(0)
        return file.read()
