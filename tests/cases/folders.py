"""Where files as people have them lie: the project's own, and a collection beside the checkout where there is one."""

import os
from pathlib import Path

COLLECTION = "CASES"
"""The variable that names the collection: a folder with `images/` and `manifests/`. Else it is `../shared/cases`."""


def folders(kind: str) -> list[Path]:
    """Return the folders of a kind (`images`, `manifests`), the project's own first.

    Raises `FileNotFoundError` where the variable names a collection without that kind.
    """
    here = Path(__file__).resolve().parent
    named = os.environ.get(COLLECTION)
    collection = Path(named) if named else here.parents[2] / "shared" / "cases"
    more = collection / kind
    if named and not (more / "expected.json").is_file():
        raise FileNotFoundError(f"{COLLECTION}={named}: there is no {kind}/expected.json in that folder")
    return [here / kind, *([more] if (more / "expected.json").is_file() else [])]
