"""The larger misfortunes of a run, beside those of single calls and steps. Each is seen alone in some seeds.

They are drawn from a generator of their own, so that a seed without any is the run that it was before them.
"""

import errno
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from unittest import mock

from tests.simulation import refusals
from tests.simulation.clock import LIFE
from tests.simulation.refusals import Refusal

OUTAGE_SECONDS = 1200.0
"""The longest outage: twenty minutes."""

ABSENCE_SECONDS = 8 * 86_400.0
"""How long nobody works: the temp bucket keeps files for seven days, the queue keeps messages for fourteen."""


@dataclass(slots=True)
class Misfortunes:
    """What is to happen in a run; nothing, unless it is drawn or asked for."""

    refusals: list[Refusal] = field(default_factory=list)
    killers: float = 0.0
    """The share of creators that end their worker each time."""
    too_large: float = 0.0
    """The share of creators whose record is more than an item may hold."""
    kills_on_progress: int = 0
    """Workers that are killed soon after each has finished a creator."""
    kills_at: str = ""
    """A regular expression over calls; workers are killed as they make one, `kills_left` times in all."""
    kills_left: int = 0
    full_disks: list[tuple[float, float]] = field(default_factory=list)
    """From when to when there is no room under TMPDIR."""
    absence_at: float | None = None
    """When all workers go away for longer than the temp bucket keeps files."""
    index_lag: float = 0.0
    """Seconds that the indexes are behind the table."""
    settings_change: bool = False
    """Each worker has settings of its own: how many creators make a chunk, and whether batches are split."""
    forged: int = 0
    """Messages that strangers send."""
    new_uploads: bool = False
    """Manifests are replaced while their batches run, and events come late."""

    @property
    def until(self) -> float:
        """When the last of them is over."""
        ends = [refusal.ends for refusal in self.refusals] + [end for _, end in self.full_disks]
        return max(ends, default=0.0)

    def disk_is_full(self, now: float) -> bool:
        """Say whether there is no room now."""
        return any(begins <= now < ends for begins, ends in self.full_disks)


def drawn(chance: random.Random) -> Misfortunes:
    """Draw the misfortunes of a run."""
    found = Misfortunes(refusals=refusals.drawn(chance, most=OUTAGE_SECONDS))
    if chance.random() < 0.12:
        found.killers = chance.choice([0.1, 0.3])
    if chance.random() < 0.04:
        found.too_large = 0.2
    if chance.random() < 0.08:
        found.kills_on_progress = chance.choice([6, 12, 30])
    if chance.random() < 0.05:
        found.kills_at, found.kills_left = r"summaries|archived/|dynamodb.*batch: SET", chance.choice([3, 6])
    if chance.random() < 0.06:
        begins = chance.uniform(0, 10)
        found.full_disks = [(begins, begins + chance.choice([20, 300]))]
    if chance.random() < 0.05:
        found.absence_at = chance.uniform(0.5, 30)
    if chance.random() < 0.3:
        found.index_lag = chance.choice([0.5, 3.0])
    found.settings_change = chance.random() < 0.2
    found.forged = chance.choice([0, 0, 0, 0, 3])
    found.new_uploads = chance.random() < 0.2
    return found


PRESETS: dict[str, Callable[[random.Random], Misfortunes]] = {
    "outages": lambda chance: Misfortunes(refusals=[refusals.one(chance, most=240.0)]),
    "throttled transactions": lambda _: Misfortunes(refusals=[Refusal(r"^dynamodb\.transact", "throttled", 0.0, 60.0)]),
    "denied looks": lambda _: Misfortunes(refusals=[Refusal(r"^s3\.(get|head)_object", "denied", 0.0, 60.0)]),
    "killers": lambda _: Misfortunes(killers=0.3),
    "kills on progress": lambda _: Misfortunes(kills_on_progress=30),
    "kills at the end": lambda _: Misfortunes(kills_at=r"summaries|archived/|dynamodb.*batch: SET", kills_left=6),
    "records too large": lambda _: Misfortunes(too_large=0.3),
    "full disks": lambda _: Misfortunes(full_disks=[(0.0, 300.0)]),
    "absence": lambda chance: Misfortunes(absence_at=chance.uniform(0.5, 10)),
    "index lag": lambda _: Misfortunes(index_lag=3.0),
    "settings": lambda _: Misfortunes(settings_change=True),
    "forgeries": lambda _: Misfortunes(forged=6),
    "uploads": lambda _: Misfortunes(new_uploads=True),
}
"""One kind of misfortune alone, in every seed: `--only` of `python -m tests.simulation.run`."""


@contextmanager
def disk_of(misfortunes: Misfortunes, now: Callable[[], float]) -> Iterator[None]:
    """Have files under TMPDIR meet a full disk while there is one."""
    real = tempfile.TemporaryFile

    class File:
        """A temporary file; writes fail while the disk is full."""

        def __init__(self, *given: Any, **named: Any) -> None:
            self._file = real(*given, **named)

        def write(self, body: bytes) -> int:
            if LIFE.get() is not None and misfortunes.disk_is_full(now()):
                raise OSError(errno.ENOSPC, "No space left on device")
            return self._file.write(body)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def __iter__(self) -> Iterator[bytes]:
            return iter(self._file)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    with mock.patch.object(tempfile, "TemporaryFile", File):
        yield
