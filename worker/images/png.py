"""What of a PNG is shown: its critical chunks, and those ancillary ones that change pixels. Pure but for zlib.

Whatever else is in a file, texts and times above all, is left out before Pillow sees it: a broken or a large one then
costs nothing and harms nothing, as in browsers. PNG specification, third edition, is the standard.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from worker.images.geometry import Size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PROFILE_BYTES = 1 << 20

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type → samples of a pixel."""


@dataclass(slots=True)
class Png:
    """What a file shows. `size` is that of the canvas, `frame` where the picture lies on it."""

    size: Size
    frame: tuple[int, int, int, int]
    header: bytes
    palette: bytes | None = None
    transparency: bytes | None = None
    profile: bytes | None = None
    is_srgb: bool = False
    gamma: float | None = None
    chromaticities: tuple[tuple[float, float], ...] | None = None
    """Of red, green, blue and white."""
    cicp: bytes | None = None
    """Colours by number: primaries, transfer, matrix, range; ITU-T H.273."""
    exif: bytes | None = None
    data: list[memoryview] = field(default_factory=list)

    @property
    def colour_type(self) -> int:
        """0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA."""
        return self.header[9]

    @property
    def bits(self) -> int:
        """How many a sample has."""
        return self.header[8]

    def plain_file(self) -> bytes:
        """Return a file of the picture alone, as Pillow reads it right."""
        width, height = self.frame[2] - self.frame[0], self.frame[3] - self.frame[1]
        parts = [SIGNATURE, _chunk(b"IHDR", struct.pack(">II", width, height) + self.header[8:13])]
        if self.palette is not None:
            parts.append(_chunk(b"PLTE", self.palette))
        if self.transparency is not None:
            parts.append(_chunk(b"tRNS", _as_pillow_reads_it(self.transparency, self.colour_type, self.bits)))
        pixels = b"".join(self.data)
        # Pillow never looks at the checksum of pixels, which have another one in them.
        parts += (struct.pack(">I", len(pixels)), b"IDAT", pixels, bytes(4), _chunk(b"IEND", b""))
        return b"".join(parts)


def read(data: bytes) -> Png:
    """Return what a file shows. Raises `ValueError` for one without a header that can be read."""
    chunks = _chunks(memoryview(data))
    kind, header, is_sound = next(chunks, (b"", memoryview(b""), False))
    if kind != b"IHDR" or len(header) != 13 or not is_sound:
        raise ValueError("its header cannot be read")
    size = struct.unpack(">II", header[:8])
    found = Png(size, (0, 0, *size), bytes(header))
    found.data = _pixel_data(found, chunks)
    return found


def _pixel_data(it: Png, chunks: Iterator[tuple[bytes, memoryview, bool]]) -> list[memoryview]:
    """Read on to the end of the pixels that are shown, and return their data.

    Of an animation whose frames are announced behind the default image, those are its first frame's.
    """
    is_animated, data = False, []
    for kind, content, is_sound in chunks:
        if kind == b"IDAT":
            data.append(content)
        elif data:
            break
        elif not is_sound:
            if kind == b"PLTE":
                raise ValueError("its palette is broken")
        elif kind == b"acTL" and len(content) == 8:
            is_animated = int.from_bytes(content[:4]) > 0
        elif kind == b"fcTL":
            is_animated = False  # the default image is the first frame
        else:
            _read_ancillary(it, kind, content)
    else:
        return data
    return (is_animated and _first_frame(it, kind, content, chunks)) or data


def _first_frame(
    it: Png, kind: bytes, content: memoryview, chunks: Iterator[tuple[bytes, memoryview, bool]]
) -> list[memoryview]:
    """Return the data of the frame that a control chunk announces, the given one or a later one; none if it is bad."""
    while kind not in (b"fcTL", b"IEND"):
        kind, content, _ = next(chunks, (b"IEND", memoryview(b""), True))
    frame = _frame(content, it.size) if kind == b"fcTL" and len(content) == 26 else None
    if frame is None:
        return []
    data = []
    for kind, content, _ in chunks:
        if kind == b"fdAT":
            data.append(content[4:])
        elif data:
            break
    if data:
        it.frame = frame
    return data


def _frame(control: memoryview, size: Size) -> tuple[int, int, int, int] | None:
    width, height, left, top = struct.unpack(">4I", control[4:20])
    is_sound = 0 < width <= size[0] - left and 0 < height <= size[1] - top
    return (left, top, left + width, top + height) if is_sound else None


def _read_ancillary(it: Png, kind: bytes, content: memoryview) -> None:
    if kind == b"PLTE":
        it.palette = bytes(content)
    elif kind == b"tRNS" and len(content) >= {0: 2, 2: 6, 3: 1}.get(it.colour_type, 1 << 32):
        it.transparency = bytes(content)
    elif kind == b"iCCP":
        it.profile = _profile(bytes(content))
    elif kind == b"sRGB":
        it.is_srgb = True
    elif kind == b"gAMA" and len(content) == 4:
        it.gamma = int.from_bytes(content) / 100_000 or None
    elif kind == b"cHRM" and len(content) == 32:
        white_x, white_y, *others = (value / 100_000 for value in struct.unpack(">8I", content))
        it.chromaticities = (*zip(others[::2], others[1::2], strict=True), (white_x, white_y))
    elif kind == b"cICP" and len(content) == 4:
        it.cicp = bytes(content)
    elif kind == b"eXIf":
        it.exif = bytes(content)


def _chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview, bool]]:
    """Give kind and content of each chunk, and whether its checksum is right; of the pixels' chunks it is not asked.

    The last one may be cut short: what is there of it is given.
    """
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4]), bytes(data[at + 4 : at + 8])
        content, check = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        has_pixels = kind in (b"IDAT", b"fdAT")
        is_sound = has_pixels or int.from_bytes(check) == zlib.crc32(content, zlib.crc32(kind))
        yield kind, content, is_sound and (has_pixels or len(content) == length)
        at += 12 + length


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)))


def _profile(content: bytes) -> bytes | None:
    """Return an embedded colour profile, None where it is broken or too large; 11.3.3.3."""
    name_end = content.find(b"\0", 0, 80)
    if name_end < 0 or content[name_end + 1 : name_end + 2] != b"\0":
        return None
    try:
        return zlib.decompressobj().decompress(content[name_end + 2 :], MAX_PROFILE_BYTES)
    except zlib.error:
        return None


def _as_pillow_reads_it(transparency: bytes, colour_type: int, bits: int) -> bytes:
    """Return the transparent colour in levels of Pillow's pixels: it takes those of 2, 4 and 16 bits for others."""
    if colour_type == 3 or bits in (1, 8):
        return transparency
    samples = struct.unpack(f">{_CHANNELS[colour_type]}H", transparency[: 2 * _CHANNELS[colour_type]])
    most = (1 << bits) - 1
    if colour_type == 0 and bits == 16:
        return transparency[:2]
    return struct.pack(f">{len(samples)}H", *((sample & most) * 255 // most for sample in samples))
