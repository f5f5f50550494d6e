"""Pictures for the tests: a photograph-like one, and files of every kind that an image may come as."""

import io
import itertools
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


def press_profile(*, grid: int = 5, device: bytes = b"prtr") -> bytes:
    """Return a CMYK profile whose inks are those of a press, duller than the screen's; a table as ICC.1:2022, 10.10."""
    steps = [step / (grid - 1) for step in range(grid)]
    table = b"".join(
        struct.pack(">3H", round(light * 652.8), round((a + 128) * 256), round((b + 128) * 256))
        for light, a, b in map(_lab_of_inks, itertools.product(steps, repeat=4))
    )
    line = struct.pack(">2H", 0, 65535)
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    a_to_b = (
        b"mft2" + bytes(4) + bytes((4, 3, grid, 0)) + matrix + struct.pack(">HH", 2, 2) + line * 4 + table + line * 3
    )
    white = struct.pack(">3i", round(0.9642 * 65536), 65536, round(0.8249 * 65536))
    tags = {b"wtpt": b"XYZ \0\0\0\0" + white, b"A2B0": a_to_b}
    offset, index, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        index += name + struct.pack(">II", offset + len(body), len(content))
        body += content.ljust(-(-len(content) // 4) * 4, b"\0")
    header = struct.pack(">I4sI4s4s4s", offset + len(body), b"lcms", 0x02400000, device, b"CMYK", b"Lab ")
    header += struct.pack(">6H4s", 2025, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + white + bytes(48)
    return header + index + body


_LAB_OF_OVERPRINTS = {
    (0, 0, 0): (100, 0, 0),
    (1, 0, 0): (55, -37, -50),
    (0, 1, 0): (48, 74, -3),
    (0, 0, 1): (89, -5, 93),
    (1, 1, 0): (24, 22, -46),
    (1, 0, 1): (50, -65, 27),
    (0, 1, 1): (47, 68, 48),
    (1, 1, 1): (23, 0, 0),
}
"""Full cyan, magenta and yellow over each other, on paper, as presses print them."""


def _lab_of_inks(inks: tuple[float, ...]) -> tuple[float, float, float]:
    """Return the colour of so much cyan, magenta, yellow and black: the overprints by the paper that each covers."""
    *colours, black = inks
    found = [0.0, 0.0, 0.0]
    for full, lab in _LAB_OF_OVERPRINTS.items():
        share = 1.0
        for ink, is_full in zip(colours, full, strict=True):
            share *= ink if is_full else 1 - ink
        found = [total + share * value for total, value in zip(found, lab, strict=True)]
    light, a, b = (value * (1 - 0.9 * black) for value in found)
    return light, a, b
