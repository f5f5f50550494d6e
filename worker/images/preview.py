"""Small pictures of pages: reports embed them."""

import io
import math

from PIL import Image

from worker.extract import PreviewSpec

_START_OF_SCAN = 0xDA


def preview_of(canvas: Image.Image, spec: PreviewSpec) -> bytes:
    """Return a small JPEG of a page that has just been drawn: an eighth of the time of reading it again."""
    scale = min(1.0, math.sqrt(spec.pixels / (canvas.width * canvas.height)))
    size = max(1, int(canvas.width * scale)), max(1, int(canvas.height * scale))
    file = io.BytesIO()
    small = canvas.resize(size, Image.Resampling.BOX)
    small.save(file, "JPEG", quality=spec.quality, subsampling="4:2:0", optimize=False, progressive=False)
    return file.getvalue()


def shrunk(page: bytes, spec: PreviewSpec, *, file_format: str) -> bytes:
    """Return a small JPEG of a finished page. `file_format` is jpeg, png or webp; raises `OSError` for another file."""
    with Image.open(io.BytesIO(page), formats=[file_format.upper()]) as picture:
        scale = min(1.0, math.sqrt(spec.pixels / (picture.width * picture.height)))
        # A JPEG is read at an eighth where that is enough.
        picture.draft("RGB", (int(picture.width * scale), int(picture.height * scale)))
        return preview_of(picture.convert("RGB"), spec)


def head_and_scan(jpeg: bytes) -> tuple[bytes, bytes]:
    """Cut a preview where its picture begins. What stands before is the same in all of one size and quality."""
    at = 2
    while jpeg[at + 1] != _START_OF_SCAN:
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return jpeg[:at], jpeg[at:]
