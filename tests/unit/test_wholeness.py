"""A file is whole or not by what the shown part holds: whatever else is missing, the cell is that of the whole file."""

import io
import struct
import zlib

import pytest
from PIL import Image

from tests.unit.pictures import encoded, exif_with_orientation, photo, raw_png
from worker.errors import ImageError, ImageReason
from worker.images import jpeg
from worker.images.cell import Cell, CellSpec, make_cell

SPEC = CellSpec(size=20, background=(255, 255, 255), min_side=10, max_pixels=4_000_000)
TALL = photo(45, 260, 3)
SQUARE = photo(64, 64, 5)

KINDS = {
    "png": ("PNG", {}),
    "png-grey": ("PNG", {"mode": "L"}),
    "gif": ("GIF", {"mode": "P"}),
    "jpeg": ("JPEG", {"quality": 80}),
    "jpeg-restart": ("JPEG", {"quality": 80, "restart_marker_rows": 1}),
    "jpeg-progressive": ("JPEG", {"quality": 80, "progressive": True}),
    "jpeg-cmyk": ("JPEG", {"quality": 80, "mode": "CMYK"}),
    "jpeg-grey": ("JPEG", {"quality": 80, "mode": "L"}),
    "webp": ("WEBP", {"quality": 80}),
    "webp-lossless": ("WEBP", {"lossless": True}),
}

needs_c = pytest.mark.skipif(not jpeg.is_built(), reason="the C code was not built here")


def file(picture: Image.Image, kind: str) -> bytes:
    image_format, options = KINDS[kind]
    options = dict(options)
    return encoded(picture.convert(str(options.pop("mode", "RGB"))), image_format, **options)


def interlaced_gif(picture: Image.Image) -> bytes:
    return encoded(picture.convert("P"), "GIF", interlace=1)


def interlaced_png(picture: Image.Image) -> bytes:
    """Write a PNG in seven passes, which Pillow does not."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    pixels = picture.convert("RGB").load()
    rows = b"".join(
        b"\0" + b"".join(bytes(pixels[x, y]) for x in range(left, picture.width, across))
        for left, top, across, down in passes
        for y in range(top, picture.height, down)
        if left < picture.width
    )
    plain = raw_png(*picture.size, 8, 2, rows)
    header = plain[16:28] + b"\1"
    return plain[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + plain[33:]


def fate(data: bytes, spec: CellSpec = SPEC) -> Cell | ImageReason:
    try:
        return make_cell(data, spec)
    except ImageError as refusal:
        return refusal.reason


def assert_alike(one: Cell | ImageReason, other: Cell | ImageReason) -> None:
    """Compare to some levels: libjpeg is asked for other transforms by Pillow than by us."""
    assert isinstance(one, Cell)
    assert isinstance(other, Cell)
    assert max(abs(a - b) for a, b in zip(one.pixels, other.pixels, strict=True)) <= 4


def lengths(data: bytes) -> range:
    return range(len(data) // 10, len(data), max(1, len(data) // 60))


@needs_c
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_below_the_shown_part_gives_the_same_cell(kind: str) -> None:
    data = file(TALL, kind)
    whole = fate(data)
    assert isinstance(whole, Cell)
    found = {length: fate(data[:length]) for length in lengths(data)}
    assert set(map(type, found.values())) <= {Cell, ImageReason}
    assert all(one in (whole, ImageReason.TRUNCATED) for one in found.values())
    assert found[min(found)] is ImageReason.TRUNCATED
    if kind != "jpeg-progressive":  # each of its scans goes over the whole picture
        assert found[max(found)] == whole
        assert sum(one == whole for one in found.values()) > len(found) // 6


@needs_c
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_within_the_shown_part_is_refused(kind: str) -> None:
    data = file(SQUARE, kind)
    assert {fate(data[:length]) for length in lengths(data) if length < len(data) * 0.93} == {ImageReason.TRUNCATED}


@needs_c
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("jpeg")])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_an_end_marker_makes_no_cut_jpeg_whole(kind: str, share: float) -> None:
    data = file(SQUARE, kind)
    assert fate(data[: int(len(data) * share)] + b"\xff\xd9") is ImageReason.TRUNCATED


@needs_c
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("jpeg")])
def test_a_missing_end_marker_and_what_follows_one_harm_nothing(kind: str) -> None:
    data = file(SQUARE, kind)
    whole = fate(data)
    assert isinstance(whole, Cell)
    assert fate(data[:-2]) == fate(data[:-1]) == fate(data + bytes(2_000)) == fate(data + data[:500]) == whole


@needs_c
def test_a_progressive_jpeg_whose_last_scans_are_missing_is_refused() -> None:
    data = file(SQUARE, "jpeg-progressive")
    scans = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for at in scans[1:]:
        tables = data.rfind(b"\xff\xc4", 0, at)
        start = tables if data[tables + 2 + int.from_bytes(data[tables + 2 : tables + 4]) :][:2] == b"\xff\xda" else at
        assert fate(data[:start] + b"\xff\xd9") is ImageReason.TRUNCATED


@needs_c
def test_a_jpeg_that_is_turned_is_judged_by_the_rows_that_its_cell_shows() -> None:
    for orientation, is_whole in ((1, True), (6, True), (3, True)):
        data = encoded(TALL, "JPEG", quality=80, exif=exif_with_orientation(orientation))
        assert (fate(data[: len(data) * 9 // 10]) == fate(data)) is is_whole
    wide = encoded(TALL.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=80, exif=exif_with_orientation(6))
    assert fate(wide[: len(wide) * 9 // 10]) is ImageReason.TRUNCATED


@needs_c
@pytest.mark.parametrize("extra", [b"\0\0\0", b"\xff" * 40, b"garbage"])
def test_superfluous_bytes_in_front_of_a_marker_harm_nothing(extra: bytes) -> None:
    data = file(SQUARE, "jpeg")
    tables = data.index(b"\xff\xdb")
    assert_alike(fate(data[:tables] + extra + data[tables:]), fate(data))
    assert_alike(fate(data[:-2] + extra + data[-2:]), fate(data))


@needs_c
def test_odd_parameters_of_a_scan_harm_nothing() -> None:
    """Some phones write the end of the spectrum as 0, and libjpeg warns of it."""
    data = file(SQUARE, "jpeg")
    scan = data.index(b"\xff\xda")
    end = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4])
    assert data[end - 3 : end] == b"\0\x3f\0"
    assert_alike(fate(data[: end - 3] + b"\0\0\0" + data[end:]), fate(data))


@needs_c
def test_a_jpeg_with_codes_that_stand_for_nothing_in_the_shown_part_is_refused() -> None:
    data = file(SQUARE, "jpeg")
    scan = data.index(b"\xff\xda") + 14
    middle = (scan + len(data)) // 2
    assert fate(data[:middle] + b"\xff\0" * 12 + data[middle + 24 :]) is ImageReason.TRUNCATED


@pytest.mark.parametrize("make", [interlaced_gif, interlaced_png])
def test_an_interlaced_file_is_whole_when_its_last_pass_goes_beyond_the_shown_part(make: object) -> None:
    assert callable(make)
    data = make(TALL)
    whole = fate(data)
    assert isinstance(whole, Cell)
    found = [fate(data[:length]) for length in lengths(data)]
    assert all(one in (whole, ImageReason.TRUNCATED) for one in found)
    assert found[-1] == whole
    assert found[len(found) // 2] is ImageReason.TRUNCATED
    square = make(SQUARE)
    assert fate(square[: len(square) * 9 // 10]) is ImageReason.TRUNCATED


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_the_end_of_a_file_may_be_missing(kind: str) -> None:
    data = file(SQUARE, kind)
    end = data.rindex(b"\0\0\0\0IEND") if kind == "png" else -1
    assert fate(data[:end]) == fate(data) == fate(data + b"trailing bytes")


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG"])
def test_an_animation_of_which_only_the_first_frame_is_there_is_whole(image_format: str) -> None:
    later = [photo(64, 64, seed) for seed in (7, 8, 9)]
    data = encoded(SQUARE, image_format, save_all=True, append_images=later, duration=50)
    assert fate(data[: len(data) // 2]) == fate(data)
    assert isinstance(fate(data), Cell)


def test_a_damaged_row_of_a_png_counts_only_where_it_is_shown() -> None:
    data = bytearray(file(TALL, "png"))
    whole = fate(bytes(data))
    data[-40] ^= 0xFF
    assert fate(bytes(data)) == whole
    data[len(data) // 3] ^= 0xFF
    assert fate(bytes(data)) is ImageReason.TRUNCATED


def test_what_is_missing_is_told_in_rows() -> None:
    data = file(SQUARE, "png")
    with pytest.raises(
        ImageError, match=r"the PNG is cut short or damaged: it holds \d+ of 64 rows, and the cell shows 64"
    ):
        make_cell(data[: len(data) // 2], SPEC)


def test_pillow_is_strict_again_after_a_file_that_was_cut() -> None:
    data = file(TALL, "png")
    assert isinstance(fate(data[:-200]), Cell)
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(data[:-200])).load()
