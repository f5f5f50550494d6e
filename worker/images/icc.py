"""ICC profiles, as far as littlecms is not needed: the curve of a grey one is read, one of three primaries is made.

ICC.1:2022 is the standard; its chapters are named where a rule comes from them.
"""

import math
import struct
from collections.abc import Callable, Sequence

Chromaticity = tuple[float, float]
"""Where a colour lies in the CIE's diagram: x, y."""
Curve = Callable[[float], float]
"""What makes light of a level, both from 0 to 1."""
_Vector = tuple[float, float, float]

_D50: _Vector = (0.9642, 1.0, 0.8249)
_BRADFORD: tuple[_Vector, _Vector, _Vector] = (
    (0.8951, 0.2664, -0.1614),
    (-0.7502, 1.7135, 0.0367),
    (0.0389, -0.0685, 1.0296),
)
"""From XYZ to the response of the eye's cones, in which light of one white is adapted to another's."""

_STEPS = 1024
_MOST_TAGS = 100
_PARAMETERS = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}
"""Kind of a parametric curve → how many numbers it has; 10.18."""


def grey_curve(profile: bytes) -> Curve | None:
    """Return the curve of a grey monitor's, scanner's or printer's profile; None where it has none that can be read."""
    is_device = profile[12:16] in (b"mntr", b"scnr", b"prtr", b"spac")
    if not is_device or profile[16:20] != b"GRAY" or profile[36:40] != b"acsp":
        return None
    for at in range(132, 132 + 12 * min(int.from_bytes(profile[128:132]), _MOST_TAGS), 12):
        entry = profile[at : at + 12]
        if entry[:4] == b"kTRC":
            start, size = int.from_bytes(entry[4:8]), int.from_bytes(entry[8:])
            return _curve(profile[start : start + size])
    return None


def _curve(tag: bytes) -> Curve | None:
    """Read a `curv` or `para` tag; 10.6 and 10.18."""
    if len(tag) < 12:
        return None
    if tag[:4] == b"curv":
        return _table_curve(tag[12:], int.from_bytes(tag[8:12]))
    if tag[:4] == b"para":
        return _parametric_curve(tag[12:], int.from_bytes(tag[8:10]))
    return None


def _table_curve(body: bytes, count: int) -> Curve | None:
    if count == 0:
        return lambda level: level
    if len(body) < 2 * count:
        return None
    if count == 1:
        gamma = int.from_bytes(body[:2]) / 256
        return lambda level: math.pow(level, gamma)
    entries: tuple[int, ...] = struct.unpack_from(f">{count}H", body)

    def looked_up(level: float) -> float:
        at = level * (count - 1)
        low = min(int(at), count - 2)
        return (entries[low] + (entries[low + 1] - entries[low]) * (at - low)) / 65535

    return looked_up


def _parametric_curve(body: bytes, kind: int) -> Curve | None:
    count = _PARAMETERS.get(kind)
    if count is None or len(body) < 4 * count:
        return None
    read: list[float] = [value / 65536 for value in struct.unpack_from(f">{count}i", body)]
    g, a, b, c, d, e, f = read + [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0][count:]
    if kind in (1, 2):  # the break lies where a·x + b begins to be positive, and c is what is added
        if a == 0:
            return None
        c, d, e, f = 0.0, -b / a, c, c

    def computed(level: float) -> float:
        if level < d:
            return c * level + f
        return math.pow(max(a * level + b, 0.0), g) + e

    return computed


def matrix_profile(colours: Sequence[Chromaticity], curve: Curve) -> bytes:
    """Return a profile of red, green and blue, of white (the last one), and of one curve for all; 8.3.3."""
    trc = _curve_tag(curve)
    red, green, blue = (_xyz_tag(colour) for colour in _adapted(colours))
    primaries = {b"rXYZ": red, b"gXYZ": green, b"bXYZ": blue, b"rTRC": trc, b"gTRC": trc, b"bTRC": trc}
    return _file({b"wtpt": _xyz_tag(_D50)} | primaries, b"RGB ")


def grey_profile(curve: Curve) -> bytes:
    """Return the profile of grey pictures with a curve; 8.3.4."""
    return _file({b"wtpt": _xyz_tag(_D50), b"kTRC": _curve_tag(curve)}, b"GRAY")


def _curve_tag(curve: Curve) -> bytes:
    table = [round(65535 * min(max(curve(step / (_STEPS - 1)), 0.0), 1.0)) for step in range(_STEPS)]
    return b"curv\0\0\0\0" + struct.pack(f">I{_STEPS}H", _STEPS, *table)


def _adapted(colours: Sequence[Chromaticity]) -> list[_Vector]:
    """Return the primaries in XYZ, as they look under D50, at the amounts of which white is made."""
    *primaries, white = ((x / y, 1.0, (1 - x - y) / y) for x, y in colours)
    amounts = _solved(primaries, white)
    gains = [to / have for to, have in zip(_times(_BRADFORD, _D50), _times(_BRADFORD, white), strict=True)]
    adapted = []
    for primary, amount in zip(primaries, amounts, strict=True):
        x, y, z = (cone * gain * amount for cone, gain in zip(_times(_BRADFORD, primary), gains, strict=True))
        adapted.append(_solved(tuple(zip(*_BRADFORD, strict=True)), (x, y, z)))
    return adapted


def _times(rows: Sequence[Sequence[float]], vector: _Vector) -> _Vector:
    x, y, z = (sum(share * value for share, value in zip(row, vector, strict=True)) for row in rows)
    return x, y, z


def _solved(columns: Sequence[Sequence[float]], wanted: _Vector) -> _Vector:
    """Return how much of each column makes what is wanted; Cramer's rule."""
    first, second, third = columns
    whole = _determinant(columns)
    return (
        _determinant((wanted, second, third)) / whole,
        _determinant((first, wanted, third)) / whole,
        _determinant((first, second, wanted)) / whole,
    )


def _determinant(columns: Sequence[Sequence[float]]) -> float:
    (a, b, c), (d, e, f), (g, h, i) = columns
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _xyz_tag(colour: _Vector) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in colour))


def _file(tags: dict[bytes, bytes], space: bytes) -> bytes:
    """Put tags together as the profile of a monitor, version 2.4; 7.2 and 7.3."""
    offset, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += content
    header = struct.pack(">I4sI4s4s4s", offset + len(body), b"lcms", 0x0240_0000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2025, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _xyz_tag(_D50)[8:] + bytes(48)
    return header + table + body
