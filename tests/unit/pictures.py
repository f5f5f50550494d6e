"""Pictures for the tests: a photograph-like one, and files of every kind that an image may come as."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOS = sorted((Path(__file__).parents[2] / "samples" / "photos").glob("*.[jpgw]*"))
"""Those that Pillow decodes as well, to compare with."""

BACKGROUND = (250, 120, 10)


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Return an RGB picture with soft colours, hard edges, and no symmetry that would hide a wrong turn."""
    noise = np.random.default_rng(seed)
    coarse = noise.integers(0, 256, size=(max(2, height // 24), max(2, width // 24), 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    picture.paste((255, 0, 0), (0, 0, width // 5, height // 7))
    picture.paste((0, 0, 255), (width // 2, height // 3, width // 2 + max(1, width // 9), height // 3 * 2))
    return picture


def with_alpha(picture: Image.Image) -> Image.Image:
    """Return the picture with an alpha channel that rises from left to right."""
    ramp = np.linspace(0, 255, picture.width).astype(np.uint8)
    turned = picture.copy()
    turned.putalpha(Image.fromarray(np.tile(ramp, (picture.height, 1))))
    return turned


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    """Return the picture as a file."""
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def exif_with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def raw_png(width: int, height: int, depth: int, colour_type: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of rows as they stand in the file, filter bytes included; for kinds that Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )


def png_16_bit(values: np.ndarray, colour_type: int) -> bytes:
    """Return a 16-bit PNG of `values` (height, width, channels)."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return raw_png(width, height, 16, colour_type, rows)


def wide_gamut_profile(*, space: bytes = b"RGB ", device: bytes = b"mntr") -> bytes:
    """Return a small ICC profile with the primaries and the gamma of Adobe RGB (1998)."""

    def xyz(x: float, y: float, z: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in (x, y, z)))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    tags = {
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.60974, 0.31111, 0.01947),
        b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
        b"bXYZ": xyz(0.14919, 0.06322, 0.74457),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    offset, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += content
    header = struct.pack(">I4sI4s4s4s", offset + len(body), b"lcms", 0x02100000, device, space, b"XYZ ")
    header += struct.pack(">6H4s", 2025, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += struct.pack(">3i", round(0.9642 * 65536), 65536, round(0.8249 * 65536)) + bytes(48)
    return header + table + body
