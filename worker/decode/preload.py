"""Decodes every kind of image once before the sandbox is sealed: Pillow imports many modules only when needed."""

import base64
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

from PIL import (
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ExifTags import Base as ExifTag

from worker.errors import ImageError
from worker.images import heif_decoding
from worker.images.cell import Cell, CellSpec

_LOADED = (GifImagePlugin, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)
"""Imported for their effect. If Pillow had to search for a plugin, it would load all forty, with all their flaws."""

_SPEC = CellSpec(size=8, background=(255, 255, 255), min_side=1, max_pixels=10_000, keep_side=800)
_SIDE = 16

_ENCODED = {
    "HEIC": base64.b64decode(
        "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAa1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAAA5waXRtAAAA"
        "AAACAAAAEGlkYXQAAAAAABAAEAAAADhpbG9jAQAAAERAAAIAAQAAAAAAAAHRAAEAAAAAAAAAKAACAAEAAAAAAAAAAQAAAAAAAAAIAAAAOGlpbmYA"
        "AAAAAAIAAAAVaW5mZQIAAAEAAQAAaHZjMQAAAAAVaW5mZQIAAAAAAgAAZ3JpZAAAAADYaXBycAAAALZpcGNvAAAAdmh2Y0MBA3AAAAAAAAAAAAAe"
        "8AD8/fj4AAAPAyAAAQAYQAEMAf//A3AAAAMAkAAAAwAAAwAeugJAIQABACpCAQEDcAAAAwCQAAADAAADAB6gIIEFluqumubgQEDAgAAAAwCAAAAD"
        "AIQiAAEABkQBwXPBiQAAABRpc3BlAAAAAAAAAEAAAABAAAAAFGlzcGUAAAAAAAAAEAAAABAAAAAQcGl4aQAAAAADCAgIAAAAGmlwbWEAAAAAAAAA"
        "AgABAoECAAICA4QAAAAaaXJlZgAAAAAAAAAOZGltZwACAAEAAQAAADBtZGF0AAAAJCgBrxkhORLvXaW/94j/l6V/N1t8pkqmlwTXiJkLA4GAjZGd"
        "OA=="
    ),
    "AVIF": base64.b64decode(
        "AAAAHGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZgAAAOptZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAAA5waXRtAAAA"
        "AAABAAAAImlsb2MAAAAAREAAAQABAAAAAAEOAAEAAAAAAAAAHAAAACNpaW5mAAAAAAABAAAAFWluZmUCAAAAAAEAAGF2MDEAAAAAamlwcnAAAABL"
        "aXBjbwAAABNjb2xybmNseAACAAIABoAAAAAMYXYxQ4EADAAAAAAUaXNwZQAAAAAAAAAQAAAAEAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAA"
        "AAABAAEEgYIDhAAAACRtZGF0EgAKCRgM/9ggQEDQgDINGwAaaaaEAACTF5SXzA=="
    ),
}
"""Images of one colour, 16 px a side, of formats for which there is no encoder here."""


def preload(make_cell: Callable[[bytes, CellSpec], Cell]) -> None:
    """Make cells of one image of each format and of each kind that has its own code path, and of broken images."""
    for data in _samples():
        make_cell(data, _SPEC)
        for broken in (data[:10], data[:40], data[: len(data) // 2]):
            with suppress(ImageError):
                make_cell(broken, _SPEC)


def _samples() -> list[bytes]:
    picture = Image.new("RGB", (_SIDE, _SIDE), (200, 100, 50))
    clear = Image.new("RGBA", (_SIDE, _SIDE), (200, 100, 50, 128))
    exif = Image.Exif()
    exif[ExifTag.Orientation] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return [
        _file(picture, "JPEG", exif=exif, icc_profile=profile),
        _file(picture, "JPEG", progressive=True),
        _file(picture.convert("CMYK"), "JPEG"),
        _file(picture, "MPO", save_all=True, append_images=[picture]),
        _file(picture, "PNG", exif=exif, icc_profile=profile),
        _file(clear, "PNG", icc_profile=profile),
        _file(picture.convert("P"), "PNG", transparency=0),
        _file(Image.new("I;16", (_SIDE, _SIDE)), "PNG"),
        _file(picture, "PNG", save_all=True, append_images=[picture.convert("L").convert("RGB")]),
        _file(picture, "GIF", save_all=True, append_images=[Image.new("RGB", (_SIDE, _SIDE))]),
        _file(picture, "WEBP", exif=exif, icc_profile=profile),
        _file(clear, "WEBP", lossless=True),
        _file(picture, "WEBP", save_all=True, append_images=[clear.convert("RGB")]),
        *(data for name, data in _ENCODED.items() if heif_decoding.is_built(name)),
    ]


def _file(picture: Image.Image, file_format: str, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()
