"""Images as people have them: what their cells look like, or why they are refused.

`expected.json` says for each file either what its cell of 200 x 200 px over white is like (`like`, a PNG beside it, and
`max_mean_difference`, in levels of 255, over all channels) or the `reason` that it is refused with.
`or_reason_other_than` allows a refusal with any other reason; `headers` are those of its HTTP response.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from worker.errors import ImageError
from worker.images.cell import Cell, CellSpec, make_cell

SPEC = CellSpec(size=200, background=(255, 255, 255), min_side=50, max_pixels=50_000_000)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one file."""

    name: str
    passed: bool
    found: str


def expectations(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what `expected.json` says, by file."""
    found: dict[str, dict[str, Any]] = json.loads((folder / "expected.json").read_text())
    return found


def run(folder: Path) -> list[Result]:
    """Make the cells of all files of a folder."""
    return [judged(folder, name, expected) for name, expected in expectations(folder).items()]


def judged(folder: Path, name: str, expected: Mapping[str, Any]) -> Result:
    """Make the cell of one file, and compare."""
    try:
        cell = cell_of((folder / name).read_bytes(), expected.get("headers", {}))
    except ImageError as refusal:
        others = expected.get("or_reason_other_than")
        passed = refusal.reason == expected.get("reason") or (others is not None and refusal.reason not in others)
        return Result(name, passed, f"{refusal.reason}: {refusal}")
    if "like" not in expected:
        return Result(name, passed=False, found=f"a cell, and not {expected.get('reason')}")
    difference = mean_difference(cell.pixels, Image.open(folder / expected["like"]))
    return Result(name, difference <= expected["max_mean_difference"], f"{difference:.2f} from {expected['like']}")


def cell_of(body: bytes, headers: Mapping[str, str]) -> Cell:
    """Make the cell of a response. Raises `ImageError`."""
    return make_cell(unpacked(body, headers), SPEC)


def mean_difference(pixels: bytes, reference: Image.Image) -> float:
    """Return the mean of the absolute differences of all channels, in levels."""
    wanted = np.asarray(reference.convert("RGB")).astype(int)
    return float(np.abs(np.frombuffer(pixels, np.uint8).reshape(wanted.shape) - wanted).mean())


def unpacked(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Undo the content coding, as the worker's download does."""
    codings: dict[str | None, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}
    return codings.get(headers.get("Content-Encoding"), bytes)(body)
