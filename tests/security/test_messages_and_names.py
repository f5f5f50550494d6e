"""Hostile messages, manifests and names, and what renders them. The tables of each unit's own tests come on top."""

# ruff: noqa: E501, RUF001 -- cases on one line; the odd characters are the cases

import gzip
import io
import json
import random
import tempfile
import time
import tracemalloc
import unicodedata
from collections import defaultdict
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.unit.encoded_names import name_of
from tests.unit.fakes import NOON
from worker.errors import JobReason, RejectReason, TerminalError
from worker.jobs.messages import JobDefaults, parse
from worker.jobs.report.blocks import shown
from worker.jobs.report.page import rebuilt
from worker.keys import collage_key, metadata_key, safe_name
from worker.manifest import bytes as manifest_bytes
from worker.manifest.manifest import open_manifest
from worker.manifest.rows import Entry
from worker.model import ProcessingConfig, Reject

DEFAULTS = JobDefaults(ProcessingConfig(), "", "input", frozenset({"input"}))
HEAD = b"creator,url\n"

# Messages

MESSAGES: dict[str, tuple[str, JobReason]] = {
    "nothing": ("", JobReason.BAD_JSON),
    "a list": ("[]", JobReason.BAD_JSON),
    "a number with a million digits": ("1" * 1_000_000, JobReason.BAD_JSON),
    "a list nested 100,000 deep": ("[" * 100_000 + "]" * 100_000, JobReason.BAD_JSON),
    "an object nested 100,000 deep": ('{"a":' * 100_000 + "1" + "}" * 100_000, JobReason.BAD_JSON),
    "not a number": ('{"processing_type": NaN}', JobReason.BAD_JSON),
    "infinity": ('{"processing_type": "csv_s3", "processing_config": {"quality": 1e999}}', JobReason.BAD_VALUE),
    "an SNS envelope around rubbish": ('{"Type": "Notification", "Message": "{"}', JobReason.BAD_JSON),
    "an SNS envelope around itself": (json.dumps({"Type": "Notification", "Message": json.dumps({"Type": "Notification", "Message": "{}"})}), JobReason.UNKNOWN_MESSAGE),
    "a million keys": (json.dumps({f"k{number}": 0 for number in range(50_000)}), JobReason.UNKNOWN_MESSAGE),
    "a million unknown keys": (json.dumps({"processing_type": "csv_s3", **{f"k{number}": 0 for number in range(50_000)}}), JobReason.UNKNOWN_KEY),
    "another bucket": ('{"processing_type": "csv_s3", "s3_bucket": "secrets", "s3_key": "a.csv"}', JobReason.BUCKET_NOT_ALLOWED),
    "a bucket with a path": ('{"processing_type": "csv_s3", "s3_bucket": "input/../secrets", "s3_key": "a.csv"}', JobReason.BUCKET_NOT_ALLOWED),
    "a bucket that is a list": ('{"processing_type": "csv_s3", "s3_bucket": ["input"], "s3_key": "a.csv"}', JobReason.BAD_VALUE),
    "a key of 2,000 bytes": (json.dumps({"processing_type": "csv_s3", "s3_key": "k" * 2_000}), JobReason.BAD_VALUE),
    "a key with half a surrogate": ('{"processing_type": "csv_s3", "s3_key": "a\\ud800"}', JobReason.BAD_VALUE),
    "a prefix with a newline": (json.dumps({"processing_type": "csv_s3", "s3_key": "a", "output_prefix": "a\nb"}), JobReason.BAD_VALUE),
    "a prefix that climbs": (json.dumps({"processing_type": "csv_s3", "s3_key": "a", "output_prefix": "/etc"}), JobReason.BAD_VALUE),
    "a canvas of a terapixel": (json.dumps({"processing_type": "csv_s3", "s3_key": "a", "processing_config": {"rows": 100, "cols": 100, "cell_size": 2_000}}), JobReason.BAD_VALUE),
    "a billion workers": (json.dumps({"processing_type": "csv_s3", "s3_key": "a", "processing_config": {"max_workers": 10**9}}), JobReason.BAD_VALUE),
    "a time-out of a year": (json.dumps({"processing_type": "csv_s3", "s3_key": "a", "processing_config": {"timeout": 3e7}}), JobReason.BAD_VALUE),
    "a number as text": (json.dumps({"processing_type": "csv_s3", "s3_key": "a", "processing_config": {"rows": "5"}}), JobReason.BAD_VALUE),
    "a colour that is code": (json.dumps({"processing_type": "csv_s3", "s3_key": "a", "processing_config": {"background": "__import__('os')"}}), JobReason.BAD_VALUE),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_a_hostile_message_is_refused_with_its_reason_at_once(name: str) -> None:
    body, reason = MESSAGES[name]
    began = time.monotonic()
    with pytest.raises(TerminalError) as refused:
        parse(body, DEFAULTS)
    assert refused.value.reason is reason
    assert len(str(refused.value)) < 8_000
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "body",
    [
        '{"csv_inline": "ann,https://h/a?x-signature=SECRET"',
        'creator,url\nann,https://h/a?x-expires=1&x-signature=SECRET%2F"',
        '{"u": "https:\\/\\/h\\/a?x-expires=1\\u0026x-signature=SECRET"',
        "%7B%22u%22: https%3A%2F%2Fh%3Fx-signature%3DSECRET",
        '{"processing_type": "https://h/a?x-signature=SECRET"}',
        '{"https://h/a?x-signature=SECRET": 1}',
        '{"processing_type": "csv_s3", "https://h/a?x-signature=SECRET": 1}',
        '{"processing_type": "csv_s3", "s3_bucket": "h?X-Amz-Signature=SECRET", "s3_key": "a"}',
        '{"processing_type": "csv_s3", "s3_key": "a", "processing_config": {"background": "u?token=SECRET"}}',
        '{"processing_type": "csv_s3", "s3_key": "a", "processing_config": {"u?x-signature=SECRET": 1}}',
        '{"processing_type": "csv_s3", "s3_key": "a", "processing_config": {"rows": "u?x-signature=SECRET"}}',
        '{"processing_type": "csv_inline", "csv_data": ["u?x-signature=SECRET"]}',
    ],
)
def test_an_error_quotes_no_signature_out_of_a_message(body: str) -> None:
    with pytest.raises(TerminalError) as refused:
        parse(body, DEFAULTS)
    assert "SECRET" not in str(refused.value)


# Manifests


def read(raw: bytes | io.BytesIO, **options: Any) -> tuple[list[Entry], list[Reject]]:
    entries: list[Entry] = []
    rejects: list[Reject] = []
    file = io.BytesIO(raw) if isinstance(raw, bytes) else raw
    for some in open_manifest(file, **options).blocks():
        entries += some.entries
        rejects += some.rejects
    return entries, rejects


def refusal(raw: bytes, **options: Any) -> JobReason:
    with pytest.raises(TerminalError) as refused:
        read(raw, **options)
    assert len(str(refused.value)) < 8_000
    return refused.value.reason


def test_a_manifest_without_a_header_does_not_quote_its_first_row_s_signature() -> None:
    with pytest.raises(TerminalError) as refused:
        read(b"ann,h?x-signature=SECRET\nann,h?x-signature=SECRET\n")
    assert "SECRET" not in str(refused.value)


def test_a_zip_bomb_ends_at_the_size_that_is_allowed_in_flat_memory() -> None:
    bomb = gzip.compress(HEAD + b"\n" * 200_000_000, 1)
    assert len(bomb) < 2_000_000
    tracemalloc.start()
    assert refusal(bomb, max_bytes=20_000_000) is JobReason.MANIFEST_TOO_LARGE
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_zip_bomb_ends_where_it_is_larger_than_its_size_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_bytes, "BOMB_BYTES", 10_000_000)
    noise = random.Random(1)
    rows = b"".join(
        b"creator%d,https://cdn.example/%d?sig=%x\n" % (n, n, noise.getrandbits(64)) for n in range(300_000)
    )
    assert len(rows) > 10_000_000
    assert len(read(gzip.compress(HEAD + rows))[0]) == 300_000, "what is compressed as CSVs are is taken"
    assert refusal(gzip.compress(HEAD + b"\n" * 30_000_000)) is JobReason.MANIFEST_TOO_LARGE


def test_a_zip_bomb_of_zip_bombs_is_undone_once_only() -> None:
    assert refusal(gzip.compress(gzip.compress(bytes(10_000_000)))) is JobReason.MANIFEST_NOT_CSV


def test_a_line_of_100_mb_costs_itself_only_and_is_not_held() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(HEAD + b"ann,http://1\nbob,http://")
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b"\ncai,http://3\n")
        file.seek(0)
        tracemalloc.start()
        entries, rejects = read(file)  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert [entry[0] for entry in entries] == ["ann", "cai"]
    assert [(reject.line, reject.reason) for reject in rejects] == [(3, RejectReason.FIELD_TOO_LONG)]
    assert peak < 30_000_000


def test_a_million_columns_are_read_or_refused_and_not_quoted() -> None:
    assert refusal(b"c," * 500_000 + b"c\n1\n") is JobReason.MANIFEST_COLUMNS
    entries, rejects = read(HEAD + b"ann,http://1" + b",x" * 500_000 + b"\nbob,http://2\n")
    assert entries == [Entry("bob", 3, "http://2")]
    assert [reject.reason for reject in rejects] == [RejectReason.EXTRA_FIELDS]


GOOD = "王小明,http://1\n李娜,http://1\n".encode()


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"a\0nn,http://1\nbob,http://2\n",
        HEAD + GOOD + "张,http://1\n".encode("gb18030") + b"b\xff\xfe,http://1\nbob,http://2\n",
        HEAD + GOOD + "é,http://1\n".encode("latin-1") + b"bob,http://2\n",
        HEAD + GOOD + b"\xef\xbb\xbfx,http://1\n\xff\xfea\0,http://2\nbob,http://2\n",
        HEAD + b'"a\n"b",http://1\n"\nbob,http://2\n',
    ],
)
def test_mixed_encodings_nuls_and_quotes_cost_their_lines_only(raw: bytes) -> None:
    entries, _ = read(raw)
    assert entries[-1][0] == "bob"


# Names

NAMES = [
    "../../etc", "a/b", "a\\b", "..", ".", "...", "~", "a" * 10_000, "é" * 5_000, "\u202egnp.exe", "\u2066x\u2069", "\u200b",
    "😀", "👨\u200d👩\u200d👧", "Ann", "ann", "ANN", "é", "e\u0301", "ﬁ", "fi", "K", "\u212a", "ſ", "s", "i", "ı", "İ", "con", "nul.jpg",
    "a%2Fb", "a%252Fb", "%", "%00", "a b", "a+b", "a\tb", "a\nb", "a\r\nX-Amz-Meta: 1", "\x1b[31m", "=cmd|' /C calc'!A0",
    "@SUM(1)", "-1+1", "+1", "<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "{{7*7}}", "${jndi:ldap://x}",
    "'; DROP TABLE x; --", "\ufeff", "\ufffd", "\U0010ffff", "a\ud800", " ", "collage_20250119_120000.jpg", "a~b", "a" * 199 + "/",
]  # fmt: skip


def test_no_two_names_share_a_key_and_no_name_leaves_its_folder() -> None:
    names = list(dict.fromkeys(NAMES))
    keys = [collage_key("out/", name, NOON, page=1, extension="jpg") for name in names]
    assert len({key.casefold() for key in keys}) >= len(keys) - 6  # those that differ by case only: S3 tells them apart
    assert len(set(keys)) == len(keys)
    for name, key in zip(names, keys, strict=True):
        assert key.isascii()
        assert key.isprintable()
        assert len(key) < 300
        prefix, middle, last = key.rpartition("/")[0].rpartition("/")[0], safe_name(name), key.rpartition("/")[2]
        assert (prefix, last) == ("out/collages/by-creator", "collage_20250119_120000.jpg")
        assert "/" not in middle
        assert middle not in {".", ".."}
        assert metadata_key("", "b", name).count("/") == 3
        if "~" not in middle:
            assert name_of(middle) == name


def test_names_that_look_the_same_stay_apart() -> None:
    pairs = [("é", "e\u0301"), ("Ann", "ann"), ("K", "\u212a"), ("a", "a\u200b")]
    for one, other in pairs:
        assert safe_name(one) != safe_name(other), unicodedata.name(other[-1])


# What people open


class Page(HTMLParser):
    """Collects the elements, attributes, cells and blocks of JSON of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.cells: list[str] = []
        self.blocks: list[Any] = []
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        self._open = "json" if ("type", "application/json") in attrs else tag
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "td":
            self.cells[-1] += data
        elif self._open == "json":
            self.blocks.append(json.loads(data))


def page_of(name: str) -> str:
    creator = {"creator": name, "status": "completed", "images_processed": 1, "mode": "normal", "errors": {name: 1}}
    creator |= {"seconds": 1.0, "error_count": 1}
    return rebuilt(
        {
            "batch_id": name,
            "source_csv": name,
            "status": "completed",
            "started_at": "2025-01-19T12:00:00Z",
            "warnings": [name],
            "durations": {"batch_seconds": 1.0},
            "counts": defaultdict(lambda: 1),
            "failures_by_reason": {name: 1},
            "rejects": {
                "total": 1,
                "by_reason": {name: 1},
                "listed": [{"line": 1, "reason": name, "detail": name}],
            },
            "creators": [{**creator, "collages": [f"out/{safe_name(name)}"]}, {**creator, "collages": []}],
            "settings": {"output_prefix": "out/", "processing_config": {"url_column": name}},
            "source": {"format": "csv", "encoding": "utf-8", "creator_column": name, "repairs": {name: 1}},
        }
    ).decode()


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_no_name_gets_markup_script_or_a_turned_line_into_the_report(name: str) -> None:
    text = page_of(name)
    plain, page = Page(), Page()
    plain.feed(page_of("ann"))
    page.feed(text)
    assert page.elements == plain.elements
    assert {attribute for attribute, _ in page.attributes} == {attribute for attribute, _ in plain.attributes}
    assert not any((value or "").lower().startswith(("javascript:", "data:t")) for _, value in page.attributes)
    assert "style" not in {attribute for attribute, _ in page.attributes}
    (policy,) = [value for name, value in page.attributes if name == "content" and value and "-src" in value]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert len(page.blocks) == len(plain.blocks)
    creators = next(block for block in page.blocks if isinstance(block, list) and len(block) == 2)
    assert [told[0] for told in creators] == [shown(name, 120)] * 2
    text.encode()
    for character in "\x1b\x00\u202e\u2066\u2069\u200f":
        assert character not in text


def test_no_creator_s_name_is_a_formula_to_a_spreadsheet_that_opens_the_report() -> None:
    for name in ("=cmd|' /C calc'!A0", "@SUM(1)", "-1+1", "+1", " =1", "\t=1", "\uff1d1"):
        page = Page()
        page.feed(page_of(name))
        assert f"“{name}”" in page.cells
        assert not [cell for cell in page.cells if cell.lstrip().startswith(("=", "+", "-", "@"))]
