"""What `process` tells at its end."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from worker.cli.folder import FolderStore
from worker.cli.folder_ledger import FolderLedger
from worker.cli.options import DONE, FAILED, INTERRUPTED
from worker.cli.remedies import remedy_of
from worker.cli.safe_folder import SafeFolder
from worker.cli.terminal import counts_table, print_json, source_line, stderr, stdout
from worker.errors import WorkerError
from worker.jobs.advice import nothing_made
from worker.jobs.reasons import MAY_CHANGE
from worker.model import Retryable, Terminal
from worker.settings import Settings


class Run(Protocol):
    """What a run has come to."""

    folder: SafeFolder
    ledger: FolderLedger
    store: FolderStore
    stay: list[str]


def tell(run: Run, *, as_json: bool, is_done: bool) -> int:
    """Tell what there is in the folder now; returns the exit code."""
    if run.ledger.summary_key is None:  # stopped while the manifest was read
        stderr.print("stopped before a creator was done; the same command begins with the first", markup=False)
        return INTERRUPTED
    counts, summary = run.ledger.counts, run.folder.path / str(run.ledger.summary_key)
    collages = [
        str(run.folder.path / key) for _, record in sorted(run.ledger.records.items()) for key in record.collage_keys
    ]
    nothing = nothing_made(counts)
    if as_json:
        told = {"done": is_done, "creators_done_now": run.store.creators_done, "counts": dict(counts)}
        report = str(summary.with_suffix(".html"))
        print_json(told | {"summary": str(summary), "report": report, "collages": collages})
    else:
        for path in collages:
            stdout.print(path, markup=False)
        _tell_people(run, counts, summary, is_done=is_done)
    if not is_done:
        return INTERRUPTED
    if nothing:
        stderr.print(nothing, style="red", markup=False)
    return FAILED if nothing else DONE


def _tell_people(run: Run, counts: Mapping[str, Any], summary: Path, *, is_done: bool) -> None:
    if not is_done:
        done = len(run.ledger.records)
        told = f"stopped: {done} of {counts.get('creators_total', 0)} creators are done"
        stderr.print(f"{told}; the same command goes on from here", markup=False)
    elif not run.store.creators_done:
        stderr.print(f"nothing to do: all {len(run.ledger.records)} creators were done before", markup=False)
    again = sum(bool(MAY_CHANGE & record.errors.keys()) for record in run.ledger.records.values())
    if is_done and again:
        stderr.print(f"creators that missed images which may be there now: {again}; --retry-failed does them anew")
    for key in run.stay:
        stderr.print(f"stays, as it shows more than the new one: {run.folder.path / key}", markup=False)
    stderr.print(counts_table(counts, ""))
    if source := json.loads(summary.read_bytes()).get("source"):
        stderr.print(f"source   {source_line(source)}", markup=False)
    stderr.print(f"summary  {summary}\nreport   {summary.with_suffix('.html')}", markup=False)


def tell_failed(settings: Settings, manifest: Path, outcome: Terminal | Retryable) -> int:
    """Tell why nothing could be done, and what mends it; returns the exit code."""
    stderr.print(f"{manifest}: {outcome.reason}: {outcome.message}", style="red", markup=False)
    if remedy := remedy_of(WorkerError(outcome.reason, outcome.message), settings):
        stderr.print(remedy, markup=False)
    return FAILED
