"""JSON manifests → columns, rows and rejects."""

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.manifests import opened, read, refusal
from worker.errors import JobReason, RejectReason
from worker.manifest.json_source import HEADER_OBJECTS, MAX_COLUMNS
from worker.manifest.json_values import MAX_VALUE
from worker.manifest.manifest import open_manifest
from worker.manifest.source import MAX_FIELD

GOOD = {"creator": "ann", "cover_url": "http://x/1.jpg"}


def lines(*objects: Any) -> str:
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in objects)


# -- formats


@pytest.mark.parametrize(
    ("content", "format_", "numbers"),
    [
        (lines(GOOD, GOOD), "jsonl", [1, 2]),
        (lines(GOOD, GOOD).strip(), "jsonl", [1, 2]),
        (lines(GOOD), "jsonl", [1]),
        ("not json\n" * 3 + lines(GOOD), None, []),
        ("{broken\n" + lines(GOOD), "jsonl", [2]),
        (json.dumps([GOOD, GOOD]), "json", [1, 2]),
        (json.dumps([GOOD, GOOD], indent=2), "json", [1, 2]),
        ("\n\n " + json.dumps([GOOD, 7, GOOD]), "json", [1, 3]),
        (json.dumps(GOOD, indent=2) + "\n" + json.dumps(GOOD, indent=2), "jsonl", [1, 5]),
    ],
)
def test_json_is_told_by_its_content_and_rows_are_numbered_as_people_count_them(
    content: str, format_: str | None, numbers: list[int]
) -> None:
    if format_ is None:
        assert refusal(content).reason is JobReason.MANIFEST_COLUMNS
        return
    manifest = opened(content)
    assert [line for block in manifest.blocks() for _, line, _ in block.entries] == numbers
    assert manifest.told()["format"] == format_
    assert manifest.told()["delimiter"] is None


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("array", [False, True])
def test_encodings_and_gzip_are_undone_as_for_csv(codec: str, zipped: bool, array: bool) -> None:
    names = ["王小明", "美食探店小分队", "旅行日记", "北京吃货"]
    objects = [{"作者": name, "封面": "http://x/1.jpg"} for name in names]
    raw = (json.dumps(objects, ensure_ascii=False) if array else lines(*objects)).encode(codec)
    rows, rejects = read(gzip.compress(raw) if zipped else raw)
    assert ([row[0] for row in rows], rejects) == (names, [])


def test_bytes_that_are_no_text_cost_their_line() -> None:
    raw = lines(*[{**GOOD, "creator": "Zoë"}] * 20).encode() + lines({**GOOD, "creator": "ann|"}).encode()
    rows, rejects = read(raw.replace(b"|", b"\xfc"))
    assert ([row[0] for row in rows], [each.line for each in rejects]) == (["Zoë"] * 20, [21])
    assert rejects[0].reason is RejectReason.BAD_ENCODING


# -- columns


@pytest.mark.parametrize(
    ("given", "creator", "url"),
    [
        ({"author": {"uniqueId": "ann"}, "video": {"cover": "http://x/1"}}, "author.uniqueId", "video.cover"),
        ({"author.uniqueId": "ann", "video.cover": "http://x/1"}, "author.uniqueId", "video.cover"),
        (
            {"author": {"unique_id": "ann"}, "video": {"cover": {"url_list": ["http://x/1", "http://x/2"]}}},
            "author.unique_id",
            "video.cover.url_list",
        ),
        ({"authorMeta": {"name": "ann"}, "covers": {"default": "http://x/1"}}, "authorMeta.name", "covers.default"),
        ({"uploader": "ann", "url": "https://www.tiktok.com/@a/video/1", "thumbnail": "http://x/1"}, None, "thumbnail"),
        ({"account": {"handle": "ann", "id": 7}, "cover": [None, "", "http://x/1"]}, "account", "cover"),
        ({"nickname": "ann", "cover": [{"url": "http://x/1"}]}, "nickname", "cover.0"),
        ({"nickname": "ann", "cover": {"uri": "x", "urls": ["http://x/1"]}}, "nickname", "cover"),
    ],
)
def test_nested_keys_and_lists_are_columns(given: dict[str, Any], creator: str | None, url: str) -> None:
    manifest = opened(lines(given))
    assert [(name, link) for block in manifest.blocks() for name, _, link in block.entries] == [("ann", "http://x/1")]
    told = manifest.told()
    assert told["url_column"] == url
    assert creator in {told["creator_column"], None}


def test_a_column_can_be_named_by_its_place_in_a_list() -> None:
    content = lines({"who": "ann", "covers": [{"u": "http://x/0"}, {"u": "http://x/1"}]})
    assert read(content, creator_column="who", url_column="covers.1.u")[0] == [("ann", 1, "http://x/1")]


def test_objects_may_have_other_keys_and_other_shapes_than_the_first() -> None:
    content = lines(
        {"id": 1, "author": {"uniqueId": "ann"}, "cover": "http://x/1"},
        {"cover": ["http://x/2"], "author.uniqueId": "bob"},
        {"author": {"uniqueId": "cid"}},
        {"id": 4},
        {},
        {"author": None, "cover": "http://x/6"},
    )
    manifest = opened(content)
    blocks = list(manifest.blocks())
    assert [tuple(entry) for block in blocks for entry in block.entries] == [
        ("ann", 1, "http://x/1"),
        ("bob", 2, "http://x/2"),
    ]
    assert [(each.line, each.reason) for block in blocks for each in block.rejects] == [
        (3, RejectReason.NO_URL),
        (4, RejectReason.NO_URL),
        (6, RejectReason.NO_CREATOR),
    ]
    assert manifest.told()["skipped"]["empty_lines"] == 1


@pytest.mark.parametrize("at", [1, HEADER_OBJECTS - 1, HEADER_OBJECTS, HEADER_OBJECTS + 1, 5 * HEADER_OBJECTS])
def test_a_known_column_is_found_however_late_it_comes(at: int) -> None:
    objects: list[dict[str, Any]] = [{"id": number, "url": "https://www.tiktok.com/@a/video/7"} for number in range(at)]
    rows, rejects = read(lines(*objects, {"id": 0, **GOOD}))
    assert rows == [("ann", at + 1, "http://x/1.jpg")]
    assert len(rejects) == at


def test_a_header_lists_what_there_is_where_the_columns_are_missing() -> None:
    error = refusal(lines(*[{"id": 1, "stats": {"likes": 2}, "tags": ["a"]}] * 3))
    assert error.reason is JobReason.MANIFEST_COLUMNS
    assert all(name in str(error) for name in ("'id'", "'stats.likes'", "'tags'"))


def test_an_object_around_the_rows_is_told_and_so_is_what_to_do() -> None:
    error = refusal(json.dumps({"status": "ok", "items": [GOOD, GOOD]}))
    assert error.reason is JobReason.MANIFEST_NOT_CSV
    assert "'items'" in str(error)
    assert """jq -c '.["items"][]'""" in str(error)


def test_a_list_of_rows_deep_in_an_object_is_found_as_well() -> None:
    error = refusal(json.dumps({"status": {"code": 0}, "data": {"it's": 1, "videos": [GOOD]}}))
    assert error.reason is JobReason.MANIFEST_NOT_CSV
    assert """'data.videos' in it; save that list alone, for example with jq -c '.["data"]["videos"][]'""" in str(error)
    assert """jq -c '.["…"][]'""" in str(refusal(json.dumps({"it's": [GOOD]})))


def test_a_table_by_columns_is_told_and_so_is_what_to_do() -> None:
    error = refusal(
        json.dumps({"creator": {"0": "ann", "1": "bob"}, "cover_url": {"0": "https://h/1", "1": "https://h/2"}})
    )
    assert error.reason is JobReason.MANIFEST_NOT_CSV
    assert "orient='records'" in str(error)


@pytest.mark.parametrize("content", ["[{}]", "{}", '{"a": oops}', "[[]]", "[{]"])
def test_what_has_no_object_is_empty_and_shows_the_first_fault(content: str) -> None:
    error = refusal(content)
    assert error.reason is JobReason.MANIFEST_EMPTY
    if content not in {"[{}]", "{}"}:
        assert "number 1, bad_json" in str(error)


def test_all_rows_are_one_group_where_that_was_asked() -> None:
    assert read(lines({"cover": "http://x/1"}), group="stem")[0] == [("stem", 1, "http://x/1")]


# -- values


def test_numbers_and_truth_values_are_texts_without_rounding() -> None:
    ids = ["6785180123456789012", "98765432109876543210", "7", "1.50", "true"]
    content = "".join(f'{{"creator": {each}, "cover_url": "http://x/1"}}\n' for each in ids)
    assert [row[0] for row in read(content)[0]] == ids


@pytest.mark.parametrize("value", ["NaN", "null", '"nan"', "Infinity", "[]", "{}", '""', "[null]"])
def test_no_value_is_no_value(value: str) -> None:
    rows, rejects = read(f'{{"creator": {value}, "cover_url": "http://x/1"}}\n' + lines(GOOD))
    assert ([row[1] for row in rows], [each.reason for each in rejects]) == ([2], [RejectReason.NO_CREATOR])


@pytest.mark.parametrize(
    ("creator", "reason"),
    [
        ("a\0b", RejectReason.NUL_BYTE),
        ("a" * (MAX_FIELD + 1), RejectReason.FIELD_TOO_LONG),
        ("a" * MAX_VALUE, RejectReason.FIELD_TOO_LONG),
        ("\ud800", RejectReason.BAD_ENCODING),
        (6.78518e18, RejectReason.ROUNDED_NUMBER),
    ],
)
def test_a_value_that_no_creator_has_is_a_reject(creator: Any, reason: RejectReason) -> None:
    rows, rejects = read(json.dumps({**GOOD, "creator": creator}) + "\n" + lines(GOOD))
    assert ([row[1] for row in rows], [(each.line, each.reason) for each in rejects]) == ([2], [(1, reason)])


# -- whatever

names = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=8).map(str.casefold)
plain = names.filter(lambda name: name not in {"nan", "null", "none", "undefined"})
urls = st.from_regex(r"https?://[a-z]{1,5}/[a-z0-9%&=.?~:-]{0,12}[a-z0-9]", fullmatch=True)
tables = st.lists(st.tuples(plain, urls, st.integers()), min_size=1, max_size=8)


@given(
    tables, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.sampled_from([None, 1]), st.booleans(), st.booleans()
)
def test_a_table_that_json_writes_comes_back(
    table: Any, codec: str, indent: Any, array: bool, ascii_only: bool
) -> None:
    objects = [{"id": number, "author": {"uniqueId": name}, "cover": url} for name, url, number in table]
    whole = json.dumps(objects, ensure_ascii=ascii_only, indent=indent)
    content = whole if array else "\n".join(json.dumps(each, ensure_ascii=ascii_only) for each in objects)
    rows, rejects = read(content.encode(codec))
    assert rejects == []
    assert [row[2] for row in rows] == [url for _, url, _ in table]
    assert [name for name, *_ in rows] == [opened_name(name) for name, *_ in table]


def opened_name(name: str) -> str:
    """What a manifest makes of a name, whatever its format: one key for all its Unicode forms."""
    return read(f"creator,url\n{name},http://x/\n")[0][0][0]


# -- what attackers do


def many() -> Iterator[bytes]:
    yield b'{"a":"' + b"x" * 1000
    for _ in range(60_000):
        yield b"x" * 1_000
    yield b'"}\n' + lines(GOOD).encode()


def wide() -> Iterator[bytes]:
    for start in range(0, 240_000, 40_000):
        yield (json.dumps({f"k{number}": "v" for number in range(start, start + 40_000)}) + "\n").encode()
    yield lines(GOOD).encode()


def nested() -> Iterator[bytes]:
    for _ in range(20):
        yield b'{"cover":' + b"[" * 900 + b'["a"],' * 9 + b"1" + b"]" * 900 + b"}\n"
        yield b'{"cover":' + b'{"cover":' * 900 + b"1" + b"}" * 901 + b"\n"
    yield lines(GOOD).encode()


def heavy() -> Iterator[bytes]:
    for _ in range(8):
        yield b'{"a":[' + b"{}," * 300_000 + b"{}]}\n"
    yield lines(GOOD).encode()


@pytest.mark.parametrize("content", [many, wide, nested, heavy])
def test_memory_is_bounded_and_the_good_row_behind_is_found(content: Any, tmp_path: Any) -> None:
    path = tmp_path / "manifest"
    path.write_bytes(b"".join(content()))
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            manifest = open_manifest(file)
            rows = [entry for block in manifest.blocks() for entry in block.entries]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [row[0] for row in rows] == ["ann"]
    assert peak < 64 << 20


def test_a_hundred_thousand_keys_make_a_header_that_is_bounded() -> None:
    error = refusal(lines({f"k{number}": 1 for number in range(MAX_COLUMNS * 5)}))
    assert error.reason is JobReason.MANIFEST_COLUMNS
    assert len(str(error)) < 8_000
