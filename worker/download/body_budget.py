"""Memory for the bodies of images: most are small, and of the large ones only a few are held at a time.

Without it, a hostile server could make every download of the worker hold as much as one image may have.
"""

import time

from worker.limiter import Limiter

SMALL = 1 << 20
"""Bytes that every body may have. Covers have a tenth of it."""


class BodyBudget:
    """The room of one body; it has to be left in the end, by whoever holds the bytes then."""

    def __init__(self, large_bodies: Limiter) -> None:
        self._large_bodies = large_bodies
        self._is_large = False

    async def grow(self, size: int) -> float:
        """Make sure of room for a body of so many bytes; returns the seconds that this took."""
        if size <= SMALL or self._is_large:
            return 0.0
        began = time.perf_counter()
        await self._large_bodies.__aenter__()
        self._is_large = True
        return time.perf_counter() - began

    def leave(self) -> None:
        """Give the room back; calling it again does nothing."""
        if self._is_large:
            self._is_large = False
            self._large_bodies.leave()
