"""A batch's record as it is told to people and to programs."""

import time
from typing import Any

from worker.cli.batch_names import manifest_told
from worker.cli.pace import pace_of, silence_of, silence_told, time_told
from worker.cli.terminal import counts_table, stdout
from worker.jobs.advice import no_images
from worker.keys import iso
from worker.model import BatchRecord, BatchState


def show_record(record: BatchRecord) -> None:
    """Show a batch's record."""
    stdout.print(f"{record.id}  {record.state}", style="bold", markup=False)
    stdout.print(f"source   {manifest_told(record)}\nstarted  {iso(record.started_at)}", markup=False)
    if record.chunks_total:
        stdout.print(f"chunks   {record.chunks_done} of {record.chunks_total}", markup=False)
    if at := pace_of(record, time.time()):
        told = f"{at.creators_per_second:.1f} creators a second, about {time_told(at.seconds_left)} left"
        stdout.print(f"pace     {told}", markup=False)
    if warning := no_images(record.counts):
        stdout.print(f"warning  {warning}", markup=False)
    if silence := silence_of(record, time.time()):
        stdout.print(f"silent   {silence_told(silence)}", markup=False)
    if record.error_code:
        stdout.print(f"failed   {record.error_code}: {record.error_message}", markup=False)
    if record.summary_key:
        stdout.print(f"summary  {record.summary_key}", markup=False)
    if record.state in {BatchState.FAILED, BatchState.CANCELLED}:
        stdout.print(f"next     collage retry {record.id}", markup=False)
    stdout.print(counts_table(record.counts, ""))


def status_told(record: BatchRecord) -> dict[str, Any]:
    """Tell a batch's record for programs."""
    at = pace_of(record, time.time())
    return {
        "batch_id": record.id,
        "state": record.state,
        "manifest": manifest_told(record),
        "source_csv": record.source_csv,
        "started_at": iso(record.started_at),
        "updated_at": record.updated_at,
        "chunks_total": record.chunks_total,
        "chunks_done": record.chunks_done,
        "creators_per_second": round(at.creators_per_second, 3) if at else None,
        "seconds_left": round(at.seconds_left) if at else None,
        "counts": dict(record.counts),
        "warnings": [text for text in (no_images(record.counts),) if text],
        "summary_key": record.summary_key,
        "error_code": record.error_code,
        "error_message": record.error_message,
    }
