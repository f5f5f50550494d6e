"""Reads manifests as people have them, and counts what would stand in each collage.

`expected.json`: file → `creators` (name → images) and `rejects` (how many), or `error` (the reason code of a manifest
that is refused); `source`: keys of the summary's `source` with their values; `s3`: its key must start a batch.

A link counts as an image where the origin of such files would answer it with one: `/c/N.jpg` with its signature byte
for byte as it was signed, or with none; `/whole/….jpg?…&end=1` with nothing of it cut off.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worker.errors import TerminalError
from worker.keys import starts_a_batch
from worker.manifest.grouping import Grouping
from worker.manifest.manifest import open_manifest


@dataclass(frozen=True)
class Result:
    """What came of one file."""

    name: str
    passed: bool
    found: str


def expectations(folder: Path) -> dict[str, dict[str, Any]]:
    """Read `expected.json`."""
    found: dict[str, dict[str, Any]] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return found


def run(folder: Path) -> list[Result]:
    """Read every file of a folder."""
    return [judged(folder, name, entry) for name, entry in expectations(folder).items()]


def judged(folder: Path, name: str, expected: dict[str, Any]) -> Result:
    """Read one file, and hold what came of it against what is expected."""
    found = read(folder / name)
    if "s3" in expected:
        found["s3"] = starts_a_batch(f"csv-files/{name}")
    source = found.pop("source", {})
    if "source" in expected:
        found["source"] = {key: source.get(key) for key in expected["source"]}
    return Result(name, found == expected, json.dumps(found, ensure_ascii=False))


def read(path: Path) -> dict[str, Any]:
    """Return the images of each creator, the number of rejects, and how the manifest was read; or why it was not."""
    images: dict[str, set[str]] = {}
    with path.open("rb") as file, Grouping() as grouping:
        try:
            manifest = open_manifest(file)
            for some in manifest.blocks():
                grouping.add(some)
        except TerminalError as error:
            return {"error": error.reason.value}
        for group, _ in grouping.groups(max_rows=1_000_000):
            images[group.name] = {row.url for row in group.rows if is_image(row.url)}
        return {
            "creators": {name: len(urls) for name, urls in images.items() if urls},
            "rejects": grouping.reject_count,
            "source": manifest.told(),
        }


def is_image(url: str) -> bool:
    """Say whether the origin answers this link with an image."""
    path, query = urlsplit(url).path, urlsplit(url).query
    found = re.fullmatch(r"/(c|whole)/(?:[^/]*/)*(\d+)\.(?:jpg|image|webp)", path)
    if found is None:
        return False
    if "x-" in query:
        return query == f"x-expires=4102444800&x-signature=Zm9v%2B{found[2]}%3D"
    return found[1] == "c" or query.endswith("end=1")
