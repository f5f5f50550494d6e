"""`list`: the newest batches."""

import re
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.cells import cell_len, set_cell_size

from worker.cli.access import Access, open_access
from worker.cli.batch_names import manifest_told, records_of
from worker.cli.pace import time_told
from worker.cli.terminal import print_json, stderr, stdout
from worker.errors import Dependency
from worker.keys import iso
from worker.model import BatchRecord, BatchState
from worker.settings import Settings

READ_AT_A_TIME = 100

_AGE = re.compile(r"(\d+)\s*(min|m|h|d|w)")
_UNITS = {"min": 60, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def since_of(text: str, now: datetime) -> str:
    """Return a moment in ISO 8601 for an age (30m, 12h, 2d) or a date. Raises `ValueError` for anything else."""
    if match := _AGE.fullmatch(text.strip()):
        return iso(now - timedelta(seconds=int(match[1]) * _UNITS[match[2]]))
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"--since takes an age such as 30m, 12h or 2d, or a date such as 2025-01-19; got {text!r}"
        ) from None
    return iso(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


async def list_batches(
    settings: Settings, *, states: frozenset[BatchState], since: str, limit: int, as_json: bool
) -> int:
    """Show the newest batches; returns the exit code."""
    async with open_access(settings, Dependency.DYNAMODB) as access:
        found, more = await _newest(access, states, since, limit)
    if as_json:
        print_json({"batches": [_told(record) for record in found], "more": more})
        return 0
    if not found:
        stderr.print("there is no batch" + (" like that" if states or since else "; collage submit begins one"))
        return 0
    for line in table_lines([_cells(record, time.time()) for record in found]):
        stdout.print(line, markup=False)
    if more:
        stderr.print(f"there are more than these {limit}: --limit shows more, --since and --status fewer")
    return 0


async def _newest(
    access: Access, states: frozenset[BatchState], since: str, limit: int
) -> tuple[list[BatchRecord], bool]:
    """Return up to `limit` batches, and whether there are more."""
    found: list[BatchRecord] = []
    some: list[str] = []
    async for batch_id in access.table.logged_ids(since=since):
        some.append(batch_id)
        if len(some) == READ_AT_A_TIME:
            found += _wanted(await records_of(access.table, some), states)
            some = []
            if len(found) > limit:
                break
    found += _wanted(await records_of(access.table, some), states)
    return found[:limit], len(found) > limit


def _wanted(records: Iterable[BatchRecord], states: frozenset[BatchState]) -> list[BatchRecord]:
    return [record for record in records if not states or record.state in states]


def _cells(record: BatchRecord, now: float) -> tuple[str, ...]:
    counts = record.counts
    done = counts.get("creators_completed", 0) + counts.get("creators_failed", 0)
    return (
        record.id,
        record.state,
        f"{done}/{counts.get('creators_total', 0)}",
        str(counts.get("collages_written", 0)),
        str(counts.get("images_failed", 0)),
        time_told(max(0.0, now - record.started_at.timestamp())),
        manifest_told(record),
    )


HEADER = ("BATCH", "STATE", "CREATORS", "COLLAGES", "FAILED IMAGES", "AGE", "MANIFEST")


def table_lines(rows: Sequence[tuple[str, ...]], header: tuple[str, ...] = HEADER) -> list[str]:
    """Return rows as lines with columns below each other; the last column is not padded."""
    whole = [header, *rows]
    widths = [max(cell_len(row[column]) for row in whole) for column in range(len(header))]
    return ["  ".join(map(set_cell_size, row, widths)).rstrip() for row in whole]


def _told(record: BatchRecord) -> dict[str, Any]:
    return {
        "batch_id": record.id,
        "state": record.state,
        "manifest": manifest_told(record),
        "started_at": iso(record.started_at),
        "updated_at": record.updated_at,
        "counts": dict(record.counts),
        "error_code": record.error_code,
    }
