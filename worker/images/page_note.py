"""A note within a page's file that tells which images are on it: so whoever finds the page later can tell, too.

It stands where each format keeps what is no picture: a comment of a JPEG, a text of a PNG, the XMP of a WebP. It holds
facts of the images alone, so the same images give the same bytes.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

_NAME = b"collage-images\0"
_SOI, _APP0, _COM = b"\xff\xd8", b"\xff\xe0", b"\xff\xfe"
_PNG_HEAD = 33
"""Bytes of a PNG before anything else may stand: its signature and its first chunk."""
_ZLIB = b"\0"
"""How a PNG says that a text is compressed by zlib."""
_HAS_XMP = 0x04


@dataclass(frozen=True, slots=True)
class NotedImage:
    """One image of a page: which of its creator's rows it is of, from 0, and what is told of its file."""

    row: int
    format: str
    width: int
    height: int
    size: int
    fingerprint: str


def noted(page: bytes, size: tuple[int, int], images: Sequence[NotedImage]) -> bytes:
    """Return a page's file with a note of its images, in their order. `size` is its width and height in pixels."""
    text = json.dumps([astuple(image) for image in images], separators=(",", ":")).encode()
    packed = zlib.compress(text, 1)
    note = _NAME + packed
    if page.startswith(_SOI):
        at = 4 + int.from_bytes(page[4:6]) if page[2:4] == _APP0 else 2  # JFIF's own segment comes first
        return page[:at] + _COM + struct.pack(">H", len(note) + 2) + note + page[at:]
    if page.startswith(b"\x89PNG"):
        text = b"zTXt" + _NAME + _ZLIB + packed
        chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
        return page[:_PNG_HEAD] + chunk + page[_PNG_HEAD:]
    picture = page[12:]
    head = struct.pack("<4sIB3x", b"VP8X", 10, _HAS_XMP) + b"".join((n - 1).to_bytes(3, "little") for n in size)
    xmp = struct.pack("<4sI", b"XMP ", len(note)) + note + b"\0" * (len(note) % 2)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(head) + len(picture) + len(xmp), b"WEBP") + head + picture + xmp


def note_of(page: bytes) -> list[NotedImage] | None:
    """Return what `noted` wrote into a page's file; None where there is no such note."""
    for content in _comments(page):
        if content.startswith(_NAME):
            try:
                told = json.loads(zlib.decompress(content[len(_NAME) :]))
                return [NotedImage(*image) for image in told]
            except (ValueError, TypeError, zlib.error):
                return None
    return None


def _comments(page: bytes) -> Iterator[bytes]:
    if page.startswith(_SOI):
        at = 2
        while page[at : at + 1] == b"\xff" and page[at + 1 : at + 2] not in {b"\xda", b"\xd9", b""}:
            length = int.from_bytes(page[at + 2 : at + 4])
            if page[at : at + 2] == _COM:
                yield page[at + 4 : at + 2 + length]
            at += 2 + max(length, 2)
    elif page.startswith(b"\x89PNG"):
        length = int.from_bytes(page[_PNG_HEAD : _PNG_HEAD + 4])
        if page[_PNG_HEAD + 4 : _PNG_HEAD + 8] == b"zTXt":
            yield page[_PNG_HEAD + 8 : _PNG_HEAD + 8 + length].replace(_NAME + _ZLIB, _NAME, 1)
    elif page.startswith(b"RIFF"):
        at = 12
        while at + 8 <= len(page):
            length = int.from_bytes(page[at + 4 : at + 8], "little")
            if page[at : at + 4] == b"XMP ":
                yield page[at + 8 : at + 8 + length]
            at += 8 + length + length % 2
