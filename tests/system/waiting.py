"""Waits for what is to become true, never for time to pass."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LOOK_EVERY = 0.2


def wait_for(look: Callable[[], T | None], what: str, *, seconds: float = 90.0) -> T:
    """Return what `look` finds, as soon as it is neither None nor empty nor false."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(LOOK_EVERY)
    return found
