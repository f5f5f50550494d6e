"""Rows in file order → creator groups in order of name, in bounded memory.

SQLite keeps the rows in a private temporary database: in its cache while they are few, in a file under TMPDIR (or
SQLITE_TMPDIR; SQLite reads them once in a process) when they are many, gone when it is closed. Sorting them there reads
and writes in sequence, and one creator with ten million rows is no harder than a million creators with ten.
"""

import itertools
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from types import TracebackType
from typing import Self

from worker.errors import Dependency, Interrupted, JobReason, RejectReason, Unavailable
from worker.manifest.rows import LineBlock
from worker.manifest.values import creator_key
from worker.model import CreatorGroup, Reject, Row

KEPT_REJECTS = 10_000

CACHE_KIB = 64 * 1024
"""Memory for the pages of the database, and as much again for its sorter."""

_PRAGMAS = (
    "page_size = 16384",
    "journal_mode = OFF",  # a crash loses the whole database, on purpose: planning starts again
    "synchronous = OFF",
    "locking_mode = EXCLUSIVE",
    "temp_store = FILE",
)


class Grouping:
    """Takes rows and rejects, then gives the creator groups. To be used from one thread at a time, any thread.

    Rows whose creators' names differ in their Unicode form alone are one group, called as its first row calls it. The
    order of groups is that of the names' keys (NFKC) in UTF-8, so that planning again after a crash makes the same
    chunks.
    `rows` and `rejects` (by reason) count what was added; `kept_rejects` are the first `keep_rejects` of them.
    `creators` and `left_out` (rows beyond `max_rows`) are complete when `groups` has come to its end. `max_pages`
    bounds the database, which a full disk does otherwise.
    """

    def __init__(
        self, *, keep_rejects: int = KEPT_REJECTS, cache_kib: int = CACHE_KIB, max_pages: int | None = None
    ) -> None:
        self.rows = 0
        self.creators = 0
        self.left_out = 0
        self.rejects: Counter[RejectReason] = Counter()
        self.kept_rejects: list[Reject] = []
        self._keep_rejects = keep_rejects
        self._interrupted = False
        self._renamed = False
        with _spilling():
            self._database = _open_database(cache_kib, max_pages)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    @property
    def reject_count(self) -> int:
        """How many lines were rejects, kept or not."""
        return self.rejects.total()

    @property
    def is_interrupted(self) -> bool:
        """Whether another thread asked for an end."""
        return self._interrupted

    def interrupt(self) -> None:
        """Make whatever another thread does here end soon, with `Interrupted`. Safe from any thread."""
        self._interrupted = True
        self._database.interrupt()

    def add(self, block: LineBlock) -> None:
        """Take a block of lines. Raises `Unavailable` where the disk under TMPDIR is full."""
        if self._interrupted:
            raise Interrupted(JobReason.INTERRUPTED, "planning was interrupted")
        with _spilling():
            self._database.executemany("INSERT INTO rows (creator, line, url) VALUES (?, ?, ?)", block.entries)
            if block.names:
                self._renamed = True
                self._database.executemany(
                    "INSERT OR IGNORE INTO names (key, line, name) VALUES (?, ?, ?)", block.names
                )
        self.rows += len(block.entries)
        self.rejects.update(reject.reason for reject in block.rejects)
        self.kept_rejects += block.rejects[: self._keep_rejects - len(self.kept_rejects)]

    def count_creators(self) -> int:
        """Count the groups there will be; costs a pass over the names."""
        with _spilling():
            return int(self._database.execute("SELECT COUNT(DISTINCT creator) FROM rows").fetchone()[0])

    def groups(self, *, max_rows: int) -> Iterator[tuple[CreatorGroup, int]]:
        """Give each creator's first `max_rows` rows, in file order, and the number of its rows that are left out.

        May be called again, from the start. Raises `Unavailable` where the disk under TMPDIR is full.
        """
        self.creators = self.left_out = 0
        for key, group in itertools.groupby(self._sorted_rows(), itemgetter(0)):
            rows = iter(group)
            kept = _some(rows, max_rows)
            left_out = sum(1 for _ in rows)
            self.creators += 1
            self.left_out += left_out
            yield CreatorGroup(self._name(key, kept[0].line), kept), left_out

    def _name(self, key: str, line: int) -> str:
        """Return the name of the group with this key as its first row, on this line, has it."""
        if not self._renamed:
            return key
        with _spilling():
            query = "SELECT name FROM names WHERE key = ? AND line = ?"
            found = self._database.execute(query, (key, line)).fetchone()
        return str(found[0]) if found else key

    def group(self, name: str, *, max_rows: int) -> CreatorGroup | None:
        """Return one creator's first `max_rows` rows, in file order; None where it has none. Looks at every row.

        `name` is the group's, as `groups` gives it.
        """
        query = "SELECT line, url FROM rows WHERE creator IN (?, ?) ORDER BY line LIMIT ?"
        keys = (creator_key(name), name)  # the one group of all rows is its own key
        with _spilling():
            rows = tuple(Row(line, url) for line, url in self._database.execute(query, (*keys, max_rows)))
        return CreatorGroup(name, rows) if rows else None

    def _sorted_rows(self) -> Iterator[tuple[str, int, str]]:
        with _spilling():
            # The chain has no `close`: that of a cursor fails, where a plan is left half-way and its database closed.
            yield from itertools.chain(
                self._database.execute("SELECT creator, line, url FROM rows ORDER BY creator, line")
            )


def _open_database(cache_kib: int, max_pages: int | None) -> sqlite3.Connection:
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    bounds = [f"cache_size = -{cache_kib}", *([] if max_pages is None else [f"max_page_count = {max_pages}"])]
    for pragma in (*_PRAGMAS, *bounds):
        database.execute(f"PRAGMA {pragma}")
    # the line is the rowid: rows come in its order, so the table only ever grows at its end
    database.execute("CREATE TABLE rows (line INTEGER PRIMARY KEY, creator TEXT NOT NULL, url TEXT NOT NULL)")
    # the first name that is not its group's key itself, where a group has one
    database.execute(
        "CREATE TABLE names (key TEXT PRIMARY KEY, line INTEGER NOT NULL, name TEXT NOT NULL) WITHOUT ROWID"
    )
    database.execute("BEGIN")
    return database


def _some(rows: Iterator[tuple[str, int, str]], most: int) -> tuple[Row, ...]:
    return tuple(Row(line, url) for _, line, url in itertools.islice(rows, most))


@contextmanager
def _spilling() -> Iterator[None]:
    """Turn what goes wrong with the spill file, a full disk most likely, into an error that another try may mend."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unavailable(
            Dependency.DISK,
            JobReason.DISK_FULL,
            f"the manifest's rows could not be kept under TMPDIR ({error}); it takes 2 to 3 times the manifest's size",
        ) from error
