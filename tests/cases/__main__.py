"""Runs files as people have them through the worker's own code: `python -m tests.cases images|manifests [FOLDER]`.

A folder holds the files and an `expected.json`. Without one, it is the project's own folder, and that of the collection
`../shared/cases` beside the checkout, where there is one; the variable CASES names a collection elsewhere.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from tests.cases.folders import folders

KINDS = ("images", "manifests")


class Result(Protocol):
    """What came of one file."""

    name: str
    passed: bool
    found: str


def main() -> int:
    """Print a line for each file, and how many came out as expected; returns 1 where one did not."""
    if not 2 <= len(sys.argv) <= 3 or sys.argv[1] not in KINDS:
        print(__doc__, file=sys.stderr)
        return 2
    kind = sys.argv[1]
    run = importlib.import_module(f"tests.cases.{kind}_runner").run
    return max([_run(run, folder) for folder in ([Path(sys.argv[2])] if len(sys.argv) == 3 else folders(kind))])


def _run(run: Callable[[Path], Sequence[Result]], folder: Path) -> int:
    results = run(folder)
    for result in results:
        print(f"{'ok' if result.passed else 'FAILED':<7} {result.name:<55} {result.found}")
    failed = sum(not result.passed for result in results)
    print(f"{folder}: {len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
