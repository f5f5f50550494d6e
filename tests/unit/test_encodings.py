"""Which encoding a manifest has: never a garbled name, rather an error that says what to do."""

# ruff: noqa: RUF001 -- names of all scripts

import codecs
import gzip
import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import JobReason, TerminalError
from worker.manifest.bytes import MAX_BYTES, PIECE
from worker.manifest.encodings import BAD, Encoding, detect_encoding, read_text

NAMES = {
    "cp1252": [
        "Jürgen Groß Möller Bäcker",
        "René Lefèvre Françoise Zoë",
        "Ñoño García Nuñez Gómez",
        "João Conceição Simões Magalhães",
        "Åse Bjørn Søren Østergård",
        "Göran Åkesson Sjöberg",
    ],
    "cp1250": ["Łukasz Wiśniewska Grażyna Żak Dąbrowski", "Jiří Dvořák Růžička Šťastný", "Gergő Erdős Fülöp Szűcs"],
    "cp1251": ["Анна Иванова Сергей", "Олександр Ковальчук Їжак Євген"],
    "cp1253": ["Γιώργος Παπαδόπουλος Ελένη"],
    "cp1254": ["Ayşe Yıldız Çağla Gökçe Işık Oğuz"],
    "cp1255": ["משה כהן שרה לוי אברהם מזרחי יעל פרץ"],
    "cp1256": ["محمد علي فاطمة الزهراء"],
    "cp1257": ["Rūta Kęstutis Šarūnas Žydrūnas", "Jānis Bērziņš Kristīne Ozoliņa"],
    "cp1258": ["Nguyễn Trần Phượng Đặng", "Huỳnh Thắng Hằng Việt"],
    "cp874": ["สมชาย ใจดี มะลิ"],
    "gb18030": ["王小明 李娜 美食旅行日记", "张伟 达人穿搭 陈静"],
    "big5": ["陳雅婷 林志豪 台灣美食", "王美玲 張家豪 旅行日記"],
    "shift-jis": ["さくら たろう 田中はなこ", "カフェ東京 佐藤美咲"],
    "euc-kr": ["김민지 서울맛집 이준호", "박서연 최지우 여행일기"],
}
CODECS = {"big5": "big5hkscs", "shift-jis": "cp932", "euc-kr": "cp949"}


def manifest(names: list[str]) -> str:
    return "creator,cover_url\n" + "".join(f"{name},https://h/{at}.jpg\n" for at, name in enumerate(names))


def encoded(text: str, codec: str) -> bytes:
    """Encode text; in cp1258 a letter that it does not have is one of its letters with one of its marks."""
    if codec != "cp1258":
        return text.encode(codec)
    marks = "\u0300\u0301\u0303\u0309\u0323"
    found = b""
    for char in text:
        try:
            found += char.encode(codec)
        except UnicodeEncodeError:
            parts = unicodedata.normalize("NFD", char)
            letter = unicodedata.normalize("NFC", "".join(each for each in parts if each not in marks))
            found += (letter + "".join(each for each in parts if each in marks)).encode(codec)
    return found


def told(raw: bytes, *, named: str | None = None) -> Encoding:
    return detect_encoding(io.BytesIO(raw), MAX_BYTES, named=named)


def text(raw: bytes, encoding: Encoding) -> str:
    return "".join(read_text(io.BytesIO(raw), encoding, MAX_BYTES))


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in NAMES.items() for line in lines])
@pytest.mark.parametrize("zipped", [False, True])
def test_names_of_a_language_tell_its_encoding(name: str, line: str, zipped: bool) -> None:
    written = manifest(line.split())
    raw = encoded(written, CODECS.get(name, name))
    raw = gzip.compress(raw) if zipped else raw
    encoding = told(raw)
    assert unicodedata.normalize("NFC", text(raw, encoding)) == written
    if not line.startswith("Jürgen"):  # German reads the same in several code pages
        assert encoding == Encoding(name, CODECS.get(name, name), damaged=False)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"creator,url\n", "utf-8"),
        ("é".encode(), "utf-8"),
        (codecs.BOM_UTF8 + b"a", "utf-8"),
        ("é".encode("utf-16"), "utf-16"),
        (codecs.BOM_UTF16_BE + "é".encode("utf-16-be"), "utf-16"),
    ],
)
def test_a_mark_decides_and_then_utf_8(raw: bytes, expected: str) -> None:
    assert told(raw).name == expected
    assert told(raw).damaged is False


def test_a_byte_that_is_wrong_does_not_make_another_encoding_of_a_file_in_utf_8() -> None:
    lines = [f"张伟{number},https://h/{number}\n".encode() for number in range(1_000)]
    lines[500] = b"M\xfcller,https://h/500\n"
    encoding = told(b"".join(lines))
    assert encoding == Encoding("utf-8", "utf-8", damaged=True)
    found = text(b"".join(lines), encoding).splitlines()
    assert [at for at, line in enumerate(found) if BAD in line] == [500]
    assert found[501] == "张伟501,https://h/501"


def test_a_line_that_is_broken_does_not_make_another_encoding_of_a_file_in_gb18030() -> None:
    lines = [f"李娜{number},https://h/{number}\n".encode("gb18030") for number in range(1_000)]
    lines[500] = b"\xff\xff,https://h/500\n"
    assert told(b"".join(lines)) == Encoding("gb18030", "gb18030", damaged=True)


@pytest.mark.parametrize(
    "raw",
    [
        bytes(range(0x80, 0x100)) * 20,
        "Анна\nИванова\nСергей\nПетров".encode("koi8-r"),
        "Анна\nИванова\nСергей\nПетров".encode("cp866"),
        "André\nJosé\nZoé\nChloé".encode("mac-roman"),
        *("Анна Иванова".encode(codec) for codec in ("koi8-r", "iso8859-5", "mac-cyrillic", "cp866")),
        "田中さくら\nカレー大好き".encode("euc_jp"),
        "田中さくら\nカレー大好き".encode("iso2022_jp"),
        "Jürgen\nMüller\nKäthe\nGrün".encode("mac-roman"),
        "Jiří Dvořák\nVěra Šťastná\nTomáš Pešek".encode("iso8859-2"),
        "Čáp".encode("cp1250") + b"\n",
    ],
)
def test_what_cannot_be_told_is_an_error_that_says_what_to_do(raw: bytes) -> None:
    with pytest.raises(TerminalError) as caught:
        told(b"creator,url\n" + raw)
    assert caught.value.reason is JobReason.MANIFEST_ENCODING
    for word in ("UTF-8", "encoding", "DEFAULT_ENCODING", "--set"):
        assert word in str(caught.value)


def test_an_encoding_that_is_named_is_taken_but_a_mark_wins() -> None:
    raw = "Анна".encode("koi8-r")
    assert text(raw, told(raw, named="koi8-r")) == "Анна"
    assert told(codecs.BOM_UTF8 + b"a", named="cp1252").name == "utf-8"


def test_bytes_that_a_named_encoding_does_not_have_stand_out() -> None:
    encoding = told(b"a\x81b", named="cp1252")
    assert (encoding.damaged, text(b"a\x81b", encoding)) == (True, f"a{BAD}b")


def test_the_sample_is_of_the_whole_file() -> None:
    raw = b"ann,https://h/1\n" * (3 * PIECE // 16) + manifest(NAMES["cp1251"][0].split()).encode("cp1251")
    assert told(raw).name == "cp1251"


NAME_LISTS = st.sampled_from([(name, line.split()) for name, lines in NAMES.items() for line in lines])


@settings(max_examples=150, deadline=None)
@given(NAME_LISTS, st.data())
def test_some_of_the_names_are_read_as_written_or_refused(known: tuple[str, list[str]], data: st.DataObject) -> None:
    name, names = known
    some = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=4))
    written = manifest(some)
    raw = encoded(written, CODECS.get(name, name))
    try:
        encoding = told(raw)
    except TerminalError as error:
        assert error.reason is JobReason.MANIFEST_ENCODING  # noqa: PT017
    else:
        assert unicodedata.normalize("NFC", text(raw, encoding)) == written


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_have_an_encoding_or_none(raw: bytes) -> None:
    try:
        text(raw, told(raw))
    except TerminalError as error:
        assert error.reason in {JobReason.MANIFEST_ENCODING, JobReason.MANIFEST_NOT_CSV}  # noqa: PT017
