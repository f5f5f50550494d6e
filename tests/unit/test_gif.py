"""The first frame of a GIF is told from its blocks."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.unit.pictures import encoded, photo
from worker.images.gif import read

PICTURE = photo(40, 30).quantize(16)
PLAIN = encoded(PICTURE, "GIF")
IMAGE = PLAIN.index(b"\x2c\0\0\0\0")


def shown(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(read(data).plain_file()))
    return picture.convert("RGB")


def test_a_plain_file_shows_the_same_picture() -> None:
    found = read(PLAIN)
    assert (found.size, found.frame, found.transparency, found.is_interlaced) == ((40, 30), (0, 0, 40, 30), None, True)
    assert shown(PLAIN).tobytes() == PICTURE.convert("RGB").tobytes()


def test_only_the_first_frame_is_read() -> None:
    later = [photo(40, 30, seed).quantize(16) for seed in (1, 2)]
    data = encoded(PICTURE, "GIF", save_all=True, append_images=later)
    assert shown(data).tobytes() == PICTURE.convert("RGB").tobytes()
    assert len(read(data).plain_file()) < len(data) // 2


def test_a_table_of_colours_of_the_frame_s_own_is_taken() -> None:
    colours = PLAIN[13:IMAGE]
    own = PLAIN[:10] + b"\0\0\0" + PLAIN[IMAGE : IMAGE + 9] + bytes([0xC0 | PLAIN[10] & 7])
    data = own + colours[: 3 << (PLAIN[10] & 7) + 1] + PLAIN[IMAGE + 10 :]
    assert shown(data).tobytes() == PICTURE.convert("RGB").tobytes()


def test_a_transparent_colour_is_told() -> None:
    assert read(encoded(PICTURE, "GIF", transparency=5)).transparency == 5


def test_comments_and_superfluous_zeros_are_passed() -> None:
    comment = b"\x21\xfe" + b"\x05hello" * 1000 + b"\0"
    data = PLAIN[:IMAGE] + comment + b"\0\0" + PLAIN[IMAGE:]
    assert read(data) == read(PLAIN)


def test_a_frame_lies_on_its_canvas_and_a_larger_one_enlarges_it() -> None:
    moved = PLAIN[:IMAGE] + b"\x2c" + struct.pack("<HH", 7, 9) + PLAIN[IMAGE + 5 :]
    assert (read(moved).size, read(moved).frame) == ((47, 39), (7, 9, 47, 39))
    roomy = moved[:6] + struct.pack("<HH", 100, 90) + moved[10:]
    assert (read(roomy).size, read(roomy).frame) == ((100, 90), (7, 9, 47, 39))


@pytest.mark.parametrize("data", [b"", b"GIF89a", PLAIN[:13], PLAIN[:IMAGE], PLAIN[: IMAGE + 5], PLAIN[:13] + b";"])
def test_a_file_without_a_frame_is_broken(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"header|picture"):
        read(data)


def test_a_file_that_ends_within_the_colours_of_its_frame_is_broken() -> None:
    changed = bytearray(PLAIN)
    changed[70] = 0x87  # announces a table of 768 bytes, of which there are few
    with pytest.raises(ValueError, match="picture"):
        read(bytes(changed[:72]))


@given(st.data())
def test_whatever_is_changed_in_a_file_it_is_read_or_broken(data: st.DataObject) -> None:
    changed = bytearray(PLAIN)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(6, len(PLAIN) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(changed[: data.draw(st.integers(0, len(PLAIN)))]))
    except ValueError:
        return
    assert found.plain_file().startswith(b"GIF89a")
    assert found.frame[2] <= found.size[0]
