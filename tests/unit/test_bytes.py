"""The bytes of a manifest: gzip, size, encodings, and what is no manifest at all."""

import codecs
import gzip

import pytest

from tests.unit.manifests import HEAD, read, refusal
from worker.errors import JobReason, RejectReason
from worker.manifest.bytes import PIECE, inline_bytes
from worker.manifest.rows import Entry


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
        (b"PK\x03\x04....xl/workbook.xml", "damaged"),
        (gzip.compress(b"PK\x03\x04...."), "compressed with gzip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "(.xls)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "with a password"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "WordDocument".encode("utf-16-le"), "(.doc)"),
        (b"{\\rtf1\\ansi", "RTF"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"ARROW1\0\0\xff\xff\xff\xff", "Arrow"),
        (b"\x89HDF\r\n\x1a\n\0", "HDF5"),
        (b"\x93NUMPY\x01\0", "NumPy"),
        (b"\x80\x04\x95\x10", "pickle"),
        (b"bplist00", "property list"),
        (b"ID;PWXL;N;E\r\n", "SYLK"),
        (b"TABLE\r\n0,1\r\n", "DIF"),
        (b"MIME-Version: 1.0\r\n", ".mht"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"\x1f\x9d\x90", "(.Z)"),
        (b"a.csv".ljust(257, b"\0") + b"ustar", "tar"),
        (b"creator,url\n\x8f\0\x9d\0\xff\xfe", "binary"),
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


@pytest.mark.parametrize("name", ["ID;PLATFORM", "BZhou", "GIF8", "MIME", "TABLE"])
def test_a_header_that_begins_as_another_format_does_is_a_header(name: str) -> None:
    delimiter = ";" if ";" in name else ","
    header, row = (
        delimiter.join([name, "creator", "url"]),
        delimiter.join(["1", *["2"] * name.count(";"), "ann", "http://x"]),
    )
    assert read(f"{header}\n{row}\n")[0] == [Entry("ann", 2, "http://x")]


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


def test_utf_16_without_a_mark_is_read_where_it_is_named() -> None:
    raw = "creator,url\n王,http://x\n".encode("utf-16-le")
    assert read(raw, encoding="utf-16-le")[0] == [Entry("王", 2, "http://x")]


def test_an_inline_manifest_is_utf8_and_its_lone_surrogates_are_refused() -> None:
    entries, rejects = read(inline_bytes("creator,url\n张,http://x\na\ud800,http://y\n"))
    assert entries == [Entry("张", 2, "http://x")]
    assert [(reject.line, reject.reason) for reject in rejects] == [(3, RejectReason.BAD_ENCODING)]
