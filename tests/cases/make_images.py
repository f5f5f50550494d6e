"""Makes the files of `images/` and their `expected.json`: `python -m tests.cases.make_images`.

HEIC and AVIF need the encoders of Debian's packages libheif-examples and libavif-bin, which nothing else here needs.
Each file stands for a kind that people have; what each is like is the same small picture, wherever that is possible.
"""

import io
import json
import struct
import subprocess
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from tests.unit import heifs
from tests.unit.jpegs import jpeg
from tests.unit.pictures import (
    encoded,
    exif_with_orientation,
    photo,
    png_16_bit,
    press_profile,
    raw_png,
    wide_gamut_profile,
)
from worker.images.icc import grey_profile

FOLDER = Path(__file__).parent / "images"
WIDTH, HEIGHT = 96, 128
SIZE = 200


@dataclass(frozen=True)
class Case:
    """A file, and what comes of it: `like` a picture, or a `reason`."""

    data: bytes
    like: Image.Image | None = None
    reason: str = ""
    most: float = 4.0
    headers: dict[str, str] = field(default_factory=dict)


PICTURE = photo(WIDTH, HEIGHT, 7)


def with_alpha(picture: Image.Image = PICTURE) -> Image.Image:
    """Return the picture with an alpha that rises from left to right."""
    ramp = np.linspace(0, 255, picture.width).astype(np.uint8)
    turned = picture.copy()
    turned.putalpha(Image.fromarray(np.tile(ramp, (picture.height, 1))))
    return turned


def over_white(picture: Image.Image) -> Image.Image:
    """Return an RGBA picture over white."""
    canvas = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return Image.alpha_composite(canvas, picture).convert("RGB")


def cell(picture: Image.Image) -> Image.Image:
    """Return the cell of a whole picture by the contract's geometry."""
    width, height = picture.size
    scaled = (width * SIZE // height, SIZE) if width > height else (SIZE, height * SIZE // width)
    left, top = (scaled[0] - SIZE) // 2, (scaled[1] - SIZE) // 2
    return picture.resize(scaled, Image.Resampling.LANCZOS).crop((left, top, left + SIZE, top + SIZE))


def heic(picture: Image.Image, *options: str) -> bytes:
    """Encode by libheif and x265."""
    return _by_tool(picture, "out.heic", ["heif-enc", "-q", "92", *options, "in.png", "-o", "out.heic"])


def avif(picture: Image.Image, *options: str) -> bytes:
    """Encode by libavif and libaom."""
    return _by_tool(
        picture, "out.avif", ["avifenc", "-s", "3", "--min", "6", "--max", "12", *options, "in.png", "out.avif"]
    )


def _by_tool(picture: Image.Image, made: str, command: list[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        picture.save(Path(folder) / "in.png")
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (Path(folder) / made).read_bytes()


def heif_cases() -> dict[str, Case]:
    """Return HEIC files, and those that only share their container."""
    plain = heic(PICTURE)
    coded = heifs.coded_item(plain)
    shown = [*coded.properties, heifs.ispe(WIDTH, HEIGHT), heifs.nclx(1, 13, 6, full_range=True)]
    lying = heifs.coded_item(heic(PICTURE.transpose(Image.Transpose.ROTATE_90)))
    exif = b"\0\0\0\6Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    turned = [*lying.properties, heifs.ispe(HEIGHT, WIDTH), heifs.nclx(1, 13, 6, full_range=True), heifs.irot(3)]
    mirrored = heifs.coded_item(heic(PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    return {
        "heic.heic": Case(plain, PICTURE),
        "heic-10-bit.heic": Case(heic_10_bit(PICTURE), PICTURE),
        "heic-4-4-4.heic": Case(heic(PICTURE, "-p", "chroma=444"), PICTURE),
        "heic-grey.heic": Case(heic(PICTURE.convert("L")), PICTURE.convert("L")),
        "heic-alpha.heic": Case(heic(with_alpha()), over_white(with_alpha())),
        "heic-cut.heic": Case(plain[: len(plain) * 7 // 10], reason="truncated"),
        "heic-trailing-bytes.heic": Case(plain + bytes(1000), PICTURE),
        "heic-turned-by-irot-and-said-so-by-exif.heic": Case(
            heifs.written(
                {1: heifs.Item(b"hvc1", lying.data, turned), 2: heifs.Item(b"Exif", exif, [])},
                references=[(b"cdsc", 2, [1])],
            ),
            PICTURE,
        ),
        "heic-mirrored-by-imir.heic": Case(
            heifs.written({1: heifs.Item(b"hvc1", mirrored.data, [*mirrored.properties, *shown[1:], heifs.imir(1)])}),
            PICTURE,
        ),
        "heic-without-its-thumbnail.heic": Case(
            heifs.written(
                {1: heifs.Item(b"hvc1", coded.data, shown), 2: heifs.Item(b"hvc1", coded.data, shown)},
                references=[(b"thmb", 2, [1])],
            )[: -len(coded.data) // 2],
            PICTURE,
        ),
        "heif-of-jpeg.heif": Case(
            heifs.written(
                {1: heifs.Item(b"jpeg", encoded(PICTURE, "JPEG"), [heifs.ispe(WIDTH, HEIGHT)])}, brand=b"mif1"
            ),
            reason="unsupported_format",
        ),
        **grid_cases(),
    }


def heic_10_bit(picture: Image.Image) -> bytes:
    """Encode with 10 bits, which heif-enc does of 16-bit files only."""
    deep = np.asarray(picture).astype(np.uint16) * 257
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.png").write_bytes(png_16_bit(deep, 2))
        subprocess.run(
            ["heif-enc", "-q", "92", "-b", "10", "in.png", "-o", "out.heic"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        return (Path(folder) / "out.heic").read_bytes()


def grid_cases() -> dict[str, Case]:
    """Return HEIC files of six tiles, which overhang, as phones write them."""
    columns, rows, side = 2, 3, 64
    canvas = Image.new("RGB", (columns * side, rows * side))
    tall = PICTURE.resize((WIDTH, rows * side - 12), Image.Resampling.LANCZOS)
    canvas.paste(tall)
    tiles = [
        heifs.coded_item(heic(canvas.crop((x, y, x + side, y + side))))
        for y in range(0, rows * side, side)
        for x in range(0, columns * side, side)
    ]
    described = [heifs.ispe(side, side), heifs.nclx(1, 13, 6, full_range=True)]
    items = {1: heifs.Item(b"grid", heifs.grid(rows, columns, *tall.size), [heifs.ispe(*tall.size), described[1]])}
    items |= {
        number: heifs.Item(b"hvc1", tile.data, [*tile.properties, *described]) for number, tile in enumerate(tiles, 2)
    }
    references = [(b"dimg", 1, list(items)[1:])]
    whole = heifs.written(items, references=references)
    return {
        "heic-grid.heic": Case(whole, tall),
        "heic-grid-wide-numbers.heic": Case(heifs.written(items, references=references, wide=True), tall),
        "heic-grid-tile-cut.heic": Case(whole[: -len(tiles[-1].data) // 2], reason="truncated"),
    }


def avif_cases() -> dict[str, Case]:
    """Return AVIF files."""
    plain = avif(PICTURE)
    lying = PICTURE.transpose(Image.Transpose.ROTATE_90)
    return {
        "avif.avif": Case(plain, PICTURE),
        "avif-4-2-0.avif": Case(avif(PICTURE, "-y", "420"), PICTURE),
        "avif-4-2-2.avif": Case(avif(PICTURE, "-y", "422"), PICTURE),
        "avif-10-bit.avif": Case(avif(PICTURE, "-d", "10"), PICTURE),
        "avif-12-bit.avif": Case(avif(PICTURE, "-d", "12"), PICTURE),
        "avif-grey-limited-range.avif": Case(
            avif(PICTURE.convert("L"), "-y", "400", "-r", "limited"), PICTURE.convert("L")
        ),
        "avif-limited-range.avif": Case(avif(PICTURE, "-r", "limited"), PICTURE),
        "avif-alpha.avif": Case(avif(with_alpha()), over_white(with_alpha())),
        "avif-premultiplied-alpha.avif": Case(avif(with_alpha(), "--premultiply"), over_white(with_alpha())),
        "avif-rgb.avif": Case(avif(PICTURE, "--cicp", "1/13/0"), PICTURE),
        "avif-bt-709.avif": Case(avif(PICTURE, "--cicp", "1/1/1"), PICTURE),
        "avif-turned-by-irot.avif": Case(avif(lying, "--irot", "3"), PICTURE),
        "avif-mirrored-by-imir.avif": Case(
            avif(PICTURE.transpose(Image.Transpose.FLIP_TOP_BOTTOM), "--imir", "0"), PICTURE
        ),
        "avif-cut.avif": Case(plain[: len(plain) * 7 // 10], reason="truncated"),
    }


def jpeg_cases() -> dict[str, Case]:
    """Return JPEGs."""
    plain = encoded(PICTURE, "JPEG", quality=90)
    progressive = encoded(PICTURE, "JPEG", quality=90, progressive=True)
    tall = photo(72, 300, 3)
    long, long_progressive = (encoded(tall, "JPEG", quality=90, progressive=each) for each in (False, True))
    scan = plain.index(b"\xff\xda")
    lying = PICTURE.transpose(Image.Transpose.ROTATE_90)
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + XMP
    grey = PICTURE.convert("L")
    return {
        "jpeg.jpg": Case(plain, PICTURE),
        "jpeg-progressive.jpg": Case(progressive, PICTURE),
        "jpeg-restart-markers.jpg": Case(encoded(PICTURE, "JPEG", quality=90, restart_marker_rows=1), PICTURE),
        "jpeg-cmyk-without-profile.jpg": Case(encoded(PICTURE.convert("CMYK"), "JPEG", quality=90), PICTURE),
        "jpeg-cmyk-profile.jpg": Case(
            encoded(PICTURE.convert("CMYK"), "JPEG", quality=95, subsampling=0, icc_profile=press_profile()),
            in_srgb(PICTURE.convert("CMYK"), press_profile()),
        ),
        "jpeg-cmyk-profile-cut.jpg": Case(
            encoded(PICTURE.convert("CMYK"), "JPEG", quality=90, icc_profile=press_profile()[:300]), PICTURE
        ),
        "jpeg-rgb.jpg": Case(encoded(PICTURE, "JPEG", quality=90, keep_rgb=True), PICTURE),
        "jpeg-4-1-1.jpg": Case(jpeg(PICTURE, ((4, 1), (1, 1), (1, 1))), PICTURE),
        "jpeg-chroma-larger-than-luma.jpg": Case(jpeg(PICTURE, ((1, 1), (2, 2), (2, 2))), PICTURE, most=8.0),
        "jpeg-without-end-marker.jpg": Case(plain[:-2], PICTURE),
        "jpeg-progressive-without-end-marker.jpg": Case(progressive[:-2], PICTURE),
        "jpeg-trailing-bytes.jpg": Case(plain + b"<html>" + bytes(500), PICTURE),
        "jpeg-cut-below-the-shown-part.jpg": Case(long[: len(long) * 9 // 10], tall),
        "jpeg-cut-in-the-shown-part-with-end-marker.jpg": Case(long[: len(long) // 2] + END, reason="truncated"),
        "jpeg-progressive-cut-with-end-marker.jpg": Case(
            long_progressive[: len(long_progressive) // 2] + END, reason="truncated"
        ),
        "jpeg-progressive-without-its-last-scan.jpg": Case(_without_last_scan(progressive) + END, reason="truncated"),
        "jpeg-bytes-before-a-marker.jpg": Case(plain[:scan] + bytes(7) + plain[scan:], PICTURE),
        "jpeg-scan-that-ends-at-0.jpg": Case(plain[: scan + 11] + bytes(3) + plain[scan + 14 :], PICTURE),
        "jpeg-damaged-codes.jpg": Case(
            plain[: (scan + len(plain)) // 2] + b"\xff\0" * 12 + plain[(scan + len(plain)) // 2 + 24 :],
            reason="truncated",
        ),
        "jpeg-orientation-in-exif.jpg": Case(
            encoded(lying, "JPEG", quality=90, exif=exif_with_orientation(6)), PICTURE
        ),
        "jpeg-orientation-in-xmp-only.jpg": Case(
            plain[:2] + b"\xff\xe1" + (len(xmp) + 2).to_bytes(2) + xmp + plain[2:], PICTURE
        ),
        "jpeg-broken-exif.jpg": Case(
            encoded(PICTURE, "JPEG", quality=90, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"), PICTURE
        ),
        "jpeg-broken-profile.jpg": Case(encoded(PICTURE, "JPEG", quality=90, icc_profile=b"no profile" * 20), PICTURE),
        "jpeg-wide-gamut.jpg": Case(
            encoded(PICTURE, "JPEG", quality=95, subsampling=0, icc_profile=wide_gamut_profile()),
            in_srgb(PICTURE, wide_gamut_profile()),
        ),
        "jpeg-grey-profile.jpg": Case(
            encoded(grey, "JPEG", quality=90, icc_profile=grey_profile(lambda level: level**1.2)),
            grey.point([round(255 * srgb_level((level / 255) ** 1.2)) for level in range(256)]),
        ),
        "jpeg-arithmetic.jpg": Case(plain.replace(b"\xff\xc0", b"\xff\xc9", 1), reason="unsupported_format"),
        "jpeg-12-bit.jpg": Case(_with_bits(plain, 12), reason="unsupported_format"),
        "jpeg-lossless.jpg": Case(plain.replace(b"\xff\xc0", b"\xff\xc3", 1), reason="unsupported_format"),
        "jpeg-xl.jxl": Case(b"\xff\x0a" + bytes(200), reason="unsupported_format"),
        "jpeg-2000.jp2": Case(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(200), reason="unsupported_format"),
    }


END = b"\xff\xd9"
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Return the picture as littlecms brings it to sRGB."""
    srgb = ImageCms.createProfile("sRGB")
    found = ImageCms.profileToProfile(picture, io.BytesIO(profile), srgb, outputMode="RGB")
    assert found is not None
    return found


def srgb_level(light: float) -> float:
    """Return the level of so much light; IEC 61966-2-1."""
    return light * 12.92 if light <= 0.0031308 else float(1.055 * light ** (1 / 2.4)) - 0.055


def _without_last_scan(data: bytes) -> bytes:
    scan = data.rindex(b"\xff\xda")
    tables = data.rindex(b"\xff\xc4", 0, scan)
    return data[: tables if tables > data.rindex(b"\xff\xda", 0, scan) else scan]


def _with_bits(data: bytes, bits: int) -> bytes:
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + b"\xc1" + data[at + 2 : at + 4] + bytes([bits]) + data[at + 5 :]


def png_cases() -> dict[str, Case]:
    """Return PNGs."""
    plain = encoded(PICTURE, "PNG")
    tall = photo(72, 300, 3)
    long = encoded(tall, "PNG")
    grey = PICTURE.convert("L")
    rows = b"".join(b"\0" + bytes(row) for row in np.asarray(PICTURE).reshape(HEIGHT, -1))
    deep = np.asarray(grey).astype(np.uint16)[..., None] * 257
    animated = encoded(PICTURE, "PNG", save_all=True, append_images=[photo(WIDTH, HEIGHT, 8)], duration=500)
    hidden = encoded(
        Image.new("RGB", PICTURE.size, "red"), "PNG", save_all=True, append_images=[PICTURE], default_image=True
    )

    def with_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
        return raw_png(WIDTH, HEIGHT, 8, 2, rows, *chunks)

    def broken(kind: bytes, content: bytes) -> bytes:
        file = with_chunks((kind, content))
        at = file.index(kind) + 4 + len(content)
        return file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]

    two_bits, few = np.asarray(grey) >> 6, PICTURE.quantize(32)
    inside = Image.new("RGB", PICTURE.size, "white")
    inside.paste(PICTURE.crop((0, 0, 60, 80)), (20, 30))
    return {
        "png.png": Case(plain, PICTURE),
        "png-bad-checksum-of-text.png": Case(broken(b"tEXt", b"Comment\0hello"), PICTURE),
        "png-bad-checksum-of-gamma.png": Case(broken(b"gAMA", struct.pack(">I", 100_000)), PICTURE),
        "png-text-of-2-megabytes.png": Case(
            with_chunks((b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2 << 20)))), PICTURE
        ),
        "png-broken-compressed-text.png": Case(with_chunks((b"zTXt", b"Comment\0\0not zlib")), PICTURE),
        "png-unknown-chunk.png": Case(with_chunks((b"prVt", b"anything")), PICTURE),
        "png-broken-profile.png": Case(with_chunks((b"iCCP", b"name\0\0not zlib")), PICTURE),
        "png-orientation-in-exif.png": Case(
            encoded(PICTURE.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif_with_orientation(6)), PICTURE
        ),
        "png-orientation-in-raw-profile-only.png": Case(
            with_chunks(
                (
                    b"tEXt",
                    b"Raw profile type exif\0\nexif\n      34\n"
                    + exif_with_orientation(6).tobytes().hex().encode()
                    + b"\n",
                )
            ),
            PICTURE,
        ),
        "png-gamma-of-1.png": Case(
            with_chunks((b"gAMA", struct.pack(">I", 100_000))),
            PICTURE.point([round(255 * srgb_level(level / 255)) for level in range(256)] * 3),
        ),
        "png-gamma-of-1-grey.png": Case(
            _with_chunk(encoded(grey, "PNG"), b"gAMA", struct.pack(">I", 100_000)),
            grey.point([round(255 * srgb_level(level / 255)) for level in range(256)]),
        ),
        "png-gamma-of-1-palette.png": Case(
            _with_chunk(encoded(few, "PNG"), b"gAMA", struct.pack(">I", 100_000)),
            few.convert("RGB").point([round(255 * srgb_level(level / 255)) for level in range(256)] * 3),
        ),
        "png-gamma-beside-srgb.png": Case(
            with_chunks((b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000))), PICTURE
        ),
        "png-wide-gamut.png": Case(
            encoded(PICTURE, "PNG", icc_profile=wide_gamut_profile()), in_srgb(PICTURE, wide_gamut_profile())
        ),
        "png-grey-2-bit-transparent.png": Case(
            _packed(two_bits, 2, 1), over_white(_keyed(Image.fromarray((two_bits * 85).astype(np.uint8)), 85))
        ),
        "png-grey-1-bit-transparent.png": Case(
            _packed(np.asarray(grey) >> 7, 1, 1),
            over_white(_keyed(Image.fromarray(((np.asarray(grey) >> 7) * 255).astype(np.uint8)), 255)),
        ),
        "png-rgb-transparent.png": Case(
            with_chunks((b"tRNS", struct.pack(">3H", 255, 0, 0))), over_white(_keyed_colour(PICTURE, (255, 0, 0)))
        ),
        "png-rgb-16-bit.png": Case(png_16_bit(np.asarray(PICTURE).astype(np.uint16) * 257, 2), PICTURE),
        "png-interlaced.png": Case(_interlaced(PICTURE), PICTURE),
        "png-grey-4-bit-transparent.png": Case(
            _packed(np.asarray(grey) >> 4, 4, 5),
            over_white(_keyed(Image.fromarray(((np.asarray(grey) >> 4) * 17).astype(np.uint8)), 85)),
        ),
        "png-grey-16-bit.png": Case(png_16_bit(deep, 0), grey),
        "png-grey-16-bit-transparent.png": Case(
            _with_chunk(png_16_bit(deep, 0), b"tRNS", struct.pack(">H", int(deep[0, 0, 0]))),
            over_white(_keyed(grey, int(np.asarray(grey)[0, 0]))),
        ),
        "png-grey-and-alpha.png": Case(
            encoded(with_alpha().convert("LA"), "PNG"), over_white(with_alpha().convert("LA").convert("RGBA"))
        ),
        "png-palette-transparent.png": Case(
            encoded(PICTURE.quantize(32), "PNG", transparency=3), over_white(_keyed_palette(PICTURE.quantize(32), 3))
        ),
        "png-animated.png": Case(animated, PICTURE),
        "png-animated-hidden-default-image.png": Case(hidden, PICTURE),
        "png-animated-hidden-default-image-frame-inside.png": Case(_framed(hidden, (20, 30, 80, 110)), inside),
        "png-without-its-end.png": Case(plain[:-12], PICTURE),
        "png-trailing-bytes.png": Case(plain + b"<html>" + bytes(500), PICTURE),
        "png-cut-below-the-shown-part.png": Case(long[: len(long) * 9 // 10], tall),
        "png-cut-in-the-shown-part.png": Case(long[: len(long) // 2], reason="truncated"),
    }


def _keyed(grey: Image.Image, key: int) -> Image.Image:
    turned = grey.convert("RGBA")
    turned.putalpha(grey.point([255 * (level != key) for level in range(256)]))
    return turned


def _keyed_colour(picture: Image.Image, key: tuple[int, int, int]) -> Image.Image:
    turned = picture.convert("RGBA")
    shown = (np.asarray(picture) != key).any(axis=2)
    turned.putalpha(Image.fromarray((shown * 255).astype(np.uint8)))
    return turned


def _interlaced(picture: Image.Image) -> bytes:
    """Return an RGB PNG in seven passes (Adam7); PNG, third edition, 8.1."""
    samples = np.asarray(picture)
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b"".join(
        b"\0" + row.tobytes() for left, top, across, down in passes for row in samples[top::down, left::across]
    )
    file = bytearray(raw_png(*picture.size, 8, 2, rows))
    file[28] = 1
    file[29:33] = struct.pack(">I", zlib.crc32(bytes(file[12:29])))
    return bytes(file)


def _framed(animation: bytes, box: tuple[int, int, int, int]) -> bytes:
    """Have the first frame of an animation show the upper left corner of the picture, at a place of its own."""
    left, top, right, bottom = box
    rows = b"".join(b"\0" + bytes(row) for row in np.asarray(PICTURE)[: bottom - top, : right - left].reshape(80, -1))
    control, data = animation.index(b"fcTL"), animation.index(b"fdAT")
    place = struct.pack(">IIII", right - left, bottom - top, left, top)
    parts = [(b"fcTL", animation[control + 4 : control + 8] + place + animation[control + 24 : control + 30])]
    parts.append((b"fdAT", animation[data + 4 : data + 8] + zlib.compress(rows)))
    made = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
    after = data + 8 + int.from_bytes(animation[data - 4 : data])
    return animation[: control - 4] + made + animation[after:]


def _keyed_palette(picture: Image.Image, key: int) -> Image.Image:
    turned = picture.convert("RGBA")
    turned.putalpha(Image.fromarray(((np.asarray(picture) != key) * 255).astype(np.uint8)))
    return turned


def _packed(samples: np.ndarray, bits: int, key: int) -> bytes:
    """Return a grey PNG of few bits, one level of which is transparent."""
    each = 8 // bits
    grouped = samples.reshape(HEIGHT, WIDTH // each, each).astype(np.uint8)
    packed = sum(grouped[..., index] << (8 - bits * (index + 1)) for index in range(each))
    rows = b"".join(b"\0" + bytes(row) for row in np.asarray(packed).astype(np.uint8))
    return raw_png(WIDTH, HEIGHT, bits, 0, rows, (b"tRNS", struct.pack(">H", key)))


def _with_chunk(file: bytes, kind: bytes, content: bytes) -> bytes:
    made = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return file[:33] + made + file[33:]


def gif_cases() -> dict[str, Case]:
    """Return GIFs."""
    small = PICTURE.quantize(64)
    shown = small.convert("RGB")
    plain = encoded(small, "GIF")
    tall = photo(72, 300, 3).quantize(64)
    long = encoded(tall, "GIF")
    framed = Image.new("RGB", (WIDTH, HEIGHT), "white")
    framed.paste(shown.crop((0, 0, 60, 80)), (20, 30))
    inner = encoded(small.crop((0, 0, 60, 80)), "GIF")
    at = inner.index(b"\x2c\0\0\0\0")
    offset = (
        inner[:6]
        + struct.pack("<HH", WIDTH, HEIGHT)
        + inner[10:at]
        + b"\x2c"
        + struct.pack("<HH", 20, 30)
        + inner[at + 5 :]
    )
    return {
        "gif.gif": Case(plain, shown),
        "gif-interlaced.gif": Case(encoded(small, "GIF", interlace=1), shown),
        "gif-transparent.gif": Case(encoded(small, "GIF", transparency=5), over_white(_keyed_palette(small, 5))),
        "gif-animated.gif": Case(
            encoded(small, "GIF", save_all=True, append_images=[photo(WIDTH, HEIGHT, 8).quantize(64)]), shown
        ),
        "gif-frame-smaller-than-its-canvas.gif": Case(offset, framed),
        "gif-without-its-end.gif": Case(plain[:-2], shown),
        "gif-trailing-bytes.gif": Case(plain + bytes(500), shown),
        "gif-cut-below-the-shown-part.gif": Case(long[: len(long) * 9 // 10], tall.convert("RGB")),
        "gif-cut-in-the-shown-part.gif": Case(long[: len(long) // 2], reason="truncated"),
    }


def webp_cases() -> dict[str, Case]:
    """Return WebPs."""
    plain, lossless = encoded(PICTURE, "WEBP", quality=90), encoded(PICTURE, "WEBP", lossless=True)
    tall = photo(72, 300, 3)
    long, long_lossless = encoded(tall, "WEBP", quality=90), encoded(tall, "WEBP", lossless=True)
    animated = encoded(
        PICTURE, "WEBP", quality=90, save_all=True, append_images=[photo(WIDTH, HEIGHT, 8)], duration=500
    )
    framed = Image.new("RGB", (WIDTH, HEIGHT), "white")
    part = PICTURE.crop((0, 0, 60, 80))
    framed.paste(part, (20, 30))
    return {
        "webp.webp": Case(plain, PICTURE),
        "webp-lossless.webp": Case(lossless, PICTURE),
        "webp-alpha.webp": Case(encoded(with_alpha(), "WEBP", quality=90), over_white(with_alpha())),
        "webp-lossless-alpha.webp": Case(encoded(with_alpha(), "WEBP", lossless=True), over_white(with_alpha())),
        "webp-animated.webp": Case(animated, PICTURE),
        "webp-animated-without-its-second-frame.webp": Case(animated[: len(animated) // 2 + 100], PICTURE),
        "webp-animated-frame-smaller-than-its-canvas.webp": Case(_offset_animation(part), framed),
        "webp-orientation-in-exif.webp": Case(
            encoded(PICTURE.transpose(Image.Transpose.ROTATE_90), "WEBP", quality=90, exif=exif_with_orientation(6)),
            PICTURE,
        ),
        "webp-wide-gamut.webp": Case(
            encoded(PICTURE, "WEBP", lossless=True, icc_profile=wide_gamut_profile()),
            in_srgb(PICTURE, wide_gamut_profile()),
        ),
        "webp-trailing-bytes.webp": Case(plain + bytes(500), PICTURE),
        "webp-cut-below-the-shown-part.webp": Case(long[: len(long) * 9 // 10], tall),
        "webp-lossless-cut-below-the-shown-part.webp": Case(long_lossless[: len(long_lossless) * 9 // 10], tall),
        "webp-cut-in-the-shown-part.webp": Case(long[: len(long) // 2], reason="truncated"),
    }


def _offset_animation(part: Image.Image) -> bytes:
    """Return an animation of one frame that lies inside its canvas, whose background is red."""
    picture = encoded(part, "WEBP", quality=90)[12:]
    frame = b"".join(number.to_bytes(3, "little") for number in (10, 15, part.width - 1, part.height - 1, 500)) + b"\0"
    chunks = [
        (b"VP8X", b"\2\0\0\0" + (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")),
        (b"ANIM", b"\0\0\xff\xff\0\0"),
        (b"ANMF", frame + picture),
    ]
    body = b"WEBP" + b"".join(kind + struct.pack("<I", len(content)) + content for kind, content in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def main() -> None:
    """Write all files."""
    cases = jpeg_cases() | png_cases() | gif_cases() | webp_cases() | heif_cases() | avif_cases()
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.iterdir():
        path.unlink()
    references: dict[bytes, str] = {}
    expected = {}
    for name, case in cases.items():
        (FOLDER / name).write_bytes(case.data)
        if case.like is None:
            expected[name] = {"reason": case.reason}
            continue
        reference = cell(case.like.convert("RGB"))
        like = references.setdefault(reference.tobytes(), f"{Path(name).stem}.reference.png")
        reference.save(FOLDER / like, optimize=True)
        expected[name] = {"like": like, "max_mean_difference": case.most} | (
            {"headers": case.headers} if case.headers else {}
        )
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
