"""The decoder process: `python -m worker.decode.child MEMORY CPU_SECONDS DESCRIPTOR`. It reads fd 0 and writes fd 1.

It decodes hostile bytes where they can do little harm: it has no credentials in its environment, its limits are set
before Pillow is imported, its sandbox is sealed when everything is loaded (`sandbox`), and it has one image at a time.
It ends when its parent closes the connection or dies.

A request is a `REQUEST`; the image is in the shared memory, whose descriptor is the third argument. An answer is an
`ANSWER`; the pixels of a cell are in the shared memory, a text follows the answer. Numbers are little-endian.
"""

import json
import os
import struct
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, BinaryIO

from worker import sandbox
from worker.decode.shared_memory import inherited
from worker.errors import ImageError

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

    from worker.images.cell import Cell, CellSpec

REQUEST = struct.Struct("<IIIQI3B")
"""Cell size, shortest side, longest side kept (px), most pixels, length of the image in bytes, background RGB."""

ANSWER = struct.Struct("<B24sIII")
"""Status, format or reason (ASCII, padded with zeros), width and height of the image (px), length of pixels or text."""

NICENESS = 10
"""How much lower than the worker's a decoder's priority is. The worker hands out the images: if decoders took every
core, the others would have nothing to do. With 19 they would get too little while the worker encodes a large page."""


class Status(IntEnum):
    """What an answer says. READY (with what the sandbox consists of, in JSON) and BROKEN answer the start."""

    READY = 0
    BROKEN = 1
    CELL = 2
    REFUSED = 3


def main() -> None:
    """Answer requests until the parent closes the connection."""
    requests, answers = _inherited_connection()
    memory, cpu_seconds, descriptor = (int(argument) for argument in sys.argv[1:])
    shared = inherited(descriptor)
    sandbox.limit(memory=memory)
    try:
        make_cell = _loaded()
        os.nice(NICENESS)  # not earlier: the worker waits for the start
        _silence()
        _answer(answers, Status.READY, text=json.dumps(sandbox.seal()).encode())
        _serve(requests, answers, shared, make_cell, cpu_seconds)
    except ImportError as error:
        _answer(answers, Status.BROKEN, text=str(error).encode())
    except ConnectionError:
        pass  # the parent is gone


def _inherited_connection() -> tuple[BinaryIO, BinaryIO]:
    """Return the connection on new descriptors; fd 1 becomes stderr, so that what is printed does not get into it."""
    connection = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 -- these are descriptors
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return connection


def _silence() -> None:
    """Discard everything that is printed: a line written by a hostile image would look like a line of the log."""
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 -- these are descriptors
        for descriptor in (1, 2):
            os.dup2(nothing.fileno(), descriptor)


def _loaded() -> "Callable[[bytes, CellSpec], Cell]":
    """Return the function that makes cells, with every module loaded that it needs: no file can be opened later."""
    from worker.decode.preload import preload  # noqa: PLC0415 -- after the limits are in force
    from worker.images.cell import make_cell  # noqa: PLC0415 -- as above

    preload(make_cell)
    return make_cell


def _serve(
    requests: BinaryIO,
    answers: BinaryIO,
    shared: "mmap.mmap",
    make_cell: "Callable[[bytes, CellSpec], Cell]",
    cpu_seconds: int,
) -> None:
    from worker.images.cell import CellSpec  # noqa: PLC0415 -- it is loaded by now

    while len(request := requests.read(REQUEST.size)) == REQUEST.size:
        size, min_side, keep_side, max_pixels, length, *background = REQUEST.unpack(request)
        red, green, blue = background
        spec = CellSpec(size, (red, green, blue), min_side, max_pixels, keep_side)
        sandbox.grant_cpu(cpu_seconds)
        try:
            cell = make_cell(shared[:length], spec)
        except ImageError as error:
            _answer(answers, Status.REFUSED, label=error.reason, text=str(error).encode())
        else:
            shared[: len(cell.pixels)] = cell.pixels
            answers.write(ANSWER.pack(Status.CELL, cell.format.encode(), cell.width, cell.height, len(cell.pixels)))
            answers.flush()


def _answer(answers: BinaryIO, status: Status, *, label: str = "", text: bytes) -> None:
    answers.write(ANSWER.pack(status, label.encode(), 0, 0, len(text)) + text)
    answers.flush()


if __name__ == "__main__":
    main()
