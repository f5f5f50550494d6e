"""How fast a batch goes, how long it still takes, and how both are told. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.cells import cell_len, set_cell_size

from worker.model import BatchRecord, BatchState

SILENT_AFTER = 900.0
"""Seconds without a write to a running batch's record that are worth telling: a chunk takes a minute or two."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Creators a second, and the seconds that are left at that."""

    creators_per_second: float
    seconds_left: float


def pace(done: int, total: int, seconds: float) -> Pace | None:
    """Return the pace of so many creators in so many seconds; None before the first."""
    if done <= 0 or seconds <= 0:
        return None
    return Pace(done / seconds, max(0, total - done) * seconds / done)


def pace_of(record: BatchRecord, now: float) -> Pace | None:
    """Return the pace of a batch since its start (`now`: epoch seconds); None where it does not run."""
    if record.state is not BatchState.RUNNING:
        return None
    done = record.counts.get("creators_completed", 0) + record.counts.get("creators_failed", 0)
    return pace(done, record.counts.get("creators_total", 0), now - record.started_at.timestamp())


def silence_of(record: BatchRecord, now: float) -> float | None:
    """Return the seconds for which nobody has written of a running batch, None where they are not worth telling."""
    if record.state is not BatchState.RUNNING or record.updated_at is None:
        return None
    passed = now - datetime.fromisoformat(record.updated_at).timestamp()
    return passed if passed > SILENT_AFTER else None


def silence_told(seconds: float) -> str:
    """Tell that nobody has written of a batch, and where to look."""
    return f"no worker has told of it for {time_told(seconds)}; if its messages are dead letters: collage dlq list"


def time_told(seconds: float) -> str:
    """Tell seconds as people do."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} s"
    if minutes < 90:
        return f"{minutes} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36 * 3600 else f"{seconds / 86_400:.1f} days"


def progress_text(state: str, counts: Mapping[str, Any], at: Pace | None, width: int) -> str:
    """Tell in a line of so many columns how far a batch has come: what counts less goes first where there is no room.

    The pace and the time left always stay, also in 40 columns.
    """
    done = counts.get("creators_completed", 0) + counts.get("creators_failed", 0)
    figures = f"{done}/{counts['creators_total']}" if counts.get("creators_total") else str(done)
    if at is not None:
        figures += f" {at.creators_per_second:.1f}/s {time_told(at.seconds_left)} left"
    failed = counts.get("images_failed", 0)
    images = f"{counts.get('images_processed', 0)} images" + (f", {failed} failed" if failed else "")
    whole = f"{state} {figures} {images}"
    if cell_len(whole) <= width:
        return whole
    return f"{_cut(state, width - len(figures) - 1)} {figures}".strip()


def _cut(text: str, most: int) -> str:
    """Cut a text to so many columns of a terminal; a Chinese character takes two."""
    if cell_len(text) <= most:
        return text
    return f"{set_cell_size(text, most - 1).rstrip()}…" if most > 1 else ""
