"""The disk under TMPDIR, which may be full: a fault of the world, and none of the work's."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from worker.errors import Dependency, JobReason, Unavailable

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def room_on_disk(doing: str) -> Iterator[None]:
    """Raise `Unavailable(disk)` where the body finds no room on the disk; `doing` is its purpose in words."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        told = f"{doing}: {error.strerror}; make room under TMPDIR"
        raise Unavailable(Dependency.DISK, JobReason.DISK_FULL, told) from error
