"""Any table of handles and links, written by any program in any of its ways, comes back as the same table.

Or its rows come back as rejects with a reason, or the whole as an error with one: never as another table.
"""

# ruff: noqa: PT017 -- that an error is raised is not what is asserted

import csv
import gzip
import io
import json
import re
from collections.abc import Sequence
from typing import Literal

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_encodings import CODECS, NAMES, encoded
from tests.unit.workbooks import workbook
from worker.errors import JobReason, TerminalError
from worker.manifest.manifest import open_manifest
from worker.manifest.values import creator_name, is_rounded

Table = Sequence[tuple[str, str, str]]
"""Rows of creator, link and caption."""

HANDLES = st.from_regex(r"[a-z0-9][a-z0-9._]{0,11}", fullmatch=True)
SHOWN = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" ,;|\"'\t"), min_size=1, max_size=10)
CREATORS = (HANDLES | SHOWN).filter(lambda name: creator_name(name) == name and not is_rounded(name))
NUMBER = re.compile(r"[1-9][0-9]{0,14}")
NUMBERS = st.from_regex(NUMBER, fullmatch=True)
LINKS = st.text("abcxyz019/_-.~%?=&,+:!()", max_size=30).map(lambda rest: f"https://h.example/{rest}z")
CAPTIONS = st.text(st.sampled_from("ab ,;|\t\"\n\r'é张😀\u2028"), max_size=12) | st.just("")
TABLES = st.lists(st.tuples(CREATORS, LINKS, CAPTIONS), min_size=1, max_size=8)
ORDERS = st.permutations([0, 1, 2])
HEADERS = ("Creator Name", "cover_url", "Caption")


def read(raw: bytes) -> tuple[list[tuple[str, str]], int]:
    """Rows, with names as they are written, and the number of rejects."""
    rows: list[tuple[str, str]] = []
    rejects = 0
    try:
        for block in open_manifest(io.BytesIO(raw)).blocks():
            shown = {(key, line): name for key, line, name in block.names}
            rows += [(shown.get((key, line), key), url) for key, line, url in block.entries]
            rejects += len(block.rejects)
    except TerminalError as error:
        if error.reason is not JobReason.MANIFEST_EMPTY:
            raise
    return rows, rejects


def held(rows: list[tuple[str, str]], rejects: int, table: Table) -> None:
    """Check that the rows are those of the table, in order, and that there is a reject for each that is missing.

    There may be more rejects: Python's csv does not quote a lone CR or LF that is not the end of its lines.
    """
    left = iter([(creator, url) for creator, url, _ in table])
    assert all(row in left for row in rows)
    assert len(rows) + rejects >= len(table)


def written(table: Table, order: Sequence[int], *, head: str = "", extra: str = "", **dialect: object) -> str:
    out = io.StringIO(newline="")
    out.write(head)
    writer = csv.writer(out, **dialect)  # type: ignore[arg-type]
    for row in [HEADERS, *table]:
        line = [row[at] for at in order]
        writer.writerow(
            [*line, ""] if extra == "empty column" else [("" if row is HEADERS else "7"), *line] if extra else line
        )
    return out.getvalue()


@settings(max_examples=400, deadline=None)
@given(
    table=TABLES,
    order=ORDERS,
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    title=st.sampled_from(["", "sep", "A title", "# a comment"]),
    extra=st.sampled_from(["", "empty column", "index"]),
    zipped=st.booleans(),
)
def test_a_table_comes_back_however_it_is_written_as_csv(
    table: Table,
    order: list[int],
    delimiter: str,
    end: str,
    quoting: int,
    encoding: str,
    title: str,
    extra: str,
    zipped: bool,
) -> None:
    head = {"": "", "sep": f"sep={delimiter}{end}"}.get(title, title + end)
    text = written(table, order, head=head, extra=extra, delimiter=delimiter, lineterminator=end, quoting=quoting)
    raw = text.encode(encoding)
    rows, rejects = read(gzip.compress(raw) if zipped else raw)
    held(rows, rejects, table)
    if not any("\n" in caption or "\r" in caption for *_, caption in table):
        assert rejects == 0


@settings(max_examples=200, deadline=None)
@given(table=TABLES, order=ORDERS, delimiter=st.sampled_from(",;\t|"))
def test_a_table_that_was_written_without_any_quotes_is_never_another_table(
    table: Table, order: list[int], delimiter: str
) -> None:
    plain = [(creator, url, " ".join(caption.split())) for creator, url, caption in table]
    plain = [row for row in plain if not set("\t\"'") & set("".join(row))]
    if order[-1] == 0:  # a name with a delimiter at its end is the same as one with an empty field behind it
        plain = [row for row in plain if not row[0].endswith(delimiter)]
    lines = [delimiter.join(row[at] for at in order) for row in [HEADERS, *plain]]
    rows, rejects = read("\n".join(lines).encode())
    shifted = [row for row in rows if row not in {(creator, url) for creator, url, _ in plain}]
    # What no reader can know: a caption or the rest of a link that follows the link, as if it were one.
    assert all(url.startswith("https://h.example/") and order[-1] == 1 for _, url in shifted)
    assert len(rows) + rejects == len(plain)


@settings(max_examples=200, deadline=None)
@given(table=TABLES, order=ORDERS, as_lines=st.booleans(), escaped=st.booleans(), indent=st.none() | st.just(1))
def test_a_table_comes_back_from_json(
    table: Table, order: list[int], as_lines: bool, escaped: bool, indent: int | None
) -> None:
    records = [{HEADERS[at]: row[at] for at in order} for row in table]
    if as_lines:
        text = "".join(json.dumps(record, ensure_ascii=escaped) + "\n" for record in records)
    else:
        text = json.dumps(records, ensure_ascii=escaped, indent=indent)
    rows, rejects = read(text.encode())
    held(rows, rejects, table)
    assert rejects == 0


@settings(max_examples=25, deadline=None)  # each starts two processes
@given(
    table=st.lists(st.tuples(CREATORS | NUMBERS, LINKS, CAPTIONS), min_size=1, max_size=30),
    order=ORDERS,
    title=st.booleans(),
    empty=st.booleans(),
    before=st.booleans(),
    in_cells=st.booleans(),
)
def test_a_table_comes_back_from_a_workbook(
    table: Table, order: list[int], title: bool, empty: bool, before: bool, in_cells: bool
) -> None:
    lines: list[Sequence[object]] = [["Covers of January"], []] if title else []
    for row in [HEADERS, *table]:
        creator = int(row[0]) if in_cells and NUMBER.fullmatch(row[0]) else row[0]
        line = [(creator, *row[1:])[at] for at in order]
        lines += [[None, *line] if empty else line] + ([[]] if empty else [])
    raw = workbook(*([["notes"], ["none"]] if before else lines), **({"covers": lines} if before else {}))
    rows, rejects = read(raw)
    held(rows, rejects, table)
    formulas = sum(creator.startswith("=") for creator, *_ in table)
    assert rejects <= formulas


@settings(max_examples=150, deadline=None)
@given(
    table=TABLES,
    missing=st.integers(0, 7),
    order=ORDERS,
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    index=st.booleans(),
    nothing=st.sampled_from(["", "nan", "NaN", "NULL", "None", "N/A", "NA", "<NA>"]),
)
def test_a_table_comes_back_from_pandas_as_csv(
    table: Table,
    missing: int,
    order: list[int],
    separator: str,
    encoding: str,
    quoting: Literal[0, 1, 2],
    index: bool,
    nothing: str,
) -> None:
    frame = pd.DataFrame([[row[at] for at in order] for row in table], columns=[HEADERS[at] for at in order], dtype=str)
    without = [row for at, row in enumerate(table) if at != missing]
    if missing < len(table):
        frame.loc[missing, HEADERS[0]] = None
    out = io.BytesIO()
    frame.to_csv(out, sep=separator, encoding=encoding, quoting=quoting, index=index, na_rep=nothing)
    rows, rejects = read(out.getvalue())
    held(rows, rejects, without)
    assert len(rows) + rejects >= len(table)
    if not any("\n" in caption or "\r" in caption for *_, caption in table):
        assert (len(rows), rejects) == (len(without), len(table) - len(without))


@settings(max_examples=150, deadline=None)
@given(table=TABLES, order=ORDERS, lines=st.booleans(), ascii_only=st.booleans(), missing=st.integers(0, 7))
def test_a_table_comes_back_from_pandas_as_json(
    table: Table, order: list[int], lines: bool, ascii_only: bool, missing: int
) -> None:
    frame = pd.DataFrame([[row[at] for at in order] for row in table], columns=[HEADERS[at] for at in order], dtype=str)
    without = [row for at, row in enumerate(table) if at != missing]
    if missing < len(table):
        frame.loc[missing, HEADERS[1]] = None
    text = frame.to_json(orient="records", lines=lines, force_ascii=ascii_only)
    rows, rejects = read(text.encode())
    held(rows, rejects, without)
    assert (len(rows), rejects) == (len(without), len(table) - len(without))


@settings(max_examples=15, deadline=None)  # each starts two processes
@given(
    table=TABLES, order=ORDERS, index=st.booleans(), below=st.integers(0, 3), sheet=st.sampled_from(["Covers", "表"])
)
def test_a_table_comes_back_from_pandas_as_a_workbook(
    table: Table, order: list[int], index: bool, below: int, sheet: str
) -> None:
    frame = pd.DataFrame([[row[at] for at in order] for row in table], columns=[HEADERS[at] for at in order], dtype=str)
    out = io.BytesIO()
    frame.to_excel(out, index=index, startrow=below, sheet_name=sheet)
    rows, rejects = read(out.getvalue())
    held(rows, rejects, table)
    assert rejects <= sum(creator.startswith("=") for creator, *_ in table)


LEGACY = st.sampled_from([(name, line.split()) for name, lines in NAMES.items() for line in lines])


@settings(max_examples=200, deadline=None)
@given(LEGACY, st.data(), st.sampled_from(",;\t"), ORDERS)
def test_a_table_in_an_old_encoding_comes_back_or_is_refused(
    known: tuple[str, list[str]], data: st.DataObject, delimiter: str, order: list[int]
) -> None:
    encoding, names = known
    some = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=6))
    table = [(name, f"https://h.example/{at}", "x") for at, name in enumerate(some)]
    raw = encoded(written(table, order, delimiter=delimiter), CODECS.get(encoding, encoding))
    try:
        rows, rejects = read(raw)
    except TerminalError as error:
        assert error.reason is JobReason.MANIFEST_ENCODING
    else:
        held(rows, rejects, table)
        assert rejects == 0
