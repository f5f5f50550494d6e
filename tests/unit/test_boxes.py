"""The boxes of HEIC and AVIF files are read, and a broken file is a broken file and nothing worse."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.heifs import Item, box, full_box, grid, irot, ispe, written
from worker.images.boxes import BrokenBox, Cursor, boxes, read_meta

ITEMS = {
    1: Item(b"grid", grid(1, 2, 100, 50), [ispe(100, 50), irot(1)]),
    2: Item(b"hvc1", b"first tile", [ispe(64, 64)]),
    3: Item(b"hvc1", b"second tile", [ispe(64, 64)]),
}
REFERENCES = [(b"dimg", 1, [2, 3])]
FILE = written(ITEMS, references=REFERENCES)


@pytest.mark.parametrize("wide", [False, True])
def test_items_have_their_bytes_properties_and_references(wide: bool) -> None:
    meta = read_meta(memoryview(written(ITEMS, references=REFERENCES, wide=wide)))
    assert meta.primary == 1
    assert {number: (item.kind, meta.content(number)) for number, item in meta.items.items()} == {
        number: (item.kind, item.data) for number, item in ITEMS.items()
    }
    assert [(kind, bytes(content), essential) for kind, content, essential in meta.items[1].properties] == [
        (*ispe(100, 50), False),
        (*irot(1), True),
    ]
    assert meta.referred(b"dimg", 1) == (2, 3)
    assert meta.referred(b"dimg", 2) == ()


def test_a_box_of_unknown_length_goes_to_the_end() -> None:
    assert [bytes(content) for _, content in boxes(memoryview(struct.pack(">I4s", 0, b"mdat") + b"rest"))] == [b"rest"]


def test_a_box_may_have_a_long_size() -> None:
    data = struct.pack(">I4sQ", 1, b"mdat", 20) + b"rest" + box(b"free")
    assert [(kind, bytes(content)) for kind, content in boxes(memoryview(data))] == [(b"mdat", b"rest"), (b"free", b"")]


@pytest.mark.parametrize("data", [struct.pack(">I4s", 7, b"free"), struct.pack(">I4sQ", 1, b"free", 15)])
def test_a_box_that_is_smaller_than_its_header_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenBox, match="free"):
        list(boxes(memoryview(data)))


def test_the_bytes_of_an_item_that_a_cut_file_does_not_hold_are_missed_when_they_are_asked_for() -> None:
    meta = read_meta(memoryview(FILE[:-1]))
    assert meta.content(2) == b"first tile"
    with pytest.raises(BrokenBox, match="the file ends at byte"):
        meta.content(3)


def test_an_item_in_another_file_or_in_another_item_is_not_read() -> None:
    located = full_box(b"iloc", 1, b"\x44\0", struct.pack(">HHHHHII", 1, 1, 2, 0, 1, 0, 4))
    item = full_box(b"infe", 2, struct.pack(">HH4s", 1, 0, b"hvc1"), b"\0")
    data = full_box(
        b"meta", 0, full_box(b"pitm", 0, b"\0\1"), full_box(b"iinf", 0, b"\0\1", item), located, box(b"idat", b"data")
    )
    with pytest.raises(BrokenBox):
        read_meta(memoryview(data)).content(1)


def test_an_item_may_lie_in_the_description_itself() -> None:
    located = full_box(b"iloc", 1, b"\x44\0", struct.pack(">HHHHHII", 1, 1, 1, 0, 1, 1, 2))
    item = full_box(b"infe", 2, struct.pack(">HH4s", 1, 0, b"grid"), b"\0")
    data = full_box(
        b"meta", 0, full_box(b"pitm", 0, b"\0\1"), full_box(b"iinf", 0, b"\0\1", item), located, box(b"idat", b"data")
    )
    assert read_meta(memoryview(data)).content(1) == b"at"


@pytest.mark.parametrize("data", [b"", box(b"ftyp", b"heic"), full_box(b"meta", 0)])
def test_a_file_that_describes_no_picture_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenBox):
        read_meta(memoryview(data))


@given(st.data())
def test_whatever_is_changed_in_a_file_it_is_read_or_broken(data: st.DataObject) -> None:
    changed = bytearray(FILE)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(FILE) - 1))] = data.draw(st.integers(0, 255))
    cut = memoryview(changed)[: data.draw(st.integers(0, len(FILE)))]
    try:
        meta = read_meta(cut)
        for number in meta.items:
            assert len(meta.content(number)) <= len(cut) * 2
    except BrokenBox:
        pass


def test_numbers_are_big_endian() -> None:
    cursor = Cursor(memoryview(b"\1\2\3"))
    assert (cursor.number(2), cursor.number(0), cursor.number(1)) == (0x0102, 0, 3)
    with pytest.raises(BrokenBox, match="1 bytes are wanted and 0 are left"):
        cursor.number(1)
