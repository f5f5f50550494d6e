"""Planning a batch: its manifest becomes creator groups, in memory that does not grow with it; and chunks of them."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import BinaryIO

from worker.errors import Dependency, JobReason, TerminalError, Unavailable
from worker.failpoints import failpoint
from worker.jobs.disk import room_on_disk
from worker.jobs.ports import Manifests
from worker.keys import manifest_stem
from worker.manifest.bytes import inline_bytes
from worker.manifest.grouping import Grouping
from worker.manifest.manifest import Manifest, open_manifest
from worker.model import PART_CREATORS, InlineManifest, Job, ManifestHead

DISK_TIMES = 4
"""Times the manifest's size that planning takes under TMPDIR: the manifest, and its rows in SQLite."""


def free_and_whole_disk() -> tuple[int, int]:
    """Return the bytes that are free under TMPDIR, and all that there are."""
    usage = shutil.disk_usage(tempfile.gettempdir())
    return usage.free, usage.total


class Planner:
    """Reads manifests into creator groups. A part of a new batch has `part_creators` of them."""

    def __init__(
        self,
        manifests: Manifests,
        disk: Callable[[], tuple[int, int]] = free_and_whole_disk,
        *,
        part_creators: int = PART_CREATORS,
    ) -> None:
        self.part_creators = part_creators
        self._manifests = manifests
        self._disk = disk

    @asynccontextmanager
    async def grouped(self, job: Job, head: ManifestHead | None) -> AsyncIterator[tuple[Grouping, int, Manifest]]:
        """Read a manifest; gives its groups while the body runs, how many creators there are, and how it was read.

        Raises `TerminalError` for a manifest that cannot be used, `Unavailable(disk)` where there is no room for it.
        """
        with tempfile.TemporaryFile(prefix="manifest-") as file, Grouping() as grouping:
            with room_on_disk("keeping the manifest"):
                await self._fetch(job, head, file)
            yield grouping, *await _filled(grouping, file, job)

    async def _fetch(self, job: Job, head: ManifestHead | None, file: BinaryIO) -> None:
        manifest = job.manifest
        if isinstance(manifest, InlineManifest):
            file.write(inline_bytes(manifest.text))
            file.seek(0)
        elif head is None:
            raise TerminalError(
                JobReason.MANIFEST_MISSING,
                f"there is no s3://{manifest.bucket}/{manifest.key}; upload it, or correct the job's s3_key",
            )
        else:
            self._check_disk(head)
            await self._manifests.download(manifest, head, file)
            failpoint("planning.manifest_fetched")

    def _check_disk(self, head: ManifestHead) -> None:
        """Look before a long download whether its rows will find room."""
        needed = DISK_TIMES * head.size
        free, whole = self._disk()
        if needed > whole:
            raise TerminalError(
                JobReason.MANIFEST_TOO_LARGE,
                f"planning a manifest of {head.size:,} bytes takes {needed:,} bytes under TMPDIR, whose disk has "
                f"{whole:,} in all; give the task more ephemeral storage, or split the manifest",
            )
        if needed > free:
            told = f"planning takes {needed:,} bytes under TMPDIR, which has {free:,} left"
            raise Unavailable(Dependency.DISK, JobReason.DISK_FULL, told, delay=30.0)


async def _filled(grouping: Grouping, file: BinaryIO, job: Job) -> tuple[int, Manifest]:
    """Read the manifest into the grouping, in a thread; where this is cancelled, end the thread before its files go."""
    reading = asyncio.create_task(asyncio.to_thread(_fill, grouping, file, job))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        grouping.interrupt()
        await asyncio.wait({reading})
        raise


def _fill(grouping: Grouping, file: BinaryIO, job: Job) -> tuple[int, Manifest]:
    """Read the manifest into the grouping; returns the number of creators. Blocks: it runs in a thread."""
    config = job.config
    manifest = open_manifest(
        file,
        creator_column=config.creator_column,
        url_column=config.url_column,
        encoding=config.encoding,
        group=None if config.group_by_creator else manifest_stem(job),
        is_stopped=lambda: grouping.is_interrupted,
    )
    for some in manifest.blocks():
        grouping.add(some)
    return grouping.count_creators(), manifest
