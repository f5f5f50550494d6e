"""Memory that the worker shares with one decoder: the worker writes an image, the decoder its cell in the same place.

Neither side can change its size: the kernel ends a process that reads beyond the end. A decoder may be under an
attacker's control, so the worker copies what it reads from here before it looks at it.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

KEPT = 1 << 20
"""Bytes that stay allocated between two images. What a large image took beyond them is freed."""


@contextmanager
def new_shared_memory(size: int) -> Iterator[tuple[mmap.mmap, int]]:
    """Give a shared memory of `size` bytes and its file descriptor, for the decoder to inherit.

    Bytes take no memory until they are written. When the context ends the descriptor is closed; the memory stays.
    """
    descriptor = os.memfd_create("image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        yield mmap.mmap(descriptor, size), descriptor
    finally:
        os.close(descriptor)


def inherited(descriptor: int) -> mmap.mmap:
    """Return the shared memory whose descriptor a parent process has passed on."""
    try:
        return mmap.mmap(descriptor, 0)
    finally:
        os.close(descriptor)


def free_beyond_kept(shared: mmap.mmap, used: int) -> None:
    """Free the memory that `used` bytes took, but for the first `KEPT`."""
    if used > KEPT:
        shared.madvise(mmap.MADV_REMOVE, KEPT, used - KEPT)
