"""Cells look like full decoding, scaling and cropping: in every format, of photographs, of text and of fine lines.

The measure is the structural similarity of luma: 0.96 in every cell and 0.985 in the mean.
"""

import io
import random
import statistics
from collections.abc import Callable
from functools import cache

import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.unit.pictures import PHOTOS, encoded
from tests.unit.ssim import luma, ssim
from worker.images import geometry, jpeg
from worker.images.cell import CellSpec, make_cell

CELL = 200
SPEC = CellSpec(size=CELL, background=(255, 255, 255), min_side=10, max_pixels=9_000_000)
FORMATS: dict[str, tuple[str, dict[str, object]]] = {
    "baseline": ("JPEG", {"quality": 85}),
    "baseline of few bytes": ("JPEG", {"quality": 60}),
    "baseline 4:4:4": ("JPEG", {"quality": 92, "subsampling": 0}),
    "progressive": ("JPEG", {"quality": 85, "progressive": True}),
    "webp": ("WEBP", {"quality": 80}),
    "webp of few bytes": ("WEBP", {"quality": 40}),
    "png": ("PNG", {"compress_level": 1}),
}
WIDTHS = (540, 720, 1080)


@cache
def photographs() -> list[Image.Image]:
    """Return portraits cut out of the largest samples, and enlarged a little where these are smaller."""
    pictures = []
    for number, path in enumerate(PHOTOS[::8]):
        with Image.open(path) as picture:
            wide, high = picture.size
            part = min(wide, high * 9 // 16)
            box = ((wide - part) // 2, 0, (wide + part) // 2, part * 16 // 9)
            size = WIDTHS[number % 3], WIDTHS[number % 3] * 16 // 9
            pictures.append(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS, box=box))
    return pictures


def text(width: int, size: int, background: Image.Image | None = None) -> Image.Image:
    """Return a cover full of text, black on white or white over a picture."""
    high = width * 16 // 9
    picture = background.resize((width, high)) if background else Image.new("RGB", (width, high), "white")
    chance, colour = random.Random(size), "white" if background else "black"
    font = ImageFont.load_default_imagefont()  # of pixels: another one would need FreeType
    for top in range(0, high, size * 5 // 4):
        words = "".join(chance.choice("abcdefghijklm nopqrstu vwxyz ABCDE 123") for _ in range(2 * width // size))
        left, upper, right, lower = map(int, font.getbbox(words))
        line = Image.new("L", (right - left, lower - upper))
        ImageDraw.Draw(line).text((0, 0), words, fill=255, font=font)
        line = line.resize((line.width * size // line.height, size), Image.Resampling.BICUBIC)
        picture.paste(colour, (5, top), line)
    return picture


def lines(width: int, thick: int, period: int, levels: tuple[int, int] = (0, 255), ways: str = "vh") -> Image.Image:
    """Return a cover full of lines, down and across, of so many pixels."""
    high = width * 16 // 9
    picture = Image.new("L", (width, high), levels[1])
    draw = ImageDraw.Draw(picture)
    for left in range(0, width, period) if "v" in ways else ():
        draw.rectangle((left, 0, left + thick - 1, high), fill=levels[0])
    for top in range(0, high, period) if "h" in ways else ():
        draw.rectangle((0, top, width, top + thick - 1), fill=levels[0])
    return picture.convert("RGB")


@cache
def texts() -> list[Image.Image]:
    photo = photographs()[0]
    return [text(width, size, below) for width in WIDTHS for size, below in ((16, None), (24, photo))]


@cache
def grids() -> list[Image.Image]:
    """Return grids of lines, most of two pixels, of strong and of weak contrast."""
    return [
        *(lines(1080, 2, period) for period in (5, 6, 10, 27, 80)),
        *(lines(1080, 2, period, (110, 140)) for period in (6, 16)),
        lines(1080, 2, 5, (110, 140), "h"),
        lines(1080, 1, 20),
        *(lines(width, 2, 5) for width in (600, 720, 1440)),
    ]


def likeness(data: bytes) -> float:
    """Return the similarity of the cell of a file to its full decoding."""
    with Image.open(io.BytesIO(data)) as picture:
        whole = picture.convert("RGB")
    scaled = whole.resize(geometry.scaled_size(*whole.size, CELL), Image.Resampling.LANCZOS)
    wanted = scaled.crop(geometry.crop_box(*whole.size, CELL))
    found = make_cell(data, SPEC).pixels
    return ssim(luma(found, (CELL, CELL)), luma(wanted.tobytes(), (CELL, CELL)))


@pytest.mark.parametrize("covers", [photographs, texts, grids], ids=["photographs", "text", "lines"])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_cell_is_like_full_decoding(kind: str, covers: Callable[[], list[Image.Image]]) -> None:
    if FORMATS[kind][0] == "JPEG" and covers is grids and not jpeg.is_built():
        pytest.skip("only the C code sees fine lines")
    found = [likeness(encoded(picture, FORMATS[kind][0], **FORMATS[kind][1])) for picture in covers()]
    assert min(found) >= 0.96, [round(each, 3) for each in found]
    assert statistics.mean(found) >= 0.985


def test_photographs_are_not_taken_for_lines() -> None:
    """Lines are decoded a second time, at twice the size or more: nothing that photographs should pay for."""
    again = 0
    for picture in photographs():
        part = jpeg.decoded_region(encoded(picture, "JPEG", quality=85), picture.size, 2, (0, 0, 100, 100))
        again += part is not None and part.divisor(4) < 4
    assert again <= 1
