"""`download`: the collages, the report and the results of a batch as files."""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any
from urllib.parse import quote, unquote

from worker.cli.access import Access, open_access
from worker.cli.batch_names import existing_batch
from worker.cli.finishing import results_of
from worker.cli.pace import pace
from worker.cli.safe_folder import SafeFolder
from worker.cli.terminal import CreatorsBar, creators_bar, print_json, stderr, stdout
from worker.errors import Dependency
from worker.file_names import FolderNames
from worker.jobs.parts import Parts
from worker.keys import creators_key, report_key, results_prefix, safe_name
from worker.model import BatchRecord, BatchState, CreatorRecord
from worker.settings import Settings
from worker.tasks import unwrapped

AT_ONCE = 8
"""Files that are fetched at the same time."""

COLLAGES = "collages/by-creator/"
_LINK = re.compile(r"(by-creator/)([^/\"'\\<>\s]+)(?=/)")


@dataclass(slots=True)
class Fetched:
    """What a download has done so far."""

    written: int = 0
    there: int = 0
    gone: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """Tell it for programs."""
        return {"written": self.written, "already_there": self.there, "gone": self.gone}


async def download_batch(settings: Settings, name: str, output: Path, *, as_json: bool) -> int:
    """Write a batch's files into a folder; returns the exit code: 1 where some are gone from S3."""
    async with open_access(settings, Dependency.S3, Dependency.DYNAMODB) as access:
        batch = await existing_batch(access.table, name)
        if isinstance(batch, int):
            return batch
        with creators_bar("reading") as bar:
            work = _Download(access, batch, SafeFolder(output), bar)
            await work.run()
    if as_json:
        print_json({"batch_id": batch.id, "folder": str(output), **work.fetched.told()})
    else:
        stdout.print(str(output), markup=False)
    told = work.fetched
    stderr.print(f"{told.written} files written, {told.there} were there already", markup=False)
    for key in told.gone[:20]:
        stderr.print(f"gone from {settings.output_bucket}: {key}", markup=False)
    if batch.state is BatchState.RUNNING:
        stderr.print("the batch is still running: this is what is done; type it again for the rest", markup=False)
    return 1 if told.gone else 0


class _Download:
    """Fetches one batch."""

    def __init__(self, access: Access, batch: BatchRecord, folder: SafeFolder, bar: CreatorsBar) -> None:
        self._access = access
        self._batch = batch
        self._folder = folder
        self._bar = bar
        self._bucket = access.settings.output_bucket
        self._prefix = access.prefix_of(batch)
        self._began = time.monotonic()
        self._names = FolderNames(folder.names_in(COLLAGES))
        self._folders: dict[str, str] = {}
        """Local folders by the names that they have in S3, where those differ."""
        self.fetched = Fetched()

    async def run(self) -> None:
        """Fetch the collages first, and the report, whose links lead to them, last."""
        waiting = deque[asyncio.Task[None]]()
        counts = {**self._batch.counts, "creators_completed": 0, "creators_failed": 0}
        with unwrapped():
            async with asyncio.TaskGroup() as tasks:
                async for record in self._creators():
                    while len(waiting) >= AT_ONCE:
                        await waiting.popleft()
                    waiting.append(tasks.create_task(self._collages(record)))
                    counts["creators_completed"] += 1
                    self._show(counts)
        await self._documents()

    def _show(self, counts: Mapping[str, Any]) -> None:
        done = counts["creators_completed"]
        at = pace(done, counts.get("creators_total", 0), time.monotonic() - self._began)
        self._bar.show("fetching", counts, at)

    async def _creators(self) -> AsyncIterator[CreatorRecord]:
        """Give the creators from their table or, where the batch has not come to its end, from the records."""
        found = False
        async for record in Parts(results_of(self._access), self._prefix).creators(self._batch.id):
            found = True
            yield record
        if not found:
            async for record in self._access.table.all_creator_records(self._batch.id):
                yield record

    async def _collages(self, record: CreatorRecord) -> None:
        if not record.collage_keys:
            return
        local, remote = self._names.of(record.creator), safe_name(record.creator)
        if local != remote:
            self._folders[remote] = local
        for key in record.collage_keys:
            await self._fetch(key, f"{COLLAGES}{local}/{key.rpartition('/')[2]}", is_fixed=True)

    async def _documents(self) -> None:
        results = results_prefix(self._prefix, self._batch.id)
        async for key in results_of(self._access).keys(results):
            is_fixed = key != creators_key(self._prefix, self._batch.id)
            await self._fetch(key, key.removeprefix(self._prefix), is_fixed=is_fixed)
        if (summary := self._batch.summary_key) is None:
            return
        await self._fetch(summary, summary.removeprefix(self._prefix), is_fixed=False)
        report = report_key(summary)
        await self._fetch(report, report.removeprefix(self._prefix), is_fixed=False, changed=self._with_local_links)

    async def _fetch(
        self, key: str, name: str, *, is_fixed: bool, changed: Callable[[bytes], bytes] | None = None
    ) -> None:
        """Write an object to a file. One that is `is_fixed` and there already is not fetched again."""
        path = self._folder.path / name
        if is_fixed and path.is_file() and not path.is_symlink():
            self.fetched.there += 1
            return
        with SpooledTemporaryFile(1 << 20) as spooled:
            file: Any = spooled
            if not await self._access.s3.fetch(self._bucket, key, file):
                self.fetched.gone.append(key)
                return
            with self._folder.writing(name) as target:
                while block := file.read(1 << 20):
                    target.write(changed(block + file.read()) if changed else block)
        self.fetched.written += 1

    def _with_local_links(self, page: bytes) -> bytes:
        """Have the report's links lead to the folders as they are called here."""

        def local(match: re.Match[str]) -> str:
            found = self._folders.get(unquote(match[2])) or self._folders.get(match[2])
            return match[1] + quote(found) if found else match[0]

        return _LINK.sub(local, page.decode()).encode()
