"""`process`: a whole job on this machine."""

import asyncio
import json
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from worker.cli.folder import FolderManifests, FolderResults, MemoryLedger
from worker.cli.pace import pace
from worker.cli.terminal import CreatorsBar, counts_table, creators_bar, print_json, source_line, stderr, stdout
from worker.errors import JobReason
from worker.images.collage import compose
from worker.jobs.advice import nothing_made
from worker.jobs.batch import Delivery
from worker.jobs.ports import Ports
from worker.jobs.summary import Tally
from worker.logs import configure
from worker.model import CreatorRecord, Job, Outcome, ProcessingConfig, Retryable, S3Manifest, Succeeded, Terminal
from worker.service.app import signals_set
from worker.service.assembly import assembled, image_ports, shape_of
from worker.service.memory import spare_the_collector
from worker.service.share import own_share
from worker.settings import Settings


async def process_file(
    settings: Settings,
    manifest: Path,
    output: Path,
    config: ProcessingConfig,
    *,
    as_json: bool = False,
) -> int:
    """Do the job and tell the results; returns the exit code."""
    configure("warning" if settings.log_level == "info" else settings.log_level, settings.log_format)
    job = Job(S3Manifest("file", str(manifest)), "", config, from_event=False)
    stop, hurry = asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(signals_set(stop, hurry))
        share = await own_share(settings.ecs_container_metadata_uri_v4)
        ledger = MemoryLedger()
        images = await stack.enter_async_context(image_ports(settings, share, record_metric=_forget_metric))
        ports = Ports(
            manifests=FolderManifests(),
            results=FolderResults(output),
            ledger=ledger,
            temp=None,
            queue=None,
            fetcher=images.fetcher,
            decoder=images.decoder,
            composer=images.composer,
            compose=compose,
            read_memory=share.gauge.read,
            record_metric=_forget_metric,
            clock=time.time,
        )
        bar = stack.enter_context(creators_bar("reading"))
        progress = Progressing(bar, manifest.name)
        batches = assembled(
            ports,
            shape_of(settings, "process"),
            on_plan=progress.planned,
            on_creator=progress.done,
        )
        spare_the_collector()
        outcome = await _until_hurried(batches.run(job, Delivery("process", time.time()), stop), stop, hurry)
    match outcome:
        case Terminal() | Retryable():
            stderr.print(f"{manifest}: {outcome.reason}: {outcome.message}", style="red", markup=False)
            return 1
        case Succeeded():
            return _tell(output, progress.records, ledger, as_json=as_json)


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


class Progressing:
    """Counts what is done, and shows it."""

    def __init__(self, bar: CreatorsBar, name: str) -> None:
        self._bar = bar
        self._name = name
        self._tally = Tally()
        self._began = time.monotonic()
        self.records: list[CreatorRecord] = []

    def planned(self, planned: Tally) -> None:
        """Show how many there are to do."""
        self._tally.creators_total = planned.creators_total
        self._began = time.monotonic()
        self._bar.show(self._name, self._tally.counts(), None)

    def done(self, record: CreatorRecord) -> None:
        """Count a creator."""
        self.records.append(record)
        self._tally.add(record)
        at = pace(len(self.records), self._tally.creators_total, time.monotonic() - self._began)
        self._bar.show(self._name, self._tally.counts(), at)


def _tell(output: Path, records: list[CreatorRecord], ledger: MemoryLedger, *, as_json: bool) -> int:
    collages = [str(output / key) for record in sorted(records, key=_name) for key in record.collage_keys]
    summary = output / str(ledger.summary_key)
    if as_json:
        told = {"summary": str(summary), "report": str(summary.with_suffix(".html")), "collages": collages}
        print_json({"counts": dict(ledger.counts), **told})
        return 1 if nothing_made(ledger.counts) else 0
    for path in collages:
        stdout.print(path, markup=False)
    stderr.print(counts_table(ledger.counts, ""))
    stderr.print(f"source   {source_line(json.loads(summary.read_bytes())['source'])}", markup=False)
    stderr.print(f"summary  {summary}\nreport   {summary.with_suffix('.html')}", markup=False)
    if nothing := nothing_made(ledger.counts):
        stderr.print(nothing, style="red", markup=False)
        return 1
    return 0


def _name(record: CreatorRecord) -> str:
    return record.creator
