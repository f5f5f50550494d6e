"""What a HEIC or AVIF file shows is told from its container."""

import itertools

import pytest
from PIL import Image

from tests.unit.heifs import Item, alpha_of_hevc, clap, grid, imir, irot, ispe, nclx, written
from worker.images.boxes import BrokenBox
from worker.images.cutting import TRANSPOSES
from worker.images.heif import Colours, UnsupportedHeif, read, stream

HVCC = (b"hvcC", bytes(21) + b"\xff\2" + b"\xa0\0\1\0\5\x40\1VPS" + b"\xa2\0\2\0\5\x44\1PPS\0\5\x44\x09two")
AV1C = (b"av1C", b"\x81\0\0\0")


def picture(*properties: tuple[bytes, bytes], size: tuple[int, int] = (40, 30)) -> bytes:
    return written({1: Item(b"hvc1", b"\0\0\0\7\x26\1slice", [HVCC, ispe(*size), *properties])})


def test_a_coded_picture_is_one_tile() -> None:
    found = read(picture())
    assert (found.colour.codec, found.colour.size, found.colour.tile, found.colour.items) == (
        "HEVC",
        (40, 30),
        (40, 30),
        (1,),
    )
    assert (found.size, found.orientation, found.alpha, found.profile, found.colours) == ((40, 30), 1, None, None, None)


def test_an_hevc_stream_begins_with_its_parameter_sets_and_leaves_other_layers_out() -> None:
    found = read(picture())
    assert stream(found.meta, "HEVC", 1, 100) == b"\0\0\1\x40\1VPS\0\0\1\x44\1PPS\0\0\1\x26\1slice"


def test_an_av1_stream_is_the_item_s_bytes() -> None:
    found = read(written({1: Item(b"av01", b"obus", [AV1C, ispe(8, 8)])}, brand=b"avif"))
    assert (found.colour.codec, stream(found.meta, "AV1", 1, 100)) == ("AV1", b"obus")


@pytest.mark.parametrize(
    "turns",
    [
        (),
        *itertools.product(range(4)),
        *itertools.product("01"),
        *itertools.product(range(4), "01"),
        *itertools.product("01", range(4)),
    ],
)
def test_turns_and_mirrors_come_to_one_orientation(turns: tuple[int | str, ...]) -> None:
    properties = [irot(turn) if isinstance(turn, int) else imir(int(turn)) for turn in turns]
    shown = stored = Image.effect_noise((5, 3), 90)
    for turn in turns:
        if isinstance(turn, int):
            shown = shown.rotate(90 * turn, expand=True)  # against the clock
        else:
            how = Image.Transpose.FLIP_LEFT_RIGHT if turn == "1" else Image.Transpose.FLIP_TOP_BOTTOM
            shown = shown.transpose(how)
    orientation = read(picture(*properties)).orientation
    upright = stored.transpose(TRANSPOSES[orientation]) if orientation in TRANSPOSES else stored
    assert (upright.size, upright.tobytes()) == (shown.size, shown.tobytes())


GRID = {
    1: Item(b"grid", grid(2, 2, 120, 100), [ispe(120, 100)]),
    **{number: Item(b"hvc1", b"", [HVCC, ispe(64, 64)]) for number in range(2, 6)},
}


def test_a_grid_has_its_tiles_row_by_row() -> None:
    coded = read(written(GRID, references=[(b"dimg", 1, [5, 4, 3, 2])])).colour
    assert (coded.size, coded.tile, coded.columns, coded.items) == ((120, 100), (64, 64), 2, (5, 4, 3, 2))


@pytest.mark.parametrize(
    ("items", "tiles", "message"),
    [
        (GRID, [2, 3, 4], "2 x 2 tiles has 3"),
        (GRID, [2, 3, 4, 9], "2 x 2 tiles has 4"),
        (GRID | {1: Item(b"grid", grid(2, 2, 129, 100), [ispe(129, 100)])}, [2, 3, 4, 5], "does not fill 129 x 100 px"),
        (GRID | {1: Item(b"grid", grid(2, 2, 0, 100), [])}, [2, 3, 4, 5], "does not fill"),
        (GRID | {5: Item(b"hvc1", b"", [HVCC, ispe(64, 32)])}, [2, 3, 4, 5], "differ in size"),
    ],
)
def test_a_grid_that_its_tiles_do_not_make_is_broken(items: dict[int, Item], tiles: list[int], message: str) -> None:
    with pytest.raises(BrokenBox, match=message):
        read(written(items, references=[(b"dimg", 1, tiles)]))


def test_alpha_is_the_picture_that_says_so() -> None:
    items = {
        1: Item(b"hvc1", b"", [HVCC, ispe(40, 30)]),
        2: Item(b"hvc1", b"", [HVCC, ispe(40, 30), (b"auxC", bytes(4) + b"urn:mpeg:hevc:2015:auxid:2\0")]),
        3: Item(b"hvc1", b"", [HVCC, ispe(20, 15), alpha_of_hevc()]),
    }
    references = [(b"auxl", 2, [1]), (b"auxl", 3, [1])]
    found = read(written(items, references=references))
    assert found.alpha is not None
    assert (found.alpha.items, found.is_premultiplied) == ((3,), False)
    assert read(written(items, references=[*references, (b"prem", 1, [3])])).is_premultiplied
    assert read(written(items, references=references[:1])).alpha is None


def test_colours_are_told_by_numbers_by_a_profile_or_by_both() -> None:
    found = read(picture((b"colr", b"prof" + b"a profile"), nclx(12, 13, 6, full_range=True)))
    assert (found.profile, found.colours) == (b"a profile", Colours(12, 13, 6, full_range=True))
    assert read(picture((b"colr", b"rICC" + b"small"))).profile == b"small"


@pytest.mark.parametrize(
    ("aperture", "part"),
    [
        (clap(4, 2, 24, 22, 40, 30), (4, 2, 24, 22)),
        (clap(0, 0, 39, 29, 40, 30), (0, 0, 39, 29)),
        (clap(-2, 0, 24, 22, 40, 30), (0, 0, 40, 30)),
        ((b"clap", bytes(32)), (0, 0, 40, 30)),
    ],
)
def test_a_clean_aperture_is_what_is_shown_where_it_lies_in_the_picture(
    aperture: tuple[bytes, bytes], part: tuple[int, ...]
) -> None:
    assert read(picture(aperture)).region == part


def test_an_avif_is_shown_whole_where_its_aperture_begins_inside() -> None:
    def shown(*corners: int) -> tuple[int, ...]:
        item = Item(b"av01", b"", [AV1C, ispe(40, 30), clap(*corners, 40, 30)])
        return read(written({1: item}, brand=b"avif")).region

    assert shown(4, 2, 24, 22) == (0, 0, 40, 30)
    assert shown(0, 0, 24, 22) == (0, 0, 24, 22)


@pytest.mark.parametrize("kind", [b"iovl", b"iden", b"jpeg", b"unci", b"tmap"])
def test_a_picture_of_a_kind_that_is_not_decoded_is_named(kind: bytes) -> None:
    with pytest.raises(UnsupportedHeif, match=kind.decode()):
        read(written({1: Item(kind, b"", [ispe(8, 8)])}))


def test_a_picture_that_may_not_be_shown_without_an_unknown_property_is_not_shown() -> None:
    file = picture(irot(1)).replace(b"irot", b"warp")
    with pytest.raises(UnsupportedHeif, match="warp"):
        read(file)


@pytest.mark.parametrize(
    "properties", [[HVCC], [HVCC, ispe(0, 30)], [HVCC, (b"ispe", bytes(6))]], ids=["none", "empty", "cut"]
)
def test_a_picture_without_a_size_is_broken(properties: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(BrokenBox):
        read(written({1: Item(b"hvc1", b"", properties)}))
