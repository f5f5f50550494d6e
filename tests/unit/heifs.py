"""HEIC and AVIF files put together box by box, for kinds that encoders do not write."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from worker.images.boxes import read_meta

Property = tuple[bytes, bytes]
"""Kind and content; it is essential where the kind has to be known."""

ESSENTIAL = frozenset({b"hvcC", b"av1C", b"irot", b"imir", b"clap"})


@dataclass(frozen=True, slots=True)
class Item:
    """An item to write: its kind, its bytes, and what describes it."""

    kind: bytes
    data: bytes
    properties: Sequence[Property]


def box(kind: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def full_box(kind: bytes, version: int, *contents: bytes, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">B", version), flags.to_bytes(3), *contents)


def ispe(width: int, height: int) -> Property:
    return b"ispe", struct.pack(">III", 0, width, height)


def nclx(primaries: int, transfer: int, matrix: int, *, full_range: bool) -> Property:
    return b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, matrix, full_range << 7)


def irot(quarter_turns: int) -> Property:
    return b"irot", bytes([quarter_turns])


def imir(axis: int) -> Property:
    return b"imir", bytes([axis])


def clap(left: int, top: int, right: int, bottom: int, width: int, height: int) -> Property:
    """Return the clean aperture that leaves a box of a picture."""
    numbers = [right - left, 1, bottom - top, 1, left + right - width, 2, top + bottom - height, 2]
    return b"clap", struct.pack(">IIIIiIiI", *numbers)


def alpha_of_hevc() -> Property:
    return b"auxC", bytes(4) + b"urn:mpeg:hevc:2015:auxid:1\0"


def grid(rows: int, columns: int, width: int, height: int) -> bytes:
    return struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)


def written(
    items: dict[int, Item],
    *,
    primary: int = 1,
    references: Sequence[tuple[bytes, int, Sequence[int]]] = (),
    brand: bytes = b"heic",
    wide: bool = False,
) -> bytes:
    """Return a file of the items; `wide`: with the box versions that large numbers need."""
    ftyp = box(b"ftyp", brand, bytes(4), b"mif1", brand)
    size = len(_meta(items, primary, references, dict.fromkeys(items, 0), wide=wide))
    offsets, at = {}, len(ftyp) + size + 8
    for number, item in items.items():
        offsets[number] = at
        at += len(item.data)
    meta = _meta(items, primary, references, offsets, wide=wide)
    return ftyp + meta + box(b"mdat", *(item.data for item in items.values()))


def _meta(
    items: dict[int, Item],
    primary: int,
    references: Sequence[tuple[bytes, int, Sequence[int]]],
    offsets: dict[int, int],
    *,
    wide: bool,
) -> bytes:
    number = ">I" if wide else ">H"
    handler = full_box(b"hdlr", 0, bytes(4), b"pict", bytes(13))
    infos = [
        full_box(b"infe", 3 if wide else 2, struct.pack(number, key), bytes(2), item.kind, b"\0")
        for key, item in items.items()
    ]
    located = [
        struct.pack(number, key)
        + (bytes(2) if wide else b"")
        + struct.pack(">HHII", 0, 1, offsets[key], len(item.data))
        for key, item in items.items()
    ]
    return full_box(
        b"meta",
        0,
        handler,
        full_box(b"pitm", int(wide), struct.pack(number, primary)),
        full_box(b"iinf", int(wide), struct.pack(number, len(items)), *infos),
        full_box(b"iloc", 2 if wide else 0, b"\x44\0", struct.pack(number, len(items)), *located),
        _described(items, wide=wide),
        *([_referred(references, wide=wide)] if references else []),
    )


def _described(items: dict[int, Item], *, wide: bool) -> bytes:
    boxes, associations, at = [], [], 0
    for key, item in items.items():
        entry = struct.pack(">I" if wide else ">H", key) + bytes([len(item.properties)])
        for kind, content in item.properties:
            boxes.append(box(kind, content))
            at += 1
            essential = kind in ESSENTIAL
            entry += struct.pack(">H", at | essential << 15) if wide else bytes([at | essential << 7])
        associations.append(entry)
    ipma = full_box(b"ipma", int(wide), struct.pack(">I", len(items)), *associations, flags=int(wide))
    return box(b"iprp", box(b"ipco", *boxes), ipma)


def _referred(references: Sequence[tuple[bytes, int, Sequence[int]]], *, wide: bool) -> bytes:
    number = "I" if wide else "H"
    return full_box(
        b"iref",
        int(wide),
        *(
            box(kind, struct.pack(f">{number}H{len(to)}{number}", start, len(to), *to))
            for kind, start, to in references
        ),
    )


def coded_item(file: bytes, kind: bytes = b"") -> Item:
    """Return the first coded picture of an encoder's file, with its decoder's configuration alone."""
    meta = read_meta(memoryview(file))
    number, item = next((n, i) for n, i in meta.items.items() if i.kind in (b"hvc1", b"av01"))
    record = next((name, bytes(content)) for name, content, _ in item.properties if name in (b"hvcC", b"av1C"))
    return Item(kind or item.kind, meta.content(number), [record])
