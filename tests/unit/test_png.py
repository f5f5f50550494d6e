"""What of a PNG is shown is told from its chunks."""

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.unit.pictures import encoded, photo, raw_png
from worker.images.png import SIGNATURE, read

PICTURE = photo(12, 10)
PLAIN = encoded(PICTURE, "PNG")
ROWS = b"".join(b"\0" + PICTURE.crop((0, y, 12, y + 1)).tobytes() for y in range(10))


def chunk(kind: bytes, content: bytes, *, is_sound: bool = True) -> bytes:
    checksum = zlib.crc32(kind + content) ^ (not is_sound)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def file(*chunks: bytes, colour_type: int = 2, bits: int = 8) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 12, 10, bits, colour_type, 0, 0, 0))
    return SIGNATURE + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(ROWS)) + chunk(b"IEND", b"")


def shown(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(read(data).plain_file()))
    picture.load()
    return picture


def test_a_plain_file_shows_the_same_picture() -> None:
    found = read(PLAIN)
    assert (found.size, found.frame, found.colour_type, found.bits) == ((12, 10), (0, 0, 12, 10), 2, 8)
    assert shown(PLAIN).tobytes() == PICTURE.tobytes()


@pytest.mark.parametrize("is_sound", [True, False])
def test_ancillary_chunks_count_where_their_checksum_is_right(is_sound: bool) -> None:
    found = read(
        file(
            chunk(b"gAMA", struct.pack(">I", 50_000), is_sound=is_sound),
            chunk(b"sRGB", b"\0", is_sound=is_sound),
            chunk(b"eXIf", b"MM\0*", is_sound=is_sound),
            chunk(b"tRNS", bytes(6), is_sound=is_sound),
            chunk(b"iCCP", b"name\0\0" + zlib.compress(b"a profile"), is_sound=is_sound),
            chunk(b"cICP", b"\x0c\x0d\0\1", is_sound=is_sound),
        )
    )
    told = (found.gamma, found.is_srgb, found.exif, found.transparency, found.profile, found.cicp)
    assert told == (
        (0.5, True, b"MM\0*", bytes(6), b"a profile", b"\x0c\x0d\0\1") if is_sound else (None, False, *[None] * 4)
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"name",
        b"name\0",
        b"name\0\1" + zlib.compress(b"x"),
        b"name\0\0not zlib",
        b"n" * 90 + b"\0\0" + zlib.compress(b"x"),
    ],
)
def test_a_profile_that_cannot_be_read_is_none(content: bytes) -> None:
    assert read(file(chunk(b"iCCP", content))).profile is None


def test_a_profile_is_read_as_far_as_profiles_go() -> None:
    found = read(file(chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(50_000_000)))))
    assert found.profile is not None
    assert len(found.profile) == 1 << 20


def test_primaries_and_white_are_told() -> None:
    values = [31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000]
    found = read(file(chunk(b"cHRM", struct.pack(">8I", *values))))
    assert found.chromaticities == ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), (0.3127, 0.329))


@pytest.mark.parametrize(
    ("colour_type", "bits", "key", "as_pillow_reads_it"),
    [
        (0, 1, (1,), (1,)),
        (0, 2, (1,), (85,)),
        (0, 4, (5,), (85,)),
        (0, 8, (85,), (85,)),
        (0, 16, (0x1234,), (0x1234,)),
        (2, 8, (1, 2, 3), (1, 2, 3)),
        (2, 16, (0xFFFF, 0x8000, 0), (255, 127, 0)),
    ],
)
def test_a_transparent_colour_is_told_in_levels_of_the_pixels(
    colour_type: int, bits: int, key: tuple[int, ...], as_pillow_reads_it: tuple[int, ...]
) -> None:
    data = file(chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)), colour_type=colour_type, bits=bits)
    plain = read(data).plain_file()
    at = plain.index(b"tRNS") + 4
    assert struct.unpack_from(f">{len(key)}H", plain, at) == as_pillow_reads_it


def animation(*, frame: tuple[int, int, int, int], default_is_first: bool, control: bytes = b"") -> bytes:
    """Return an animation of one frame, red, whose default image is the picture."""
    width, height, left, top = frame
    red = zlib.compress((b"\0" + b"\xff\0\0" * width) * height)
    told = control or struct.pack(">5IHHBB", 0, width, height, left, top, 1, 10, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(ROWS))
    header = (
        SIGNATURE
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 12, 10, 8, 2, 0, 0, 0))
        + chunk(b"acTL", struct.pack(">II", 1, 0))
    )
    shown_first = chunk(b"fcTL", told)
    frames = chunk(b"fdAT", b"\0\0\0\1" + red)
    parts = (shown_first, pixels, frames) if default_is_first else (pixels, shown_first, frames)
    return header + b"".join(parts) + chunk(b"IEND", b"")


def test_a_default_image_that_is_no_frame_is_hidden() -> None:
    found = read(animation(frame=(5, 4, 3, 2), default_is_first=False))
    assert (found.size, found.frame) == ((12, 10), (3, 2, 8, 6))
    picture = shown(animation(frame=(5, 4, 3, 2), default_is_first=False))
    assert (picture.size, picture.getcolors()) == ((5, 4), [(20, (255, 0, 0))])


@pytest.mark.parametrize(
    "data",
    [
        animation(frame=(12, 10, 0, 0), default_is_first=True),
        animation(frame=(12, 10, 1, 0), default_is_first=False),
        animation(frame=(0, 10, 0, 0), default_is_first=False),
        animation(frame=(12, 10, 0, 0), default_is_first=False, control=b"short"),
        animation(frame=(12, 10, 0, 0), default_is_first=False).replace(b"fdAT", b"ngAT"),
        animation(frame=(12, 10, 0, 0), default_is_first=False).replace(b"acTL", b"ngTL"),
    ],
    ids=["it is a frame", "out of the canvas", "empty", "cut", "no pixels", "not announced"],
)
def test_the_default_image_is_shown_where_there_is_no_sound_frame_behind_it(data: bytes) -> None:
    assert read(data).frame == (0, 0, 12, 10)
    assert shown(data).tobytes() == PICTURE.tobytes()


@pytest.mark.parametrize(
    "data", [b"", SIGNATURE, PLAIN[:20], PLAIN.replace(b"IHDR", b"IHDX"), PLAIN[:30] + b"\0\0\0" + PLAIN[33:]]
)
def test_a_file_without_a_sound_header_is_broken(data: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        read(data)


def test_a_broken_palette_breaks_the_picture() -> None:
    with pytest.raises(ValueError, match="palette"):
        read(file(chunk(b"PLTE", bytes(6), is_sound=False), colour_type=3))


@given(st.data())
def test_whatever_is_changed_in_a_file_it_is_read_or_broken(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([PLAIN, animation(frame=(5, 4, 3, 2), default_is_first=False)]))
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(8, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(changed[: data.draw(st.integers(0, len(whole)))]))
    except ValueError:
        return
    assert found.plain_file().startswith(SIGNATURE)
    assert found.frame[2] <= found.size[0]


def test_a_million_empty_chunks_are_passed() -> None:
    data = raw_png(12, 10, 8, 2, ROWS, *[(b"prVt", b"")] * 100_000)
    assert shown(data).tobytes() == PICTURE.tobytes()
