"""The size of an HEVC picture is told from its parameters, before anything takes memory for it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.images.boxes import BrokenBox, Cursor
from worker.images.heif import read
from worker.images.hevc import is_base_layer, picture_size, units

CASES = Path(__file__).parents[1] / "cases" / "images"


class Bits:
    """Writes a unit's bits."""

    def __init__(self) -> None:
        self.text = ""

    def number(self, value: int, count: int) -> "Bits":
        self.text += f"{value:0{count}b}" if count else ""
        return self

    def exponential(self, *values: int) -> "Bits":
        for value in values:
            code = f"{value + 1:b}"
            self.text += "0" * (len(code) - 1) + code
        return self

    def unit(self) -> memoryview:
        body = int(self.text.ljust(-(-len(self.text) // 8) * 8, "1"), 2).to_bytes(-(-len(self.text) // 8))
        return memoryview(b"\x42\1" + body.replace(b"\0\0", b"\0\0\3"))


def parameters(width: int, height: int, *, chroma: int = 1, sub_layers: int = 0) -> memoryview:
    bits = Bits().number(0, 4).number(sub_layers, 3).number(1, 1).number(1, 88 + 8)
    for layer in range(sub_layers):
        bits.number(layer & 1, 1).number(1, 1)
    if sub_layers:
        bits.number(0, 2 * (8 - sub_layers))
    for layer in range(sub_layers):
        bits.number(3, 88 * (layer & 1) + 8)
    bits.exponential(0, chroma)
    if chroma == 3:
        bits.number(0, 1)
    return bits.exponential(width, height).number(0, 16).unit()


@pytest.mark.parametrize("chroma", [0, 1, 2, 3])
@pytest.mark.parametrize("sub_layers", [0, 1, 6])
@pytest.mark.parametrize("size", [(8, 8), (512, 512), (65_536, 65_535)])
def test_the_parameters_name_a_size(size: tuple[int, int], chroma: int, sub_layers: int) -> None:
    assert picture_size(parameters(*size, chroma=chroma, sub_layers=sub_layers)) == size


@pytest.mark.parametrize("size", [(0, 8), (8, 0), (65_537, 8), (8, 1 << 30)])
def test_a_size_that_no_picture_has_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(BrokenBox):
        picture_size(parameters(*size))


def test_parameters_that_end_early_are_refused() -> None:
    whole = parameters(512, 512)
    for length in range(3, len(whole) - 2):
        with pytest.raises(BrokenBox):
            picture_size(whole[:length])


def test_other_units_name_no_size() -> None:
    assert picture_size(memoryview(b"\x40\1rest")) is None


@pytest.mark.parametrize(
    ("unit", "is_shown"), [(b"\x42\1.", True), (b"\x42\x09.", False), (b"\x43\1.", False), (b"\x42\1", False)]
)
def test_units_of_other_layers_are_told_apart(unit: bytes, is_shown: bool) -> None:
    assert is_base_layer(memoryview(unit)) is is_shown


@pytest.mark.parametrize("name", ["heic.heic", "heic-10-bit.heic", "heic-4-4-4.heic", "heic-grey.heic"])
def test_what_an_encoder_wrote_has_its_size(name: str) -> None:
    found = read((CASES / name).read_bytes())
    record = next(content for kind, content, _ in found.meta.items[1].properties if kind == b"hvcC")
    at = bytes(record).index(b"\x42\1")
    assert picture_size(Cursor(record[at:]).take(40)) == found.colour.tile


@given(st.binary(min_size=3, max_size=60))
def test_whatever_bytes_come_they_are_a_size_or_broken(body: bytes) -> None:
    try:
        size = picture_size(memoryview(b"\x42\1" + body))
    except BrokenBox:
        return
    assert size is not None
    assert min(size) > 0


def test_units_follow_their_lengths() -> None:
    content = memoryview(b"\0\0\0\3one\0\0\0\5three")
    assert [bytes(unit) for unit in units(content, 4)] == [b"one", b"three"]
    with pytest.raises(BrokenBox):
        list(units(content[:-1], 4))
