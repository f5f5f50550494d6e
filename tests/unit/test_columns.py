"""Which column is which, by names and values."""

import time

import pytest

from worker.errors import JobReason
from worker.manifest.column_names import CREATOR, URL
from worker.manifest.columns import Columns, Wanted, likelier_url

URLS = [each.name for each in URL if each.name != "video_cover"]  # it reads as video.cover does
PAGE = "https://www.tiktok.com/@ann/video/7300000000000000001"
COVER = "https://p16.tiktokcdn.example/1.jpeg?x-expires=1&x-signature=SECRET"


def found(header: str, *rows: str, **named: str) -> tuple[str | None, str] | None:
    names = header.split(",")
    columns = Wanted(**named).find(names, [row.split(",") for row in rows])  # type: ignore[arg-type]
    return columns and (None if columns.creator is None else names[columns.creator], names[columns.url])


@pytest.mark.parametrize("better", range(len(CREATOR) - 1))
def test_a_creator_s_name_in_the_list_wins_over_the_next_wherever_it_stands(better: int) -> None:
    one, other = CREATOR[better].name, CREATOR[better + 1].name
    assert found(f"{other},cover_url,{one}") == (one, "cover_url")


@pytest.mark.parametrize("better", range(len(URLS) - 1))
def test_a_url_s_name_in_the_list_wins_over_the_next_wherever_it_stands(better: int) -> None:
    one, other = URLS[better], URLS[better + 1]
    assert found(f"{other},creator,{one}") == ("creator", one)


@pytest.mark.parametrize(
    "name",
    [
        "authorMeta.name",
        "authorMeta/name",
        "author_meta_name",
        "Author Meta Name",
        "author-meta:name",
        '"AUTHORMETANAME"',
        "ａｕｔｈｏｒＭｅｔａ．ｎａｍｅ",  # noqa: RUF001 -- as an input method for Chinese writes it
    ],
)
def test_names_are_compared_without_case_and_separators(name: str) -> None:
    assert found(f"{name},cover_url") == (name, "cover_url")


@pytest.mark.parametrize(
    "name",
    [
        "video.cover.url_list",
        "video.cover.url_list.0",
        "video/cover/urlList/0",
        "video_cover_0",
        "cover_1",
        "cover 12",
        "cover[0]",
        "cover (1)",
    ],
)
def test_numbered_and_nested_names_count_as_their_column(name: str) -> None:
    assert found(f"creator,url,{name}") == ("creator", name)


def test_an_exact_name_wins_over_a_numbered_one() -> None:
    assert found("creator,cover_1,cover") == ("creator", "cover")


@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        "http://127.0.0.1:18999/@ann/video/7300000000000000001",
        "https://www.tiktok.com/@ann",
        "https://vm.tiktok.com/ZM123/",
        "https://www.douyin.com/video/73",
        "https://youtu.be/abc",
        "https://www.youtube.com/watch?v=abc",
        "https://www.instagram.com/reel/abc/",
        "https://www.bilibili.com/video/BV1",
        "https://www.xiaohongshu.com/explore/1",
    ],
)
def test_a_column_of_pages_is_passed_over(page: str) -> None:
    assert found("creator,cover,thumbnail", f"ann,{page},{COVER}", f"bob,{page},") == ("creator", "thumbnail")
    assert found("creator,url", f"ann,{page}") is None


@pytest.mark.parametrize(
    "picture",
    [
        COVER,
        "https://www.tiktok.com/api/img/?itemId=1",
        "https://h.example/@ann/video/1.jpg",
        "//h.example/1",
        "https:\\/\\/h.example",
    ],
)
def test_a_column_of_pictures_is_not(picture: str) -> None:
    assert found("creator,url,link", f"ann,{picture},{COVER}") == ("creator", "url")


def test_a_column_without_values_is_passed_over_for_one_that_has_some() -> None:
    assert found("creator_name,username,cover_url,thumbnail", f",ann,,{COVER}", f"nan,bob,n/a,{COVER}") == (
        "username",
        "thumbnail",
    )
    assert found("creator_name,cover_url", ",") == ("creator_name", "cover_url")


def test_a_named_column_is_taken_whatever_is_in_it() -> None:
    assert found("who,page,cover", f"ann,{PAGE},{COVER}", creator_column="WHO", url_column="page") == ("who", "page")
    assert found("creator,cover", url_column="nowhere") is None


def test_without_grouping_the_creator_is_not_looked_for() -> None:
    assert Wanted(with_creator=False).find(["creator", "url"]) == Columns(None, 1)


def test_an_error_lists_all_columns_the_likely_ones_first_and_every_way_to_name_one() -> None:
    header = [f"x{number}" for number in range(60)] + ["made_by", "avatar", "img_src"]
    sample = [["1"] * 60 + ["ann", "https://h/a.png", "https://h/c.jpg?x-signature=SECRET"]]
    error = Wanted().missing(header, sample)
    assert error.reason is JobReason.MANIFEST_COLUMNS
    text = str(error)
    listed = text[text.index("Its columns are") :]
    assert all(f"'{name}'" in listed for name in header)
    assert listed.index("img_src") < listed.index("avatar") < listed.index("x0")
    for way in ("processing_config", "metadata", "DEFAULT_URL_COLUMN", "DEFAULT_CREATOR_COLUMN", "--set", "AS "):
        assert way in text
    assert "SECRET" not in text


def test_an_error_about_pages_says_so() -> None:
    text = str(Wanted().missing(["creator", "url"], [["ann", PAGE]]))
    assert "'url' holds pages" in text
    assert "no creator column" not in text


@pytest.mark.parametrize(
    ("header", "row", "used", "likelier"),
    [
        ("creator,url,thumb", f"ann,https://h/page,{COVER}", 1, None),
        ("creator,link_a,img", f"ann,{PAGE},{COVER}", 1, "img"),
        ("creator,cover,avatar", f"ann,{COVER},{COVER}", 1, None),
    ],
)
def test_the_column_that_looks_most_like_covers_is_named(
    header: str, row: str, used: int, likelier: str | None
) -> None:
    assert likelier_url(header.split(","), [row.split(",")], used) == likelier


@pytest.mark.parametrize("name", ["1" * 100_000 + "x", "x" + "1" * 100_000, "urllist" * 10_000, "_" * 100_000])
def test_no_name_takes_more_than_linear_time(name: str) -> None:
    started = time.process_time()
    assert found(f"{name},creator,url") == ("creator", "url")
    assert time.process_time() - started < 2
