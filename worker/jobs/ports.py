"""What the jobs need from outside: where results go, and what is known of batches and creators.

In AWS these are S3 and DynamoDB (`results.py`, `worker.aws.state_table`); for `process` a folder (`folder.py`).
"""

from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol

from worker.model import WHOLE, Batch, BatchRecord, CreatorRecord, Lease, S3Manifest


class Head(Protocol):
    """What a manifest's store says of it before it is read."""

    @property
    def etag(self) -> str:
        """Hash of the content, as the store has it."""

    @property
    def version(self) -> str | None:
        """The object's version, None where there are none."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What whoever stored it wrote beside it, keys in lower case."""


class Manifests(Protocol):
    """Where manifests are read from and archived."""

    async def head(self, manifest: S3Manifest) -> Any:
        """Return a `Head`, or None where there is no such object."""

    async def download(self, manifest: S3Manifest, head: Any, file: BinaryIO) -> None:
        """Stream the manifest into a file."""

    async def archive(self, manifest: S3Manifest, head: Any, *, failed: bool) -> None:
        """Move the manifest to where finished ones are; safe to repeat."""

    async def put_error(self, manifest: S3Manifest, body: bytes) -> None:
        """Write why a batch failed beside its archived manifest."""


class Results(Protocol):
    """Where collages and documents are written."""

    async def put_collage(
        self, keys: tuple[str, str], body: bytes, *, batch_id: str, creator: str, images: int, content_type: str
    ) -> str:
        """Write a collage under the first key or, where another batch has that, the second; returns the key it has.

        Safe to repeat: an object of the same batch is ours from an earlier try.
        """

    async def put_document(self, key: str, body: bytes | BinaryIO, content_type: str) -> None:
        """Write metadata, a summary or a report."""

    async def put_debug(self, batch_id: str, name: str, body: bytes) -> None:
        """Keep what a failed image looked like; does nothing unless DEBUG_CAPTURE is on."""


class Ledger(Protocol):
    """What is known of batches and creators; see `worker.aws.state_table.StateTable`."""

    async def take(
        self,
        batch_id: str,
        *,
        owner: str,
        source_csv: str,
        lease: float,
        part: str = WHOLE,
        fence_above: int = 0,
        as_of: float | None = None,
    ) -> tuple[BatchRecord, bool]:
        """Take the lease on a batch or chunk, if it is free."""

    async def extend(self, batch: Batch, *, lease: float, counts: Mapping[str, Any]) -> None:
        """Keep the lease and report progress."""

    async def release(self, batch: Batch) -> None:
        """Give the lease back."""

    async def note_plan(self, batch: Batch, *, chunks: int, counts: Mapping[str, Any]) -> None:
        """Note that all chunks are written, and which manifest they are of."""

    async def note_sent(self, batch: Batch, *, chunks: int, lease: float) -> None:
        """Note how many chunks' messages have been sent, and keep the lease."""

    async def complete_chunk(self, chunk: Batch, *, counts: Mapping[str, int], errors: Mapping[str, int]) -> None:
        """Close a chunk and add what came of it to its batch, once."""

    async def note_summary(self, batch: Batch, *, summary_key: str, counts: Mapping[str, Any]) -> None:
        """Note that the summary is written."""

    async def complete(self, batch: Batch) -> None:
        """Close the batch as completed."""

    async def fail(self, batch: Batch | Lease, *, code: str, message: str) -> None:
        """Close the batch as failed as a whole."""

    async def batch(self, batch_id: str, *, part: str = WHOLE) -> BatchRecord | None:
        """Return what is known of a batch or chunk."""

    async def begin_creator(self, batch: Batch, creator: str) -> CreatorRecord | None:
        """Show a creator as being worked on, or return the record that the batch has of it."""

    async def finish_creator(self, batch: Batch, record: CreatorRecord) -> None:
        """Write a creator's final record."""
