"""How people name a batch: by its id, by an unambiguous beginning of it, or by its manifest."""

import asyncio
from collections.abc import Sequence

from worker.aws.state_table import StateTable
from worker.cli.terminal import stderr
from worker.jobs.chunk_files import spec_of
from worker.keys import archive_key, safe_name, stem_of
from worker.model import BatchRecord, S3Manifest

READ_AT_ONCE = 20
"""Records that are read at the same time."""

SHOWN = 10
"""Batches that are listed where a beginning fits several."""


class AmbiguousNameError(Exception):
    """Several batches begin as a person typed. The text lists them."""


async def named_batch(table: StateTable, name: str) -> BatchRecord | None:
    """Return the record of the batch that a person means; None where there is none.

    Raises `AmbiguousNameError` where a beginning fits several ids. Of a manifest, the newest batch is meant.
    """
    if name.startswith("s3://"):
        return await _of_manifest(table, *name.removeprefix("s3://").partition("/")[::2])
    if (record := await table.batch(name)) is not None:
        return record
    found = [each async for each in table.logged_ids() if each.startswith((name, f"s3_{name}"))]
    if len(found) > 1:
        more = f"\n  and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise AmbiguousNameError(f"{name} fits {len(found)} batches:\n  " + "\n  ".join(found[:SHOWN]) + more)
    return await table.batch(found[0]) if found else None


async def existing_batch(table: StateTable, name: str) -> BatchRecord | int:
    """Return the record of the batch that a person means, or the exit code where none is, which is told."""
    try:
        record = await named_batch(table, name)
    except AmbiguousNameError as error:
        stderr.print(f"{error}\ntype more of it", markup=False)
        return 2
    if record is None:
        stderr.print(
            f"there is no batch {name}: it waits in the queue, or the name is wrong; collage list shows the newest",
            markup=False,
        )
        return 1
    return record


async def records_of(table: StateTable, ids: Sequence[str]) -> list[BatchRecord]:
    """Return the records of batches, in the order of their ids; those that are forgotten are left out."""
    found: list[BatchRecord | None] = []
    for first in range(0, len(ids), READ_AT_ONCE):
        found += await asyncio.gather(*map(table.batch, ids[first : first + READ_AT_ONCE]))
    return [record for record in found if record is not None]


async def _of_manifest(table: StateTable, bucket: str, key: str) -> BatchRecord | None:
    """Return the newest batch of a manifest, which may have been archived since."""
    name = key.rpartition("/")[2]
    beginning = f"s3_{safe_name(stem_of(name), 100)}-"
    likely = [each async for each in table.logged_ids() if each.startswith(beginning)]
    for record in await records_of(table, likely):
        if record.asked is None:
            continue
        manifest = spec_of(record).job.manifest
        if isinstance(manifest, S3Manifest) and manifest.bucket == bucket and key in _places(manifest.key):
            return record
    return None


def _places(key: str) -> tuple[str, str, str]:
    return key, archive_key(key, failed=False), archive_key(key, failed=True)


def manifest_told(record: BatchRecord) -> str:
    """Return where a batch's manifest is, or what came in its message, for people."""
    if record.asked is None:
        return record.source_csv or "a message that could not be understood"
    manifest = spec_of(record).job.manifest
    return f"s3://{manifest.bucket}/{manifest.key}" if isinstance(manifest, S3Manifest) else "in its message"
