"""What is told of a batch: running counts while it works, a summary at its end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.jobs.keys import iso
from worker.model import Batch, CreatorRecord, CreatorStatus, Reject


@dataclass(slots=True)
class Tally:
    """The counts of a batch so far."""

    creators_total: int = 0
    rows_total: int = 0
    rejects_total: int = 0
    creators_completed: int = 0
    creators_failed: int = 0
    images_processed: int = 0
    collages_written: int = 0
    errors: dict[str, int] = field(default_factory=dict)

    def add(self, record: CreatorRecord) -> None:
        """Count one creator."""
        if record.status is CreatorStatus.COMPLETED:
            self.creators_completed += 1
        else:
            self.creators_failed += 1
        self.images_processed += record.images_processed
        self.collages_written += len(record.collage_keys)
        for reason, count in record.errors.items():
            self.errors[reason] = self.errors.get(reason, 0) + count

    def counts(self) -> dict[str, Any]:
        """Return the counts as records and summaries show them."""
        return {
            "creators_total": self.creators_total,
            "creators_completed": self.creators_completed,
            "creators_failed": self.creators_failed,
            "images_processed": self.images_processed,
            "images_failed": sum(self.errors.values()),
            "collages_written": self.collages_written,
            "rows_total": self.rows_total,
            "rejects_total": self.rejects_total,
            "errors": dict(sorted(self.errors.items())),
        }


@dataclass(frozen=True, slots=True)
class Rejects:
    """The lines that could not be used: all counted by reason, the first of them listed."""

    by_reason: Mapping[str, int]
    listed: Sequence[Reject]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_reason.values())


def summary(
    batch: Batch,
    tally: Tally,
    rejects: Rejects,
    records: Sequence[CreatorRecord],
    *,
    finished_at: datetime,
    worked: float,
) -> dict[str, Any]:
    """Return the summary of a finished batch. `worked` is what its last run took, in seconds."""
    return {
        "batch_id": batch.id,
        "status": "completed",
        "source_csv": batch.source_csv,
        "message_id": batch.message_id,
        "started_at": iso(batch.started_at),
        "finished_at": iso(finished_at),
        "durations": {
            "batch_seconds": round((finished_at - batch.started_at).total_seconds(), 3),
            "last_run_seconds": round(worked, 3),
            "creator_seconds_mean": round(_mean([record.duration for record in records]), 3),
            "creator_seconds_max": round(max((record.duration for record in records), default=0.0), 3),
        },
        "counts": {key: value for key, value in tally.counts().items() if key != "errors"},
        "failures_by_reason": tally.counts()["errors"],
        "rejects": {
            "total": rejects.total,
            "by_reason": dict(sorted(rejects.by_reason.items())),
            "listed": [
                {"line": reject.line, "reason": reject.reason, "detail": reject.detail} for reject in rejects.listed
            ],
        },
        "collages": [key for record in records for key in record.collage_keys],
        "creators": [_creator(record) for record in records],
        "settings": {
            "output_prefix": batch.job.output_prefix,
            "processing_config": batch.job.config.model_dump(mode="json"),
        },
    }


def dumped(document: Mapping[str, Any]) -> bytes:
    """Write a document as JSON for people and programs; a lone surrogate in a name comes out escaped."""
    return json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace")


def _creator(record: CreatorRecord) -> dict[str, Any]:
    return {
        "creator": record.creator,
        "status": record.status,
        "images_processed": record.images_processed,
        "error_count": record.error_count,
        "errors": dict(record.errors),
        "collages": list(record.collage_keys),
        "seconds": round(record.duration, 3),
        "mode": record.mode,
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
