"""Where the pixels of a cell come from, and where they go."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.unit.pictures import photo
from worker.images import geometry

sides = st.integers(1, 5_000)
cells = st.integers(1, 800)


@pytest.mark.parametrize(
    ("size", "scaled", "box"),
    [
        ((200, 200), (200, 200), (0, 0, 200, 200)),
        ((1080, 1920), (200, 355), (0, 77, 200, 277)),
        ((1920, 1080), (355, 200), (77, 0, 277, 200)),
        ((300, 400), (200, 266), (0, 33, 200, 233)),
        ((50, 5000), (200, 20_000), (0, 9_900, 200, 10_100)),
        ((5000, 50), (20_000, 200), (9_900, 0, 10_100, 200)),
        ((201, 200), (201, 200), (0, 0, 200, 200)),
        ((200, 201), (200, 201), (0, 0, 200, 200)),
    ],
)
def test_the_geometry_is_that_of_the_system_before_to_the_pixel(
    size: tuple[int, int], scaled: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    assert geometry.scaled_size(*size, 200) == scaled
    assert geometry.crop_box(*size, 200) == box


@given(sides, sides, cells)
def test_the_scaled_size_is_what_int_of_the_quotient_gives(width: int, height: int, cell: int) -> None:
    expected = (int(width * cell / height), cell) if width > height else (cell, int(height * cell / width))
    assert geometry.scaled_size(width, height, cell) == expected


@given(sides, sides, cells)
def test_the_scaled_image_covers_the_cell_and_the_crop_is_centred_in_it(width: int, height: int, cell: int) -> None:
    scaled = geometry.scaled_size(width, height, cell)
    left, top, right, bottom = geometry.crop_box(width, height, cell)
    assert (right - left, bottom - top) == (cell, cell)
    assert left >= 0
    assert top >= 0
    assert right <= scaled[0]
    assert bottom <= scaled[1]
    assert 0 <= (scaled[0] - right) - left <= 1
    assert 0 <= (scaled[1] - bottom) - top <= 1


@given(sides, sides, cells)
def test_the_shown_box_scaled_is_the_crop_box(width: int, height: int, cell: int) -> None:
    scaled = geometry.scaled_size(width, height, cell)
    box = geometry.shown_box(width, height, cell)
    factors = (Fraction(scaled[0], width), Fraction(scaled[1], height)) * 2
    assert tuple(edge * factor for edge, factor in zip(box, factors, strict=True)) == geometry.crop_box(
        width, height, cell
    )
    assert 0 <= box[0] < box[2] <= width
    assert 0 <= box[1] < box[3] <= height


@pytest.mark.parametrize(
    ("orientation", "transpose"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_270),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_90),
    ],
)
@given(st.integers(3, 40), st.integers(3, 40), st.data())
def test_a_box_of_the_shown_image_lies_at_its_stored_place(
    orientation: int, transpose: Image.Transpose | None, width: int, height: int, data: st.DataObject
) -> None:
    stored = photo(width, height)
    shown = stored if transpose is None else stored.transpose(transpose)
    assert geometry.shown_size(stored.size, orientation) == shown.size
    left = data.draw(st.integers(0, shown.width - 1))
    top = data.draw(st.integers(0, shown.height - 1))
    box = (left, top, data.draw(st.integers(left + 1, shown.width)), data.draw(st.integers(top + 1, shown.height)))
    part = stored.crop(geometry.stored_box(box, stored.size, orientation))
    assert (part if transpose is None else part.transpose(transpose)).tobytes() == shown.crop(box).tobytes()


@given(sides, sides, cells)
def test_a_draft_leaves_the_reserve_and_no_coarser_one_would(width: int, height: int, cell: int) -> None:
    needed = geometry.scaled_size(width, height, cell)
    scale = geometry.draft_scale((width, height), needed, Fraction(7, 4))
    assert scale in (1, 2, 4, 8)
    enough = [
        s
        for s in (2, 4, 8)
        if all(Fraction(a, s) >= Fraction(7, 4) * b for a, b in zip((width, height), needed, strict=True))
    ]
    assert scale == max(enough, default=1)


@given(sides, sides, st.integers(1, 400), st.sampled_from([1, 2, 4, 8]))
def test_what_is_looked_at_holds_the_part_and_what_the_filter_reaches(
    width: int, height: int, cell: int, divisor: int
) -> None:
    whole = -(-width // divisor), -(-height // divisor)
    left, top, right, bottom = (edge / divisor for edge in geometry.shown_box(width, height, cell))
    found = geometry.looked_at((left, top, right, bottom), whole, cell)
    reaches = [3 * max(Fraction(1), part / cell) for part in (right - left, bottom - top)]
    assert 0 <= found[0] <= max(0, left - reaches[0])
    assert 0 <= found[1] <= max(0, top - reaches[1])
    assert min(whole[0], right + reaches[0]) <= found[2] <= whole[0]
    assert min(whole[1], bottom + reaches[1]) <= found[3] <= whole[1]


@given(sides, sides, st.integers(1, 2_000))
def test_a_kept_image_fits_keeps_its_shape_and_is_never_enlarged(width: int, height: int, longest: int) -> None:
    kept = geometry.kept_size(width, height, longest)
    assert max(kept) == min(longest, max(width, height))
    assert min(kept) >= 1
    assert abs(kept[0] * height - kept[1] * width) <= max(width, height)


@given(st.integers(0, 400), st.integers(1, 12), st.integers(1, 12))
def test_every_image_stands_on_one_page_in_order(count: int, rows: int, cols: int) -> None:
    pages = geometry.pages(count, rows, cols)
    assert [index for page in pages for index in page] == list(range(count))
    assert all(len(page) == rows * cols for page in pages[:-1])
    assert all(1 <= len(page) <= rows * cols for page in pages)


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 20), st.integers(0, 5))
def test_cells_fill_the_canvas_and_never_overlap(count: int, cols: int, cell: int, gutter: int) -> None:
    width, height = geometry.canvas_size(count, cols, cell, gutter)
    rows = -(-count // cols)
    assert (width, height) == (cols * cell + (cols - 1) * gutter, rows * cell + (rows - 1) * gutter)
    origins = [geometry.cell_origin(index, cols, cell, gutter) for index in range(count)]
    covered = {(x // (cell + gutter), y // (cell + gutter)) for x, y in origins}
    assert len(covered) == count
    assert all(x % (cell + gutter) == 0 == y % (cell + gutter) for x, y in origins)
    assert all(0 <= x <= width - cell and 0 <= y <= height - cell for x, y in origins)
    assert origins == sorted(origins, key=lambda origin: (origin[1], origin[0]))
