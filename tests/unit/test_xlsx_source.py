"""Workbooks → columns, rows and rejects: what a spreadsheet shows is what is read."""

import datetime as dt
import gzip
import io
import tempfile
from typing import Any

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from tests.unit.manifests import opened, read, refusal
from tests.unit.workbooks import SHEET, cells, saved, sheet, with_parts, workbook, zipped
from worker.errors import JobReason, RejectReason
from worker.manifest.manifest import open_manifest
from worker.manifest.workbook_child import as_text

HEAD = ("creator", "cover_url")
LINK = "http://x/1.jpg"


def new_sheet() -> tuple[openpyxl.Workbook, Worksheet]:
    book = openpyxl.Workbook()
    first = book.active
    assert isinstance(first, Worksheet)
    return book, first


# -- where the table is


def test_a_sheet_is_a_table_and_the_summary_tells_how_it_was_read() -> None:
    manifest = opened(workbook(HEAD, ("ann", LINK), ("bob", LINK)))
    assert [row for block in manifest.blocks() for row in block.entries] == [("ann", 2, LINK), ("bob", 3, LINK)]
    told = manifest.told()
    assert (told["format"], told["encoding"], told["delimiter"]) == ("xlsx", None, None)
    assert (told["creator_column"], told["url_column"]) == HEAD


def test_it_may_be_read_twice_and_from_a_file_on_disk() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(workbook(HEAD, ("ann", LINK)))
        manifest = open_manifest(file)
        for _ in range(2):
            assert [row for block in manifest.blocks() for row in block.entries] == [("ann", 2, LINK)]


def test_the_first_sheet_that_has_both_columns_is_taken() -> None:
    manifest = opened(
        workbook(("notes",), ("by", "us"), other=[("creator", "likes"), ("eve", 7)], third=[HEAD, ("ann", LINK)])
    )
    assert [row for block in manifest.blocks() for row in block.entries] == [("ann", 2, LINK)]


def test_a_sheet_whose_links_are_pages_is_passed_over() -> None:
    page = "https://www.tiktok.com/@ann/video/7"
    content = workbook(("creator", "url"), ("ann", page), covers=[HEAD, ("ann", LINK)])
    assert read(content)[0] == [("ann", 2, LINK)]


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_hidden_sheets_are_passed_over(state: str) -> None:
    book = openpyxl.load_workbook(io.BytesIO(workbook(HEAD, ("old", LINK), shown=[HEAD, ("ann", LINK)])))
    book.worksheets[0].sheet_state = state
    book.active = 1
    assert read(saved(book))[0] == [("ann", 2, LINK)]


def test_titles_and_empty_rows_and_columns_before_the_table_are_passed_over() -> None:
    book, first = new_sheet()
    first["C2"] = "Covers of January"
    for row, values in ((5, HEAD), (6, ("ann", LINK)), (9, ("bob", LINK))):
        for column, value in enumerate(values, 4):
            first.cell(row, column, value)
    manifest = opened(saved(book))
    assert [row for block in manifest.blocks() for row in block.entries] == [("ann", 6, LINK), ("bob", 9, LINK)]
    assert manifest.told()["skipped"]["lines_above_the_header"] == 1


def test_a_header_that_is_repeated_is_no_row() -> None:
    manifest = opened(workbook(HEAD, ("ann", LINK), HEAD, ("bob", LINK)))
    assert len([row for block in manifest.blocks() for row in block.entries]) == 2
    assert manifest.told()["skipped"]["repeated_headers"] == 1


def test_where_no_sheet_has_the_columns_the_widest_header_is_listed() -> None:
    error = refusal(workbook(("a",), more=[("id", "handle", "likes"), (1, "ann", 3)]))
    assert error.reason is JobReason.MANIFEST_COLUMNS
    assert "'id', 'handle', 'likes'" in str(error)


@pytest.mark.parametrize("content", [workbook(), workbook((None, " ")), workbook(HEAD)])
def test_a_workbook_without_rows_is_empty(content: bytes) -> None:
    assert refusal(content).reason in {JobReason.MANIFEST_EMPTY, JobReason.MANIFEST_COLUMNS}


def test_rows_that_lack_something_are_rejects_with_the_number_of_their_row() -> None:
    content = workbook((*HEAD, "likes"), ("ann", None, 1), (None, LINK), (None, None, 3), (None, None), ("bob", LINK))
    rows, rejects = read(content)
    assert rows == [("bob", 6, LINK)]
    assert [(each.line, each.reason) for each in rejects] == [
        (2, RejectReason.NO_URL),
        (3, RejectReason.NO_CREATOR),
        (4, RejectReason.NO_URL),
    ]


def test_a_cell_that_is_merged_over_rows_stands_in_each_of_them() -> None:
    book, first = new_sheet()
    for row in (HEAD, ("ann", LINK), (None, LINK), (None, LINK), ("bob", LINK), (None, LINK)):
        first.append(row)
    first.merge_cells("A2:A4")
    rows, rejects = read(saved(book))
    assert rows == [("ann", 2, LINK), ("ann", 3, LINK), ("ann", 4, LINK), ("bob", 5, LINK)]
    assert [(each.line, each.reason) for each in rejects] == [(6, RejectReason.NO_CREATOR)]


def test_a_size_that_is_declared_wrong_does_no_harm() -> None:
    for declared in ('<dimension ref="A1"/>', '<dimension ref="A1:XFD1048576"/>'):
        rows = cells(1, *HEAD) + cells(2, "ann", LINK)
        assert read(with_parts({SHEET: sheet(rows, before=declared)}))[0] == [("ann", 2, LINK)]


# -- values


def test_a_formula_is_its_last_result() -> None:
    formula = '<c t="str"><f>CONCAT("a","nn")</f><v>ann</v></c>'
    rows = cells(1, *HEAD) + cells(2, formula, LINK) + cells(3, "<c><f>B3</f></c>", LINK)
    found, rejects = read(with_parts({SHEET: sheet(rows)}))
    assert found == [("ann", 2, LINK)]
    assert [each.reason for each in rejects] == [RejectReason.NO_CREATOR]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("007", "007"),
        (7, "7"),
        (7.0, "7"),
        (-3, "-3"),
        (123456789012345, "123456789012345"),
        (1234567890123456, "1234567890123456"),
        (0.1, "0.1"),
        (True, "TRUE"),
        (dt.datetime.fromisoformat("2025-01-19T12:00:05"), "2025-01-19T12:00:05"),
        (dt.date(2025, 1, 19), "2025-01-19"),
        (dt.time(3, 4, 5), "03:04:05"),
        ("王小明", "王小明"),
        ("a & <b>", "a & <b>"),
    ],
)
def test_a_creator_may_be_any_kind_of_cell(value: Any, text: str) -> None:
    assert read(workbook(HEAD, (value, LINK))) == ([(text, 2, LINK)], [])


@pytest.mark.parametrize("digits", ["6785180123456789012", "1234567890123450", "6.78518E+18", "1E+300"])
def test_a_number_of_more_digits_than_a_workbook_keeps_was_rounded(digits: str) -> None:
    rows = cells(1, *HEAD) + cells(2, f"<c><v>{digits}</v></c>", LINK) + cells(3, "ann", LINK)
    found, rejects = read(with_parts({SHEET: sheet(rows)}))
    assert [row[0] for row in found] == ["ann"]
    assert [each.reason for each in rejects] == [RejectReason.ROUNDED_NUMBER]


@pytest.mark.parametrize("value", ["#N/A", "#REF!", "nan", "NULL", " ", "\u200b"])
def test_no_value_is_no_value(value: str) -> None:
    cell = f'<c t="e"><v>{value}</v></c>' if value[0] == "#" else value
    rows = cells(1, *HEAD) + cells(2, cell, LINK) + cells(3, "ann", LINK)
    _, rejects = read(with_parts({SHEET: sheet(rows)}))
    assert [(each.line, each.reason) for each in rejects] == [(2, RejectReason.NO_CREATOR)]


def test_a_text_in_several_styles_is_one_text_without_its_phonetic_guide() -> None:
    rich = (
        '<c t="inlineStr"><is><r><t>東</t></r><r><rPr/><t>京</t></r><rPh sb="0" eb="2"><t>トウキョウ</t></rPh></is></c>'
    )
    rows = cells(1, *HEAD) + cells(2, rich, LINK)
    assert read(with_parts({SHEET: sheet(rows)}))[0] == [("東京", 2, LINK)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_no_text(value: float) -> None:
    assert as_text(value) == ""


# -- what is no workbook


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.csv"], "a zip"),
        (["mimetype", "content.xml", "META-INF/manifest.xml"], "OpenDocument"),
        (["[Content_Types].xml", "word/document.xml"], "Word"),
        (["[Content_Types].xml", "ppt/presentation.xml"], "PowerPoint"),
        (["[Content_Types].xml", "xl/workbook.bin"], ".xlsb"),
        (["Index/Document.iwa", "Metadata/Properties.plist"], "Numbers"),
        (["[Content_Types].xml", "xl/workbook.xml"], "damaged"),
    ],
)
def test_another_kind_of_zip_is_told_by_name_with_what_to_do(names: list[str], said: str) -> None:
    error = refusal(zipped(dict.fromkeys(names, "")))
    assert error.reason is JobReason.MANIFEST_NOT_CSV
    assert said in str(error)
    assert any(way in str(error) for way in ("as CSV", "with gzip", "save it", "export it"))


def test_a_workbook_in_gzip_is_told_so() -> None:
    assert "compressed with gzip" in str(refusal(gzip.compress(workbook(HEAD, ("ann", LINK)))))
