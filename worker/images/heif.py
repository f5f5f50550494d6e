"""What a HEIC or AVIF file shows: which coded pictures, put together and turned how, in which colours.

A file is a container of items (ISO/IEC 23008-12): one coded picture or a grid of tiles, and often an alpha picture.
`irot` and `imir` orient it; EXIF repeats what they say, and is ignored. This module is pure and decodes nothing:
`heif_decoding.py` does. docs/decisions/heif.md tells why the container is read here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from worker.images import hevc
from worker.images.boxes import BrokenBox, Cursor, Meta, read_meta
from worker.images.geometry import UPRIGHT, Box, Size

MOST_TILES = 4096
"""A phone's picture of 50 megapixels has about 200."""

_SHOWABLE = frozenset(
    {b"hvcC", b"av1C", b"ispe", b"pixi", b"colr", b"irot", b"imir", b"clap", b"auxC", b"pasp", b"a1op", b"lsel"}
)
"""Properties that are known here; a picture with an essential one beyond them must not be shown (6.5.1). `a1op` and
`lsel` choose among layers of a picture: what is shown is the best."""

_ALPHA = (b"urn:mpeg:hevc:2015:auxid:1\0", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")

_TURNED = {0: UPRIGHT, 1: 8, 2: 3, 3: 6}
"""Quarter turns against the clock (6.5.10) → EXIF orientation."""

_MIRRORED = {0: 4, 1: 2}
"""Which sides are exchanged, top and bottom or left and right (6.5.12) → EXIF orientation."""

_CORNERS = {1: "abcd", 2: "badc", 3: "cdab", 4: "dcba", 5: "adcb", 6: "dabc", 7: "cbad", 8: "bcda"}
"""EXIF orientation → where the corners of the stored picture (clockwise from the upper left one) are shown."""


class UnsupportedHeif(ValueError):
    """The file is sound and shows something that cannot be shown here."""


@dataclass(frozen=True, slots=True)
class Colours:
    """Code points of ITU-T H.273; 2 is unspecified."""

    primaries: int
    transfer: int
    matrix: int
    full_range: bool


@dataclass(frozen=True, slots=True)
class Coded:
    """A picture as it is stored: tiles of one size, row by row, of which the last ones may overhang."""

    codec: str
    """HEVC or AV1."""
    size: Size
    tile: Size
    columns: int
    items: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HeifPicture:
    """What a file shows. `region` is what is shown of the stored picture, `orientation` as EXIF would have it."""

    meta: Meta
    colour: Coded
    alpha: Coded | None
    is_premultiplied: bool
    region: Box
    orientation: int
    profile: bytes | None
    colours: Colours | None

    @property
    def size(self) -> Size:
        """Width and height of the part that is shown, before it is turned upright."""
        return self.region[2] - self.region[0], self.region[3] - self.region[1]


def read(data: bytes) -> HeifPicture:
    """Return what the file shows. Raises `BrokenBox`, or `UnsupportedHeif` with what was found."""
    meta = read_meta(memoryview(data))
    shown = meta.primary
    colour = _coded(meta, shown)
    alpha = _alpha_of(meta, shown)
    tagged = [(bytes(box[:4]), box[4:]) for kind, box in _properties(meta, shown) if kind == b"colr"]
    return HeifPicture(
        meta,
        colour,
        _coded(meta, alpha) if alpha else None,
        is_premultiplied=bool(alpha) and alpha in meta.referred(b"prem", shown),
        region=_region(meta, shown, colour),
        orientation=_orientation(meta, shown),
        profile=next((bytes(box) for kind, box in tagged if kind in (b"prof", b"rICC")), None),
        colours=next((_colours(box) for kind, box in tagged if kind == b"nclx"), None),
    )


def stream(meta: Meta, codec: str, item: int, most_pixels: int) -> bytes:
    """Return the coded picture as its decoder takes it.

    Raises `BrokenBox` where bytes are missing, or where an HEVC picture has more than `most_pixels`.
    """
    content = meta.content(item)
    if codec == "AV1":
        return content
    record = Cursor(_property(meta, item, b"hvcC"))
    record.take(21)
    length_size = (record.number(1) & 3) + 1
    units = []
    for _ in range(record.number(1)):  # kinds of parameter sets; ISO/IEC 14496-15, 8.3.3.1
        record.take(1)
        units += [record.take(record.number(2)) for _ in range(record.number(2))]
    units += hevc.units(memoryview(content), length_size)
    units = [unit for unit in units if hevc.is_base_layer(unit)]
    for width, height in filter(None, map(hevc.picture_size, units)):
        if width * height > most_pixels:
            raise BrokenBox(f"its coded picture has {width} x {height} px, more than its description says")
    return b"".join(b"\0\0\1" + unit for unit in units)


def _properties(meta: Meta, item: int) -> Iterator[tuple[bytes, memoryview]]:
    return ((kind, content) for kind, content, _ in meta.items[item].properties)


def _property(meta: Meta, item: int, kind: bytes) -> memoryview:
    found = next((content for name, content in _properties(meta, item) if name == kind), None)
    if found is None:
        raise BrokenBox(f"a picture has no {kind.decode()} box")
    return found


def _coded(meta: Meta, item: int) -> Coded:
    found = meta.items[item]
    unknown = [kind for kind, _, is_essential in found.properties if is_essential and kind not in _SHOWABLE]
    if unknown:
        raise UnsupportedHeif(f"a picture with the property {_name(unknown[0])}")
    if found.kind == b"grid":
        return _grid(meta, item)
    codec = {b"hvc1": "HEVC", b"av01": "AV1"}.get(found.kind)
    if codec is None:
        raise UnsupportedHeif(f"a picture of the kind {_name(found.kind)}")
    size = _extent(meta, item)
    return Coded(codec, size, size, 1, (item,))


def _grid(meta: Meta, item: int) -> Coded:
    """Read the description of a grid; 6.6.2.3."""
    cursor = Cursor(memoryview(meta.content(item)))
    cursor.take(1)
    side = 4 if cursor.number(1) & 1 else 2
    rows, columns = cursor.number(1) + 1, cursor.number(1) + 1
    size = cursor.number(side), cursor.number(side)
    tiles = meta.referred(b"dimg", item)
    if len(tiles) != rows * columns or len(tiles) > MOST_TILES or any(tile not in meta.items for tile in tiles):
        raise BrokenBox(f"a grid of {columns} x {rows} tiles has {len(tiles)}")
    first = _tile(meta, tiles[0])
    width, height = first.size
    if not (0 < size[0] <= columns * width and 0 < size[1] <= rows * height):
        raise BrokenBox(f"a grid of {columns} x {rows} tiles does not fill {size[0]} x {size[1]} px")
    if any(_tile(meta, tile).size != first.size for tile in set(tiles)):
        raise BrokenBox("the tiles of a grid differ in size")
    return Coded(first.codec, size, first.size, columns, tiles)


def _tile(meta: Meta, item: int) -> Coded:
    if meta.items[item].kind == b"grid":
        raise UnsupportedHeif("a grid of grids")
    return _coded(meta, item)


def _extent(meta: Meta, item: int) -> Size:
    cursor = Cursor(_property(meta, item, b"ispe"))
    cursor.version_and_flags()
    size = cursor.number(4), cursor.number(4)
    if 0 in size:
        raise BrokenBox("a picture has no pixels")
    return size


def _alpha_of(meta: Meta, item: int) -> int | None:
    """Return the item that holds the picture's alpha; 6.4.3 and 6.5.8."""
    for kind, start, to in meta.references:
        if kind == b"auxl" and item in to and start in meta.items:
            told = (bytes(content[4:]) for name, content in _properties(meta, start) if name == b"auxC")
            if any(text.startswith(_ALPHA) for text in told):
                return start
    return None


def _region(meta: Meta, item: int, coded: Coded) -> Box:
    """Return what the clean aperture leaves of the picture, all of it where there is none; ISO/IEC 14496-12, 12.1.4.

    Browsers show an AVIF whole where the aperture begins anywhere but in its upper left corner.
    """
    size = coded.size
    aperture = next((content for kind, content in _properties(meta, item) if kind == b"clap"), None)
    if aperture is None:
        return 0, 0, *size
    cursor = Cursor(aperture)
    numbers = [int.from_bytes(cursor.take(4), signed=index in (4, 6)) for index in range(8)]
    if 0 in numbers[1::2]:
        return 0, 0, *size
    width, height, right_of_centre, below_centre = map(Fraction, numbers[::2], numbers[1::2])
    left, top = (size[0] - width) / 2 + right_of_centre, (size[1] - height) / 2 + below_centre
    region = int(left), int(top), int(left + width), int(top + height)
    is_sound = 0 <= region[0] < region[2] <= size[0] and 0 <= region[1] < region[3] <= size[1]
    return region if is_sound and (coded.codec == "HEVC" or region[:2] == (0, 0)) else (0, 0, *size)


def _orientation(meta: Meta, item: int) -> int:
    """Return what all turns and mirrors come to, one after the other, as an EXIF orientation."""
    orientation = UPRIGHT
    for kind, content in _properties(meta, item):
        if kind == b"irot":
            orientation = _combined(orientation, _TURNED[Cursor(content).number(1) & 3])
        elif kind == b"imir":
            orientation = _combined(orientation, _MIRRORED[Cursor(content).number(1) & 1])
    return orientation


def _combined(first: int, then: int) -> int:
    corners = "".join(_CORNERS[first]["abcd".index(corner)] for corner in _CORNERS[then])
    return next(orientation for orientation, found in _CORNERS.items() if found == corners)


def _colours(box: memoryview) -> Colours:
    cursor = Cursor(box)
    return Colours(cursor.number(2), cursor.number(2), cursor.number(2), bool(cursor.number(1) >> 7))


def _name(kind: bytes) -> str:
    return repr(kind.decode("ascii", "replace"))
