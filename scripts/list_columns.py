"""Write the tables of docs/manifest.md: the names of columns that are understood, from `column_names`."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from worker.manifest.column_names import CREATOR, URL, ColumnName

TARGET = Path(__file__).resolve().parent.parent / "docs" / "manifest.md"


def page(written: str) -> str:
    """Return the page with its two tables as the code has them."""
    for title, names in (("creator", CREATOR), ("url", URL)):
        table = f"<!-- {title} -->\n{_table(names)}<!-- end -->"
        written = re.sub(rf"<!-- {title} -->\n.*?<!-- end -->", lambda _, table=table: table, written, flags=re.DOTALL)
    return written


def _table(names: Sequence[ColumnName]) -> str:
    rows = "".join(f"| {number} | `{each.name}` | {each.writer} |\n" for number, each in enumerate(names, 1))
    return f"| | name | who writes it |\n|---|---|---|\n{rows}"


if __name__ == "__main__":
    TARGET.write_text(page(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name} written\n")
