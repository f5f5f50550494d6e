"""Rows and rejects → creator groups."""

import asyncio
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import RejectReason, Unavailable
from worker.manifest.grouping import Grouping
from worker.manifest.rows import Entry, LineBlock
from worker.model import CreatorGroup, Reject, Row


def batch(*entries: tuple[str, int, str]) -> LineBlock:
    return LineBlock([Entry(*entry) for entry in entries])


def in_batches(entries: list[Entry], size: int) -> Iterator[LineBlock]:
    for start in range(0, len(entries), size):
        yield LineBlock(entries[start : start + size])


def test_groups_come_in_order_of_name_and_rows_in_file_order() -> None:
    with Grouping() as grouping:
        grouping.add(batch(("bob", 2, "u2"), ("ann", 3, "u3"), ("bob", 4, "u4")))
        grouping.add(batch(("Bob", 5, "u5"), ("ann", 6, "u3")))
        assert list(grouping.groups(max_rows=10)) == [
            (CreatorGroup("Bob", (Row(5, "u5"),)), 0),
            (CreatorGroup("ann", (Row(3, "u3"), Row(6, "u3"))), 0),
            (CreatorGroup("bob", (Row(2, "u2"), Row(4, "u4"))), 0),
        ]
        assert (grouping.rows, grouping.creators, grouping.left_out) == (5, 3, 0)


def test_rows_beyond_the_cap_are_counted_not_kept() -> None:
    with Grouping() as grouping:
        for part in in_batches([Entry("ann" if line % 2 else "bob", line, "u") for line in range(2, 10_002)], 999):
            grouping.add(part)
        groups = list(grouping.groups(max_rows=3))
        assert [(group.name, [row.line for row in group.rows], left) for group, left in groups] == [
            ("ann", [3, 5, 7], 4_997),
            ("bob", [2, 4, 6], 4_997),
        ]
        assert grouping.left_out == 9_994


def test_forms_of_one_name_are_one_group_called_as_its_first_row_calls_it() -> None:
    with Grouping() as grouping:
        wide, plain = "\uff2c\uff29\uff2e\uff21", "LINA"  # full width
        grouping.add(LineBlock([Entry(plain, 2, "u2"), Entry("é", 3, "u3")], names=[(plain, 2, wide)]))
        grouping.add(LineBlock([Entry(plain, 4, "u4"), Entry("é", 5, "u5")], names=[("é", 5, "e\u0301")]))
        assert [(group.name, [row.line for row in group.rows]) for group, _ in grouping.groups(max_rows=9)] == [
            (wide, [2, 4]),
            ("é", [3, 5]),
        ]


def test_a_group_is_found_by_the_name_that_its_first_row_gave_it() -> None:
    with Grouping() as grouping:
        wide, plain = "\uff2c\uff29\uff2e\uff21", "LINA"
        grouping.add(LineBlock([Entry(plain, 2, "u2"), Entry(plain, 4, "u4")], names=[(plain, 2, wide)]))
        assert grouping.group(wide, max_rows=9) == CreatorGroup(wide, (Row(2, "u2"), Row(4, "u4")))
        assert grouping.group("Lina", max_rows=9) is None


def test_groups_may_be_asked_for_again_after_giving_up_half_way() -> None:
    with Grouping() as grouping:
        grouping.add(batch(("a", 2, "u"), ("b", 3, "u"), ("c", 4, "u")))
        next(grouping.groups(max_rows=1))
        assert [group.name for group, _ in grouping.groups(max_rows=1)] == ["a", "b", "c"]
        assert grouping.creators == 3


def test_nothing_added_gives_no_groups() -> None:
    with Grouping() as grouping:
        assert list(grouping.groups(max_rows=1)) == []
        assert (grouping.rows, grouping.creators, grouping.reject_count) == (0, 0, 0)


def test_rejects_are_all_counted_and_the_first_ones_kept() -> None:
    with Grouping(keep_rejects=3) as grouping:
        for start in (2, 4, 6):
            rejects = [Reject(start, RejectReason.NO_URL, "d"), Reject(start + 1, RejectReason.NUL_BYTE, "d")]
            grouping.add(LineBlock([], rejects))
        assert [reject.line for reject in grouping.kept_rejects] == [2, 3, 4]
        assert grouping.rejects == {RejectReason.NO_URL: 3, RejectReason.NUL_BYTE: 3}
        assert grouping.reject_count == 6


ENTRIES = st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3), st.text("ab")))


@settings(max_examples=60, deadline=None)
@given(pairs=ENTRIES, size=st.integers(1, 7), max_rows=st.integers(1, 4))
def test_grouping_is_that_of_a_dictionary(pairs: list[tuple[str, str]], size: int, max_rows: int) -> None:
    entries = [Entry(name, line, url) for line, (name, url) in enumerate(pairs, 2)]
    expected: dict[str, list[Row]] = defaultdict(list)
    for name, line, url in entries:
        expected[name].append(Row(line, url))
    with Grouping() as grouping:
        for part in in_batches(entries, size):
            grouping.add(part)
        found = list(grouping.groups(max_rows=max_rows))
    assert found == [
        (CreatorGroup(name, tuple(expected[name][:max_rows])), max(0, len(expected[name]) - max_rows))
        for name in sorted(expected, key=lambda name: name.encode())
    ]


async def test_each_step_may_run_in_another_thread() -> None:
    grouping = await asyncio.to_thread(Grouping)
    with grouping:
        await asyncio.to_thread(grouping.add, batch(("ann", 2, "u")))
        groups = grouping.groups(max_rows=1)
        assert await asyncio.to_thread(next, groups) == (CreatorGroup("ann", (Row(2, "u"),)), 0)


SPILLING = """
import pathlib, sys
from worker.manifest.grouping import Grouping
from worker.manifest.rows import Entry, LineBlock

def spills():
    links = [str(entry.readlink()) for entry in pathlib.Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return len([link for link in links if link.startswith(sys.argv[1])])

with Grouping(cache_kib=1024) as grouping:
    grouping.add(LineBlock([Entry(f"c{line * 37 % 99}", line, "u" * 800) for line in range(2, 5002)]))
    print(spills())
    seen = [(len(group.rows), spills()) for group, _ in grouping.groups(max_rows=10_000)]
    print(sum(rows for rows, _ in seen), max(files for _, files in seen))
print(spills())
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are told from /proc")
def test_what_does_not_fit_the_cache_spills_under_tmpdir_and_is_gone_at_close(tmp_path: Path) -> None:
    # in a process of its own: SQLite reads TMPDIR when it is first used
    command = [sys.executable, "-c", SPILLING, str(tmp_path)]
    run = subprocess.run(command, env={"TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["1", "5000", "2", "0"]
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_that_another_try_may_mend() -> None:
    with Grouping(max_pages=8) as grouping, pytest.raises(Unavailable, match="TMPDIR"):
        grouping.add(batch(*((f"c{line}", line, "u" * 900) for line in range(2, 2_000))))


def test_the_database_is_closed_when_its_user_fails() -> None:
    grouping = Grouping()
    with pytest.raises(ZeroDivisionError), grouping:
        _ = 1 / 0
    with pytest.raises(sqlite3.ProgrammingError):
        grouping.add(batch(("ann", 2, "u")))
