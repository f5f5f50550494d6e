"""The note in a page's file: it tells what is on the page, and changes nothing that is seen."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from worker.images.collage import compose
from worker.images.page_note import NotedImage, note_of, noted

IMAGES = [NotedImage(row * 2, "JPEG", 576, 1_024 + row, 157_000, f"{row:064x}") for row in range(6)]
FORMATS = ("jpeg", "png", "webp")


def page(file_format: str, count: int = 6) -> bytes:
    cells = [bytes([40 * n]) * (16 * 16 * 3) for n in range(count)]
    return compose(cells, rows=2, cols=3, cell=16, gutter=0, background=(255, 255, 255), format=file_format, quality=90)


def pixels(body: bytes) -> tuple[tuple[int, int], bytes]:
    with Image.open(io.BytesIO(body), formats=("JPEG", "PNG", "WEBP")) as picture:
        return picture.size, picture.convert("RGB").tobytes()


@pytest.mark.parametrize("file_format", FORMATS)
def test_what_was_noted_is_read_again_and_the_picture_stays_the_same(file_format: str) -> None:
    plain = page(file_format)
    body = noted(plain, (48, 32), IMAGES)
    assert note_of(body) == IMAGES
    assert pixels(body) == pixels(plain)
    assert noted(plain, (48, 32), IMAGES) == body, "the same images, the same bytes"


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_page_without_a_note_tells_nothing(file_format: str) -> None:
    assert note_of(page(file_format)) is None


def test_a_page_of_a_thousand_images_has_room_for_its_note() -> None:
    images = [NotedImage(row, "JPEG", 1_080, 1_920, 10**6 + row, f"{row * 7919:064x}") for row in range(1_000)]
    assert note_of(noted(page("jpeg"), (48, 32), images)) == images


@given(st.binary(max_size=60), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG" + bytes(29), b"RIFF\0\0\0\0WEBP"]))
def test_bytes_of_strangers_are_no_note_and_no_trouble(rest: bytes, begin: bytes) -> None:
    assert note_of(begin + rest) is None


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_page_that_was_cut_short_is_no_trouble(file_format: str) -> None:
    body = noted(page(file_format), (48, 32), IMAGES)
    for length in range(0, len(body), 7):
        assert note_of(body[:length]) in (None, IMAGES)
