"""Waiting for a condition: the one place where tests let time pass."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LOOK_EVERY = 0.05


def until(look: Callable[[], T], what: str, *, within: float = 30.0, every: float = LOOK_EVERY) -> T:
    """Look again and again until there is something true, and return it; fails after `within` seconds."""
    end = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"after {within:g} s there is still not: {what} (last seen: {found!r})")
        time.sleep(every)
