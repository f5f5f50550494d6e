"""What a report shows of a creator besides its record. Plain things, as in `worker.model`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PreviewSpec:
    """How large a preview of a page may be, in pixels in all, and its JPEG quality."""

    pixels: int
    quality: int


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row whose image could not be used, as a report shows it. `message` is the error's text."""

    line: int
    url: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Extract:
    """What a report shows of a creator besides its record. It goes into files, never into the table."""

    ended_at: float | None = None
    """When the creator was done, in epoch seconds."""
    latencies: tuple[float, ...] = ()
    """Seconds of its downloads."""
    failed: tuple[FailedRow, ...] = ()
    previews: tuple[bytes, ...] = ()
    """A small JPEG of each page."""
