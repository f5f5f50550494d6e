"""The units of an HEVC stream (ITU-T H.265), as far as the size of its pictures goes. Pure.

libde265 takes memory for whatever size a stream names, so that is looked at before.
"""

from collections.abc import Iterator

from worker.images.boxes import BrokenBox, Cursor
from worker.images.geometry import Size

_SEQUENCE_PARAMETERS = 33
_MOST_SIDE = 1 << 16


def units(content: memoryview, length_size: int) -> Iterator[memoryview]:
    """Give the units of an item, each of which follows its length; ISO/IEC 14496-15, 4.3.3."""
    cursor = Cursor(content)
    while cursor.rest:
        yield cursor.take(cursor.number(length_size))


def is_base_layer(unit: memoryview) -> bool:
    """Tell whether a unit belongs to the picture itself, and not to depth or a second view; 7.3.1.2."""
    return len(unit) > 2 and not unit[0] & 1 and not unit[1] >> 3


def picture_size(unit: memoryview) -> Size | None:
    """Return the size in px that a unit names for the pictures to come, None for a unit that names none; 7.3.2.2.

    Raises `BrokenBox` where it cannot be read.
    """
    if unit[0] >> 1 & 63 != _SEQUENCE_PARAMETERS:
        return None
    bits = _Bits(_without_escapes(bytes(unit[2:1024])))
    bits.number(4)
    sub_layers = bits.number(3)
    bits.number(1)
    _skip_profile(bits, sub_layers)
    bits.exponential()
    if bits.exponential() == 3:  # chroma as large as luma
        bits.number(1)
    width, height = bits.exponential(), bits.exponential()
    if not (0 < width <= _MOST_SIDE and 0 < height <= _MOST_SIDE):
        raise BrokenBox(f"a coded picture of {width} x {height} px cannot be")
    return width, height


def _skip_profile(bits: "_Bits", sub_layers: int) -> None:
    """Pass over profile, tier and level; 7.3.3."""
    bits.number(88 + 8)
    told = [(bits.number(1), bits.number(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.number(2 * (8 - sub_layers))
    for has_profile, has_level in told:
        bits.number(88 * has_profile + 8 * has_level)


def _without_escapes(data: bytes) -> bytes:
    """Take out the bytes that keep a unit free of start codes; 7.3.1.1."""
    return data.replace(b"\0\0\3", b"\0\0")


class _Bits:
    """Reads bits from the highest one down."""

    def __init__(self, data: bytes) -> None:
        self._left = 8 * len(data)
        self._value = int.from_bytes(data)

    def number(self, count: int) -> int:
        """Return the next `count` bits."""
        if count > self._left:
            raise BrokenBox("a coded picture's parameters end early")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def exponential(self) -> int:
        """Return the next Exp-Golomb code; 9.2."""
        zeros = 0
        while not self.number(1):
            zeros += 1
        return (1 << zeros) - 1 + self.number(zeros)
