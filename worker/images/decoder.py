"""The decoder process: `python -m worker.images.decoder MEMORY_LIMIT`. Images in on fd 0, cells out on fd 1.

It turns hostile bytes into pixels where they can do little harm: with no credentials in its environment, with limits
on memory, files and privileges that are set before Pillow is imported, and one image at a time. It ends when its
parent closes the connection, or dies.

A request is the `REQUEST` header and the image's bytes, an answer the `ANSWER` header and its body: the pixels of a
cell, or the text of a refusal. All numbers are little-endian.
"""

import ctypes
import os
import resource
import signal
import struct
import sys
from enum import IntEnum
from typing import BinaryIO

REQUEST = struct.Struct("<IIIQI3B")
"""Cell size, shortest side, longest side kept (px), most pixels, length of the image in bytes, background RGB."""

ANSWER = struct.Struct("<B24sIII")
"""Status, format or reason (ASCII, padded with zeros), width and height of the image (px), length of the body."""

MAX_OPEN_FILES = 32
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


class Status(IntEnum):
    """What an answer is; READY and BROKEN answer the start of the process, before the first request."""

    READY = 0
    BROKEN = 1
    CELL = 2
    REFUSED = 3


def main() -> None:
    """Answer requests until the parent closes the connection."""
    requests, answers = _taken_over_connection()
    _confine(memory_limit=int(sys.argv[1]))
    try:
        _serve(requests, answers)
    except ImportError as error:
        _answer(answers, Status.BROKEN, body=str(error).encode())
    except ConnectionError:
        pass  # the parent is gone, and nobody is left to be told


def _taken_over_connection() -> tuple[BinaryIO, BinaryIO]:
    """Return the connection, out of the reach of anything that prints: fd 1 leads to stderr from now on."""
    connection = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 -- these are descriptors
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return connection


def _confine(memory_limit: int) -> None:
    """Give up what decoding does not need. Linux only; `memory_limit` is of address space, in bytes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they reach the whole group, but the parent alone decides
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_AS, memory_limit),
    ):
        _, hard = resource.getrlimit(limit)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (allowed, allowed))


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    from worker.errors import ImageError  # noqa: PLC0415 -- after the limits are in force
    from worker.images.cell import CellSpec, make_cell  # noqa: PLC0415 -- as above

    _answer(answers, Status.READY)
    while len(header := requests.read(REQUEST.size)) == REQUEST.size:
        size, min_side, keep_side, max_pixels, length, *background = REQUEST.unpack(header)
        red, green, blue = background
        spec = CellSpec(size, (red, green, blue), min_side, max_pixels, keep_side)
        try:
            cell = make_cell(requests.read(length), spec)
        except ImageError as error:
            _answer(answers, Status.REFUSED, label=error.reason, body=str(error).encode())
        else:
            _answer(answers, Status.CELL, label=cell.format, size=(cell.width, cell.height), body=cell.pixels)


def _answer(
    answers: BinaryIO, status: Status, *, label: str = "", size: tuple[int, int] = (0, 0), body: bytes = b""
) -> None:
    answers.write(ANSWER.pack(status, label.encode(), *size, len(body)) + body)
    answers.flush()


if __name__ == "__main__":
    main()
