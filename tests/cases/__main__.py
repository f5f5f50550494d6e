"""Runs files as people have them through the worker's own code: `python -m tests.cases images|manifests [FOLDER]`.

A folder holds the files and an `expected.json`; without one, it is the project's own.
"""

import importlib
import sys
from pathlib import Path

KINDS = ("images", "manifests")


def main() -> int:
    """Print a line for each file, and how many came out as expected; returns 1 where one did not."""
    if not 2 <= len(sys.argv) <= 3 or sys.argv[1] not in KINDS:
        print(__doc__, file=sys.stderr)
        return 2
    kind = sys.argv[1]
    folder = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).parent / kind
    results = importlib.import_module(f"tests.cases.{kind}_runner").run(folder)
    failed = 0
    for result in results:
        failed += not result.passed
        print(f"{'ok' if result.passed else 'FAILED':<7} {result.name:<55} {result.found}")
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
