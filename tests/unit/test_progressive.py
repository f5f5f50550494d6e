"""Our own reader of progressive scans reads what libjpeg's reads, to the last bit; or leaves the file to others."""

import io
import random
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.unit.jpegs import (
    EVERY_AC,
    PROGRESSION,
    PROGRESSION_OF_GREY,
    Sampling,
    Scan,
    Table,
    jpeg,
    written,
)
from tests.unit.pictures import PHOTOS, encoded, photo
from worker.images import jpeg as decoder

pytestmark = pytest.mark.skipif(not decoder.is_built(), reason="the C code was not built here")

GREY: Sampling = ((1, 1),)
SAMPLINGS: dict[str, Sampling] = {
    "4:4:4": ((1, 1), (1, 1), (1, 1)),
    "4:2:2": ((2, 1), (1, 1), (1, 1)),
    "4:4:0": ((1, 2), (1, 1), (1, 1)),
    "4:2:0": ((2, 2), (1, 1), (1, 1)),
    "grey": GREY,
    "grey of 2x2": ((2, 2),),
}
WIDE, HIGH = 100, 77


def part_of(data: bytes, part: tuple[int, int, int, int] | None = None, divisor: int = 1) -> np.ndarray | None:
    """Return a part of the scaled picture as our code makes it, or None if it leaves the file to Pillow."""
    with Image.open(io.BytesIO(data)) as picture:
        size = picture.size
    part = part or (0, 0, *(-(-side // divisor) for side in size))
    found = decoder.decoded_region(data, size, divisor, part)
    if found is None:
        return None
    picture, left, top, _ = found
    pixels = np.asarray(picture if picture.mode == "L" else picture.convert("RGB"))
    return pixels[part[1] - top : part[3] - top, part[0] - left : part[2] - left]


def pillow_s(data: bytes, divisor: int = 1) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        picture.draft(None, (picture.width // divisor, picture.height // divisor))
        return np.asarray(picture)


def assert_same(data: bytes) -> None:
    found = part_of(data)
    assert found is not None
    assert np.array_equal(found, pillow_s(data))


def assert_parts_are_parts(data: bytes, seed: int) -> None:
    """Two pixels from a part's edge take their colours from less than the whole; a cell looks at none of them."""
    whole, chance = pillow_s(data), random.Random(seed)
    high, wide = whole.shape[:2]
    for _ in range(6):
        left, right = sorted(chance.sample(range(wide + 1), 2))
        top, bottom = sorted(chance.sample(range(high + 1), 2))
        found = part_of(data, (left, top, right, bottom))
        assert found is not None
        inner = (slice(2 if top else 0, None), slice(2 if left else 0, -2 if right < wide else None))
        assert np.array_equal(found[inner], whole[top:bottom, left:right][inner])


# --- pictures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_photographs_are_the_same_to_the_bit(sampling: int) -> None:
    for path in PHOTOS[:6]:
        with Image.open(path) as picture:
            data = encoded(picture.convert("RGB"), "JPEG", quality=88, subsampling=sampling, progressive=True)
        assert_same(data)


@pytest.mark.parametrize("divisor", [1, 2, 4, 8])
@pytest.mark.parametrize("quality", [1, 30, 75, 95, 100])
def test_grey_pixels_are_the_same_to_the_bit_at_every_scale(quality: int, divisor: int) -> None:
    data = encoded(photo(WIDE, HIGH).convert("L"), "JPEG", quality=quality, progressive=True)
    found = part_of(data, divisor=divisor)
    assert found is not None
    assert np.array_equal(found, pillow_s(data, divisor))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_any_part_is_that_part_of_the_whole(sampling: str) -> None:
    scans = PROGRESSION if len(SAMPLINGS[sampling]) > 1 else PROGRESSION_OF_GREY
    for seed in range(3):
        assert_parts_are_parts(jpeg(photo(WIDE, HIGH, seed), SAMPLINGS[sampling], scans=scans), seed)


# --- scans, bit by bit -------------------------------------------------------------------------------------------


def scans_of(planes: int, chance: random.Random) -> tuple[Scan, ...]:
    """Return any progression: bands of any width, each in first bits and then one more bit a scan, in any order."""
    everything = tuple(range(planes))
    lines = [list(refined(everything, 0, 0, chance))] if chance.random() < 0.7 else []
    lines = lines or [list(refined((plane,), 0, 0, chance)) for plane in everything]
    for plane in everything:
        edges = sorted(chance.sample(range(2, 64), chance.randrange(4)))
        bands = zip([1, *edges], [*edges, 64], strict=True)
        lines += [list(refined((plane,), first, behind - 1, chance)) for first, behind in bands]
    return tuple(in_any_order(lines, planes, chance))


def refined(components: tuple[int, ...], first: int, last: int, chance: random.Random) -> Iterator[Scan]:
    low = chance.randrange(4)
    yield Scan(components, first, last, 0, low)
    for high in range(low, 0, -1):
        yield Scan(components, first, last, high, high - 1)


def in_any_order(lines: list[list[Scan]], planes: int, chance: random.Random) -> Iterator[Scan]:
    """Take from the lines by chance; but every component's DC comes before its ACs."""
    begun: set[int] = set()
    while any(lines):
        line = chance.choice([line for line in lines if line])
        if line[0].first == 0:
            begun |= set(line[0].components)
        elif not begun.issuperset(line[0].components):
            continue
        yield line.pop(0)
    assert len(begun) == planes


def table(seed: int) -> Table:
    """Return a table with codes of all lengths for all symbols, in any order."""
    chance = random.Random(seed)
    symbols = bytearray(EVERY_AC[1])
    chance.shuffle(symbols)
    lengths = [0]
    while len(lengths) <= len(symbols):
        at = chance.choice((len(lengths) - 1, chance.randrange(len(lengths))))
        if lengths[at] < 16:
            lengths[at:at] = [length := lengths.pop(at) + 1, length]
    lengths = sorted(lengths)[:-1]  # the last code would be all ones, which is none
    return bytes(lengths.count(length) for length in range(1, 17)), bytes(symbols)


def blocks(rows: int, columns: int, chance: np.random.Generator) -> np.ndarray:
    """Return coefficients, of which most are small or 0, and whole runs of blocks without any AC."""
    values = chance.laplace(0, chance.choice([0.1, 1, 8, 100]), (rows, columns, 64)).round().astype(int)
    values[chance.random(values.shape[:2]) < chance.choice([0, 0.5, 0.99]), 1:] = 0
    return values.clip(-1023, 1023)


@settings(max_examples=60)
@given(st.sampled_from(sorted(SAMPLINGS)), st.integers(0, 2**32))
def test_any_blocks_in_any_scans_and_codes_are_the_same_to_the_bit(name: str, seed: int) -> None:
    sampling, chance, numbers = SAMPLINGS[name], random.Random(seed), np.random.default_rng(seed)
    across, down = max(h for h, _ in sampling), max(v for _, v in sampling)
    wide, high = chance.randint(1, 90), chance.randint(1, 90)
    planes = [blocks(-(-high // (8 * down)) * v, -(-wide // (8 * across)) * h, numbers) for h, v in sampling]
    codes = EVERY_AC if chance.random() < 0.5 else table(seed)
    data = written(planes, (wide, high), sampling, scans=scans_of(len(sampling), chance), step=1, ac=codes)
    assert_same(data)
    assert_parts_are_parts(data, seed)


def test_a_run_of_as_many_blocks_as_there_can_be_is_one() -> None:
    """32,767 blocks end at once; then the next run begins."""
    size = (8 * 200, 8 * 200)
    plane = np.zeros((200, 200, 64), int)
    plane[0, 0, 5] = plane[170, 100, 63] = plane[199, 199, 1] = 7
    assert_same(written([plane], size, GREY, scans=PROGRESSION_OF_GREY))


# --- what is odd -------------------------------------------------------------------------------------------------

PLAIN = jpeg(photo(WIDE, HIGH), SAMPLINGS["4:2:0"], scans=PROGRESSION)


def scan_starts(data: bytes | bytearray) -> list[int]:
    return [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]


def test_a_plain_file_is_taken() -> None:
    assert len(scan_starts(PLAIN)) == len(PROGRESSION)
    assert_same(PLAIN)


@pytest.mark.parametrize("missing", range(len(PROGRESSION)))
def test_a_file_without_one_of_its_scans_is_left_to_pillow(missing: int) -> None:
    """libjpeg smooths what lacks bits of its low coefficients, and warns of bits that have none before them."""
    scans = tuple(scan for number, scan in enumerate(PROGRESSION) if number != missing)
    assert part_of(jpeg(photo(WIDE, HIGH), SAMPLINGS["4:2:0"], scans=scans)) is None


def test_a_file_that_never_had_high_coefficients_is_taken() -> None:
    low = (*PROGRESSION_OF_GREY[:1], Scan((0,), 1, 9, 0, 0), Scan((0,), 0, 0, 1, 0))
    assert_same(jpeg(photo(WIDE, HIGH), GREY, scans=low))


@pytest.mark.parametrize("last", [1, 5, 62])
def test_a_coefficient_beyond_its_band_is_left_to_pillow(last: int) -> None:
    scans = (Scan((0,), 0, 0, 0, 0), Scan((0,), 1, 63, 0, 0))
    data = bytearray(jpeg(photo(WIDE, HIGH), GREY, scans=scans))
    data[data.index(bytes((1, 63, 0)), scan_starts(data)[1]) + 1] = last
    assert part_of(bytes(data)) is None


@pytest.mark.parametrize("marker", [0x01, 0x42, 0xD0, 0xD7, 0xDA])
@pytest.mark.parametrize("scan", range(len(PROGRESSION)))
def test_a_marker_in_a_scan_is_left_to_pillow(scan: int, marker: int) -> None:
    at = scan_starts(PLAIN)[scan] + 30
    assert part_of(PLAIN[:at] + bytes((0xFF, marker)) + PLAIN[at:]) is None


def test_restart_markers_are_left_to_pillow() -> None:
    start = scan_starts(PLAIN)[0]
    assert part_of(PLAIN[:start] + struct.pack(">HHH", 0xFFDD, 4, 3) + PLAIN[start:]) is None


@pytest.mark.parametrize("scan", range(len(PROGRESSION)))
def test_a_scan_that_ends_early_is_left_to_pillow(scan: int) -> None:
    starts = [*scan_starts(PLAIN), len(PLAIN) - 2]
    for missing in (2, 9):
        assert part_of(PLAIN[: starts[scan + 1] - missing] + PLAIN[starts[scan + 1] :]) is None


@pytest.mark.parametrize("scan", range(len(PROGRESSION)))
def test_a_scan_whose_shown_part_is_there_needs_no_more(scan: int) -> None:
    """As of a baseline file, what lies below the part that is shown is not read."""
    starts = [*scan_starts(PLAIN), len(PLAIN) - 2]
    short = PLAIN[: starts[scan + 1] - 3] + PLAIN[starts[scan + 1] :]
    found, whole = part_of(short, (0, 0, WIDE, 20)), part_of(PLAIN, (0, 0, WIDE, 20))
    assert found is not None
    assert np.array_equal(found, whole)


def test_tables_that_a_scan_names_and_does_not_use_need_not_be_there() -> None:
    """One more bit of DCs comes without codes, so that libjpeg does not look which table is named for them."""
    at = scan_starts(PLAIN)[6]
    assert PLAIN[at : at + 14] == bytes.fromhex("ffda000c 03 0100 0200 0300 000010")
    assert_same(PLAIN[: at + 5] + bytes.fromhex("01ff 02ff 03ff") + PLAIN[at + 11 :])


def test_bytes_between_scans_are_passed() -> None:
    starts = [*scan_starts(PLAIN), len(PLAIN) - 2]
    for at in starts[1:]:
        assert_same(PLAIN[:at] + b"\xff\xfe\0\x06note" + b"\xff\xff" + PLAIN[at:])


@pytest.mark.parametrize("plane", range(3))
def test_first_bits_that_are_there_already_are_read_as_libjpeg_reads_them(plane: int) -> None:
    """They overwrite where they have something, and leave the rest; libjpeg warns of none of it."""
    sampling = SAMPLINGS["4:2:0"]
    begun = (Scan((0, 1, 2), 0, 0, 0, 0), *(Scan((each,), 1, 63, 0, 0) for each in range(3)))
    again = Scan((plane,), 1, 63, 0, 0)
    other, twice = (jpeg(photo(WIDE, HIGH, 9), sampling, scans=scans) for scans in (begun, (*begun, again)))
    data = jpeg(photo(WIDE, HIGH), sampling, scans=begun)[:-2] + twice[len(other) - 2 :]
    assert data.count(b"\xff\xda") == len(begun) + 1
    assert_same(data)


def test_a_bit_that_is_set_already_is_not_added_again() -> None:
    """Bits of coefficients that have them: the scan between says that they have one bit less, and changes none."""
    numbers = np.random.default_rng(1)
    shape = (-(-HIGH // 8), -(-WIDE // 8), 64)
    sign = numbers.integers(-1, 2, shape)
    plane, nothing, bits = sign * numbers.integers(1, 40, shape), sign * 0, sign * numbers.integers(2, 4, shape)
    begun = written([plane], (WIDE, HIGH), GREY, scans=(Scan((0,), 0, 0, 0, 0), Scan((0,), 1, 63, 0, 0)), step=1)
    for values, scan in ((nothing, Scan((0,), 1, 63, 0, 1)), (bits, Scan((0,), 1, 63, 1, 0))):
        alone = written([values], (WIDE, HIGH), GREY, scans=(scan,), step=1)
        begun = begun[:-2] + alone[alone.index(b"\xff\xda") :]
    assert_same(begun)
