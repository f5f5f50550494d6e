"""Which records are rows, which are rejects, and which are neither."""

import io
from typing import Any

import pytest

from worker.errors import RejectReason
from worker.manifest.manifest import open_manifest

LINK = "https://h.example/c/1.jpg?x-expires=1&x-signature=a%3D"


def read(content: str) -> tuple[list[tuple[str, str]], list[tuple[int, RejectReason]], dict[str, Any]]:
    """Rows, rejects and what is told, after a row of ann's that makes the manifest a usable one."""
    manifest = open_manifest(io.BytesIO(content.encode()))
    blocks = list(manifest.blocks())
    rows = [(creator, url) for block in blocks for creator, _, url in block.entries]
    return rows, [(each.line, each.reason) for block in blocks for each in block.rejects], manifest.told()


def test_what_a_manifest_was_read_as_is_told() -> None:
    content = (
        f"sep=;\nWer;Creator;Cover URL\nx;ann;{LINK}\n;;\nx;bob;{LINK.replace('&', '&amp;')}\nWer;Creator;Cover URL\n"
    )
    assert read(content)[2] == {
        "format": "csv",
        "encoding": "utf-8",
        "delimiter": ";",
        "creator_column": "Creator",
        "url_column": "Cover URL",
        "repairs": {"html_escapes": 1, "unquoted_delimiters": 1},  # its semicolon parted it
        "skipped": {"empty_lines": 1, "repeated_headers": 1, "lines_above_the_header": 1},
    }


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("ann,https://h/w_100,h_200/1.jpg?a=1,2", ("ann", "https://h/w_100,h_200/1.jpg?a=1,2")),
        (f"ann,{LINK},,", ("ann", LINK)),
        (f'"ann","{LINK}"', ("ann", LINK)),
        ("ann,https://h/a\\,b", ("ann", "https://h/a,b")),
    ],
)
def test_a_url_in_the_last_column_that_was_cut_at_its_commas_is_joined(line: str, row: tuple[str, str]) -> None:
    assert read(f"creator,cover_url\n{line}\n")[:2] == ([row], [])


@pytest.mark.parametrize(
    "line",
    [
        f"ann,{LINK}, 5",
        f"ann,b,{LINK}",
        f"ann,{LINK},https://h/2",
        f"ann,{LINK},two words",
        "ann,https://h/1" + ",x" * 9_000,
    ],
)
def test_other_lines_with_more_fields_than_the_header_are_rejects(line: str) -> None:
    rows, rejects, _ = read(f"creator,cover_url\nann,{LINK}\n{line}\n")
    assert (rows, rejects) == ([("ann", LINK)], [(3, RejectReason.EXTRA_FIELDS)])


def test_where_the_url_is_not_last_nothing_is_joined() -> None:
    rows, rejects, _ = read(f"creator,cover_url,likes\nann,https://h/a,b,5\nbob,{LINK},7\ncai,{LINK}\n")
    assert (rows, rejects) == ([("bob", LINK), ("cai", LINK)], [(2, RejectReason.EXTRA_FIELDS)])


def test_a_filled_field_below_an_unnamed_last_column_is_not_taken_for_part_of_the_url() -> None:
    rows, rejects, _ = read(f"creator,cover_url,\nann,{LINK},\nbob,{LINK},checked\n")
    assert (rows, rejects) == ([("ann", LINK)], [(3, RejectReason.EXTRA_FIELDS)])


def test_empty_fields_beyond_the_header_are_harmless_where_every_line_has_them() -> None:
    lines = [f"c{number},{LINK},caption,\n" for number in range(3)]
    assert len(read("creator,cover_url,title\n" + "".join(lines))[0]) == 3
    rows, rejects, _ = read(f"creator,cover_url,likes\nann,{LINK},5\nbob,https://h/a,b,\ncai,{LINK},,\n")
    assert (rows, rejects) == ([("ann", LINK), ("cai", LINK)], [(3, RejectReason.EXTRA_FIELDS)])


@pytest.mark.parametrize(
    ("line", "is_row"),
    [
        ("https://h/a.jpg,5,", True),
        ("https://h/a.jpg,nice one,,,", True),
        ("https://h/a?x-signature=Zm9v%2B,5,", True),
        ("https://h/a?x-signature=Zm9,v,", False),
        ("https://h/a.jpg?x=1,2,", False),
        ("https://h/a.jpg,300.jpg,", False),
        ("https://h/a?x=1,2&y=3,", False),
        ("https://h/a,b,", False),
        ("https://h/a,a caption,", True),
    ],
)
def test_empty_fields_at_the_end_are_harmless_unless_the_url_may_have_been_cut(line: str, is_row: bool) -> None:
    rows, rejects, _ = read(f"creator,cover_url,likes\nann,{LINK},5\nbob,{line}\n")
    assert (len(rows), len(rejects)) == ((2, 0) if is_row else (1, 1))


def test_a_url_that_was_cut_is_found_where_every_line_is_as_long() -> None:
    rows, rejects, _ = read("creator,cover_url,title\nann,https://h/z,,\nbob,https://h/,z,\ncai,https://h/,z,\n")
    assert (len(rows), len(rejects)) == (1, 2)
    page = "https://www.tiktok.com/@ann/video/7"
    rows, rejects, _ = read("creator,cover_url,page\n" + f"ann,https://h/1.jpg,{page},\nann,https://h/z,{page},\n" * 3)
    assert (len(rows), len(rejects)) == (6, 0)


def test_lines_of_commas_and_blank_lines_are_no_rejects() -> None:
    rows, rejects, told = read(f"creator,cover_url,,\nann,{LINK},,\n,,,\n\n , ,\u200b,\n")
    assert (rows, rejects, told["skipped"]["empty_lines"]) == ([("ann", LINK)], [], 3)


def test_repairs_of_rejects_are_not_counted() -> None:
    assert read(f"creator,cover_url\nann,{LINK}\nnan,{LINK.replace('&', '&amp;')}\n")[2]["repairs"] == {}


@pytest.mark.parametrize("name", ["NA", "null", "None", "NaN", "undefined", "nan ", "Null"])
def test_a_placeholder_is_no_creator_even_where_it_looks_like_a_handle(name: str) -> None:
    rows, rejects, _ = read(f"creator,cover_url\nann,{LINK}\n{name},{LINK}\n")
    assert (rows, rejects) == ([("ann", LINK)], [(3, RejectReason.NO_CREATOR)])


@pytest.mark.parametrize("tail", ["\x0b", "\u2028", "\u00a0", "\x1f"])
def test_white_space_of_any_kind_after_a_url_is_taken_away(tail: str) -> None:
    assert read(f"creator,cover_url\nann,{LINK}{tail}\n")[0] == [("ann", LINK)]
