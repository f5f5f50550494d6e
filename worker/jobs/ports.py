"""What the jobs need from outside, as contracts. In AWS: S3, SQS and DynamoDB; for `collage process`: a folder.

What holds for every method: it may be repeated with the same arguments, also where the answer to an earlier call got
lost, and comes to the same in the end. It raises `Unavailable` where its dependency throttles, refuses or does not
answer; nothing is known then of whether it took effect. Times are in seconds, sizes in bytes.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from worker.download.fetch import Fetched
from worker.errors import TerminalError
from worker.images.cell import Cell, CellSpec
from worker.jobs.gate import Memory
from worker.limiter import Limiter
from worker.model import WHOLE, Asked, Batch, BatchRecord, CreatorRecord, Lease, ManifestHead, S3Manifest


class Manifests(Protocol):
    """Where manifests are read from, and archived."""

    async def head(self, manifest: S3Manifest) -> ManifestHead | None:
        """Return what is known of the named version, or of the newest; None where there is none.

        Raises `TerminalError` where it can never be read, for example without the right to.
        """

    async def download(self, manifest: S3Manifest, head: ManifestHead, file: BinaryIO) -> None:
        """Stream exactly what `head` saw into a file, and go back to the file's beginning.

        Raises `Postponed(manifest_changed)` where another upload took its place.
        """

    async def archive(self, manifest: S3Manifest, head: ManifestHead, *, batch_id: str, failed: bool) -> None:
        """Move what `head` saw to where finished (or failed) manifests are. A newer upload stays where it is.

        Where another batch has taken the place, the batch's hash goes into the name.
        """

    async def put_error(self, manifest: S3Manifest, body: bytes, *, batch_id: str) -> None:
        """Write why a batch failed beside its archived manifest."""


class ResultFiles(Protocol):
    """Where the results of batches are read."""

    async def fetch(self, key: str, file: BinaryIO) -> bool:
        """Copy a document into an empty file, and go back to the file's beginning; False where there is none."""

    def keys(self, prefix: str) -> AsyncIterator[str]:
        """Give the keys that begin so, in the order of their characters."""


class Results(ResultFiles, Protocol):
    """Where collages, parts and documents are written."""

    async def put_collage(
        self, keys: tuple[str, str], body: bytes, *, batch_id: str, creator: str, images: int, content_type: str
    ) -> tuple[str, bytes | None]:
        """Write a page under the first key or, where another batch has that, the second; returns the key it has.

        An object of the same batch is ours from an earlier try, and stays: its bytes are returned, too. Raises
        `RetryableError` where both keys are other batches'.
        """

    async def get_collage(self, keys: tuple[str, str], *, batch_id: str, creator: str) -> tuple[str, bytes] | None:
        """Return the key and the bytes of a page that this batch wrote under one of the keys; None without one."""

    async def put_part(self, key: str, body: bytes) -> bool:
        """Write a part where there is none; False where there is one, which may be ours from an earlier try."""

    async def put_document(self, key: str, body: bytes | BinaryIO, content_type: str) -> None:
        """Write a summary, a report or the table of creators, in place of an earlier one."""

    async def put_debug(self, batch_id: str, name: str, body: bytes) -> None:
        """Keep what a failed image looked like; does nothing unless DEBUG_CAPTURE is on."""


class TempStore(Protocol):
    """Objects of the temp bucket, which expire after 7 days."""

    async def put(self, key: str, body: bytes) -> None:
        """Write an object, in place of an earlier one."""

    async def get(self, key: str) -> bytes | None:
        """Return an object's bytes, or None where there is none."""


class ChunkQueue(Protocol):
    """Sends the messages of chunks."""

    async def send_many(self, bodies: list[str], *, group: str) -> None:
        """Send up to ten messages of one fair-queue group. After `Unavailable` some of them may have been sent."""


class Ledger(Protocol):
    """What is known of batches, chunks and creators. Every write is conditional on who may make it.

    A write under a lease raises `LeaseLost` where another owner has taken the unit since, or the batch is over.
    """

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
        """Take the lease on a unit, if it is free; returns the record and whether the lease is ours now.

        What is `asked` stays as the first taker gave it; a batch of another digest is not taken. Nor is a unit that
        failed, or was cancelled, after `as_of` (epoch seconds; None: now). A chunk's fence begins above its batch's
        (`fence_above`), under which its creators may have been begun. To take over a lease that ran out is an attempt,
        unless there was an outage (`outage_at`, epoch seconds) while it ran.
        """

    async def extend(self, lease: Lease, *, lease_seconds: float, counts: Mapping[str, Any]) -> None:
        """Keep the lease for so long from now, and report progress."""

    async def release(self, lease: Lease) -> None:
        """Give the lease back, so that the next worker need not wait for its end."""

    async def release_failed(self, lease: Lease) -> int:
        """Give the lease back after a failure that nobody foresaw; returns the attempts since the last progress."""

    async def note_progress(self, lease: Lease) -> None:
        """Set the count of attempts back to nothing."""

    async def note_suspects(self, lease: Lease, *, strikes: Mapping[str, int], on_trial: str | None) -> None:
        """Note which creators were in flight when workers ended, how often, and which one is alone in flight now."""

    async def note_plan(self, lease: Lease, *, chunks: int, counts: Mapping[str, Any]) -> None:
        """Note that all chunks are written and sent, and how many there are."""

    async def note_sent(self, lease: Lease, *, chunks: int) -> None:
        """Note how many chunks' messages have been sent, which is progress."""

    async def complete_chunk(
        self,
        lease: Lease,
        *,
        counts: Mapping[str, int],
        errors: Mapping[str, int],
        failure: TerminalError | None = None,
    ) -> None:
        """Close a chunk and add what came of it to its batch: both or neither, and once.

        `failure` is why the chunk could not be done, where its creators were only recorded as failed.
        """

    async def note_written(self, lease: Lease, *, chunks: int, counts: Mapping[str, Any]) -> None:
        """Note how many chunks' files are written: no other chunk of this batch is taken for one."""

    async def note_summary(self, lease: Lease, *, summary_key: str, counts: Mapping[str, Any]) -> None:
        """Note that the summary is written."""

    async def note_unfinished(self, batch_id: str, *, summary_key: str, counts: Mapping[str, Any]) -> None:
        """Note the summary of a batch that failed or was cancelled; nothing is noted where it has begun anew."""

    async def complete(self, lease: Lease) -> None:
        """Close the batch as completed."""

    async def fail(self, lease: Lease, *, code: str, message: str) -> None:
        """Close the batch as failed as a whole."""

    async def batch(self, batch_id: str, *, unit: str = WHOLE) -> BatchRecord | None:
        """Return what is known of a unit, as of now; None where nothing is."""

    async def begin_creator(self, batch: Batch, creator: str) -> tuple[CreatorRecord | None, bool]:
        """Show a creator as being worked on; returns its final record instead where the batch has one.

        Also returns whether an earlier owner had begun it. Raises `LeaseLost` where a later owner has begun it.
        """

    def all_creator_records(self, batch_id: str) -> AsyncIterator[CreatorRecord]:
        """Give every record that the batch has of a creator. What was written within seconds may be missing."""

    async def finish_creators(self, batch: Batch, records: Sequence[CreatorRecord]) -> None:
        """Write the final records of a part's creators, each once; those that are there already stay as they are.

        Raises `LeaseLost` where a later owner has begun one of them.
        """


class Fetches(Protocol):
    """Gets the bytes behind a URL; see `worker.download.fetch.Fetcher`."""

    async def fetch(self, url: str, *, timeout: float, max_retries: int, slots: Limiter) -> Fetched:  # noqa: ASYNC109 -- a job's setting, for each try
        """Return the body. `timeout` is for each try; `slots` bounds the job's downloads. Raises `ImageError`."""


class Decodes(Protocol):
    """Cuts bytes to a cell; see `worker.decode.pool.DecodePool`."""

    async def decode(self, data: bytes, spec: CellSpec) -> Cell:
        """Return the cell. Raises `ImageError`, and `DecoderBroken` where no image can be decoded."""


@dataclass(frozen=True, slots=True)
class Ports:
    """All that a worker is joined to: `worker.service.assembly` puts the jobs on it.

    `queue` is None where batches are never split, `temp` where nothing is kept of interrupted work. `clock` gives epoch
    seconds.
    """

    manifests: Manifests
    results: Results
    ledger: Ledger
    temp: TempStore | None
    queue: ChunkQueue | None
    fetcher: Fetches
    decoder: Decodes
    composer: Executor | None
    """Where pages are composed; None: in the event loop's own executor."""
    compose: Callable[..., tuple[bytes, bytes | None]]
    """Draws a page; see `worker.images.collage.compose_with_preview`."""
    read_memory: Callable[[], Memory]
    record_metric: Callable[[str, float], None]
    clock: Callable[[], float]
