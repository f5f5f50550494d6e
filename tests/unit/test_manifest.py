"""Manifest bytes → rows and rejects: every rule of the contract, and what people and attackers do to CSV files."""

import codecs
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

from worker.errors import JobReason, RejectReason, TerminalError
from worker.manifest import csv_records
from worker.manifest.bytes import MAX_BYTES, PIECE, inline_bytes
from worker.manifest.column_names import CREATOR, URL
from worker.manifest.manifest import Manifest, open_manifest
from worker.manifest.rows import Entry
from worker.manifest.rules import judged_creator
from worker.manifest.values import creator_key, creator_name
from worker.model import Reject

HEAD = "creator,url\n"


def opened(
    content: str | bytes,
    *,
    creator_column: str | None = None,
    url_column: str | None = None,
    encoding: str | None = None,
    group: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Manifest:
    raw = content.encode() if isinstance(content, str) else content
    return open_manifest(
        io.BytesIO(raw),
        creator_column=creator_column,
        url_column=url_column,
        encoding=encoding,
        group=group,
        max_bytes=max_bytes,
    )


def read(content: str | bytes, **options: str | None) -> tuple[list[Entry], list[Reject]]:
    """Rows and rejects; a manifest without a row gives its rejects too."""
    entries: list[Entry] = []
    rejects: list[Reject] = []
    try:
        for batch in opened(content, **options).batches():  # type: ignore[arg-type]
            entries += batch.entries
            rejects += batch.rejects
    except TerminalError as error:
        if error.reason is not JobReason.MANIFEST_EMPTY or not rejects:
            raise
    return entries, rejects


def refusal(content: str | bytes, **options: object) -> TerminalError:
    with pytest.raises(TerminalError) as caught:
        list(opened(content, **options).batches())  # type: ignore[arg-type]
    return caught.value


def reasons(content: str | bytes) -> list[tuple[int, RejectReason]]:
    return [(reject.line, reject.reason) for reject in read(content)[1]]


# -- columns


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


# -- encodings, compression, other formats


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("zipped", [False, True])
def test_encodings_newlines_and_gzip_read_the_same(encoding: str, newline: str, zipped: bool) -> None:
    text = newline.join(["creator,url", "张三丰😀,http://x/é", "", "李四,http://y/", ""])
    raw = text.encode(encoding)
    assert read(gzip.compress(raw) if zipped else raw) == (
        [Entry("张三丰😀", 2, "http://x/é"), Entry("李四", 4, "http://y/")],
        [],
    )


@pytest.mark.parametrize(
    ("bom", "codec"),
    [(codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"), (b"\x84\x31\x95\x33", "gb18030")],
)
def test_byte_order_marks_are_obeyed_and_left_out_of_the_header(bom: bytes, codec: str) -> None:
    assert read(bom + '"creator","url"\n张三,http://x\n'.encode(codec))[0] == [Entry("张三", 2, "http://x")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
@pytest.mark.parametrize("shift", range(5))
def test_characters_and_line_ends_may_straddle_the_pieces_that_are_read(encoding: str, shift: int) -> None:
    rows = [("张" * 9 + str(index), "http://x/" + "é" * (shift + index % 3)) for index in range(20_000)]
    text = "creator,url\r\n" + "".join(f"{name},{url}\r\n" for name, url in rows)
    raw = text.encode(encoding)
    assert len(raw) > 2 * PIECE
    expected = [Entry(name, index, url) for index, (name, url) in enumerate(rows, 2)]
    assert read(raw, encoding=encoding) == (expected, [])


def test_a_gzip_of_several_members_is_read_through() -> None:
    raw = gzip.compress(b"creator,url\nann,htt") + gzip.compress(b"p://x\nbob,http://y\n")
    assert [entry[0] for entry in read(raw)[0]] == ["ann", "bob"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "trailing"])
def test_broken_gzip_is_not_a_csv(damage: str) -> None:
    raw = gzip.compress(b"creator,url\n" + b"".join(b"a%d,http://x/%d\n" % (n, n * n) for n in range(5000)))
    broken = {"cut": raw[:-100], "flipped": raw[:3000] + b"\0" * 40 + raw[3040:], "trailing": raw + b"junk"}[damage]
    error = refusal(broken)
    assert error.reason is JobReason.MANIFEST_NOT_CSV
    assert "gzip" in str(error)


def test_a_zip_bomb_ends_at_the_size_that_is_allowed() -> None:
    bomb = gzip.compress(b"creator,url\n" + b"a" * 30_000_000)
    assert len(bomb) < 100_000
    assert refusal(bomb, max_bytes=1_000_000).reason is JobReason.MANIFEST_TOO_LARGE
    assert refusal(HEAD * 1000, max_bytes=1_000).reason is JobReason.MANIFEST_TOO_LARGE


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04....xl/workbook.xml", "xlsx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xls"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"<!doctype html><p>Access denied", "HTML"),
        (b"\xef\xbb\xbf \n <HTML>", "HTML"),
        ("<html>".encode("utf-16"), "HTML"),
        ("creator,url\nann,http://x".encode("utf-16-le"), "UTF-16"),
        ("creator,url\nann,http://x".encode("utf-32"), "UTF-32"),
        (b"crea\0tor,url\nann,http://x\n", "binary"),
        (b"creator\x01,url\nann,http://x\n", "control"),
        (gzip.compress(gzip.compress(b"creator,url\n")), "twice"),
        (b"creator" * 200_000, "first line"),
    ],
)
def test_what_is_no_csv_is_told_by_name(raw: bytes, said: str) -> None:
    error = refusal(raw)
    assert error.reason is JobReason.MANIFEST_NOT_CSV
    assert said in str(error)


@pytest.mark.parametrize(
    "raw", [b"", b"\n\r\n  \n", codecs.BOM_UTF8, gzip.compress(b""), b"creator,url", b"creator,url\n\n"]
)
def test_nothing_or_only_a_header_is_empty(raw: bytes) -> None:
    assert refusal(raw).reason is JobReason.MANIFEST_EMPTY


def test_a_manifest_without_a_usable_row_counts_its_rejects_by_reason() -> None:
    error = refusal("creator,url\nann,\nbob,\nann,ftp://x\n")
    assert error.reason is JobReason.MANIFEST_EMPTY
    assert "no_url 2" in str(error)
    assert "bad_scheme 1" in str(error)


def test_bytes_that_are_no_text_cost_their_lines_only() -> None:
    raw = (
        b"creator,url,title\nann,http://a,\xff\xff\nb\xff\xffb,http://b,t\ncai,http://c\xff,t\n"
        + "张三,http://d,李娜美食\n".encode()
    )
    entries, rejects = read(raw)
    assert entries == [Entry("张三", 5, "http://d")]
    assert [(reject.line, reject.reason) for reject in rejects] == [
        (line, RejectReason.BAD_ENCODING) for line in (2, 3, 4)
    ]


def test_a_replacement_character_that_was_written_so_is_kept() -> None:
    assert read("creator,url\na\ufffdb,http://x\n")[0] == [Entry("a\ufffdb", 2, "http://x")]


def test_half_a_utf16_character_at_the_end_does_not_stop_the_rest() -> None:
    assert read("creator,url\nann,http://x\n".encode("utf-16") + b"a")[0] == [Entry("ann", 2, "http://x")]


def test_an_inline_manifest_is_utf8_and_its_lone_surrogates_are_refused() -> None:
    entries, rejects = read(inline_bytes("creator,url\n张,http://x\na\ud800,http://y\n"))
    assert entries == [Entry("张", 2, "http://x")]
    assert [(reject.line, reject.reason) for reject in rejects] == [(3, RejectReason.BAD_ENCODING)]


# -- lines


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ann,", RejectReason.NO_URL),
        ("ann", RejectReason.NO_URL),
        ("ann, \t ", RejectReason.NO_URL),
        ("ann,nan", RejectReason.NO_URL),
        (",http://x", RejectReason.NO_CREATOR),
        ("\u00a0 ,http://x", RejectReason.NO_CREATOR),
        ("None,http://x", RejectReason.NO_CREATOR),
        ("6.78518E+18,http://x", RejectReason.ROUNDED_NUMBER),
        ("ann,ftp://x", RejectReason.BAD_SCHEME),
        ("ann,http://x, more", RejectReason.EXTRA_FIELDS),
        ("ann,http://x" + ",t" * 40_000, RejectReason.EXTRA_FIELDS),
        ("ann,httpx://x", RejectReason.BAD_SCHEME),
        ("ann,data:image/png;base64", RejectReason.BAD_SCHEME),
        ("ann,file:///etc/passwd", RejectReason.BAD_SCHEME),
        ("an\0n,http://x", RejectReason.NUL_BYTE),
        ("ann,http://x,\0", RejectReason.NUL_BYTE),
        ('"an\0n",http://x', RejectReason.NUL_BYTE),
        ("a" * 1025 + ",http://x", RejectReason.FIELD_TOO_LONG),
        ("é" * 513 + ",http://x", RejectReason.FIELD_TOO_LONG),
        ("ann,http://" + "x" * 8186, RejectReason.FIELD_TOO_LONG),
        ("ann,http://x," + "t" * 32_769, RejectReason.FIELD_TOO_LONG),
        ('ann,http://x,"' + "t" * 32_769 + '"', RejectReason.FIELD_TOO_LONG),
        ("ann,http://x," + "t" * 200_000, RejectReason.FIELD_TOO_LONG),
        ('ann,http://x,"' + "t" * 200_000 + '"', RejectReason.FIELD_TOO_LONG),
        ("ann,http://x" + ",t" * 600_000, RejectReason.FIELD_TOO_LONG),
        ('ann,"http://x', RejectReason.BAD_QUOTING),
        ('"ann,http://x', RejectReason.BAD_QUOTING),
    ],
)
def test_a_bad_line_is_a_reject_and_does_not_stop_the_rest(line: str, reason: RejectReason) -> None:
    entries, rejects = read(f"{HEAD}one,http://1\n{line}\ntwo,http://2\n")
    assert entries == [Entry("one", 2, "http://1"), Entry("two", 4, "http://2")]
    assert [(reject.line, reject.reason) for reject in rejects] == [(3, reason)]
    assert 0 < len(rejects[0].detail) <= 200


@pytest.mark.parametrize(
    ("line", "creator", "url"),
    [
        ("  ann\t, http://x ", "ann", "http://x"),
        ("ann,HTTPS://X", "ann", "HTTPS://X"),
        ('ann, "http://x/a,b"', "ann", "http://x/a,b"),
        ("ann,http://x/w_1,h_2", "ann", "http://x/w_1,h_2"),
        ("ann,//x/y", "ann", "https://x/y"),
        ('so "called" ann,http://x', 'so "called" ann', "http://x"),
        ('"ann ""the"" b",http://x', 'ann "the" b', "http://x"),
        ('"ann"b,http://x', "annb", "http://x"),
        ("a" * 1024 + ",http://x", "a" * 1024, "http://x"),
        ("é" * 512 + ",http://x", "é" * 512, "http://x"),
        ("ann,http://" + "x" * 8185, "ann", "http://" + "x" * 8185),
        ("a\u2028b\x0bc\x85d,http://x", "a\u2028b\x0bc\x85d", "http://x"),
    ],
)
def test_a_line_at_the_edge_of_what_is_allowed_is_a_row(line: str, creator: str, url: str) -> None:
    assert read(f"{HEAD}{line}\n") == ([Entry(creator, 2, url)], [])


def test_blank_lines_are_skipped_and_counted_as_lines() -> None:
    content = '\n\ncreator,url\n\n   \nann,http://x\n\r\n\t\nbob,"http://y"\n\n'
    assert read(content) == ([Entry("ann", 6, "http://x"), Entry("bob", 9, "http://y")], [])


def test_line_numbers_are_those_of_the_line_that_a_record_starts_on() -> None:
    content = (
        'creator,url,title\r\nann,http://a,"one\r\ntwo\n\nthree"\rbob,http://b,x\ncai,http://c,"y\r"\r\ndan,http://d\n'
    )
    assert [(entry[0], entry[1]) for entry in read(content)[0]] == [
        ("ann", 2),
        ("bob", 6),
        ("cai", 7),
        ("dan", 9),
    ]


@pytest.mark.parametrize("url", ["ftp://h/p?x-signature=SECRET", "p16.com/a?sig=SECRET", "x%3Fsig%3DSECRET"])
def test_a_detail_never_shows_the_query_of_a_url(url: str) -> None:
    for reject in read(f"{HEAD}ann,{url}\nann,{url}{'x' * 9000}\n")[1]:
        assert "SECRET" not in reject.detail


def test_a_lone_surrogate_in_a_name_is_refused() -> None:
    problem = judged_creator("a\udc80")[2]
    assert problem is not None
    assert problem[0] is RejectReason.BAD_ENCODING


# -- stray quotes


@pytest.mark.parametrize(
    "after",
    [
        "bob,http://b\ncai,http://c\n",
        'bob,"http://b"\ncai,http://c\n',
        '"bob","http://b"\n"cai","http://c"\n',
        'bob,http://b\ncai,http://c"\n',
    ],
)
@pytest.mark.parametrize("stray", ['ann,"http://a', '"ann,http://a'])
def test_a_stray_opening_quote_costs_one_line(stray: str, after: str) -> None:
    entries, rejects = read(f"{HEAD}{stray}\n{after}")
    assert [(reject.line, reject.reason) for reject in rejects] == [(2, RejectReason.BAD_QUOTING)]
    assert [(entry[0], entry[1]) for entry in entries] == [("bob", 3), ("cai", 4)]


@pytest.mark.parametrize("rows", [3, 3_000, 60_000])
def test_a_stray_quote_costs_one_line_however_many_follow(rows: int) -> None:
    lines = [f"c{index},http://x/{index}\n" for index in range(rows)]
    lines[1] = 'stray,"http://y\n'
    entries, rejects = read(HEAD + "".join(lines))
    assert [reject.line for reject in rejects] == [3]
    assert [entry[1] for entry in entries] == [2, *range(4, rows + 2)]


@pytest.mark.parametrize(
    "line", ['x","\n', '"""\n', 'a,"""\n', '"\n', 'a,"\n\n\n', '""","\n', '"x","y","\n', 'a,"http://x\n']
)
def test_no_mix_of_quotes_takes_more_than_linear_time(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr(csv_records, "FREE_REREAD", 100_000)
    parsed = _count_parsed(monkeypatch)
    content = HEAD + line * (400_000 // len(line))
    read(content)
    assert parsed() < 12 * len(content) + 100_000 + 2 * csv_records.MAX_RECORD


def _count_parsed(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]  # noqa: ANN202
    total = 0
    until = csv_records._until

    def counting(lines: list[str], start: int, stop: int) -> Iterator[str]:
        nonlocal total
        for line in until(lines, start, stop):
            total += len(line)
            yield line

    monkeypatch.setattr(csv_records, "_until", counting)
    return lambda: total


def test_when_the_allowance_is_used_up_lines_are_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_records, "FREE_REREAD", 0)
    monkeypatch.setattr(csv_records, "REREAD_FACTOR", 0)
    entries, rejects = read(f'{HEAD}"ann\n"bob",http://b\ncai,http://c\n')
    assert [(reject.line, reject.reason) for reject in rejects] == [(2, RejectReason.BAD_QUOTING)]
    assert [entry[0] for entry in entries] == ["bob", "cai"]


# -- size


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
        batches = list(open_manifest(file).batches())  # type: ignore[arg-type]
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
            for batch in open_manifest(_Generated([(b"creator,url\n", 1), (line * 100, count)])).batches():  # type: ignore[arg-type]
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
    assert sum(len(batch.entries) for batch in open_manifest(file).batches()) == 100_000  # type: ignore[arg-type]
    assert time.process_time() - started < 3  # about 0.25 s; the margin is for slow machines


# -- round trips

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


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(['"', ",", "\n", "\r", "a", " ", "http://x", "\0", "é", "x,http://y\n"]), max_size=40))
def test_any_line_with_no_quote_near_it_survives_whatever_is_around(parts: list[str]) -> None:
    junk = "".join(parts)
    entries, rejects = read(f"{HEAD}ann,http://a\n{junk}\nzoe,http://z\n")
    lines = physical_lines(f"{HEAD}ann,http://a\n{junk}\n")
    assert entries[0] == Entry("ann", 2, "http://a")
    starts = sorted([entry[1] for entry in entries] + [reject.line for reject in rejects])
    assert len(set(starts)) == len(starts)
    assert starts[-1] <= lines + 1
    if junk.count('"') == 0:
        assert entries[-1] == Entry("zoe", lines + 1, "http://z")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_read_or_refused_with_a_reason(raw: bytes) -> None:
    for content in (raw, HEAD.encode() + raw, b"\x1f\x8b" + raw):
        reason = None
        try:
            list(opened(content).batches())
        except TerminalError as error:
            reason = error.reason
        assert reason in {
            None,
            JobReason.MANIFEST_NOT_CSV,
            JobReason.MANIFEST_COLUMNS,
            JobReason.MANIFEST_EMPTY,
            JobReason.MANIFEST_ENCODING,
        }
