"""What is told of a batch: running counts while it works, a summary at its end."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO

from worker.jobs.advice import no_images, nothing_made
from worker.keys import creators_key, iso, results_prefix
from worker.model import Batch, CreatorRecord, CreatorStatus, Reject

_TOLD_APART = frozenset({"errors", "columns", "duplicates", "creators_waiting"})


@dataclass(slots=True)
class Tally:
    """The counts of a batch so far."""

    creators_total: int = 0
    rows_total: int = 0
    rejects_total: int = 0
    creators_completed: int = 0
    creators_failed: int = 0
    creators_waiting: int = 0
    """Done, but not recorded yet: their part waits for another creator."""
    duplicates: int = 0
    images_processed: int = 0
    collages_written: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    seconds_sum: float = 0.0
    seconds_max: float = 0.0
    columns: Mapping[str, str | None] = field(default_factory=dict)
    """Names of the columns `creator` and `url`, and of the one that is `likelier` to hold the covers, where one is."""

    def add(self, record: CreatorRecord) -> None:
        """Count one creator."""
        if record.status is CreatorStatus.COMPLETED:
            self.creators_completed += 1
        else:
            self.creators_failed += 1
        self.images_processed += record.images_processed
        self.duplicates += record.duplicates
        self.collages_written += len(record.collage_keys)
        self.seconds_sum += record.duration
        self.seconds_max = max(self.seconds_max, record.duration)
        for reason, count in record.errors.items():
            self.errors[reason] = self.errors.get(reason, 0) + count

    def totals(self) -> "Tally":
        """Return a tally of the same batch in which no creator is counted yet."""
        return Tally(self.creators_total, self.rows_total, self.rejects_total, columns=self.columns)

    def sums(self) -> dict[str, int]:
        """Return what a chunk adds to its batch, besides its failures by reason."""
        return {
            "creators_completed": self.creators_completed,
            "creators_failed": self.creators_failed,
            "images_processed": self.images_processed,
            "collages_written": self.collages_written,
            **({"duplicates": self.duplicates} if self.duplicates else {}),
        }

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
            "duplicates": self.duplicates,
            **({"creators_waiting": self.creators_waiting} if self.creators_waiting else {}),
            "errors": dict(sorted(self.errors.items())),
            "columns": dict(self.columns),
        }


@dataclass(frozen=True, slots=True)
class Rejects:
    """The lines that could not be used: all counted by reason, the first of them listed; and how they were read.

    `source` is what `Manifest.told` returns.
    """

    by_reason: Mapping[str, int]
    listed: Sequence[Reject]
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_reason.values())


def summary_top(
    batch: Batch, tally: Tally, rejects: Rejects, *, finished_at: datetime, worked: float, status: str
) -> dict[str, Any]:
    """Return what a summary holds besides the lists that grow with the batch. `worked` is in seconds."""
    done = tally.creators_completed + tally.creators_failed
    warnings = [text for text in (no_images(tally.counts()), nothing_made(tally.counts())) if text]
    return {
        "batch_id": batch.id,
        "status": status,
        "source_csv": batch.source_csv,
        "source": dict(rejects.source),
        "warnings": warnings,
        "message_id": batch.message_id,
        "started_at": iso(batch.started_at),
        "finished_at": iso(finished_at),
        "durations": {
            "batch_seconds": round((finished_at - batch.started_at).total_seconds(), 3),
            "last_run_seconds": round(worked, 3),
            "creator_seconds_mean": round(tally.seconds_sum / done, 3) if done else 0.0,
            "creator_seconds_max": round(tally.seconds_max, 3),
        },
        "counts": {key: value for key, value in tally.counts().items() if key not in _TOLD_APART},
        "duplicates": tally.duplicates,
        "failures_by_reason": tally.counts()["errors"],
        "rejects": {
            "total": rejects.total,
            "by_reason": dict(sorted(rejects.by_reason.items())),
            "listed": [
                {"line": reject.line, "reason": reject.reason, "detail": reject.detail} for reject in rejects.listed
            ],
        },
        "results": {
            "rows": f"{results_prefix(batch.job.output_prefix, batch.id)}part-*.jsonl.gz",
            "creators": creators_key(batch.job.output_prefix, batch.id),
        },
        "settings": {
            "output_prefix": batch.job.output_prefix,
            "processing_config": batch.job.config.model_dump(mode="json"),
        },
    }


def write_summary(file: BinaryIO, top: Mapping[str, Any], lines: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
    """Write a summary of any size: `top` is its beginning, `lines` gives its creators, once for each list."""
    file.write(dumped(top).removesuffix(b"\n}"))
    for name, items in (
        ("collages", (key for line in lines() for key in line["collages"])),
        ("creators", lines()),
    ):
        file.write(b',\n "%s": [' % name.encode())
        file.writelines((b"," if number else b"") + b"\n  " + _on_one_line(item) for number, item in enumerate(items))
        file.write(b"\n ]")
    file.write(b"\n}\n")


def dumped(document: Mapping[str, Any]) -> bytes:
    """Write a document as JSON for people and programs; a lone surrogate in a name comes out escaped."""
    return json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace")


def creator_line(record: CreatorRecord) -> dict[str, Any]:
    """Return a creator as summaries show it."""
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


def _on_one_line(item: object) -> bytes:
    return json.dumps(item, ensure_ascii=False).encode("utf-8", "backslashreplace")
