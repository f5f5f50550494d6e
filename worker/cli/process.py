"""`process`: a whole job on this machine, which goes on where it was stopped."""

import asyncio
import shutil
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from worker.cli.done_anew import forget, remove_replaced
from worker.cli.folder import KEPT, FolderManifests, FolderResults, FolderStore
from worker.cli.folder_ledger import FolderLedger
from worker.cli.pace import pace
from worker.cli.process_told import tell, tell_failed
from worker.cli.safe_folder import SafeFolder
from worker.cli.terminal import CreatorsBar, creators_bar, stderr
from worker.errors import JobReason
from worker.images.collage import compose_with_preview
from worker.jobs.batch import BatchWork, Delivery
from worker.jobs.messages import explicit_of
from worker.jobs.ports import Ports
from worker.jobs.summary import Tally
from worker.keys import batch_id
from worker.logs import configure
from worker.model import CreatorRecord, Job, Outcome, ProcessingConfig, Retryable, S3Manifest, Succeeded, Terminal
from worker.service.app import signals_set
from worker.service.assembly import assembled, image_ports, shape_of
from worker.service.memory import spare_the_collector
from worker.service.share import own_share
from worker.settings import Settings


async def process_file(
    settings: Settings, manifest: Path, output: Path, config: ProcessingConfig, *, retry_failed: bool, as_json: bool
) -> int:
    """Do the job, or what is left of it, and tell the results; returns the exit code."""
    configure("warning" if settings.log_level == "info" else settings.log_level, settings.log_format)
    folder = SafeFolder(output)
    with folder.locked(f"{KEPT}lock"):
        run = _Run(settings, manifest, folder, config)
        outcome = await run.run(retry_failed=retry_failed)
    if isinstance(outcome, Terminal) or (isinstance(outcome, Retryable) and outcome.reason != JobReason.INTERRUPTED):
        return tell_failed(settings, manifest, outcome)
    return tell(run, as_json=as_json, is_done=isinstance(outcome, Succeeded))


class _Run:
    """One run of a job in a folder."""

    def __init__(self, settings: Settings, manifest: Path, folder: SafeFolder, config: ProcessingConfig) -> None:
        self._settings = settings
        self._manifest = manifest
        self._config = config
        self.folder = folder
        self.ledger = FolderLedger(folder)
        self.store = FolderStore(folder)
        self.planned = Tally()
        self.stay: list[str] = []
        """Earlier collages that stay beside newer ones with fewer images."""

    async def run(self, *, retry_failed: bool) -> Outcome:
        """Do the job; where it is stopped, tell what is done."""
        stop, hurry = asyncio.Event(), asyncio.Event()
        manifests = FolderManifests(self._manifest)
        job = await self._job(manifests)
        earlier = await forget(self.folder, batch_id(job), failed=retry_failed)
        async with AsyncExitStack() as stack:
            stack.enter_context(signals_set(stop, hurry))
            batches = await self._assembled(stack, manifests)
            outcome = await _until_hurried(batches.run(job, Delivery("process", time.time()), stop), stop, hurry)
            record = self.ledger.record
            if isinstance(outcome, Retryable) and outcome.reason == JobReason.INTERRUPTED and record is not None:
                await batches.tell_unfinished(replace(record, counts=self.planned.counts()))
        if isinstance(outcome, Succeeded):
            self.stay = remove_replaced(self.folder, earlier, self.ledger.records.values())
            shutil.rmtree(self.folder.path / KEPT / "processing" / batch_id(job), ignore_errors=True)
        return outcome

    async def _job(self, manifests: FolderManifests) -> Job:
        """Return the job, named after the file's content and everything that it is asked for."""
        named = S3Manifest("file", self._manifest.name)
        head = await manifests.head(named)
        explicit = explicit_of("", self._config.model_dump(mode="json"))
        return Job(replace(named, etag=head.etag if head else None), "", self._config, False, explicit)

    async def _assembled(self, stack: AsyncExitStack, manifests: FolderManifests) -> BatchWork:
        share = await own_share(self._settings.ecs_container_metadata_uri_v4)
        images = await stack.enter_async_context(image_ports(self._settings, share, record_metric=_forget_metric))
        ports = Ports(
            manifests=manifests,
            results=FolderResults(self.folder),
            ledger=self.ledger,
            temp=self.store,
            queue=None,
            fetcher=images.fetcher,
            decoder=images.decoder,
            composer=images.composer,
            compose=compose_with_preview,
            read_memory=share.gauge.read,
            record_metric=_forget_metric,
            clock=time.time,
        )
        progress = _Progress(self, stack.enter_context(creators_bar("reading")), self._manifest.name)
        spare_the_collector()
        shape = shape_of(self._settings, "process")
        return assembled(ports, shape, on_plan=progress.planned, on_creator=progress.done)


class _Progress:
    """Shows how far a run has come."""

    def __init__(self, run: _Run, bar: CreatorsBar, name: str) -> None:
        self._run = run
        self._bar = bar
        self._name = name
        self._tally = Tally()
        self._began = time.monotonic()

    def planned(self, planned: Tally) -> None:
        """Show how many creators there are."""
        self._run.planned = planned
        self._tally.creators_total = planned.creators_total
        self._began = time.monotonic()
        self._bar.show(self._name, self._tally.counts(), None)

    def done(self, record: CreatorRecord) -> None:
        """Count a creator. The pace is that of those which this run has done."""
        self._run.ledger.records[record.creator] = record
        self._tally.add(record)
        now = self._run.store.creators_done
        left = self._tally.creators_total - len(self._run.ledger.records)
        self._bar.show(self._name, self._tally.counts(), pace(now, now + left, time.monotonic() - self._began))


def _forget_metric(_name: str, _value: float) -> None:
    """Tell nobody: there is no CloudWatch here."""


async def _until_hurried(work: Coroutine[Any, Any, Outcome], stop: asyncio.Event, hurry: asyncio.Event) -> Outcome:
    """Do the work; the first Ctrl-C finishes the creators at hand, the second ends at once."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(work)
        asking = [group.create_task(_tell_how_to_end(stop)), group.create_task(hurry.wait())]
        await asyncio.wait({running, asking[1]}, return_when=asyncio.FIRST_COMPLETED)
        for task in (running, *asking):
            task.cancel()  # without effect on one that is done
    if running.cancelled():
        return Retryable(JobReason.INTERRUPTED, "it was ended at once")
    return running.result()


async def _tell_how_to_end(stop: asyncio.Event) -> None:
    await stop.wait()
    stderr.print("stopping when the creators at hand are done; once more ends at once", markup=False)
