"""Which of the many kinds of JPEG a file is, from its frame header; ITU-T T.81, B.2. Pure; it decodes nothing."""

from dataclasses import dataclass

_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers that no length follows."""

_FRAMES = {
    0xC3: "lossless",
    0xC5: "hierarchical",
    0xC6: "hierarchical",
    0xC7: "hierarchical",
    0xC9: "with arithmetic coding",
    0xCA: "with arithmetic coding",
    0xCB: "lossless",
    0xCD: "hierarchical",
    0xCE: "hierarchical",
    0xCF: "hierarchical",
    0xF7: "JPEG-LS",
}
"""Frame headers of kinds that browsers do not show, and no codec here decodes."""

_DECODED = frozenset({0xC0, 0xC1, 0xC2})


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame header says: the kind where it is a rare one, and how many bits a sample has."""

    rare_kind: str | None
    bits: int


def frame(data: bytes) -> Frame | None:
    """Return what the first frame header says, None where there is none before the first scan."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 9 < len(data):
        marker = data[at + 1]
        if marker in _FRAMES or marker in _DECODED:
            return Frame(_FRAMES.get(marker), data[at + 4])
        if marker == 0xDA:
            return None
        if marker == 0xFF:  # any number of them may stand before a marker
            at += 1
        elif marker in _STANDALONE or marker == 0:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None
