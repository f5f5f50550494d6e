"""Workbooks for tests: as openpyxl writes them, and with parts of one's own."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import openpyxl

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SHEET = "xl/worksheets/sheet1.xml"


def workbook(*rows: Sequence[Any], **more: Sequence[Sequence[Any]]) -> bytes:
    """A workbook with these rows in its first sheet, and further sheets by name."""
    book = openpyxl.Workbook()
    for sheet, content in (
        (book.active, rows),
        *((book.create_sheet(name), content) for name, content in more.items()),
    ):
        for row in content:
            sheet.append(row)
    return saved(book)


def saved(book: openpyxl.Workbook) -> bytes:
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def with_parts(parts: Mapping[str, str | bytes]) -> bytes:
    """A workbook with some of its parts replaced."""
    with zipfile.ZipFile(io.BytesIO(workbook(("creator", "cover_url")))) as old:
        return zipped({name: old.read(name) for name in old.namelist()} | dict(parts))


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    """A zip with these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in parts.items():
            new.writestr(name, content)
    return out.getvalue()


def sheet(rows: str, *, before: str = "", after: str = "", declared: str = "") -> str:
    """The XML of a sheet."""
    return f'{declared}<worksheet xmlns="{MAIN}">{before}<sheetData>{rows}</sheetData>{after}</worksheet>'


def cells(number: int, *values: str) -> str:
    """The XML of a row, from column A on: texts, numbers, and cells that are XML already."""
    found = []
    for at, value in enumerate(values):
        place = f"{chr(65 + at)}{number}"
        if value.startswith("<"):
            found.append(value.replace("<c", f'<c r="{place}"', 1))
        elif value.replace(".", "").isdigit():
            found.append(f'<c r="{place}"><v>{value}</v></c>')
        else:
            found.append(f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>')
    return f'<row r="{number}">{"".join(found)}</row>'
