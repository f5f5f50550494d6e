"""Which kind of JPEG a file is, is told from its frame header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.pictures import encoded, photo
from worker.images.jpeg_header import Frame, frame

PLAIN = encoded(photo(24, 16), "JPEG")
AT = PLAIN.index(b"\xff\xc0")


def with_frame(marker: int, bits: int = 8) -> bytes:
    return PLAIN[:AT] + bytes((0xFF, marker)) + PLAIN[AT + 2 : AT + 4] + bytes([bits]) + PLAIN[AT + 5 :]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (PLAIN, Frame(None, 8)),
        (encoded(photo(24, 16), "JPEG", progressive=True), Frame(None, 8)),
        (with_frame(0xC1, 12), Frame(None, 12)),
        (with_frame(0xC3), Frame("lossless", 8)),
        (with_frame(0xC5), Frame("hierarchical", 8)),
        (with_frame(0xC9), Frame("with arithmetic coding", 8)),
        (with_frame(0xCA), Frame("with arithmetic coding", 8)),
        (with_frame(0xF7), Frame("JPEG-LS", 8)),
        (PLAIN[:2] + b"\xff\xff\xff" + PLAIN[2:], Frame(None, 8)),
        (PLAIN[:2] + b"garbage" + PLAIN[2:], Frame(None, 8)),
        (PLAIN[:2] + b"\xff\xfe\0\x0c\xff\xc9\0\x11\x08\0\0\0\0\0" + PLAIN[2:], Frame(None, 8)),
        (PLAIN[:AT], None),
        (PLAIN[:AT] + b"\xff\xda" + PLAIN[AT:], None),
        (b"\xff\xd8", None),
        (b"", None),
    ],
)
def test_the_frame_header_is_found_behind_whatever_stands_before_it(data: bytes, found: Frame | None) -> None:
    assert frame(data) == found


@given(st.binary(max_size=80))
def test_any_bytes_have_a_frame_or_none(data: bytes) -> None:
    found = frame(b"\xff\xd8\xff" + data)
    assert found is None or 0 <= found.bits <= 255
