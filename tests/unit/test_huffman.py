"""Our own Huffman decoder reads of a scan what libjpeg's reads, to the last bit; or leaves the file to others."""

import io
import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.unit.jpegs import STANDARD_AC, STANDARD_DC, Table, codes_of, packed, size_of, value_of
from tests.unit.pictures import PHOTOS, encoded, photo
from worker.images import jpeg

pytestmark = pytest.mark.skipif(not jpeg.is_built(), reason="the C code was not built here")

SIZES = ((160, 284), (57, 101), (16, 8), (9, 33))
NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (284, 160), np.uint8))

SIDE = 64
"""Of the pictures below that are written bit by bit: eight blocks in a row."""

Block = tuple[int, list[tuple[int, int]]]
"""A DC's difference, and the coefficients behind it: zeros before each, and its value."""


def ours(data: bytes, divisor: int = 1, top: int = 0) -> np.ndarray | None:
    """Return the rows from `top` on as our decoder makes them, or None if it leaves the file to Pillow."""
    with Image.open(io.BytesIO(data)) as picture:
        size = picture.size
    wide, high = (-(-side // divisor) for side in size)
    found = jpeg.decoded_region(data, size, divisor, (0, top, wide, high))
    if found is None:
        return None
    part, _, above, _ = found
    return np.asarray(part if part.mode == "L" else part.convert("RGB"))[top - above :]


def pillow_s(data: bytes, divisor: int = 1, top: int = 0) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        picture.draft(None, (picture.width // divisor, picture.height // divisor))
        return np.asarray(picture)[top:]


def assert_same(data: bytes, divisor: int = 1, top: int = 0) -> None:
    found = ours(data, divisor, top)
    assert found is not None
    assert np.array_equal(found, pillow_s(data, divisor, top))


# --- pictures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("divisor", [1, 2, 4, 8])
@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("quality", [1, 30, 75, 95, 100])
def test_grey_pixels_are_the_same_to_the_bit(quality: int, optimize: bool, divisor: int) -> None:
    for size in SIZES:
        for picture in (photo(*size).convert("L"), NOISE.crop((0, 0, *size))):
            data = encoded(picture, "JPEG", quality=quality, optimize=optimize)
            for top in (0, size[1] // divisor // 2):
                assert_same(data, divisor, top)


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_coloured_pixels_are_the_same_to_the_bit(sampling: int, optimize: bool) -> None:
    for path in PHOTOS[:6]:
        with Image.open(path) as picture:
            data = encoded(picture.convert("RGB"), "JPEG", quality=88, subsampling=sampling, optimize=optimize)
        assert_same(data)


# --- scans, bit by bit -------------------------------------------------------------------------------------------


class Codes:
    """Two Huffman tables, and files with a scan in their codes."""

    def __init__(self, dc: Table = STANDARD_DC, ac: Table = STANDARD_AC) -> None:
        self.tables = {0x00: dc, 0x10: ac}
        self.dc, self.ac = (codes_of(*table) for table in self.tables.values())

    def jpeg(self, bits: str) -> bytes:
        """Return a grey file of SIDE px whose scan holds these bits."""
        blank = encoded(Image.new("L", (SIDE, SIDE)), "JPEG")
        tables = b"".join(
            struct.pack(">HHB", 0xFFC4, 19 + len(symbols), kind) + lengths + symbols
            for kind, (lengths, symbols) in self.tables.items()
        )
        scan = blank.index(b"\xff\xda")
        return blank[:scan] + tables + blank[scan : scan + 10] + packed(bits) + b"\xff\xd9"

    def scan(self, blocks: list[Block]) -> str:
        return "".join(self.block(*block) for block in blocks)

    def block(self, dc: int, coefficients: list[tuple[int, int]]) -> str:
        bits, k = self.dc[size_of(dc)] + value_of(dc), 1
        for zeros, value in coefficients:
            if k + zeros > 63:
                break
            k += zeros + 1
            bits += self.ac[0xF0] * (zeros // 16) + self.ac[zeros % 16 << 4 | size_of(value)] + value_of(value)
        return bits + (self.ac[0] if k < 64 else "")


VALUES = st.integers(-1023, 1023).filter(bool) | st.sampled_from((-1, 1))
BLOCKS = st.tuples(st.integers(-255, 255), st.lists(st.tuples(st.integers(0, 62) | st.just(0), VALUES), max_size=63))
COUNT = (SIDE // 8) ** 2


def shuffled(seed: int) -> Table:
    """Return an AC table with codes of any lengths for its symbols, in any order."""
    chance = random.Random(seed)
    symbols = bytearray(STANDARD_AC[1])
    chance.shuffle(symbols)
    lengths = [0]
    while len(lengths) <= len(symbols):
        at = chance.choice((len(lengths) - 1, chance.randrange(len(lengths))))
        if lengths[at] < 16:
            lengths[at:at] = [length := lengths.pop(at) + 1, length]
    lengths = sorted(lengths)[:-1]  # the last code would be all ones, which is none
    return bytes(lengths.count(length) for length in range(1, 17)), bytes(symbols)


@given(
    blocks=st.lists(BLOCKS, min_size=1, max_size=12),
    table=st.just(STANDARD_AC) | st.builds(shuffled, st.integers(0, 2**32)),
)
def test_any_blocks_are_the_same_to_the_bit(blocks: list[Block], table: Table) -> None:
    codes = Codes(ac=table)
    data = codes.jpeg(codes.scan([blocks[i % len(blocks)] for i in range(COUNT)]))
    for divisor, top in ((1, 0), (1, 40), (2, 0), (8, 0)):
        assert_same(data, divisor, top)


FULL: Block = (3, [(0, 1)] * 63)


def test_a_block_without_a_zero_ends_by_itself() -> None:
    codes = Codes()
    assert codes.block(*FULL).endswith(codes.ac[1] + "1")
    data = codes.jpeg(codes.scan([FULL] * COUNT))
    for top in (0, 8, 63):
        assert_same(data, top=top)


def test_a_block_ends_whatever_the_next_one_begins_like() -> None:
    """A whole block has eight bits here, fewer than one look sees, and what follows would be sixteen more zeros."""
    codes = Codes(ac=(bytes((1, 1, 1, *[0] * 13)), bytes((0xF0, 0xE1, 0x00))))
    data = codes.jpeg(codes.scan([(0, [(62, 1)]), (-1, [])] * (COUNT // 2)))
    assert codes.dc[0][0] == codes.ac[0xF0] == "0"
    for top in (0, 8, 63):
        assert_same(data, top=top)


@pytest.mark.parametrize("spoilt", [0, COUNT - 1])
def test_a_block_that_goes_on_past_its_end_is_left_to_pillow(spoilt: int) -> None:
    codes = Codes()
    blocks = [codes.block(0, [])] * COUNT
    blocks[spoilt] = codes.dc[0] + codes.ac[0xF0] * 4
    data = codes.jpeg("".join(blocks))
    assert ours(data) is None
    assert pillow_s(data).shape == (SIDE, SIDE)


@pytest.mark.parametrize(("dc", "ac"), [(11, 10), (15, 10), (11, 15), (11, 11)])
def test_the_longest_codes_with_the_largest_values_are_the_same_to_the_bit(dc: int, ac: int) -> None:
    """8-bit JPEG has 10 bits behind an AC's code, and 11 behind a DC's; where there are more, libjpeg reads them."""
    codes = Codes(dc=(bytes([1] * 16), bytes([0] * 15 + [dc])), ac=(bytes([1] * 16), bytes([1] * 15 + [ac])))
    block = codes.dc[dc] + value_of(2**dc - 1) + (codes.ac[ac] + value_of(1 - 2**ac)) * 63
    data = codes.jpeg(block * COUNT)
    for top in (0, 40):
        assert_same(data, top=top)


def test_a_code_that_there_is_not_is_left_to_pillow() -> None:
    codes = Codes()
    for bad in ("1" * 16, codes.dc[0] + "1" * 16):
        assert ours(codes.jpeg(bad * COUNT)) is None


# --- ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("top", [0, 8])
def test_a_scan_that_ends_early_is_left_to_pillow(top: int) -> None:
    codes = Codes()
    bits = codes.scan([(5, [(0, 700), (3, -9)])] * COUNT)
    for missing in [*range(1, 60), len(bits) - 1]:
        data = codes.jpeg(bits[: (len(bits) - missing) // 8 * 8])
        assert ours(data, top=top) is None
    assert ours(codes.jpeg(bits), top=top) is not None


def test_an_end_of_zeros_is_not_taken_for_more_of_the_scan() -> None:
    """What stands behind the scan in memory are zeros, which are codes as well: here a whole block's."""
    codes = Codes()
    assert codes.dc[0] == "00"
    data = codes.jpeg(codes.scan([(0, [])] * (COUNT - 1)))
    assert ours(data) is None


@pytest.mark.parametrize("end", [b"\xff\xff\xd9", b"\xff\xff\xff\xff\xd9", b"\xff\xd9\xff\xd9", b"\xff\xd9\0\xff"])
def test_ends_of_other_kinds_are_ends(end: bytes) -> None:
    data = encoded(photo(57, 101), "JPEG")[:-2] + end
    assert_same(data)


@pytest.mark.parametrize("marker", [0x01, 0x42, 0xC4, 0xD0, 0xD7, 0xDA, 0xFE])
def test_a_marker_in_the_scan_is_left_to_pillow(marker: int) -> None:
    data = encoded(photo(57, 101), "JPEG")
    middle = (data.index(b"\xff\xda") + len(data)) // 2
    assert ours(data[:middle] + bytes((0xFF, marker)) + data[middle:]) is None


def test_restart_markers_that_are_missing_are_left_to_pillow() -> None:
    data = encoded(photo(57, 101), "JPEG")
    start = data.index(b"\xff\xda")
    assert ours(data[:start] + struct.pack(">HHH", 0xFFDD, 4, 3) + data[start:]) is None
