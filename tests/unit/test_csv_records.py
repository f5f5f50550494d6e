"""From text to records: lines, quotes, and what people and attackers do to them."""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.manifests import HEAD, read
from worker.errors import RejectReason
from worker.manifest.csv_records import MAX_RECORD, Records, Rereading, split_lines
from worker.manifest.rows import Entry
from worker.manifest.rules import judged_creator
from worker.model import Reject


def physical_lines(text: str) -> int:
    return len(io.StringIO(text, newline="").readlines())


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
def test_no_mix_of_quotes_takes_more_than_linear_time(line: str) -> None:
    looked_at = 0

    class Counted(list[str]):
        """Lines that count the characters of those that are looked at, however often."""

        def __radd__(self, before: list[str]) -> "Counted":
            return Counted([*before, *self])

        def __getitem__(self, at: Any) -> Any:
            nonlocal looked_at
            found = super().__getitem__(at)
            looked_at += len(found) if isinstance(at, int) else 0
            return found

    content = HEAD + line * (400_000 // len(line))
    blocks = (Counted(block) for block in split_lines([content]))
    for _ in Records(blocks, ",", line=1, one_line=1, rereading=Rereading(free=100_000)):
        pass
    assert len(content) <= looked_at < 12 * len(content) + 100_000 + 2 * MAX_RECORD


def test_when_the_allowance_is_used_up_lines_are_read_one_by_one() -> None:
    lines = ['"ann\n', '"bob",http://b\n', "cai,http://c\n"]
    first, *others = Records([lines], ",", line=2, one_line=1, rereading=Rereading(free=0, factor=0))
    assert isinstance(first, Reject)
    assert (first.line, first.reason) == (2, RejectReason.BAD_QUOTING)
    assert others == [(3, ["bob", "http://b"]), (4, ["cai", "http://c"])]


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
