"""The same job without AWS: a manifest from a file, results into a folder, and a ledger in memory."""

import hashlib
import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from worker.errors import Dependency, JobReason, TerminalError, Unavailable
from worker.model import WHOLE, Asked, Batch, BatchRecord, BatchState, CreatorRecord, Lease, ManifestHead, S3Manifest

BLOCK = 1 << 20


class FolderManifests:
    """Manifests from the file system; the key of a manifest is its path."""

    async def head(self, manifest: S3Manifest) -> ManifestHead | None:
        """Return the file's size and, in place of S3's ETag, the hash of its bytes; None where there is no file."""
        path = Path(manifest.key)
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file:
                return ManifestHead(hashlib.file_digest(file, "sha256").hexdigest(), None, path.stat().st_size)
        except OSError as error:
            raise TerminalError(JobReason.MANIFEST_FORBIDDEN, f"cannot read {path}: {error.strerror}") from error

    async def download(self, manifest: S3Manifest, _head: ManifestHead, file: BinaryIO) -> None:
        """Copy the file: what is worked from must not change meanwhile."""
        with Path(manifest.key).open("rb") as opened:
            shutil.copyfileobj(opened, file, BLOCK)
        file.seek(0)

    async def archive(self, manifest: S3Manifest, head: ManifestHead, *, batch_id: str, failed: bool) -> None:
        """Leave the file where it is."""

    async def put_error(self, manifest: S3Manifest, body: bytes, *, batch_id: str) -> None:
        """Leave it to the caller to tell the error."""


class FolderResults:
    """Collages and documents in a folder, under the keys that they would have in S3."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put_collage(
        self, keys: tuple[str, str], body: bytes, *, batch_id: str, creator: str, images: int, content_type: str
    ) -> str:
        """Write a collage under the first key that is free, or that holds the same bytes."""
        del batch_id, creator, images, content_type  # S3's metadata has no place in a file
        taken = (self._folder / keys[0]).exists() and (self._folder / keys[0]).read_bytes() != body
        key = keys[1] if taken else keys[0]
        _write(self._folder / key, body)
        return key

    async def put_part(self, key: str, body: bytes) -> bool:
        """Write a part where there is none."""
        if (self._folder / key).exists():
            return False
        _write(self._folder / key, body)
        return True

    async def put_document(self, key: str, body: bytes | BinaryIO, _content_type: str) -> None:
        """Write metadata, a summary or a report."""
        _write(self._folder / key, body if isinstance(body, bytes) else body.read())

    async def fetch(self, key: str, file: BinaryIO) -> bool:
        """Copy a document into a file."""
        path = self._folder / key
        if not path.is_file():
            return False
        with path.open("rb") as source:
            shutil.copyfileobj(source, file, BLOCK)
        file.seek(0)
        return True

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """Give the keys of the files of the folder that the prefix, which ends with a slash, names."""
        for path in sorted((self._folder / prefix).glob("*")):
            yield prefix + path.name

    async def put_debug(self, batch_id: str, name: str, body: bytes) -> None:
        """Keep nothing: the links are at hand."""


class MemoryLedger:
    """Knows of nothing before this run, and forgets with it. It remembers what its one batch came to."""

    def __init__(self) -> None:
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
        """Give the lease to whoever asks: there is nobody else."""
        del fence_above, as_of, outage_at
        now, expires = datetime.now(UTC).replace(microsecond=0), time.time() + lease_seconds
        record = BatchRecord(
            batch_id, BatchState.RUNNING, now, owner, 1, expires, source_csv, unit=unit, takes=1, asked=asked
        )
        return record, True

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
        """Know of no creator."""
        nobody: tuple[CreatorRecord, ...] = ()
        for record in nobody:
            yield record

    async def finish_creators(self, batch: Batch, records: Sequence[CreatorRecord]) -> None:
        """Do nothing."""


def _write(path: Path, body: bytes) -> None:
    """Write a file. A full disk or a folder that is not ours is no creator's fault: `Unavailable` ends the job."""
    unfinished = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(body)
        unfinished.replace(path)  # whoever opens the file meanwhile never sees half of it
    except OSError as error:
        raise Unavailable(Dependency.DISK, JobReason.DISK_FULL, f"cannot write {path}: {error.strerror}") from error
