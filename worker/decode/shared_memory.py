"""Memory that the worker shares with one decoder: an image goes in, and its cell comes out at the same place.

Neither side may change its size, or the other would be ended by the kernel for looking behind its end. What the worker
reads here was written by a process that hostile bytes may have taken over: it is copied out first, and then looked at.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

KEPT = 1 << 20
"""Bytes that stay allocated between two images; what a rare large one took beyond them is given back."""


@contextmanager
def new_shared_memory(size: int) -> Iterator[tuple[mmap.mmap, int]]:
    """Give a window of `size` bytes, which take no memory until they are written, and the descriptor to hand on.

    The window stays when the context ends; the descriptor is closed.
    """
    descriptor = os.memfd_create("window", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        yield mmap.mmap(descriptor, size), descriptor
    finally:
        os.close(descriptor)


def taken_over(descriptor: int) -> mmap.mmap:
    """Return the window that a parent has handed down."""
    try:
        return mmap.mmap(descriptor, 0)
    finally:
        os.close(descriptor)


def give_back(window: mmap.mmap, used: int) -> None:
    """Free what `used` bytes took beyond those that are kept."""
    if used > KEPT:
        window.madvise(mmap.MADV_REMOVE, KEPT, used - KEPT)
