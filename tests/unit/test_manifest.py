"""Manifests as a whole: columns, memory that does not grow, and tables that come back as they were written."""

import csv
import gzip
import io
import itertools
import time
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.manifests import HEAD, opened, read, refusal
from worker.errors import JobReason, RejectReason, TerminalError
from worker.manifest.column_names import CREATOR, URL
from worker.manifest.manifest import open_manifest
from worker.manifest.rows import Entry
from worker.manifest.values import creator_key, creator_name


@pytest.mark.parametrize("creator", [each.name for each in CREATOR])
@pytest.mark.parametrize("url", [each.name for each in URL])
def test_every_accepted_pair_of_names_is_found(creator: str, url: str) -> None:
    assert read(f"id,{url},{creator}\n7,http://x/,ann\n") == ([Entry("ann", 2, "http://x/")], [])


@pytest.mark.parametrize(
    "header",
    [
        "CREATOR NAME,Cover URL",
        " creator_name , cover_url ",
        "\ufeffcreatorname,coverurl",
        '"creator_name","cover_url"',
        "creator\u00a0name,\u200bcover_url\u200b",
        '\u200b"Creator_Name", "COVER_URL"',
        '"creator\n name",cover_url',
    ],
)
def test_header_names_are_compared_without_case_spaces_underscores_and_junk(header: str) -> None:
    entries, rejects = read(f"{header}\nann,http://x/\n")
    assert [(entry[0], entry[2]) for entry in entries] == [("ann", "http://x/")]
    assert rejects == []


def test_the_first_name_in_the_order_of_the_contract_wins_wherever_its_column_stands() -> None:
    content = "url,nickname,cover_url,creator,creator_name\nhttp://url,nick,http://cover,creator,name\n"
    assert read(content)[0] == [Entry("name", 2, "http://cover")]


def test_a_column_named_by_the_job_overrides_the_order_and_is_compared_alike() -> None:
    content = "creator,url,Best Link,who\nann,http://a,http://b,bob\n"
    assert read(content, creator_column="WHO", url_column="best_link")[0] == [Entry("bob", 2, "http://b")]


def test_a_column_named_by_the_job_that_is_not_there_is_terminal_and_named() -> None:
    error = refusal("creator,url\nann,http://a\n", creator_column="wer")
    assert error.reason is JobReason.MANIFEST_COLUMNS
    assert "'wer'" in str(error)
    assert "creator_column" in str(error)


def test_missing_columns_say_what_was_found_and_what_is_accepted() -> None:
    header = ",".join(f"column{index}" * 20 for index in range(500))
    error = refusal(f"{header}\n1\n")
    assert error.reason is JobReason.MANIFEST_COLUMNS
    for expected in ("cover_url", "creator_name", "url_column", "DEFAULT_URL_COLUMN", "--set", "column0", "more"):
        assert expected in str(error)
    assert len(str(error)) < 8000


def test_without_grouping_no_creator_column_is_needed_and_each_row_is_in_the_group() -> None:
    assert read("url\nhttp://a,b\nhttp://c;d\n", group="stem")[0] == [
        Entry("stem", 2, "http://a,b"),
        Entry("stem", 3, "http://c;d"),
    ]
    assert read("creator,url\nann,http://a\n", group="stem")[0] == [Entry("stem", 2, "http://a")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_each_delimiter_is_told_by_the_header(delimiter: str) -> None:
    content = delimiter.join(["id", "creator", "url"]) + "\n" + delimiter.join(["1", "ann", "http://x/"]) + "\n"
    assert read(content)[0] == [Entry("ann", 2, "http://x/")]


def test_the_delimiter_is_the_one_that_yields_the_columns_not_the_most_frequent_one() -> None:
    assert read("a|b|c|d,creator,url\n1|2,ann,http://x\n")[0] == [Entry("ann", 2, "http://x")]


class _Generated(io.RawIOBase):
    """A seekable file that is made while it is read, so that a test may have a huge one."""

    def __init__(self, parts: list[tuple[bytes, int]]) -> None:
        self._parts = parts
        self._left = self._pieces()
        self._rest = b""

    def _pieces(self) -> Iterator[bytes]:
        return itertools.chain.from_iterable(itertools.repeat(part, count) for part, count in self._parts)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        assert (offset, whence) == (0, 0)
        self._left, self._rest = self._pieces(), b""
        return 0

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and (piece := next(self._left, b"")):
            self._rest += piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def test_a_line_of_100_mb_is_one_reject_and_never_held() -> None:
    mb = b"x" * 1_000_000
    file = _Generated([(b"creator,url\nann,http://a\nbob,http://", 1), (mb, 100), (b"\r\ncai,http://c\n", 1)])
    tracemalloc.start()
    try:
        batches = list(open_manifest(file).blocks())  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [entry[1] for batch in batches for entry in batch.entries] == [2, 4]
    assert [(r.line, r.reason) for batch in batches for r in batch.rejects] == [(3, RejectReason.FIELD_TOO_LONG)]
    assert peak < 20_000_000


def test_memory_does_not_grow_with_the_length() -> None:
    def peak(count: int) -> int:
        line = b'ann,"http://x/' + b"y" * 100 + b'"\n'
        tracemalloc.start()
        try:
            rows = 0
            for batch in open_manifest(_Generated([(b"creator,url\n", 1), (line * 100, count)])).blocks():  # type: ignore[arg-type]
                rows += len(batch.entries)
            assert rows == 100 * count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)
    assert peak(1000) < 1.5 * peak(250)


def test_a_hundred_thousand_rows_take_a_fraction_of_a_second_of_cpu() -> None:
    file = _Generated([(b"creator,url\n", 1), (b"".join(b"c%d,http://x/%d\n" % (n, n) for n in range(1000)), 100)])
    started = time.process_time()
    assert sum(len(batch.entries) for batch in open_manifest(file).blocks()) == 100_000  # type: ignore[arg-type]
    assert time.process_time() - started < 3  # about 0.25 s; the margin is for slow machines


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12).filter(
    lambda name: name == name.strip() != "" and creator_name(name) != ""
)
TITLES = st.text(st.sampled_from("ab ,;|\t\"\n\r'é张😀\u2028"), max_size=12)
ROWS = st.lists(st.tuples(NAMES, st.text(st.sampled_from('abc,;|"%?=&é'), max_size=8), TITLES), min_size=1, max_size=12)


def physical_lines(text: str) -> int:
    return len(io.StringIO(text, newline="").readlines())


@settings(max_examples=300, deadline=None)
@given(
    rows=ROWS,
    delimiter=st.sampled_from(",;\t|"),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8-sig", "utf-8", "utf-16", "gb18030"]),
    blanks=st.lists(st.integers(0, 2), min_size=13, max_size=13),
    last_newline=st.booleans(),
    zipped=st.booleans(),
)
def test_what_the_csv_module_writes_is_read_back(
    rows: list[tuple[str, str, str]],
    delimiter: str,
    newline: str,
    encoding: str,
    blanks: list[int],
    last_newline: bool,
    zipped: bool,
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL)
    expected = []
    writer.writerow(["Title", "Creator Name", "cover_url"])
    for (name, path, title), blank in zip(rows, blanks, strict=False):
        out.write(newline * blank)
        expected.append(Entry(creator_key(creator_name(name)), physical_lines(out.getvalue()) + 1, f"https://h/{path}"))
        writer.writerow([title, name, f"https://h/{path}"])
    text = out.getvalue() if last_newline else out.getvalue().removesuffix(newline)
    raw = text.encode(encoding)
    named = encoding if encoding == "gb18030" else None
    assert read(gzip.compress(raw) if zipped else raw, encoding=named) == (expected, [])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_read_or_refused_with_a_reason(raw: bytes) -> None:
    for content in (raw, HEAD.encode() + raw, b"\x1f\x8b" + raw):
        reason = None
        try:
            list(opened(content).blocks())
        except TerminalError as error:
            reason = error.reason
        assert reason in {
            None,
            JobReason.MANIFEST_NOT_CSV,
            JobReason.MANIFEST_COLUMNS,
            JobReason.MANIFEST_EMPTY,
            JobReason.MANIFEST_ENCODING,
        }
