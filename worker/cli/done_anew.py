"""What `process` does anew: creators whose collages are gone and, where asked to, those that missed images.

Their lines are taken out of the parts; those of the others are kept as done. Their collages stay until the new ones
are there, and where those have fewer images, beside them.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from worker.cli.folder import KEPT, FolderResults
from worker.cli.safe_folder import SafeFolder
from worker.jobs.part_lines import RowLine, RowOutcome, by_creator, packed, row_json
from worker.jobs.parts import part_rows
from worker.jobs.reasons import MAY_CHANGE
from worker.keys import is_part, results_prefix, unfinished_key
from worker.model import CreatorRecord


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier run made of a creator: how many images it used, and its collages."""

    images: int
    collages: frozenset[str]


def may_help(rows: Iterable[RowLine]) -> bool:
    """Say whether another try may get better, for any of a creator's rows."""
    return any(row.outcome is RowOutcome.FAILED and row.reason in MAY_CHANGE for row in rows)


async def forget(folder: SafeFolder, batch_id: str, *, failed: bool) -> dict[str, Earlier]:
    """Forget that such creators are done, those that `failed` included or not; returns what there is of them.

    What is kept of the others is written before their part goes: a run that ends in between loses nothing.
    """
    results, forgotten = FolderResults(folder), dict[str, Earlier]()
    parts = [key async for key in results.keys(results_prefix("", batch_id)) if is_part(key)]
    for key in parts:
        creators = _creators(folder.path / key)
        again = {name: _earlier(rows) for name, rows in creators.items() if _is_wanted(folder, rows, failed=failed)}
        if not again:
            continue
        forgotten |= again
        for name in creators.keys() - again.keys():
            folder.write(KEPT + unfinished_key(batch_id, name), packed(map(row_json, creators[name])))
        folder.remove(key)
    return forgotten | _forget_unfinished(folder, batch_id, failed=failed)


def _is_wanted(folder: SafeFolder, rows: list[RowLine], *, failed: bool) -> bool:
    """Say whether a creator is to be done anew."""
    is_gone = any(not (folder.path / key).is_file() for key in _earlier(rows).collages)
    return is_gone or (failed and may_help(rows))


def _forget_unfinished(folder: SafeFolder, batch_id: str, *, failed: bool) -> dict[str, Earlier]:
    forgotten: dict[str, Earlier] = {}
    place = KEPT + unfinished_key(batch_id, "").rpartition("/")[0]
    for path in sorted((folder.path / place).glob("[!.]*")):
        for name, rows in _creators(path).items():
            if _is_wanted(folder, rows, failed=failed):
                forgotten[name] = _earlier(rows)
                folder.remove(f"{place}/{path.name}")
    return forgotten


def _creators(path: Path) -> dict[str, list[RowLine]]:
    rows = part_rows(path.name, io.BytesIO(path.read_bytes()))
    return {name: list(some) for name, some in by_creator(rows)}


def _earlier(rows: list[RowLine]) -> Earlier:
    used = [row for row in rows if row.outcome is RowOutcome.USED]
    return Earlier(len(used), frozenset(row.collage_key for row in used if row.collage_key))


def remove_replaced(folder: SafeFolder, earlier: dict[str, Earlier], records: Iterable[CreatorRecord]) -> list[str]:
    """Remove the earlier collages that newer ones replace; returns those that stay, as they show more images."""
    stay: list[str] = []
    for record in records:
        before = earlier.get(record.creator)
        if before is None:
            continue
        old = sorted(before.collages - set(record.collage_keys))
        if record.images_processed < before.images:
            stay += old
            continue
        for key in old:
            folder.remove(key)
    return stay
