"""Cells become the finished page."""

import hashlib
import io
import subprocess
import sys

import pytest
from PIL import Image

from tests.unit.pictures import photo
from worker.images import fingerprint
from worker.images.collage import compose, parse_background

PAGE = {"rows": 2, "cols": 3, "cell": 24, "gutter": 0, "background": (255, 255, 255), "format": "png", "quality": 95}
CELLS = [photo(24, 24, seed).tobytes() for seed in range(6)]


def opened(page: bytes) -> Image.Image:
    return Image.open(io.BytesIO(page))


def test_cells_stand_row_by_row_and_the_rest_shows_the_background() -> None:
    page = opened(compose(CELLS[:4], **PAGE | {"background": (1, 2, 3)}))
    assert page.size == (72, 48)
    for index, (left, top) in enumerate([(0, 0), (24, 0), (48, 0), (0, 24)]):
        assert page.crop((left, top, left + 24, top + 24)).tobytes() == CELLS[index]
    assert page.crop((24, 24, 72, 48)).tobytes() == bytes((1, 2, 3)) * 48 * 24


def test_rows_without_a_cell_are_left_out_but_columns_stay() -> None:
    assert opened(compose(CELLS[:1], **PAGE)).size == (72, 24)


def test_a_gutter_shows_the_background_between_cells_and_none_around_them() -> None:
    page = opened(compose(CELLS, **PAGE | {"gutter": 5, "background": (9, 9, 9)}))
    assert page.size == (3 * 24 + 2 * 5, 2 * 24 + 5)
    assert page.crop((29, 29, 53, 53)).tobytes() == CELLS[4]
    assert page.crop((24, 0, 29, 53)).tobytes() == bytes((9, 9, 9)) * 5 * 53
    assert page.crop((0, 24, 82, 29)).tobytes() == bytes((9, 9, 9)) * 82 * 5


def test_a_jpeg_is_baseline_with_halved_chroma_and_no_metadata() -> None:
    page = opened(compose(CELLS, **PAGE | {"format": "jpeg"}))
    assert page.format == "JPEG"
    assert "progressive" not in page.info
    assert [(across, down) for _, down, across, _ in page.layer] == [(2, 2), (1, 1), (1, 1)]
    assert set(page.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_quality_is_as_asked() -> None:
    sizes = [len(compose(CELLS, **PAGE | {"format": "jpeg", "quality": quality})) for quality in (20, 60, 95)]
    assert sizes == sorted(set(sizes))
    tables = opened(compose(CELLS, **PAGE | {"format": "jpeg", "quality": 95})).quantization
    assert tables[0][:3] == [2, 1, 1]


@pytest.mark.parametrize("file_format", ["jpeg", "png", "webp"])
def test_a_page_comes_in_the_format_asked_for(file_format: str) -> None:
    page = opened(compose(CELLS, **PAGE | {"format": file_format}))
    assert page.format == file_format.upper()
    assert page.size == (72, 48)


@pytest.mark.parametrize("file_format", ["jpeg", "png", "webp"])
def test_another_process_makes_the_same_bytes(file_format: str) -> None:
    here = hashlib.sha256(compose(CELLS, **PAGE | {"format": file_format})).hexdigest()
    code = (
        "import hashlib; from tests.unit.test_collage import CELLS, PAGE, compose;"
        f"print(hashlib.sha256(compose(CELLS, **PAGE | {{'format': {file_format!r}}})).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


@pytest.mark.parametrize(
    ("cells", "changes", "text"),
    [
        ([], {}, "holds 1 to 6 cells, got 0"),
        ([*CELLS, CELLS[0]], {}, "holds 1 to 6 cells, got 7"),
        ([CELLS[0][:-1]], {}, "not enough image data"),
        (CELLS, {"format": "bmp"}, "allowed are jpeg, png and webp"),
    ],
)
def test_a_page_that_cannot_be_is_refused(cells: list[bytes], changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        compose(cells, **PAGE | changes)


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("white", (255, 255, 255)),
        ("RebeccaPurple", (102, 51, 153)),
        ("#0af", (0, 170, 255)),
        ("#010203", (1, 2, 3)),
        ("rgb(4, 5, 6)", (4, 5, 6)),
    ],
)
def test_a_background_is_a_css_colour(text: str, colour: tuple[int, int, int]) -> None:
    assert parse_background(text) == colour


@pytest.mark.parametrize("text", ["", "whitish", "#12", "#01020304", "rgb(300,0,0)", "rgba(1,2,3,4)", "url(x)"])
def test_a_background_that_is_no_opaque_colour_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="allowed are CSS colour names"):
        parse_background(text)


@pytest.mark.parametrize("algorithm", fingerprint.ALGORITHMS)
def test_a_fingerprint_is_the_hash_in_hexadecimal(algorithm: str) -> None:
    assert fingerprint.content_hash(b"abc", algorithm) == hashlib.new(algorithm, b"abc").hexdigest()


def test_an_unknown_hash_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="allowed are sha256, sha1, md5, sha512, blake2b"):
        fingerprint.content_hash(b"abc", "crc32")
