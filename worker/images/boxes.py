"""The boxes of an ISO base media file (ISO/IEC 14496-12), as far as HEIC and AVIF need them. Pure; it decodes nothing.

Every read is checked against the end of what is read, so that a file can be no worse than broken.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field


class BrokenBox(ValueError):
    """A box ends before what it says it holds."""


class Cursor:
    """Reads numbers and bytes one after the other."""

    def __init__(self, data: memoryview) -> None:
        self.rest = data

    def take(self, count: int) -> memoryview:
        """Return the next `count` bytes. Raises `BrokenBox` where there are fewer."""
        if count > len(self.rest):
            raise BrokenBox(f"a box ends early: {count} bytes are wanted and {len(self.rest)} are left")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def number(self, size: int) -> int:
        """Return the next `size` bytes as a big-endian number; 0 for no bytes."""
        return int.from_bytes(self.take(size))

    def version_and_flags(self) -> tuple[int, int]:
        """Return what a full box begins with; 4.2."""
        return self.number(1), self.number(3)


def boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Give kind and content of each box; 4.2. The last one may be cut short: what is there of it is given."""
    cursor = Cursor(data)
    while len(cursor.rest) >= 8:
        whole = len(cursor.rest)
        size, kind = cursor.number(4), bytes(cursor.take(4))
        if size == 1:
            size = cursor.number(8)
        content = whole if size == 0 else size
        content -= whole - len(cursor.rest)
        if content < 0:
            raise BrokenBox(f"the box {kind!r} says that it has {size} bytes")
        yield kind, cursor.take(min(content, len(cursor.rest)))


@dataclass(slots=True)
class Item:
    """One thing that a `meta` box holds: a coded picture, a grid of such, EXIF."""

    kind: bytes = b""
    extents: list[tuple[bool, int, int]] = field(default_factory=list)
    """Whether it is in `idat`, where, and how many bytes (0: to the end)."""
    is_readable: bool = True
    properties: list[tuple[bytes, memoryview, bool]] = field(default_factory=list)
    """Kind, content, and whether nobody may show the item without knowing that kind."""


@dataclass(slots=True)
class Meta:
    """The items of a file, and how they refer to one another."""

    primary: int
    items: dict[int, Item]
    references: list[tuple[bytes, int, tuple[int, ...]]]
    """Kind, from which item, to which ones."""
    idat: memoryview
    file: memoryview

    def content(self, number: int) -> bytes:
        """Return the bytes of an item. Raises `BrokenBox` where the file does not hold all of them."""
        item = self.items[number]
        if not item.extents or not item.is_readable:
            raise BrokenBox("a picture's bytes are not in the file")
        parts = []
        for in_idat, offset, length in item.extents:
            held = self.idat if in_idat else self.file
            end = offset + length if length else len(held)
            if end > len(held) or offset >= end:
                raise BrokenBox(f"the file ends at byte {len(held)} and the picture goes on to byte {end}")
            parts.append(held[offset:end])
        return b"".join(parts)

    def referred(self, kind: bytes, number: int) -> tuple[int, ...]:
        """Return the items to which an item refers so."""
        return next((to for found, start, to in self.references if found == kind and start == number), ())


def read_meta(file: memoryview) -> Meta:
    """Return the file's `meta` box. Raises `BrokenBox` where there is none, or none that can be read."""
    meta = next((content for kind, content in boxes(file) if kind == b"meta"), None)
    if meta is None:
        raise BrokenBox("the file has no description of its pictures")
    inner = dict(reversed(list(boxes(meta[4:]))))  # of two alike the first counts
    items = _infos(inner.get(b"iinf", memoryview(b"")))
    _locate(inner.get(b"iloc", memoryview(b"")), items)
    _describe(inner.get(b"iprp", memoryview(b"")), items)
    references = list(_references(inner.get(b"iref", memoryview(b""))))
    primary = _primary(inner.get(b"pitm", memoryview(b"")))
    if primary not in items:
        raise BrokenBox("the file does not say which of its pictures to show")
    return Meta(primary, items, references, inner.get(b"idat", memoryview(b"")), file)


def _primary(box: memoryview) -> int:
    cursor = Cursor(box)
    version, _ = cursor.version_and_flags()
    return cursor.number(2 if version == 0 else 4)


def _infos(box: memoryview) -> dict[int, Item]:
    """Read the item information box; 8.11.6."""
    cursor = Cursor(box)
    version, _ = cursor.version_and_flags()
    cursor.take(2 if version == 0 else 4)
    items = {}
    for kind, content in boxes(cursor.rest):
        entry = Cursor(content)
        version, _ = entry.version_and_flags()
        if kind == b"infe" and version >= 2:  # earlier ones have no kind of item
            number = entry.number(2 if version == 2 else 4)
            entry.take(2)
            items[number] = Item(bytes(entry.take(4)))
    return items


def _locate(box: memoryview, items: dict[int, Item]) -> None:
    """Read the item location box; 8.11.3."""
    cursor = Cursor(box)
    version, _ = cursor.version_and_flags()
    sizes = cursor.number(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    for _ in range(cursor.number(wide)):
        item = items.get(cursor.number(wide), Item())
        method = cursor.number(2) & 15 if version > 0 else 0
        file = cursor.number(2)
        item.is_readable = method in (0, 1) and file == 0  # in this file, or in `idat`
        base = cursor.number(base_size)
        for _ in range(cursor.number(2)):
            if version > 0:
                cursor.take(index_size)
            offset = base + cursor.number(offset_size)
            item.extents.append((method == 1, offset, cursor.number(length_size)))


def _describe(box: memoryview, items: dict[int, Item]) -> None:
    """Read the item properties box, and give each item its own; ISO/IEC 23008-12, 9.3."""
    known: list[tuple[bytes, memoryview]] = []
    for kind, content in boxes(box):
        if kind == b"ipco":
            known = list(boxes(content))
        elif kind == b"ipma":
            _associate(content, known, items)


def _associate(box: memoryview, known: list[tuple[bytes, memoryview]], items: dict[int, Item]) -> None:
    cursor = Cursor(box)
    version, flags = cursor.version_and_flags()
    size = 2 if flags & 1 else 1
    for _ in range(cursor.number(4)):
        item = items.get(cursor.number(2 if version == 0 else 4), Item())
        for _ in range(cursor.number(1)):
            entry = cursor.number(size)
            essential, index = entry >> (8 * size - 1), entry & ((1 << (8 * size - 1)) - 1)
            if 0 < index <= len(known):
                kind, content = known[index - 1]
                item.properties.append((kind, content, bool(essential)))


def _references(box: memoryview) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    """Read the item reference box; 8.11.12."""
    if not box:
        return
    cursor = Cursor(box)
    version, _ = cursor.version_and_flags()
    size = 2 if version == 0 else 4
    for kind, content in boxes(cursor.rest):
        entry = Cursor(content)
        start = entry.number(size)
        yield kind, start, tuple(entry.number(size) for _ in range(entry.number(2)))
