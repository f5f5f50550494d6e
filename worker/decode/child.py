"""The decoder process: `python -m worker.decode.child MEMORY CPU_SECONDS WINDOW`. It talks on fd 0 and 1.

It turns hostile bytes into pixels where they can do little harm: with no credentials in its environment, with limits
that are set before Pillow is imported, in a sandbox that is sealed when everything is loaded (`sandbox`), and one image
at a time. It ends when its parent closes the connection, or dies.

A request is a `REQUEST`; the image's bytes lie in the shared memory, whose descriptor is the third argument. An answer
is an `ANSWER`; a cell's pixels lie in the shared memory, a text follows behind the answer. Numbers are little-endian.
"""

import json
import os
import struct
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, BinaryIO

from worker import sandbox
from worker.decode.shared_memory import taken_over
from worker.errors import ImageError

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

    from worker.images.cell import Cell, CellSpec

REQUEST = struct.Struct("<IIIQI3B")
"""Cell size, shortest side, longest side kept (px), most pixels, length of the image in bytes, background RGB."""

ANSWER = struct.Struct("<B24sIII")
"""Status, format or reason (ASCII, padded with zeros), width and height of the image (px), length of pixels or text."""

STANDS_BACK = 10
"""How much nicer than the worker a decoder is. Whoever hands out the work has to come first: else decoders that have
some leave it no core, and others run out of it. 19 would leave them too little beside pages that take seconds to
encode."""


class Status(IntEnum):
    """What an answer is; READY (with what the sandbox is made of, in JSON) and BROKEN answer the process's start."""

    READY = 0
    BROKEN = 1
    CELL = 2
    REFUSED = 3


def main() -> None:
    """Answer requests until the parent closes the connection."""
    requests, answers = _taken_over_connection()
    memory, cpu_seconds, descriptor = (int(argument) for argument in sys.argv[1:])
    window = taken_over(descriptor)
    sandbox.limit(memory=memory)
    try:
        make_cell = _loaded()
        os.nice(STANDS_BACK)  # only now: the worker waits for its start
        _silence()
        _answer(answers, Status.READY, text=json.dumps(sandbox.seal()).encode())
        _serve(requests, answers, window, make_cell, cpu_seconds)
    except ImportError as error:
        _answer(answers, Status.BROKEN, text=str(error).encode())
    except ConnectionError:
        pass  # the parent is gone, and nobody is left to be told


def _taken_over_connection() -> tuple[BinaryIO, BinaryIO]:
    """Return the connection, out of the reach of anything that prints: fd 1 leads to stderr from now on."""
    connection = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 -- these are descriptors
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return connection


def _silence() -> None:
    """Let nothing that is printed get out: a line that an image has written would look like one of the worker's log."""
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 -- these are descriptors
        for descriptor in (1, 2):
            os.dup2(nothing.fileno(), descriptor)


def _loaded() -> "Callable[[bytes, CellSpec], Cell]":
    """Return what makes cells, with every module loaded that it may ever want: no file can be opened later."""
    from worker.decode.preload import preload  # noqa: PLC0415 -- as above
    from worker.images.cell import make_cell  # noqa: PLC0415 -- after the limits are in force

    preload(make_cell)
    return make_cell


def _serve(
    requests: BinaryIO,
    answers: BinaryIO,
    window: "mmap.mmap",
    make_cell: "Callable[[bytes, CellSpec], Cell]",
    cpu_seconds: int,
) -> None:
    from worker.images.cell import CellSpec  # noqa: PLC0415 -- it is loaded by now

    while len(header := requests.read(REQUEST.size)) == REQUEST.size:
        size, min_side, keep_side, max_pixels, length, *background = REQUEST.unpack(header)
        red, green, blue = background
        spec = CellSpec(size, (red, green, blue), min_side, max_pixels, keep_side)
        sandbox.grant_cpu(cpu_seconds)
        try:
            cell = make_cell(window[:length], spec)
        except ImageError as error:
            _answer(answers, Status.REFUSED, label=error.reason, text=str(error).encode())
        else:
            window[: len(cell.pixels)] = cell.pixels
            answers.write(ANSWER.pack(Status.CELL, cell.format.encode(), cell.width, cell.height, len(cell.pixels)))
            answers.flush()


def _answer(answers: BinaryIO, status: Status, *, label: str = "", text: bytes) -> None:
    answers.write(ANSWER.pack(status, label.encode(), 0, 0, len(text)) + text)
    answers.flush()


if __name__ == "__main__":
    main()
