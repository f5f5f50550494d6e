"""What a cell means: cleaned, repaired where an export has plainly escaped it, and otherwise byte for byte."""

# ruff: noqa: RUF001 -- marks of all scripts

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.manifest.values import cover_url, creator_key, creator_name, is_rounded, trimmed

SIGNED = "https://h.example/c/1.jpg?x-expires=1&x-signature=a%2Bb%3D"


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("  x\t", "x"),
        ("\ufeff\u200bx\u2060\u00a0", "x"),
        ('"x"', "x"),
        ("' x '", "x"),
        ("“x”", "x"),
        ("«x»", "x"),
        ("<x>", "x"),
        ('"a" and "b"', '"a" and "b"'),
        ('"x', '"x'),
        ('"', '"'),
        ("<a>b</a>", "<a>b</a>"),
        ("a\u200bb", "a\u200bb"),
        *((none, "") for none in ("nan", "NaN", "NULL", "None", "n/a", "\\N", "#N/A", "#REF!", "undefined", " null ")),
        *((none, "") for none in ('"nan"', "<NA>", "(null)", "#VALUE!")),
        ("nano", "nano"),
        ("N", "N"),
    ],
)
def test_what_stands_around_a_value_is_taken_away(cell: str, value: str) -> None:
    assert trimmed(cell) == value


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("@lina.bakes", "lina.bakes"),
        ("＠lina", "lina"),
        (' "@lina" ', "lina"),
        ("@", ""),
        ("https://www.tiktok.com/@lina.bakes?lang=en", "lina.bakes"),
        ("http://127.0.0.1:18999/@lina.bakes", "lina.bakes"),
        ("tiktok.com/@lina/video/7", "lina"),
        ("https://www.instagram.com/lina.bakes/", "lina.bakes"),
        ("https://x.com/lina", "lina"),
        ("https://www.youtube.com/channel/UC7", "UC7"),
        ("https://www.tiktok.com/@%E7%8E%8B", "王"),
        ("https://www.xiaohongshu.com/user/profile/5f?x=1", "5f"),
        ("['lina', 'otto']", "lina"),
        ("['']", ""),
        ("NA", ""),
        ("na", "na"),
        ("lina@work", "lina@work"),
        ("AC/DC", "AC/DC"),
        ('{"id": "7", "uniqueId": "lina", "nickname": "Lina"}', "lina"),
        ('{"name": "lina", "nickName": "Lina", "avatar": "https://h/a.jpg"}', "lina"),
        ('{"unique_id": null, "nickname": "Lina"}', "Lina"),
        ("{'uniqueId': 'lina', 'verified': False}", "lina"),
        ('[{"username": "@lina"}]', "lina"),
        ('["lina"]', "lina"),
        ('{"id": 7}', ""),
        ("{not json", "{not json"),
        ("[" * 5_000, "[" * 5_000),
        ("e\u0301", "é"),
        ("王小明", "王小明"),
    ],
)
def test_the_name_in_a_creator_s_cell(cell: str, name: str) -> None:
    assert creator_name(cell) == name


def test_forms_of_one_name_have_one_key() -> None:
    assert len({creator_key(creator_name(form)) for form in ("é", "e\u0301")}) == 1
    assert len({creator_key(creator_name(form)) for form in ("LINA", "ＬＩＮＡ")}) == 1
    assert creator_name("ＬＩＮＡ") == "ＬＩＮＡ"
    assert creator_key("Lina") != creator_key("lina")


@pytest.mark.parametrize(
    ("name", "rounded"),
    [
        ("6.78518E+18", True),
        ("6,78518E+18", True),
        ("7e+18", True),
        ("6.78518E18", True),
        ("7e18", False),
        ("1.5e3", False),
        ("lina+1", False),
        ("6785180000000000000", False),
    ],
)
def test_a_number_that_a_spreadsheet_has_rounded_is_known(name: str, rounded: bool) -> None:
    assert is_rounded(name) is rounded


@pytest.mark.parametrize(
    ("cell", "repairs"),
    [
        (SIGNED, ()),
        (f" <{SIGNED}>\u200b", ()),
        (SIGNED.replace("&", "&amp;"), ("html_escapes",)),
        (SIGNED.replace("&", "&amp;amp;"), ("html_escapes",)),
        (SIGNED.replace("&", "&#38;"), ("html_escapes",)),
        (SIGNED.replace("&", "&#x26;"), ("html_escapes",)),
        (SIGNED.replace("&", "\\u0026"), ("backslash_escapes",)),
        (SIGNED.replace("/", "\\u002F"), ("backslash_escapes",)),
        (SIGNED.replace("/", "\\/"), ("backslash_escapes",)),
        (SIGNED.removeprefix("https:"), ("no_scheme",)),
        (SIGNED.removeprefix("https:").replace("/", "\\/"), ("backslash_escapes", "no_scheme")),
        (json.dumps([SIGNED, "https://mirror.example/2"]), ("list_of_urls",)),
        (f"['{SIGNED}', 'https://mirror.example/2']", ("list_of_urls",)),
        (json.dumps({"uri": "tos/1", "url_list": [SIGNED]}), ("list_of_urls",)),
        (json.dumps([SIGNED]).replace("/", "\\/"), ("list_of_urls", "backslash_escapes")),
        (f"{SIGNED}, https://mirror.example/2", ("list_of_urls",)),
        (f"{SIGNED}|https://mirror.example/2", ("list_of_urls",)),
        (f"{SIGNED}\nhttps://mirror.example/2", ("list_of_urls",)),
    ],
)
def test_a_url_that_an_export_has_escaped_is_repaired_and_told(cell: str, repairs: tuple[str, ...]) -> None:
    assert cover_url(cell) == (SIGNED, repairs)


@pytest.mark.parametrize(
    "url",
    [
        "https://h.example/a,b?x=1,2",
        "https://h.example/%26amp%3B?a=b&c=d",
        "https://h.example/?u=https://other.example/1",
        "https://h.example/a~tplv-x:300:400:q70.heic?dr=1",
        "ftp://h.example/1",
        "//",
        "https://h.example/a b",
        "HTTPS://H.EXAMPLE/é",
        "a&b;c",
    ],
)
def test_other_urls_are_left_byte_for_byte(url: str) -> None:
    assert cover_url(url) == (url, ())


@settings(max_examples=300, deadline=None)
@given(st.text("abc/?=&%+._~,:@!$'()*", max_size=60))
def test_what_is_plainly_a_url_is_never_changed(rest: str) -> None:
    url = f"https://h.example/{rest}x"
    assert cover_url(url) == (url, ())


@pytest.mark.parametrize(
    "cell",
    [
        "http://a" + "," * 32_000,
        "[" * 32_000,
        "{" + "'uniqueid'  " * 2_500,
        "&amp" * 8_000,
        "\\u0026" * 5_000,
        "@" * 32_000,
        "//a/" * 8_000 + "@",
        " " * 32_000 + "x",
        "https://" * 4_000,
        "['" * 16_000,
    ],
)
def test_no_cell_takes_more_than_linear_time(cell: str) -> None:
    started = time.process_time()
    for _ in range(10):
        cover_url(cell)
        creator_name(cell)
    assert time.process_time() - started < 2  # some milliseconds; a quadratic pattern takes a minute
