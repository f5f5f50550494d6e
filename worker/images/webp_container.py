"""What of a WebP is shown: its picture or, of an animation, the first frame; RFC 9649. Pure; it decodes nothing."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from worker.images.geometry import Size

_HEADER = 12
_PICTURES = frozenset({b"VP8 ", b"VP8L"})

_Frame = tuple[int, int, memoryview | None, bytes, memoryview]
"""Where it begins (left, top), its alpha, and the kind and the content of its picture."""


@dataclass(frozen=True, slots=True)
class WebP:
    """What a file shows. `size` is that of the canvas, `frame` where the picture lies on it."""

    size: Size
    frame: tuple[int, int, int, int]
    alpha: memoryview | None
    """Of a lossy picture; a lossless one has its own."""
    kind: bytes
    picture: memoryview
    profile: bytes | None
    exif: bytes | None

    def plain_file(self) -> bytes:
        """Return a file of the picture alone, whose lengths are those of what is there."""
        chunks = []
        if self.alpha is not None:
            width, height = self.frame[2] - self.frame[0], self.frame[3] - self.frame[1]
            sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
            chunks = [_chunk(b"VP8X", b"\x10\0\0\0" + sides), _chunk(b"ALPH", self.alpha)]
        body = b"".join((b"WEBP", *chunks, _chunk(self.kind, self.picture)))
        return b"RIFF" + struct.pack("<I", len(body)) + body


def read(data: bytes) -> WebP:
    """Return what a file shows. Raises `ValueError` for one whose header cannot be read."""
    canvas = profile = exif = None
    frame: _Frame | None = None
    alpha: memoryview | None = None
    for kind, content in _chunks(memoryview(data)[_HEADER:]):
        if kind == b"VP8X" and len(content) >= 10:
            canvas = _number(content[4:7]) + 1, _number(content[7:10]) + 1
        elif kind == b"ICCP":
            profile = bytes(content)
        elif kind == b"EXIF":
            exif = bytes(content)
        elif kind == b"ALPH" and frame is None:
            alpha = content
        elif kind in _PICTURES and frame is None:
            frame = 0, 0, alpha, kind, content
        elif kind == b"ANMF" and frame is None:
            frame = _first_frame(content)
    if frame is None:
        raise ValueError("it has no picture")
    left, top, alpha, kind, picture = frame
    width, height = _coded_size(kind, picture)
    canvas = canvas or (width, height)
    if left + width > canvas[0] or top + height > canvas[1]:
        raise ValueError("its picture does not lie on its canvas")
    return WebP(canvas, (left, top, left + width, top + height), alpha, kind, picture, profile, exif)


def _chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Give kind and content of each chunk; the last one may be cut short."""
    at = 0
    while at + 8 <= len(data):
        length = _number(data[at + 4 : at + 8])
        yield bytes(data[at : at + 4]), data[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


def _first_frame(content: memoryview) -> _Frame:
    left, top, alpha = 2 * _number(content[:3]), 2 * _number(content[3:6]), None
    for kind, inner in _chunks(content[16:]):
        if kind == b"ALPH":
            alpha = inner
        elif kind in _PICTURES:
            return left, top, alpha, kind, inner
    raise ValueError("its first frame has no picture")


def _coded_size(kind: bytes, picture: memoryview) -> Size:
    """Return width and height as the coded picture begins with them; RFC 6386, 9.1, and RFC 9649, 3.4."""
    if len(picture) < 10:
        raise ValueError("its picture ends before its size")
    if kind == b"VP8 ":
        return _number(picture[6:8]) & 0x3FFF, _number(picture[8:10]) & 0x3FFF
    bits = _number(picture[1:5])
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _number(data: memoryview) -> int:
    return int.from_bytes(data, "little")


def _chunk(kind: bytes, content: bytes | memoryview) -> bytes:
    return b"".join((kind, struct.pack("<I", len(content)), content, b"\0" * (len(content) & 1)))
