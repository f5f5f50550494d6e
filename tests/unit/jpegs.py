"""JPEGs that Pillow does not write: any sampling of any component, and any order of scans, written bit by bit.

Slow and plain: for pictures of some hundred pixels a side. Numbers of sections are those of ITU-T T.81.
"""

import math
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tests.unit.pictures import encoded

Table = tuple[bytes, bytes]
"""The numbers of codes of 1 to 16 bits, and the symbols in their order."""

Sampling = tuple[tuple[int, int], ...]
"""How many samples each component has across and down where the one with the most has its own number."""

Blocks = np.ndarray
"""The quantized coefficients of one component in zigzag order: rows, columns, 64."""


def standard_table(kind: int) -> Table:
    """Return a table of Pillow's grey JPEGs: that for DC (0x00), or for AC (0x10)."""
    parts = encoded(Image.new("L", (8, 8)), "JPEG").split(b"\xff\xc4")[1:]
    table = next(part for part in parts if part[2] == kind)
    return table[3:19], table[19 : 19 + sum(table[3:19])]


STANDARD_DC, STANDARD_AC = standard_table(0x00), standard_table(0x10)

EVERY_AC: Table = (
    bytes((*[0] * 7, 176, *[0] * 8)),
    bytes(zeros << 4 | size for zeros in range(16) for size in range(11)),
)
"""A table with a code for each symbol: progressive scans have runs of blocks, which the standard's tables lack."""

ZIGZAG = sorted(range(64), key=lambda at: (at // 8 + at % 8, at // 8 if (at // 8 + at % 8) % 2 else at % 8))
"""Where each coefficient of a scan stands in its block, row by row (figure A.6)."""


def codes_of(lengths: bytes, symbols: bytes) -> dict[int, str]:
    """Return the code of each symbol as 0s and 1s (annex C)."""
    found, code, index = {}, 0, 0
    for length, count in enumerate(lengths, start=1):
        for symbol in symbols[index : index + count]:
            found[symbol] = f"{code:0{length}b}"
            code += 1
        index += count
        code <<= 1
    return found


def size_of(value: int) -> int:
    """Return how many bits stand behind the code of this value."""
    return abs(value).bit_length()


def value_of(value: int) -> str:
    """Return the bits behind a code (F.1.2.1)."""
    size = size_of(value)
    return f"{value if value > 0 else value + (1 << size) - 1:0{size}b}" if size else ""


def packed(bits: str) -> bytes:
    """Return bits as the bytes of a scan, filled up and with their escapes."""
    whole = bits + "1" * (-len(bits) % 8)
    return int(whole or "0", 2).to_bytes(len(whole) // 8).replace(b"\xff", b"\xff\0")


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan of a progressive JPEG: which components, coefficients `first` to `last`, bits down to `low`.

    `high` is 0 for the first scan of these coefficients, and one more than `low` where it adds a bit to them.
    """

    components: tuple[int, ...]
    first: int
    last: int
    high: int
    low: int


PROGRESSION = (
    Scan((0, 1, 2), 0, 0, 0, 1), Scan((0,), 1, 5, 0, 2), Scan((2,), 1, 63, 0, 1), Scan((1,), 1, 63, 0, 1),
    Scan((0,), 6, 63, 0, 2), Scan((0,), 1, 63, 2, 1), Scan((0, 1, 2), 0, 0, 1, 0), Scan((2,), 1, 63, 1, 0),
    Scan((1,), 1, 63, 1, 0), Scan((0,), 1, 63, 1, 0),
)  # fmt: skip
"""The scans that libjpeg writes of a picture in colour."""

PROGRESSION_OF_GREY = (
    Scan((0,), 0, 0, 0, 1), Scan((0,), 1, 5, 0, 2), Scan((0,), 6, 63, 0, 2), Scan((0,), 1, 63, 2, 1),
    Scan((0,), 0, 0, 1, 0), Scan((0,), 1, 63, 1, 0),
)  # fmt: skip


def jpeg(picture: Image.Image, sampling: Sampling, *, scans: tuple[Scan, ...] = (), step: int = 6) -> bytes:
    """Return a picture as a JPEG of this sampling, in grey or in colour: baseline, or in these scans."""
    most = max(h for h, _ in sampling), max(v for _, v in sampling)
    planes = [
        _blocks(plane, picture.size, own, most, step)
        for plane, own in zip(picture.convert("YCbCr").split(), sampling, strict=False)
    ]
    return written(planes, picture.size, sampling, scans=scans, step=step)


def written(
    planes: list[Blocks],
    size: tuple[int, int],
    sampling: Sampling,
    *,
    scans: tuple[Scan, ...] = (),
    step: int = 6,
    ac: Table = EVERY_AC,
) -> bytes:
    """Return a JPEG of these coefficients, which fill whole MCUs, in the codes of this table."""
    components = b"".join(struct.pack("BBBB", i + 1, h << 4 | v, 0, 0)[:3] for i, (h, v) in enumerate(sampling))
    frame = struct.pack(">BHHB", 8, size[1], size[0], len(sampling)) + components
    head = b"\xff\xd8" + _segment(0xDB, b"\0" + bytes([step]) * 64)
    head += _segment(0xC2 if scans else 0xC0, frame)
    head += b"".join(_segment(0xC4, bytes([kind]) + b"".join(table)) for kind, table in ((0, STANDARD_DC), (16, ac)))
    writer = _Writer(planes, size, sampling, codes_of(*ac))
    everything = tuple(range(len(planes)))
    body = b"".join(writer.scan(scan) for scan in scans or (Scan(everything, 0, 63, 0, 0),))
    return head + body + b"\xff\xd9"


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">HH", 0xFF00 | marker, len(content) + 2) + content


def _blocks(
    plane: Image.Image, size: tuple[int, int], own: tuple[int, int], most: tuple[int, int], step: int
) -> Blocks:
    """Return a plane's coefficients, its last row and column repeated to fill the MCUs."""
    wide, high = (-(-side * part // whole) for side, part, whole in zip(size, own, most, strict=True))
    pixels = np.asarray(plane.resize((wide, high), Image.Resampling.BOX)).astype(float) - 128
    across, down = (-(-side // (8 * whole)) * part for side, part, whole in zip(size, own, most, strict=True))
    pixels = np.pad(pixels, ((0, down * 8 - high), (0, across * 8 - wide)), mode="edge")
    cosines = np.array([[np.cos((2 * x + 1) * u * np.pi / 16) for x in range(8)] for u in range(8)]) / 2
    cosines[0] /= np.sqrt(2)
    squares = pixels.reshape(down, 8, across, 8).swapaxes(1, 2)
    found = np.rint(cosines @ squares @ cosines.T / step).astype(int)
    return found.reshape(down, across, 64)[..., ZIGZAG]


class _Writer:
    """Writes scans of planes of coefficients."""

    def __init__(self, planes: list[Blocks], size: tuple[int, int], sampling: Sampling, codes: dict[int, str]) -> None:
        self.planes, self.size, self.sampling = planes, size, sampling
        self.most = max(h for h, _ in sampling), max(v for _, v in sampling)
        self.codes, self.dc_codes = codes, codes_of(*STANDARD_DC)

    def scan(self, scan: Scan) -> bytes:
        chosen = b"".join(bytes((index + 1, 0)) for index in scan.components)
        head = bytes([len(scan.components)]) + chosen + bytes((scan.first, scan.last, scan.high << 4 | scan.low))
        order = list(self._order(scan.components))
        if scan.first == 0 and scan.last > 0:
            bits = self._baseline(order)
        elif scan.first == 0:
            bits = self._dc(order, scan)
        else:
            bits = _AcWriter(scan, self.codes).bits(self.planes[index][row, column] for index, row, column in order)
        return _segment(0xDA, head) + packed(bits)

    def _order(self, components: tuple[int, ...]):  # noqa: ANN202 -- triples
        """Yield component, row and column of each block: by MCUs, or of one component its own rows (A.2)."""
        if len(components) == 1:
            index = components[0]
            wide, high = (
                math.ceil(math.ceil(side * part / whole) / 8)
                for side, part, whole in zip(self.size, self.sampling[index], self.most, strict=True)
            )
            yield from ((index, row, column) for row in range(high) for column in range(wide))
            return
        h, v = self.sampling[0]
        for down in range(self.planes[0].shape[0] // v):
            for across in range(self.planes[0].shape[1] // h):
                for index in components:
                    h_own, v_own = self.sampling[index]
                    for y in range(v_own):
                        yield from ((index, down * v_own + y, across * h_own + x) for x in range(h_own))

    def _dc(self, order: list[tuple[int, int, int]], scan: Scan) -> str:
        if scan.high:
            return "".join(str(self.planes[i][row, column, 0] >> scan.low & 1) for i, row, column in order)
        before = [0] * len(self.planes)
        bits = []
        for i, row, column in order:
            value = int(self.planes[i][row, column, 0]) >> scan.low
            bits.append(self._difference(value - before[i]))
            before[i] = value
        return "".join(bits)

    def _difference(self, value: int) -> str:
        return self.dc_codes[size_of(value)] + value_of(value)

    def _baseline(self, order: list[tuple[int, int, int]]) -> str:
        before = [0] * len(self.planes)
        bits = []
        for i, row, column in order:
            block = self.planes[i][row, column]
            bits.append(self._difference(int(block[0]) - before[i]))
            before[i] = int(block[0])
            zeros = 0
            for value in np.trim_zeros(block[1:], "b").tolist():
                if value == 0:
                    zeros += 1
                    continue
                bits.append(self.codes[0xF0] * (zeros // 16) + self.codes[zeros % 16 << 4 | size_of(value)])
                bits.append(value_of(value))
                zeros = 0
            if not block[63]:
                bits.append(self.codes[0])
        return "".join(bits)


class _AcWriter:
    """Writes a progressive scan of AC coefficients, first bits or one more bit (G.1.2.2, G.1.2.3)."""

    LONGEST_RUN = 0x7FFF

    def __init__(self, scan: Scan, codes: dict[int, str]) -> None:
        self.scan_, self.codes = scan, codes
        self.out: list[str] = []
        self.blocks_ended, self.held = 0, ""

    def bits(self, blocks) -> str:  # noqa: ANN001 -- an iterable of arrays
        for block in blocks:
            values = [int(value) for value in block[self.scan_.first : self.scan_.last + 1]]
            self._block([(abs(value) >> self.scan_.low) * (1 if value > 0 else -1) for value in values])
        self._end_run()
        return "".join(self.out)

    def _block(self, values: list[int]) -> None:
        new = [i for i, value in enumerate(values) if abs(value) == 1 or (value and not self.scan_.high)]
        held, zeros, last = "", 0, new[-1] if new else -1
        for i, value in enumerate(values):
            if i > last:
                break
            if self.scan_.high and abs(value) > 1:
                held += str(abs(value) & 1)
            elif value == 0:
                zeros += 1
                if zeros == 16 and any(j in new for j in range(i + 1, len(values))):
                    self._symbol(0xF0, held)
                    zeros, held = 0, ""
            else:
                bits = ("1" if value > 0 else "0") if self.scan_.high else value_of(value)
                self._symbol(zeros << 4 | size_of(1 if self.scan_.high else value), bits + held)
                zeros, held = 0, ""
        if last + 1 < len(values):
            self.blocks_ended += 1
            if self.scan_.high:
                self.held += "".join(str(abs(value) & 1) for value in values[last + 1 :] if abs(value) > 1)
            if self.blocks_ended == self.LONGEST_RUN:
                self._end_run()

    def _symbol(self, symbol: int, bits: str) -> None:
        self._end_run()
        self.out.append(self.codes[symbol] + bits)

    def _end_run(self) -> None:
        if self.blocks_ended:
            size = self.blocks_ended.bit_length() - 1
            self.out.append(self.codes[size << 4] + (f"{self.blocks_ended:b}"[1:]) + self.held)
        self.blocks_ended, self.held = 0, ""
