"""Previews of pages: small JPEG files that are what the page is."""

import io

import pytest
from PIL import Image, ImageChops, ImageStat

from worker.images.collage import compose, compose_with_preview
from worker.images.preview import PreviewSpec, head_and_scan, preview_of, shrunk

PAGE = {"rows": 2, "cols": 3, "cell": 64, "gutter": 4, "background": (250, 250, 250), "quality": 95}
CELLS = [bytes((40 * number, 255 - 30 * number, 90)) * 64 * 64 for number in range(5)]


def picture(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body)).convert("RGB")


@pytest.mark.parametrize("file_format", ["jpeg", "png", "webp"])
def test_a_page_is_the_same_with_and_without_its_preview(file_format: str) -> None:
    page, preview = compose_with_preview(CELLS, **PAGE, format=file_format, preview=PreviewSpec(2_000, 60))
    assert page == compose(CELLS, **PAGE, format=file_format)
    assert preview is not None
    assert compose_with_preview(CELLS, **PAGE, format=file_format, preview=None) == (page, None)


@pytest.mark.parametrize("file_format", ["jpeg", "png", "webp"])
def test_a_preview_shows_the_page_in_so_many_pixels_at_most(file_format: str) -> None:
    spec = PreviewSpec(2_000, 80)
    page, drawn = compose_with_preview(CELLS, **PAGE, format=file_format, preview=spec)
    assert drawn is not None
    for preview in (drawn, shrunk(page, spec, file_format=file_format)):
        small = picture(preview)
        assert 1_500 < small.width * small.height <= 2_000
        expected = picture(page).resize(small.size, Image.Resampling.BOX)
        assert max(ImageStat.Stat(ImageChops.difference(small, expected)).mean) < 12


def test_a_small_page_is_not_made_larger() -> None:
    assert picture(preview_of(Image.new("RGB", (20, 10)), PreviewSpec(9_999, 50))).size == (20, 10)


def test_a_page_of_any_shape_has_a_preview() -> None:
    for size in ((60_000, 16), (16, 60_000), (1, 1)):
        assert picture(preview_of(Image.new("RGB", size), PreviewSpec(5_000, 50))).size >= (1, 1)


def test_heads_are_the_same_in_all_previews_of_one_size_and_quality() -> None:
    bodies = [
        preview_of(Image.effect_noise((70, 50), sigma).convert("RGB"), PreviewSpec(5_000, 40)) for sigma in (5, 90)
    ]
    (one, first), (other, second) = map(head_and_scan, bodies)
    assert one == other
    assert first != second
    assert [one + first, other + second] == bodies


def test_what_is_no_page_is_an_error() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        shrunk(b"<html>", PreviewSpec(100, 50), file_format="jpeg")
