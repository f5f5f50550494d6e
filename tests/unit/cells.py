"""Tells what the files of a folder become, a line each: `python -m tests.unit.cells FOLDER SIZE...`.

A process of its own, so that it can be started with another content of the memory that malloc hands out.
"""

import hashlib
import sys
from pathlib import Path

from worker.errors import ImageError
from worker.images.cell import CellSpec, make_cell


def main(folder: str, *sizes: str) -> None:
    """Print each file's name, and for each size of a cell its pixels' digest or the reason that there is none."""
    for path in sorted(Path(folder).iterdir()):
        print(path.name, *(fate(path.read_bytes(), int(size)) for size in sizes))


def fate(data: bytes, size: int) -> str:
    try:
        cell = make_cell(data, CellSpec(size=size, background=(9, 99, 199), min_side=1, max_pixels=9_000_000))
    except ImageError as refusal:
        return refusal.reason
    return hashlib.sha256(cell.pixels).hexdigest()[:16]


if __name__ == "__main__":
    main(*sys.argv[1:])
