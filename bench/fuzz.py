"""Damages JPEGs and WebPs and has our C code decode parts of them: `python -m bench.fuzz SECONDS`.

Meant to run under valgrind, or with the C code built with -fsanitize=address,undefined; docs/performance.md tells how.
`--seeds FOLDER` writes its JPEGs for another fuzzer instead, each with the bytes behind it that
`tests/security/jpeg_fuzz.c` takes for a part and a scale.
"""

import argparse
import io
import random
import struct
import time
from pathlib import Path

from PIL import Image

from tests.unit.jpegs import PROGRESSION, jpeg
from tests.unit.memory import fill_memory
from worker.images import _jpeg, _webp

SIZES = ((64, 113), (113, 64), (17, 16), (200, 30), (255, 257))
OPTIONS: tuple[dict[str, object], ...] = (
    {"subsampling": 0},
    {"subsampling": 1},
    {"subsampling": 2},
    {"restart_marker_blocks": 3},
    {"restart_marker_rows": 1, "subsampling": 2},
    {"progressive": True},
    {"optimize": True},
)

ODD_SAMPLINGS = (
    *(((h, v), (1, 1), (1, 1)) for h, v in ((1, 2), (1, 4), (2, 4), (4, 1), (4, 2), (3, 1), (1, 3))),
    ((2, 2), (2, 1), (2, 1)),
    ((2, 2), (1, 2), (2, 1)),
    ((1, 1), (2, 2), (2, 2)),
)

Asked = tuple[int, int, int, int, int]
Part = tuple[int, int, int, int]


def main(seconds: float) -> None:
    """Damage and decode until the time is over, and tell how often the outcome was what."""
    chance = random.Random(7)
    files = seeds(chance)
    until, tried, taken = time.monotonic() + seconds, 0, 0
    while time.monotonic() < until:
        size, data = chance.choice(files)
        taken += decoded_alike(damaged(data, chance), size, parameters(size, chance))
        tried += 1
    print(f"{tried:,} files, of which {taken:,} were decoded all the same")


def decoded_alike(data: bytes, size: tuple[int, int], asked: Asked) -> bool:
    """Decode a part twice, with memory filled differently: what comes of it has to be the same.

    Tells whether something did.
    """
    found = []
    for byte in (0x11, 0xC3):
        fill_memory(byte)
        found.append(decoded(data, size, asked))
    fill_memory(0)
    assert found[0] == found[1], "memory that was not written to shows"
    return found[0] is not None


def decoded(data: bytes, size: tuple[int, int], asked: Asked) -> bytes | None:
    """Decode a part, and return its pixels, which have to fill it."""
    if data[:2] == b"\xff\xd8":
        try:
            found = _jpeg.decode(data, *size, *asked)
        except ValueError:  # the damage hit the size
            return None
        if found is None:
            return None
        mode, pixels, left, top, right, bottom, _ = found
        assert len(pixels) == (right - left) * (bottom - top) * len(mode), "the pixels do not fill the part"
        return pixels
    return _decoded_webp(data, size, asked[1:], in_planes=asked[0] < 8)


def _decoded_webp(data: bytes, size: tuple[int, int], part: Part, *, in_planes: bool) -> bytes | None:
    found = _webp.decode(data, *size, *part, in_planes)
    if found is None:
        return None
    left, top, *memory = found
    wide, high = part[2] - left, part[3] - top
    lengths = [wide * high * 4] if len(memory) == 1 else [wide * high, *[(wide + 1) // 2 * ((high + 1) // 2)] * 2]
    assert [len(each) for each in memory] == lengths, "the samples do not fill the part"
    return b"".join(memory)


def seeds(chance: random.Random) -> list[tuple[tuple[int, int], bytes]]:
    """Return sound files of several kinds, of noise and of smooth colour."""
    files = []
    for size in SIZES:
        noise = Image.frombytes("RGB", size, chance.randbytes(size[0] * size[1] * 3))
        for picture in (noise, noise.resize((5, 5)).resize(size), noise.convert("L"), noise.convert("CMYK")):
            for options in OPTIONS:
                file = io.BytesIO()
                picture.save(file, "JPEG", quality=chance.choice((20, 75, 98)), **options)
                files.append((size, file.getvalue()))
        for sampling in ODD_SAMPLINGS:
            files += [(size, jpeg(noise, sampling, scans=scans, step=40)) for scans in ((), PROGRESSION)]
        for options in (
            {"quality": 30},
            {"quality": 90},
            {"lossless": True},
            {"quality": 50, "exif": b"Exif\0\0II*\0"},
        ):
            file = io.BytesIO()
            noise.save(file, "WEBP", **options)
            files += [(size, file.getvalue())] * 8
    return files


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Flip bits, most of them in the headers; cut; repeat; put markers where none belong; change the size."""
    mutable = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 5, 20))):
        reach = len(mutable) if chance.random() < 0.5 else min(len(mutable), 650)
        mutable[chance.randrange(reach)] = chance.choice((0, 1, 2, 0x11, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    kind = chance.randrange(8)
    at = chance.randrange(len(mutable))
    if kind == 0:
        del mutable[at:]
    elif kind == 1:
        del mutable[at : at + chance.randrange(1, 40)]
    elif kind == 2:
        mutable[at:at] = mutable[max(0, at - chance.randrange(1, 200)) : at]
    elif kind == 3:
        mutable[at:at] = bytes((0xFF, chance.choice((0xC0, 0xC2, 0xC4, 0xD0, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD))))
    elif kind == 4 and (start := mutable.find(b"\xff\xc0")) >= 0 and start + 9 < len(mutable):
        mutable[start + 5 : start + 9] = struct.pack(
            ">HH", chance.choice((0, 1, 300, 65_535)), chance.randrange(65_536)
        )
    return bytes(mutable)


def parameters(size: tuple[int, int], chance: random.Random) -> Asked:
    """Return a scale in eighths and a part, most of them sensible."""
    eighths = chance.choice((1, 2, 4, 8, 8, 3, 5, 7))
    wide, high = (-(-side * eighths // 8) for side in size)
    if chance.random() < 0.05:
        return eighths, *(chance.choice((0, 1, wide, high, 2**31, 2**32 - 1)) for _ in range(4))
    left, right = sorted((chance.randint(0, wide), chance.randint(0, wide)))
    top, bottom = sorted((chance.randint(0, high), chance.randint(0, high)))
    return eighths, left, top, right, bottom


def write_seeds(folder: Path) -> None:
    """Write each JPEG, of which all or the middle is asked for, at one of four scales."""
    chance = random.Random(7)
    for number, (_, data) in enumerate(seeds(chance)):
        if data.startswith(b"\xff\xd8"):
            part = chance.choice(((0, 0, 255, 255), (70, 0, 180, 255), (0, 60, 255, 190), (50, 50, 200, 200)))
            choices = bytes((*part, chance.choice((0, 1, 3, 7))))
            (folder / f"{number:03}").write_bytes(data + choices)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.fuzz")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("seconds", type=float, nargs="?")
    asked.add_argument("--seeds", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.seeds is not None:
        write_seeds(arguments.seeds)
    else:
        main(arguments.seconds)
