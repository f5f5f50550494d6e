"""What memory holds before it is written to: glibc can be told, and then what is read unwritten is seen."""

import ctypes
import platform

_PERTURB = -6
"""glibc's `M_PERTURB`: what malloc hands out is filled with the complement of this byte, what it gets back with it."""

_LIBC = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def fill_memory(byte: int) -> None:
    """Fill what malloc hands out from now on; with 0, and where there is no glibc, nothing is filled."""
    if _LIBC is not None:
        _LIBC.mallopt(_PERTURB, byte)
