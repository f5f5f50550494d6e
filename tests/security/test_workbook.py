"""What hostile workbooks can do: nothing but end as an error that says what to do, in bounded memory and time."""

import contextlib
import gc
import io
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.unit.workbooks import MAIN, SHEET, cells, sheet, with_parts, workbook, zipped
from worker.errors import Interrupted, JobReason, RetryableError, TerminalError
from worker.manifest.manifest import open_manifest
from worker.manifest.workbook import READER, Reader, Workbook

HEAD = ("creator", "cover_url")
ROWS = cells(1, *HEAD) + cells(2, "ann", "http://x/1.jpg")
MB = 1 << 20


@pytest.fixture(autouse=True)
def others() -> Iterator[list[psutil.Process]]:
    """Give the processes that belong to other tests of the run; after the test there are no more."""
    before = psutil.Process().children(recursive=True)
    yield before
    gc.collect()
    assert [each for each in psutil.Process().children(recursive=True) if each not in before] == []


def readers(others: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if each not in others]


def rows_of(content: bytes, reader: Reader = READER) -> list[tuple[str, int, str]]:
    return [row for block in open_manifest(io.BytesIO(content), reader=reader).blocks() for row in block.entries]


def refusal(content: bytes, reader: Reader = READER) -> TerminalError:
    with pytest.raises(TerminalError) as caught:
        rows_of(content, reader)
    assert "as CSV" in str(caught.value) or "again" in str(caught.value)
    return caught.value


def bomb(name: str, unit: bytes, size: int, *, before: str = "", after: str = "") -> bytes:
    """A workbook with a part that is `size` bytes long, and compressed to a thousandth of that."""
    out = io.BytesIO(with_parts({SHEET: sheet(ROWS)}))
    parts = {each: zipfile.ZipFile(out).read(each) for each in zipfile.ZipFile(out).namelist() if each != name}
    out = io.BytesIO(zipped(parts))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as written, written.open(name, "w") as part:
        part.write(before.encode())
        piece = unit * (MB // len(unit))
        for _ in range(size // len(piece)):
            part.write(piece)
        part.write(after.encode())
    return out.getvalue()


# -- bombs


@pytest.mark.parametrize(
    ("name", "unit", "before"),
    [
        (SHEET, b"x", '<worksheet><sheetData><row r="1"><c r="A1" t="str"><v>'),
        (SHEET, b'<c t="str"><v>x</v></c>', '<worksheet><sheetData><row r="1">'),
        (SHEET, b"<row><c><v>1</v></c></row>", "<worksheet><sheetData>"),
        (SHEET, b"<a>", ""),
        ("xl/sharedStrings.xml", b"<si><t>x</t></si>", "<sst>"),
        ("xl/sharedStrings.xml", b"x", "<sst><si><t>"),
        ("xl/styles.xml", b'<numFmt numFmtId="7" formatCode="yyyy"/>', "<styleSheet><numFmts>"),
        ("xl/workbook.xml", b'<sheet name="a" sheetId="1"/>', "<workbook><sheets>"),
    ],
)
def test_a_bomb_costs_neither_memory_nor_much_time(name: str, unit: bytes, before: str) -> None:
    content = bomb(name, unit, 600 * MB, before=before)
    tracemalloc.start()
    try:
        error = refusal(content, Reader(memory=300 * MB, cpu_seconds=10))
        assert tracemalloc.get_traced_memory()[1] < 8 * MB
    finally:
        tracemalloc.stop()
    assert error.reason in {JobReason.MANIFEST_TOO_LARGE, JobReason.MANIFEST_NOT_CSV}


def test_a_text_longer_than_the_memory_that_is_allowed_is_told() -> None:
    before, after = (
        f'<worksheet xmlns="{MAIN}"><sheetData><row><c t="str"><v>',
        "</v></c></row></sheetData></worksheet>",
    )
    error = refusal(bomb(SHEET, b"x", 400 * MB, before=before, after=after), Reader(memory=300 * MB))
    assert error.reason is JobReason.MANIFEST_TOO_LARGE
    assert "300 MiB" in str(error)


def test_a_bomb_in_a_part_that_nobody_needs_does_no_harm() -> None:
    assert rows_of(bomb("xl/media/image1.png", b"\0", 600 * MB)) == [("ann", 2, "http://x/1.jpg")]


def test_cells_far_apart_are_told_with_what_to_do() -> None:
    far = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    error = refusal(with_parts({SHEET: sheet(ROWS + far)}))
    assert error.reason is JobReason.MANIFEST_TOO_LARGE
    assert "remove what is empty below and beside the table" in str(error)


@pytest.mark.parametrize(
    "far", ['<row r="1048576"><c r="A1048576"><v>1</v></c></row>', '<row r="3"><c r="XFD3"><v>1</v></c></row>']
)
def test_a_cell_far_below_or_far_beside_does_no_harm(far: str) -> None:
    assert rows_of(with_parts({SHEET: sheet(ROWS + far)})) == [("ann", 2, "http://x/1.jpg")]


def test_of_many_rows_the_worker_holds_few() -> None:
    row = cells(7, "ann", "http://x/1.jpg").encode()
    row = row.replace(b' r="7"', b"").replace(b' r="A7"', b"").replace(b' r="B7"', b"")
    before = f'<worksheet xmlns="{MAIN}"><sheetData>{cells(1, *HEAD)}'
    content = bomb(SHEET, row, 16 * MB, before=before, after="</sheetData></worksheet>")
    tracemalloc.start()
    try:
        count = sum(len(block.entries) for block in open_manifest(io.BytesIO(content)).blocks())
        assert tracemalloc.get_traced_memory()[1] < 8 * MB
    finally:
        tracemalloc.stop()
    assert count == MB // len(row) * 16


# -- what XML can do


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ('<!DOCTYPE a [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>', "&c;"),
        ('<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>', "&a;"),
        ('<!DOCTYPE a [<!ENTITY a SYSTEM "http://169.254.169.254/">]>', "&a;"),
    ],
)
def test_entities_are_refused(declared: str, value: str) -> None:
    rows = cells(1, *HEAD) + cells(2, value, "http://x/1.jpg")
    assert refusal(with_parts({SHEET: sheet(rows, declared=declared)})).reason is JobReason.MANIFEST_NOT_CSV


def test_links_to_other_workbooks_are_not_followed() -> None:
    formula = '<c t="str"><f>[1]Sheet1!A1</f><v>ann</v></c>'
    rels = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/externalLinkPath" '
        'Target="http://169.254.169.254/x.xlsx" TargetMode="External"/></Relationships>'
    )
    content = with_parts(
        {
            SHEET: sheet(cells(1, *HEAD) + cells(2, formula, "http://x/1.jpg")),
            "xl/externalLinks/externalLink1.xml": "<externalLink/>",
            "xl/externalLinks/_rels/externalLink1.xml.rels": rels,
        }
    )
    assert rows_of(content) == [("ann", 2, "http://x/1.jpg")]


@pytest.mark.parametrize(
    "rows",
    [
        '<row r="1"><c r="A1" t="s"><v>99</v></c></row>',
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="2"><c',
        '<row r="99999999999999999999"><c r="A99999999999999999999"><v>1</v></c></row>',
        '<row r="1"><c r="A1" s="99999999"><v>1</v></c></row>',
        '<row r="1"><c r="ÄÖ1"><v>1</v></c></row>',
    ],
)
def test_a_damaged_sheet_is_an_error_or_no_table(rows: str) -> None:
    with pytest.raises(TerminalError):
        rows_of(with_parts({SHEET: sheet(rows)}))


def test_a_file_that_is_cut_or_damaged_anywhere_is_an_error_or_is_read() -> None:
    content = workbook(HEAD, ("ann", "http://x/1.jpg"))
    for at in range(0, len(content), len(content) // 12):
        for damaged in (content[: at + 4], content[:at] + b"\xff" + content[at + 1 :]):
            with contextlib.suppress(TerminalError):
                assert rows_of(b"PK\x03\x04" + damaged[4:]) == [("ann", 2, "http://x/1.jpg")]


def test_names_in_a_zip_lead_nowhere() -> None:
    content = with_parts({SHEET: sheet(ROWS), "../../../../tmp/x": "y", "/etc/passwd": "y", "xl/a\\..\\b": "y"})
    assert rows_of(content) == [("ann", 2, "http://x/1.jpg")]


# -- a reader that hostile bytes have taken over


BAD_READERS = {
    "hangs": "import time; time.sleep(600)",
    "crashes": "import os; os.kill(os.getpid(), 11)",
    "ends": "raise SystemExit(3)",
    "says no JSON": "os.write(0, LENGTH.pack(9) + b'no json!!')",
    "says no object": "answer([1])",
    "says nested JSON": "text = b'[' * 100_000; os.write(0, LENGTH.pack(len(text)) + text)",
    "says that it will say 4 GB": "os.write(0, LENGTH.pack(2**32 - 1) + b'x')",
    "has sheets that are no texts": "answer({'sheets': [7]})",
    "has rows that are no rows": "answer({'sheets': ['a']}); os.read(0, 999); answer({'rows': [[1, 'a', 2]]})",
    "has cells that are no texts": "answer({'sheets': ['a']}); os.read(0, 999); answer({'rows': [[1, [None]]]})",
    "has numbers that are none": "answer({'sheets': ['a']}); os.read(0, 999); answer({'rows': [['1', ['a']]]})",
    "is out of memory": "os.write(2, b'memory allocation of 7 bytes failed'); os.abort()",
}


def stand_in(code: str, folder: Path, *, answer_seconds: float = 200.0) -> Reader:
    """Write a module that runs `code` in place of the reader."""
    (folder / "bad_reader.py").write_text(
        "import json, os, sys, time\nfrom worker.manifest.workbook_child import LENGTH\n"
        "def answer(content):\n    text = json.dumps(content).encode()\n"
        f"    os.write(0, LENGTH.pack(len(text)) + text)\n{code}\ntime.sleep(600 if {'answer' in code} else 0)\n"
    )
    environment = {**READER.environment, "PYTHONPATH": f"{READER.environment['PYTHONPATH']}:{folder}"}
    return Reader(module="bad_reader", environment=environment, answer_seconds=answer_seconds)


@pytest.mark.parametrize("name", BAD_READERS)
def test_a_reader_that_is_not_sound_costs_its_manifest_only(name: str, tmp_path: Path) -> None:
    reader = stand_in(BAD_READERS[name], tmp_path, answer_seconds=3.0 if name == "hangs" else 200.0)
    error = refusal(workbook(HEAD, ("ann", "http://x/1.jpg")), reader)
    large = {"hangs", "is out of memory"}
    assert error.reason is (JobReason.MANIFEST_TOO_LARGE if name in large else JobReason.MANIFEST_NOT_CSV)


def test_a_reader_that_hangs_holds_up_no_worker_that_stops(tmp_path: Path) -> None:
    reader = stand_in(BAD_READERS["hangs"], tmp_path, answer_seconds=100.0)
    stopped = threading.Event()
    content = io.BytesIO(workbook(HEAD, ("ann", "http://x/1.jpg")))
    threading.Timer(0.5, stopped.set).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        open_manifest(content, is_stopped=stopped.is_set, reader=reader)
    assert time.monotonic() - began < 10


def test_a_reader_that_was_killed_from_outside_is_no_fault_of_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(RetryableError):
        rows_of(workbook(HEAD, ("ann", "http://x/1.jpg")), stand_in("os.kill(os.getpid(), 9)", tmp_path))


def test_a_reader_has_only_so_many_cpu_seconds() -> None:
    error = refusal(bomb(SHEET, b"<a/>", 900 * MB), Reader(cpu_seconds=1))
    assert error.reason is JobReason.MANIFEST_TOO_LARGE
    assert "CPU seconds" in str(error)


# -- the process


def test_the_reader_is_told_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = stand_in("answer({'refused': ' '.join(os.environ)})", tmp_path)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    with pytest.raises(TerminalError, match="PYTHONPATH") as caught:
        rows_of(workbook(HEAD), reader)
    assert "SECRET" not in str(caught.value)


def test_the_reader_is_sealed_and_stands_back(others: list[psutil.Process]) -> None:
    with Workbook(io.BytesIO(workbook(HEAD)), lambda: False):
        (child,) = readers(others)
        status = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii")
        assert "Seccomp:\t2\n" in status
        assert "NoNewPrivs:\t1\n" in status
        assert child.nice() > psutil.Process().nice()


def test_rows_that_nobody_reads_on_end_the_reader(others: list[psutil.Process]) -> None:
    content = workbook(HEAD, *[("ann", f"http://x/{number}.jpg") for number in range(5_000)])
    blocks = open_manifest(io.BytesIO(content)).blocks()
    next(blocks)
    assert readers(others)
    del blocks
    gc.collect()
    assert readers(others) == []


def test_workbooks_are_read_beside_each_other() -> None:
    contents = [workbook(HEAD, (f"ann{number}", "http://x/1.jpg")) for number in range(4)]
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda each=each: found.extend(row[0] for row in rows_of(each))) for each in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [f"ann{number}" for number in range(4)]
