"""The first frame of a GIF. Pure; it decodes nothing.

Whatever stands before and behind the frame is left out before Pillow sees it: comments of megabytes and thousands of
frames then cost nothing. The GIF89a specification is the standard.
"""

import struct
from dataclasses import dataclass

from worker.images.geometry import Size

_EXTENSION, _IMAGE, _CONTROL = 0x21, 0x2C, 0xF9


@dataclass(frozen=True, slots=True)
class Gif:
    """What a file shows first. `size` is that of the canvas, `frame` where the picture lies on it."""

    size: Size
    frame: tuple[int, int, int, int]
    is_interlaced: bool
    palette: bytes
    transparency: int | None
    code_size: int
    data: bytes
    """The codes, in their blocks, without the empty one at the end."""

    def plain_file(self) -> bytes:
        """Return a file of the frame alone, as large as it is, opaque."""
        width, height = self.frame[2] - self.frame[0], self.frame[3] - self.frame[1]
        bits = (len(self.palette) // 3 - 1).bit_length() if self.palette else 0
        flags = 0x80 | bits - 1 if bits else 0
        parts = [b"GIF89a", struct.pack("<HHBBB", width, height, flags, 0, 0), self.palette.ljust(3 << bits, b"\0")]
        if not bits:
            parts.pop()
        parts.append(struct.pack("<BHHHHBB", _IMAGE, 0, 0, width, height, self.is_interlaced << 6, self.code_size))
        return b"".join((*parts, self.data, b"\0;"))


def read(data: bytes) -> Gif:
    """Return the first frame. Raises `ValueError` where there is none."""
    if len(data) < 13:
        raise ValueError("its header cannot be read")
    size, flags, at = struct.unpack_from("<HH", data, 6), data[10], 13
    colours, at = _palette(data, flags, at)
    transparency = None
    while at + 2 < len(data) and data[at] in (_EXTENSION, 0):
        if data[at] == 0:  # some writers leave one too many
            at += 1
            continue
        end = _end_of_blocks(data, at + 2)
        control = data[at + 3 : at + 7]
        if data[at + 1] == _CONTROL and data[at + 2] == len(control) == 4:
            transparency = control[3] if control[0] & 1 else None
        at = end + 1
    if at + 11 > len(data) or data[at] != _IMAGE:
        raise ValueError("it has no picture")
    left, top, width, height, flags = struct.unpack_from("<HHHHB", data, at + 1)
    own_colours, at = _palette(data, flags, at + 10)
    if at >= len(data):
        raise ValueError("its picture has not begun")
    codes = data[at + 1 : _end_of_blocks(data, at + 1)]
    canvas = _grown(size, left + width, top + height)
    frame = left, top, left + width, top + height
    return Gif(canvas, frame, bool(flags & 0x40), own_colours or colours, transparency, data[at], codes)


def _grown(size: Size, right: int, bottom: int) -> Size:
    """Return the canvas, which browsers make as large as its first frame."""
    return max(size[0], right), max(size[1], bottom)


def _palette(data: bytes, flags: int, at: int) -> tuple[bytes, int]:
    """Return a table of colours where the flags announce one, and where it ends."""
    end = at + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    return data[at:end], end


def _end_of_blocks(data: bytes, at: int) -> int:
    """Return where the blocks that begin here end: at an empty one, or where the file does."""
    while at < len(data) and (length := data[at]):
        at += 1 + length
    return min(at, len(data))
