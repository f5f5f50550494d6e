"""Hostile and odd image files, by name, with what has to become of each: `python -m tests.security.corpus FOLDER`.

An expectation is a set of outcomes: reason codes, and CELL where a picture is fine to come of it.
"""

import gzip
import io
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from tests.unit.pictures import encoded, exif_with_orientation, photo, press_profile, raw_png, wide_gamut_profile
from worker.errors import ImageReason

CELL = "cell"
TOO_MANY, TRUNCATED = ImageReason.TOO_MANY_PIXELS, ImageReason.TRUNCATED
FOREIGN, NO_IMAGE, SMALL = ImageReason.UNSUPPORTED_FORMAT, ImageReason.NOT_AN_IMAGE, ImageReason.TOO_SMALL
SLOW, MEMORY = ImageReason.DECODE_TIMEOUT, ImageReason.DECODE_MEMORY

Case = tuple[bytes, set[str]]
PLAIN = photo(64, 48)
JPEG, PNG = encoded(PLAIN, "JPEG"), encoded(PLAIN, "PNG")
GIF, WEBP = encoded(PLAIN, "GIF"), encoded(PLAIN, "WEBP")


def bombs() -> Iterator[tuple[str, Case]]:
    """Small files that ask for much memory or time."""
    yield "png of 10 gigapixels", (raw_png(100_000, 100_000, 8, 2, b""), {TOO_MANY})
    yield "png of the most pixels there are", (raw_png(2**31 - 1, 2**31 - 1, 16, 6, b""), {TOO_MANY})
    yield "png just above the cap", (raw_png(7_072, 7_072, 1, 0, b"\0" * (885 * 7_072)), {TOO_MANY})
    yield "png just below the cap, of zeros", (raw_png(7_000, 7_000, 8, 2, b"\0" * (21_001 * 7_000)), {CELL})
    yield "png with more data than pixels", (raw_png(64, 64, 8, 0, b"\0" * 100_000_000), {CELL, TRUNCATED})
    text = b"k\0\0" + zlib.compress(b"\0" * 100_000_000)
    yield (
        "png with a compressed text of 100 MB",
        (raw_png(64, 64, 8, 0, b"\0" * 65 * 64, (b"zTXt", text)), {CELL, TRUNCATED}),
    )
    yield (
        "png with 200 texts of 1 MB",
        (
            raw_png(64, 64, 8, 0, b"\0" * 65 * 64, *[(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000)))] * 200),
            {CELL, TRUNCATED},
        ),
    )
    profile = b"p\0\0" + zlib.compress(b"\0" * 100_000_000)
    yield (
        "png with a colour profile of 100 MB",
        (raw_png(64, 64, 8, 2, b"\0" * 193 * 64, (b"iCCP", profile)), {CELL, TRUNCATED}),
    )
    yield "png with a million chunks", (raw_png(64, 64, 8, 0, b"\0" * 65 * 64, *[(b"prVt", b"")] * 300_000), {CELL})
    yield "png with a chunk of 4 GB", (PNG[:33] + b"\xff\xff\xff\xf0tEXt" + PNG[33:], {TRUNCATED})
    yield "jpeg of 65,500 px a side", (with_jpeg_size(JPEG, 65_500, 65_500), {TOO_MANY})
    yield "jpeg with a thousand scans", (jpeg_with_scans(1_000), {CELL, TRUNCATED, SLOW})
    yield "jpeg with 60,000 comments", (JPEG[:2] + b"\xff\xfe\0\x02" * 60_000 + JPEG[2:], {CELL})
    yield "webp of 16,384 px a side", (with_webp_size(16_383, 16_383), {TOO_MANY})
    yield "webp animation of 16,384 px a side", (webp_of_nothing(16_384, 16_384, frames=2), {TOO_MANY})
    yield "gif of 65,535 px a side", (GIF[:6] + struct.pack("<HH", 65_535, 65_535) + GIF[10:], {TOO_MANY})
    yield "gif whose frame is larger than its screen", (gif_with_frame(1, 1, 65_535, 65_535), {TOO_MANY, SMALL})
    yield "gif with 10,000 frames", (animated(10_000), {CELL})
    frames = [PLAIN.quantize(4), Image.new("P", PLAIN.size)] * 200
    yield "apng with 400 frames", (encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]), {CELL})


def polyglots() -> Iterator[tuple[str, Case]]:
    """Files that are two things at once, or another than they seem: only their format's decoder is asked."""
    yield "gif that is a zip", (GIF + b"PK\x05\x06" + bytes(18), {CELL})
    yield "jpeg that is a script", (JPEG + b"<script>alert(1)</script>", {CELL})
    yield "gif that is javascript", (b"GIF89a=1;alert(1)//" + GIF[6:], {TRUNCATED, SMALL, TOO_MANY, CELL})
    yield "png after a pdf", (b"%PDF-1.7\n" + PNG, {FOREIGN})
    yield "jpeg inside png's magic", (PNG[:8] + JPEG, {TRUNCATED})
    yield "webp's name around a png", (WEBP[:12] + PNG, {TRUNCATED, NO_IMAGE})
    yield (
        "svg with an external entity",
        (b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg/>', {FOREIGN, NO_IMAGE}),
    )
    yield "eps that runs", (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run", {FOREIGN})
    yield "psd", (b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 64, 64, 8, 3) + bytes(40), {FOREIGN})
    yield "fits", (b"SIMPLE  =                    T".ljust(2_880), {NO_IMAGE})
    yield "fits bomb", (gzip.compress(b"SIMPLE  =                    T".ljust(2_880) + bytes(50_000_000)), {NO_IMAGE})
    yield "jpeg 2000", (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60), {FOREIGN})
    yield "tiff", (encoded(PLAIN, "TIFF"), {FOREIGN})
    yield "bmp", (encoded(PLAIN, "BMP"), {FOREIGN})
    yield "ico", (encoded(PLAIN, "ICO"), {FOREIGN})
    yield "pcx", (encoded(PLAIN, "PCX"), {NO_IMAGE})
    yield "tga", (encoded(PLAIN, "TGA"), {NO_IMAGE})
    yield "sgi", (encoded(PLAIN, "SGI"), {NO_IMAGE})
    yield "heic", (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(400), {TRUNCATED})
    yield "heic that says avif", (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif" + bytes(400), {TRUNCATED})
    yield "avif of nothing", (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(400), {TRUNCATED})
    yield "mp4", (b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(400), {NO_IMAGE})
    yield "zip", (b"PK\3\4" + bytes(100), {NO_IMAGE})
    yield "elf", (b"\x7fELF\2\1\1" + bytes(100), {NO_IMAGE})
    yield "pickle", (b"\x80\x04\x95\x1a\0\0\0\0\0\0\0\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.", {NO_IMAGE})


def metadata() -> Iterator[tuple[str, Case]]:
    """EXIF and colour profiles that are odd, wrong or huge."""
    for orientation in (*range(10), 65_535):
        yield f"orientation {orientation}", (encoded(PLAIN, "JPEG", exif=exif_with_orientation(orientation)), {CELL})
    huge = Image.Exif()
    huge[0x010E] = "x" * 60_000
    yield "exif of 60 KB", (encoded(PLAIN, "JPEG", exif=huge), {CELL})
    for name, tiff in {
        "exif that points at itself": b"MM\0*\0\0\0\x08\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\x08",
        "exif with 65,535 entries": b"MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\3\0\0\0\1\0\6\0\0" * 20,
        "exif with a count of 4 billion": b"II*\0\x08\0\0\0\1\0\x12\x01\3\0\xff\xff\xff\xff\x08\0\0\0",
        "exif of another type": b"II*\0\x08\0\0\0\1\0\x12\x01\x0c\0\1\0\0\0\0\0\0\0",
        "exif behind its end": b"MM\0*\xff\xff\xff\xf0",
    }.items():
        yield name, (encoded(PLAIN, "JPEG", exif=b"Exif\0\0" + tiff), {CELL})
        yield f"png: {name}", (encoded(PLAIN, "PNG", exif=tiff), {CELL})
        yield f"webp: {name}", (encoded(PLAIN, "WEBP", exif=tiff), {CELL})
    profile = wide_gamut_profile()
    yield "profile of 16 MB", (encoded(PLAIN, "JPEG", icc_profile=profile.ljust(16_000_000, b"\0")), {CELL})
    yield "profile of noise", (encoded(PLAIN, "JPEG", icc_profile=profile[:128] + bytes(range(256)) * 16), {CELL})
    yield (
        "profile with a million tags",
        (
            encoded(PLAIN, "WEBP", icc_profile=profile[:128] + struct.pack(">I", 1_000_000) + profile[132:]),
            {CELL},
        ),
    )
    for space in (b"CMYK", b"GRAY", b"Lab ", b"XYZ ", b"nmcl"):
        yield (
            f"profile for {space.decode()}",
            (encoded(PLAIN, "PNG", icc_profile=wide_gamut_profile(space=space)), {CELL}),
        )


def kinds() -> Iterator[tuple[str, Case]]:
    """Rare but honest kinds of image, and sizes at the edge."""
    yield "cmyk jpeg", (encoded(PLAIN.convert("CMYK"), "JPEG"), {CELL})
    yield "ycck jpeg", (ycck(), {CELL})
    press = press_profile()
    for name, profile in (
        ("press", press),
        ("press, cut", press[: len(press) // 2]),
        ("press, of noise", press[:400] + bytes(range(256)) * 16),
        ("press, a table that is none", press.replace(b"mft2", b"mAB ")),
        ("press, 255 points each way", press.replace(bytes((4, 3, 5, 0)), bytes((4, 3, 255, 0)))),
        ("press, 16 MB", press.ljust(16_000_000, b"\0")),
    ):
        yield f"cmyk jpeg: {name}", (encoded(PLAIN.convert("CMYK"), "JPEG", icc_profile=profile), {CELL})
    yield "progressive jpeg", (encoded(PLAIN, "JPEG", progressive=True), {CELL})
    yield "grey 16-bit png", (raw_png(64, 64, 16, 0, b"\0" * 129 * 64), {CELL})
    yield "colour 16-bit png with alpha", (raw_png(64, 64, 16, 6, b"\0" * 513 * 64), {CELL})
    yield "interlaced png", (interlaced(), {CELL})
    yield "png without a palette", (raw_png(64, 64, 8, 3, b"\0" * 65 * 64), {CELL, TRUNCATED})
    yield "png of no size", (raw_png(0, 0, 8, 2, b""), {TRUNCATED, SMALL})
    yield "png of no height", (raw_png(64, 0, 8, 2, b""), {TRUNCATED, SMALL})
    yield "png of a negative size", (raw_png(2**32 - 1, 2**32 - 1, 8, 2, b""), {TRUNCATED, SMALL, TOO_MANY})
    yield "jpeg of no size", (with_jpeg_size(JPEG, 0, 0), {TRUNCATED, SMALL})
    yield "gif of no size", (gif_with_frame(0, 0, 0, 0), {TRUNCATED, SMALL})
    yield "png of one line of 50 million", (raw_png(50_000_001, 1, 1, 0, b""), {TOO_MANY, SMALL})
    yield "one pixel", (encoded(Image.new("RGB", (1, 1)), "PNG"), {SMALL})
    yield "animated webp", (encoded(PLAIN, "WEBP", save_all=True, append_images=[photo(64, 48, 2)]), {CELL})
    yield "multi-picture jpeg", (encoded(PLAIN, "MPO", save_all=True, append_images=[photo(64, 48, 2)]), {CELL})


FAMILIES: dict[str, Callable[[], Iterator[tuple[str, Case]]]] = {
    "bombs": bombs,
    "polyglots": polyglots,
    "metadata": metadata,
    "kinds": kinds,
}
CUT = {"jpeg": encoded(PLAIN, "JPEG", quality=40), "progressive": encoded(PLAIN, "JPEG", quality=40, progressive=True),
       "png": encoded(photo(24, 20), "PNG"), "gif": encoded(photo(24, 20).quantize(16), "GIF"),
       "webp": encoded(PLAIN, "WEBP", quality=30), "animated webp": encoded(
           photo(24, 20), "WEBP", quality=20, save_all=True, append_images=[photo(24, 20, 9)])}  # fmt: skip
"""One file of each format, to be cut at every byte."""


# --- how they are made ------------------------------------------------------------------------------------------------


def segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield the segments of a JPEG: marker, offset and bytes (a scan with its entropy-coded data)."""
    at = 2
    while at < len(data) - 1:
        marker = data[at + 1]
        if marker == 0xD9:
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xDA:
            while data[end] != 0xFF or data[end + 1] in (0, *range(0xD0, 0xD8)):
                end += 1
        yield marker, at, data[at:end]
        at = end


def with_jpeg_size(data: bytes, width: int, height: int) -> bytes:
    at = next(at for marker, at, _ in segments(data) if marker in (0xC0, 0xC2))
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def jpeg_with_scans(count: int, side: int = 6_000) -> bytes:
    """Repeat the last scan of a progressive JPEG: each one is a pass over all coefficients."""
    data = encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
    scan = [body for marker, _, body in segments(data) if marker == 0xDA][-1]
    return data[:-2] + scan * count + data[-2:]


def ycck() -> bytes:
    """Say of a CMYK JPEG that it is YCCK, in the marker that Adobe's programs write."""
    data = encoded(PLAIN.convert("CMYK"), "JPEG")
    at = data.index(b"Adobe")
    return data[: at + 11] + b"\2" + data[at + 12 :]


def with_webp_size(width: int, height: int) -> bytes:
    lossy = encoded(PLAIN, "WEBP", quality=50)
    return lossy[:26] + struct.pack("<HH", width, height) + lossy[30:]


def webp_of_nothing(width: int, height: int, frames: int) -> bytes:
    def three(number: int) -> bytes:
        return number.to_bytes(3, "little")

    head = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + three(width - 1) + three(height - 1)
    anim = b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    frame = WEBP[12:]
    body = three(0) * 2 + three(63) + three(47) + three(9) + b"\0" + frame
    chunks = head + anim + (b"ANMF" + struct.pack("<I", len(body)) + body) * frames
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def gif_with_frame(width: int, height: int, frame_width: int, frame_height: int) -> bytes:
    palette = bytes(6)
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + palette
    return head + b"," + struct.pack("<HHHHB", 0, 0, frame_width, frame_height, 0) + b"\2\3\x84\x51\0\0;"


def animated(frames: int) -> bytes:
    first = encoded(PLAIN.quantize(4), "GIF")
    frame = b"!\xf9\4\0\1\0\0\0," + struct.pack("<HHHHB", 0, 0, 8, 8, 0) + b"\2\7\x84\x8f\xa9\xcb\xed\x0f\x63\0"
    return first[:-1] + frame * (frames - 1) + b";"


def interlaced() -> bytes:
    """Make an 8x8-interlaced grey PNG of 64 px a side, in its seven passes."""
    rows = b""
    for x0, y0, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        for y in range(y0, 64, dy):
            rows += b"\0" + bytes(2 * x + y for x in range(x0, 64, dx))
    plain = raw_png(64, 64, 8, 0, rows)
    header = plain[12:28] + b"\1"
    return plain[:12] + header + struct.pack(">I", zlib.crc32(header)) + plain[33:]


def main(folder: Path) -> None:
    """Write every file, with its expectation in its name's list."""
    folder.mkdir(parents=True, exist_ok=True)
    told = io.StringIO()
    for family, cases in FAMILIES.items():
        for number, (name, (data, expected)) in enumerate(cases()):
            (folder / f"{family}-{number:02}").write_bytes(data)
            told.write(f"{family}-{number:02}\t{len(data)}\t{name}\t{', '.join(sorted(expected))}\n")
    (folder / "index.tsv").write_text(told.getvalue())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
