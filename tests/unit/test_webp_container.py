"""What of a WebP is shown is told from its chunks."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.unit.pictures import encoded, exif_with_orientation, photo, with_alpha
from worker.images.webp_container import read

PICTURE = photo(40, 30)
LOSSY, LOSSLESS = encoded(PICTURE, "WEBP", quality=80), encoded(PICTURE, "WEBP", lossless=True)
ALPHA = encoded(with_alpha(PICTURE), "WEBP", quality=80)
ANIMATED = encoded(PICTURE, "WEBP", lossless=True, save_all=True, append_images=[photo(40, 30, 1)], duration=50)


def shown(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


@pytest.mark.parametrize("data", [LOSSY, LOSSLESS, ALPHA], ids=["lossy", "lossless", "alpha"])
def test_a_plain_file_shows_the_same_picture(data: bytes) -> None:
    found = read(data)
    assert (found.size, found.frame) == ((40, 30), (0, 0, 40, 30))
    assert shown(found.plain_file()).tobytes() == shown(data).tobytes()


def test_the_first_frame_of_an_animation_is_a_picture_of_its_own() -> None:
    found = read(ANIMATED)
    assert (found.size, found.frame) == ((40, 30), (0, 0, 40, 30))
    assert shown(found.plain_file()).convert("RGB").tobytes() == PICTURE.tobytes()


def test_a_frame_lies_where_it_says() -> None:
    at = ANIMATED.index(b"ANMF") + 8
    canvas = ANIMATED.index(b"VP8X") + 12
    sides = (99).to_bytes(3, "little") + (89).to_bytes(3, "little")
    data = bytearray(ANIMATED)
    data[canvas : canvas + 6] = sides
    data[at : at + 6] = (5).to_bytes(3, "little") + (7).to_bytes(3, "little")
    assert (read(bytes(data)).size, read(bytes(data)).frame) == ((100, 90), (10, 14, 50, 44))


def test_profile_and_exif_are_found_wherever_they_stand() -> None:
    found = read(encoded(PICTURE, "WEBP", icc_profile=b"a profile", exif=exif_with_orientation(6)))
    assert found.profile == b"a profile"
    assert found.exif is not None
    assert b"MM\0*" in found.exif


def test_lengths_that_are_too_large_are_made_what_is_there() -> None:
    cut = LOSSY[:-20]
    plain = read(cut).plain_file()
    assert struct.unpack("<I", plain[4:8])[0] == len(plain) - 8
    assert plain[20:] == cut[20:] + b"\0" * (len(cut) % 2)


@pytest.mark.parametrize("data", [b"", LOSSY[:12], LOSSY[:20], LOSSY[:25], ALPHA[:30]])
def test_a_file_without_a_picture_is_broken(data: bytes) -> None:
    with pytest.raises(ValueError, match="picture"):
        read(data)


def test_a_picture_that_its_canvas_does_not_hold_is_broken() -> None:
    at = ALPHA.index(b"VP8X") + 12
    with pytest.raises(ValueError, match="canvas"):
        read(ALPHA[:at] + b"\1\0\0" + ALPHA[at + 3 :])


@given(st.data())
def test_whatever_is_changed_in_a_file_it_is_read_or_broken(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([LOSSY, LOSSLESS, ALPHA, ANIMATED]))
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(12, min(len(whole) - 1, 120)))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(changed[: data.draw(st.integers(0, len(whole)))]))
    except ValueError:
        return
    assert found.plain_file().startswith(b"RIFF")
    assert found.frame[2] <= found.size[0]
