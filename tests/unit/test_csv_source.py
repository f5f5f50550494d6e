"""Delimited text: where its table begins, and how its fields are parted."""

import io

import pytest

from worker.errors import JobReason, TerminalError
from worker.manifest.bytes import MAX_BYTES
from worker.manifest.columns import Wanted
from worker.manifest.csv_source import HEADER_WITHIN, CsvSource, open_csv
from worker.manifest.encodings import Encoding
from worker.manifest.text import Text

HEAD = "creator,url\n"


def opened(content: str) -> CsvSource:
    return open_csv(Text(io.BytesIO(content.encode()), Encoding("utf-8", "utf-8", damaged=False), MAX_BYTES), Wanted())


def records(content: str) -> list[tuple[int, list[str]]]:
    return [(each[0], list(each[1])) for each in opened(content).records() if isinstance(each, tuple) and any(each[1])]


@pytest.mark.parametrize(
    ("above", "lines"),
    [
        ("", 0),
        ("Covers of January\n", 1),
        ("Covers of January,,\n,,\n\n", 2),
        ("# made by hand\n# for the team\n", 2),
        ('"A title, with a comma"\n', 1),
        ("x\n" * (HEADER_WITHIN - 1), HEADER_WITHIN - 1),
    ],
)
def test_lines_above_the_header_are_skipped_and_counted(above: str, lines: int) -> None:
    source = opened(f"{above}{HEAD}ann,http://a\n")
    assert (source.header, source.lines_above_the_header) == (["creator", "url"], lines)
    assert records(f"{above}{HEAD}ann,http://a\n") == [(above.count("\n") + 2, ["ann", "http://a"])]


def test_the_header_is_looked_for_within_ten_lines() -> None:
    assert opened("x\n" * HEADER_WITHIN + HEAD).header == ["x"]


@pytest.mark.parametrize(
    ("sep", "delimiter"),
    [
        ("sep=;", ";"),
        ('"sep=;"', ";"),
        ("SEP=|", "|"),
        ("sep=,", ","),
        ("sep=\t", "\t"),
        ("sep=:", ":"),
        ("sep=;;;", ";"),
    ],
)
def test_a_line_that_names_the_separator_is_obeyed(sep: str, delimiter: str) -> None:
    content = f"{sep}\r\ncreator{delimiter}url\r\nann b{delimiter}h\r\n"
    source = opened(content)
    assert (source.delimiter, source.lines_above_the_header) == (delimiter, 1)
    assert records(content) == [(3, ["ann b", "h"])]


def test_one_column_has_no_delimiter() -> None:
    text = Text(io.BytesIO(b"url\nhttp://a,b;c|d\n"), Encoding("utf-8", "utf-8", damaged=False), MAX_BYTES)
    source = open_csv(text, Wanted(with_creator=False))
    assert source.delimiter is None
    assert list(source.records()) == [(2, ["http://a,b;c|d"])]


def test_the_sample_is_of_the_first_filled_records() -> None:
    content = HEAD + ",\n\n" + "".join(f"c{number},http://x/{number}\n" for number in range(200))
    source = opened(content)
    assert source.sample[0] == ["c0", "http://x/0"]
    assert len(source.sample) == 50


def test_a_file_without_the_columns_shows_its_widest_line() -> None:
    source = opened("A title\na;b;c;d\n1;2;3;4\n")
    assert (source.header, source.sample) == (["a", "b", "c", "d"], [["1", "2", "3", "4"]])


def test_records_may_be_read_again() -> None:
    source = opened(f"{HEAD}ann,http://a\n")
    assert list(source.records()) == list(source.records()) == [(2, ["ann", "http://a"])]


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff", "sep=;\n"])
def test_text_without_a_table_is_empty(content: str) -> None:
    with pytest.raises(TerminalError) as caught:
        opened(content)
    assert caught.value.reason is JobReason.MANIFEST_EMPTY
