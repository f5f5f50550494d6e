"""The workbook process: `python -m worker.manifest.workbook_child MEMORY CPU_SECONDS DESCRIPTOR`. It talks on fd 0.

It gets one XLSX file as an open descriptor, and reads it where hostile bytes can do little harm: it has no credentials
in its environment, its limits are set before the reader is imported, and its sandbox is sealed when everything is
loaded (`worker.sandbox`). It ends when its parent closes the connection, or dies.

Each message is JSON. The parent writes lines; answers have their length in bytes before them (`LENGTH`). The first one
comes unasked: `{"sheets": [names]}`. A request `{"sheet": index}` is answered with the first filled rows of that sheet,
`{"rows": [[number, [texts]], …]}`. One that also has `columns` (indices), `width` and `below` (a row's number) is the
last, and answered with all rows below, some at a time, until an answer has none: `[number, [texts of the columns],
other]`, where `other` is the index of another cell that is filled, if these are not, or -1. `{"refused": text}` and
`{"too_large": true}` end it.
"""

import datetime as dt
import io
import json
import os
import struct
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from worker import sandbox
from worker.manifest.source import MAX_FIELD

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

LENGTH = struct.Struct("<I")
FIRST_ROWS = 60
"""Filled rows at the beginning of a sheet by which it is judged."""

FIRST_CHARACTERS = 1 << 20
MAX_ROWS = 1_048_576
"""Of a sheet, in the format's own rules: one that begins further below is damaged, and would be counted to for ever."""

ROWS, CHARACTERS = 1_024, 1 << 18
"""Rows, and characters in them, of one answer."""

NICENESS = 10
"""How much lower than the worker's its priority is: other batches come first."""

_EXACT = 10**15
_ALL_INTEGERS = 2**53

_OTHER_ZIPS = (
    ("word/document.xml", "a Word document; save the table as CSV"),
    ("ppt/presentation.xml", "a PowerPoint presentation; save the table as CSV"),
    ("index/document.iwa", "a Numbers or Pages document; export it as CSV or Excel"),
    ("meta-inf/manifest.xml", "an OpenDocument file (.ods or like it); save the sheet as CSV or .xlsx"),
)
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_SAMPLE = {
    "_rels/.rels": f'<Relationships><Relationship Id="r" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    "</Relationships>",
    "xl/workbook.xml": f'<workbook xmlns:r="{_OFFICE}"><sheets><sheet name="a" sheetId="1" r:id="r"/></sheets>'
    "</workbook>",
    "xl/_rels/workbook.xml.rels": f'<Relationships><Relationship Id="r" Type="{_OFFICE}/worksheet" '
    'Target="worksheets/a.xml"/></Relationships>',
    "xl/styles.xml": '<styleSheet><cellXfs><xf numFmtId="0"/><xf numFmtId="22"/><xf numFmtId="21"/><xf numFmtId="46"/>'
    "</cellXfs></styleSheet>",
    "xl/worksheets/a.xml": '<worksheet><sheetData><row r="1"><c r="A1" s="1"><v>1.5</v></c><c r="B1" s="2"><v>0.5</v>'
    '</c><c r="C1" s="3"><v>1.5</v></c><c r="D1" t="inlineStr"><is><t>é</t></is></c></row></sheetData></worksheet>',
}
"""Files in a workbook with a cell of each kind: what the reader loads late is there before the sandbox is sealed."""


class _Refused(Exception):
    """The file is no workbook, or a broken one; the text says what it is."""


def main() -> None:
    """Answer requests until the parent closes the connection."""
    requests, answers = os.fdopen(0, "rb"), os.fdopen(os.dup(0), "wb")
    memory, cpu_seconds, descriptor = (int(argument) for argument in sys.argv[1:])
    file = os.fdopen(descriptor, "rb")
    sandbox.limit(memory=memory)
    try:
        _preload()
        os.nice(NICENESS)
        sandbox.seal()
        sandbox.grant_cpu(cpu_seconds)
        _serve(file, requests, answers)
    except ConnectionError:
        pass  # the parent is gone, and nobody is left to be told
    except _Refused as error:
        _answer(answers, {"refused": str(error)})
    except MemoryError:
        _answer(answers, {"too_large": True})


def _preload() -> None:
    """Read a small workbook and fail to read a broken one, so that all the code is loaded."""
    sample = io.BytesIO()
    with zipfile.ZipFile(sample, "w", zipfile.ZIP_DEFLATED) as written:
        for name, text in _SAMPLE.items():
            written.writestr(name, text)
    book = _Book(sample)
    list(_filled(book.sheet(0)))
    b"\xe9".decode("cp437")  # names in zips
    with suppress(_Refused):
        _Book(io.BytesIO(sample.getvalue()[:200]))


class _Book:
    """A workbook: its visible sheets, in order."""

    def __init__(self, file: BinaryIO | io.BytesIO) -> None:
        import python_calamine as calamine  # noqa: PLC0415 -- after the limits are in force

        self._calamine = calamine
        _refuse_other_zips(file)
        file.seek(0)
        self._book = self._try(lambda: calamine.CalamineWorkbook.from_filelike(file))
        self.names = [
            each.name
            for each in self._book.sheets_metadata
            if each.typ is calamine.SheetTypeEnum.WorkSheet and each.visible is calamine.SheetVisibleEnum.Visible
        ]

    def sheet(self, index: int) -> "CalamineSheet":
        sheet: CalamineSheet = self._try(lambda: self._book.get_sheet_by_name(self.names[index]))
        return sheet

    def forget(self) -> None:
        """Give up the memory of what is not needed any more: no further sheet can be had."""
        self._book = None

    def _try(self, read: Any) -> Any:
        try:
            return read()
        except self._calamine.PasswordError as error:
            raise _Refused("a workbook with a password; save it without one, or the sheet as CSV") from error
        except (MemoryError, ConnectionError):
            raise
        except BaseException as error:  # a panic of the reader, which is in Rust, is no Exception
            raise _Refused(
                f"a workbook that is damaged ({str(error)[:200]}); save it anew, or the sheet as CSV"
            ) from error


def _refuse_other_zips(file: BinaryIO | io.BytesIO) -> None:
    try:
        with zipfile.ZipFile(file) as opened:
            names = {name.replace("\\", "/").lower() for name in opened.namelist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeError, OSError) as error:
        raise _Refused(f"a zip or a workbook that is damaged ({error}); upload it again") from error
    if "xl/workbook.bin" in names:
        raise _Refused("an Excel binary workbook (.xlsb); save it as .xlsx, or the sheet as CSV")
    if not any(name.startswith("xl/") for name in names):
        known = (what for name, what in _OTHER_ZIPS if name in names)
        raise _Refused(next(known, "a zip; take the table out of it, and compress it with gzip or not at all"))


def _serve(file: BinaryIO, requests: BinaryIO, answers: BinaryIO) -> None:
    book = _Book(file)
    _answer(answers, {"sheets": book.names})
    for line in requests:
        request = json.loads(line)
        sheet = book.sheet(request["sheet"])
        if "columns" not in request:
            _answer(answers, {"rows": _first_rows(sheet)})
            continue
        book.forget()
        for rows in _blocks(_below(sheet, request["below"], request["columns"], request["width"])):
            _answer(answers, {"rows": rows})
        _answer(answers, {"rows": []})


def _first_rows(sheet: "CalamineSheet") -> list[tuple[int, list[str]]]:
    """Return the first filled rows, as long as there is room."""
    found: list[tuple[int, list[str]]] = []
    room = FIRST_CHARACTERS
    for number, cells in _filled(sheet):
        texts = [as_text(cell) for cell in cells]
        room -= sum(map(len, texts)) + len(texts)
        if found and room < 0:
            break
        found.append((number, texts))
        if len(found) == FIRST_ROWS:
            break
    return found


def _below(
    sheet: "CalamineSheet", below: int, columns: Sequence[int], width: int
) -> Iterator[tuple[int, list[str], int]]:
    for number, cells in _filled(sheet):
        if number <= below:
            continue
        texts = [as_text(cells[at]) for at in columns]
        filled = any(text and not text.isspace() for text in texts)
        other = -1 if filled else next((at for at in range(width) if cells[at] != ""), -1)
        yield number, texts, other


def _blocks(rows: Iterator[tuple[int, list[str], int]]) -> Iterator[list[tuple[int, list[str], int]]]:
    block: list[tuple[int, list[str], int]] = []
    room = CHARACTERS
    for row in rows:
        block.append(row)
        room -= sum(map(len, row[1]))
        if len(block) == ROWS or room < 0:
            yield block
            block, room = [], CHARACTERS
    if block:
        yield block


def _filled(sheet: "CalamineSheet") -> Iterator[tuple[int, list[Any]]]:
    """Give the rows in which a cell is filled, with their numbers; one merged over several rows is in each of them."""
    top, first = sheet.start or (0, 0)
    if top >= MAX_ROWS:
        raise _Refused(f"a workbook that is damaged (row {top + 1}); save it anew, or the sheet as CSV")
    tall = sorted(
        (top, left - first, bottom) for (top, left), (bottom, _) in sheet.merged_cell_ranges or () if bottom > top
    )
    tall.reverse()
    going_on: dict[int, tuple[int, Any]] = {}
    for row, cells in enumerate(sheet.iter_rows()):
        if cells.count("") == len(cells):
            continue
        for at, (bottom, value) in list(going_on.items()):
            if row > bottom:
                del going_on[at]
            elif cells[at] == "":
                cells[at] = value
        while tall and tall[-1][0] <= row:
            top, at, bottom = tall.pop()
            if top == row and 0 <= at < len(cells):
                going_on[at] = bottom, cells[at]
        yield row + 1, cells


def as_text(value: Any) -> str:
    """Return a cell's value as text: dates in ISO form, numbers with all their digits where the file has them all.

    A number in a workbook has 15 digits; the others are lost, and it comes in the form of one that was rounded. One of
    16 digits that does not end in 0 cannot have been: a spreadsheet would have put the 0 there.
    """
    if isinstance(value, str):
        return value[: MAX_FIELD + 1]
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _digits(value)
    if isinstance(value, dt.date | dt.time):  # a date with a time is a date
        return value.isoformat()
    return str(value)


def _digits(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 -- the test for NaN
        return ""
    if value != int(value):
        return repr(value)
    whole = int(value)
    if abs(whole) < _EXACT or (abs(whole) < _ALL_INTEGERS and whole % 10 != 0):
        return str(whole)
    return f"{value:.14E}"


def _answer(answers: BinaryIO, content: dict[str, Any]) -> None:
    text = json.dumps(content, separators=(",", ":")).encode()
    answers.write(LENGTH.pack(len(text)) + text)
    answers.flush()


if __name__ == "__main__":
    main()
