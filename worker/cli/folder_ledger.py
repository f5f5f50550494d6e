"""What is known of the one batch of `process`: its start, which the folder keeps, and what this run has done."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from worker.cli.folder import KEPT
from worker.cli.safe_folder import SafeFolder
from worker.errors import TerminalError
from worker.keys import from_iso, iso
from worker.model import WHOLE, Asked, Batch, BatchRecord, BatchState, CreatorRecord, Lease


class FolderLedger:
    """Gives the lease to whoever asks: there is nobody else. What is done is told by the parts, not by records."""

    def __init__(self, folder: SafeFolder) -> None:
        self._folder = folder
        self.record: BatchRecord | None = None
        self.records: dict[str, CreatorRecord] = {}
        """The creators that are done, by name: of this run, and of those before."""
        self.summary_key: str | None = None
        self.counts: Mapping[str, Any] = {}

    async def take(
        self,
        batch_id: str,
        *,
        owner: str,
        source_csv: str,
        lease_seconds: float,
        asked: Asked | None = None,
        unit: str = WHOLE,
        fence_above: int = 0,
        as_of: float | None = None,
        outage_at: float = 0.0,
    ) -> tuple[BatchRecord, bool]:
        """Give the lease to whoever asks; the start is that of the first run, as the names of all files follow from it.

        No run is the first owner: what is done of a part is saved as soon as it is done.
        """
        del fence_above, as_of, outage_at, lease_seconds
        started_at, asked = self._begun(batch_id, asked)
        self.record = BatchRecord(
            batch_id, BatchState.RUNNING, started_at, owner, 1, 0.0, source_csv, unit=unit, takes=2, asked=asked
        )
        return self.record, True

    def _begun(self, batch_id: str, asked: Asked | None) -> tuple[datetime, Asked | None]:
        """Return when the batch was begun, and how it was cut into parts; noted in the folder by its first run."""
        name = f"{KEPT}{batch_id}.json"
        path = self._folder.path / name
        if path.is_file():
            told = json.loads(path.read_bytes())
            return from_iso(told["started_at"]), Asked(**told["asked"])
        now = datetime.now(UTC).replace(microsecond=0)
        if asked is not None:
            self._folder.write(name, json.dumps({"started_at": iso(now), "asked": asdict(asked)}).encode())
        return now, asked

    async def extend(self, lease: Lease, *, lease_seconds: float, counts: Mapping[str, Any]) -> None:
        """Do nothing."""

    async def release(self, lease: Lease) -> None:
        """Do nothing."""

    async def release_failed(self, lease: Lease) -> int:  # noqa: ARG002 -- the port has it
        """Count every try as the first: nobody tries again."""
        return 1

    async def note_progress(self, lease: Lease) -> None:
        """Do nothing."""

    async def note_suspects(self, lease: Lease, *, strikes: Mapping[str, int], on_trial: str | None) -> None:
        """Do nothing."""

    async def note_written(self, lease: Lease, *, chunks: int, counts: Mapping[str, Any]) -> None:
        """Do nothing: a batch on one machine is not split."""

    async def note_sent(self, lease: Lease, *, chunks: int) -> None:
        """Do nothing."""

    async def note_plan(self, lease: Lease, *, chunks: int, counts: Mapping[str, Any]) -> None:
        """Do nothing."""

    async def complete_chunk(
        self,
        lease: Lease,
        *,
        counts: Mapping[str, int],
        errors: Mapping[str, int],
        failure: TerminalError | None = None,
    ) -> None:
        """Do nothing."""

    async def note_summary(self, lease: Lease, *, summary_key: str, counts: Mapping[str, Any]) -> None:  # noqa: ARG002 -- the port has it
        """Remember them for whoever started the batch."""
        self.summary_key, self.counts = summary_key, counts

    async def note_unfinished(self, batch_id: str, *, summary_key: str, counts: Mapping[str, Any]) -> None:  # noqa: ARG002 -- the port has it
        """Remember them for whoever started the batch."""
        self.summary_key, self.counts = summary_key, counts

    async def complete(self, lease: Lease) -> None:
        """Do nothing."""

    async def fail(self, lease: Lease, *, code: str, message: str) -> None:
        """Do nothing: the outcome says it."""

    async def batch(self, batch_id: str, *, unit: str = WHOLE) -> BatchRecord | None:
        """Know of no batch."""

    async def begin_creator(self, batch: Batch, creator: str) -> tuple[CreatorRecord | None, bool]:  # noqa: ARG002 -- the port has it
        """Know of no creator."""
        return None, False

    async def all_creator_records(self, batch_id: str) -> AsyncIterator[CreatorRecord]:  # noqa: ARG002 -- the port has it
        """Give those that are done, in the order of their names."""
        for _, record in sorted(self.records.items()):
            yield record

    async def finish_creators(self, batch: Batch, records: Sequence[CreatorRecord]) -> None:  # noqa: ARG002 -- the port has it
        """Remember what is done."""
        self.records |= {record.creator: record for record in records}
