"""Manifests from S3 and results to S3."""

from collections.abc import AsyncIterator
from typing import Any, BinaryIO

from worker.aws.s3 import S3
from worker.errors import JobReason, RetryableError
from worker.file_names import saved_as
from worker.keys import archive_key, batch_hash, large_file_key, safe_name
from worker.model import ManifestHead, S3Manifest
from worker.settings import Settings

YEAR = "max-age=31536000"


class S3Manifests:
    """The manifests of the input bucket and the other allowed ones."""

    def __init__(self, s3: S3) -> None:
        self._s3 = s3

    async def head(self, manifest: S3Manifest) -> ManifestHead | None:
        """Return the head of the version that the manifest names, or of the newest."""
        return await self._s3.head(manifest.bucket, manifest.key, manifest.version)

    async def download(self, manifest: S3Manifest, head: ManifestHead, file: BinaryIO) -> None:
        """Stream the manifest into a file."""
        await self._s3.download(manifest.bucket, manifest.key, head, file)

    async def archive(self, manifest: S3Manifest, head: ManifestHead, *, batch_id: str, failed: bool) -> None:
        """Move the manifest under `archived/`; nothing of another batch is overwritten there."""
        key = archive_key(manifest.key, failed=failed)
        there = await self._s3.metadata(manifest.bucket, key)
        if there is not None and there.get("batch-id") != batch_id:
            key = archive_key(manifest.key, failed=failed, suffix=batch_hash(batch_id))
        await self._s3.move(manifest.bucket, manifest.key, head, key, metadata={"batch-id": batch_id})

    async def put_error(self, manifest: S3Manifest, body: bytes, *, batch_id: str) -> None:
        """Write `<key>.error.json` beside the archived manifest; nothing of another batch is overwritten there."""
        headers = {"ContentType": "application/json"}
        for suffix in ("", batch_hash(batch_id)):
            key = archive_key(manifest.key, failed=True, suffix=suffix) + ".error.json"
            ours = headers | {"Metadata": {"batch-id": batch_id}}
            if await self._s3.put_new(manifest.bucket, key, body, headers=ours):
                return
            there = await self._s3.metadata(manifest.bucket, key)
            if there is not None and there.get("batch-id") == batch_id:
                return  # ours, from an earlier try


class S3Results:
    """Collages and documents in the output bucket."""

    def __init__(self, s3: S3, *, bucket: str, temp_bucket: str, only_new: bool, debug: bool) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._temp_bucket = temp_bucket
        self._only_new = only_new
        self._debug = debug

    async def put_collage(
        self, keys: tuple[str, str], body: bytes, *, batch_id: str, creator: str, images: int, content_type: str
    ) -> tuple[str, bytes | None]:
        """Write a collage; nothing is overwritten unless COLLISION_CHECK_ENABLED is off."""
        headers: dict[str, Any] = {
            "ContentType": content_type,
            "CacheControl": YEAR,
            "Metadata": {"batch-id": batch_id, "creator": safe_name(creator), "images": str(images)},
        }
        for key in keys:
            headers["ContentDisposition"] = saved_as(creator, key)
            if await self._s3.put_new(self._bucket, key, body, headers=headers, only_new=self._only_new):
                return key, None
            there = await self._s3.get_described(self._bucket, key)
            if there is not None and there[1].get("batch-id") == batch_id:
                return key, there[0]
        raise RetryableError(JobReason.COLLAGE_KEYS_TAKEN, f"{keys[0]} and {keys[1]} are both taken by other batches")

    async def get_collage(self, keys: tuple[str, str], *, batch_id: str, creator: str) -> tuple[str, bytes] | None:
        """Return a page of this batch. The second key is in use only where another batch has the first."""
        del creator  # the keys tell it
        for key in keys:
            there = await self._s3.get_described(self._bucket, key)
            if there is None:
                return None
            if there[1].get("batch-id") == batch_id:
                return key, there[0]
        return None

    async def put_part(self, key: str, body: bytes) -> bool:
        """Write a part where there is none."""
        headers = {"ContentType": "application/gzip"}
        return await self._s3.put_new(self._bucket, key, body, headers=headers)

    async def put_document(self, key: str, body: bytes | BinaryIO, content_type: str) -> None:
        """Write metadata, a summary or a report."""
        await self._s3.put(self._bucket, key, body, content_type)

    async def fetch(self, key: str, file: BinaryIO) -> bool:
        """Copy a document into a file."""
        return await self._s3.fetch(self._bucket, key, file)

    def keys(self, prefix: str) -> AsyncIterator[str]:
        """Give the keys that begin so."""
        return self._s3.keys(self._bucket, prefix)

    async def put_debug(self, batch_id: str, name: str, body: bytes) -> None:
        """Keep what a failed image looked like, under `debug/` of the temp bucket."""
        if self._debug:
            await self._s3.put(self._temp_bucket, f"debug/{batch_id}/{name}", body, "application/octet-stream")


def open_results(settings: Settings, s3: S3, *, debug: bool = False) -> S3Results:
    """Return the results as the settings have them; with `debug`, failed images are kept where they ask for it."""
    return S3Results(
        s3,
        bucket=settings.output_bucket,
        temp_bucket=settings.temp_bucket,
        only_new=settings.collision_check_enabled,
        debug=debug and settings.debug_capture,
    )


class TempObjects:
    """Objects of the temp bucket, which expire after 7 days."""

    def __init__(self, s3: S3, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    async def put(self, key: str, body: bytes) -> None:
        """Write an object that is the same however often it is written."""
        await self._s3.put(self._bucket, key, body, "application/octet-stream")

    async def get(self, key: str) -> bytes | None:
        """Return an object's bytes, or None where there is none."""
        return await self._s3.get(self._bucket, key)

    async def keep_large(self, name: str, body: str) -> str:
        """Keep a message's body that SQS cannot carry with its reason; returns its address."""
        key = large_file_key(name)
        await self.put(key, body.encode("utf-8", "surrogatepass"))
        return f"s3://{self._bucket}/{key}"
