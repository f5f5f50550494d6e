"""S3: manifests in, collages and documents out. Nothing is ever overwritten by `put_new`."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from email.header import decode_header, make_header
from typing import TYPE_CHECKING, Any, BinaryIO

from botocore.exceptions import ClientError

from worker.aws.buckets import Buckets, buckets_of
from worker.aws.calls import (
    NONE,
    PROBE_DEADLINE,
    USUAL,
    AwsCall,
    Patience,
    aws_call,
    code_of,
    meaning_of_failure,
    status_of,
)
from worker.aws.clients import Clients
from worker.aws.failures import Meaning
from worker.aws.s3_parts import copy_parts, put_parts
from worker.errors import Dependency, JobReason, Postponed, TerminalError
from worker.model import ManifestHead
from worker.settings import Settings
from worker.tasks import unwrapped

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CopySourceTypeDef, HeadObjectOutputTypeDef

READ_SIZE = 1 << 20
MULTIPART_FROM = 100 * 1024 * 1024
PART_SIZE = 32 * 1024 * 1024
TRANSFER_DEADLINE = 900.0
SLOWEST = 6_000_000
"""A transfer as a whole may take so many seconds, or as long as it takes at so many bytes a second."""

COPIED_WHOLE = 5 * 1024**3
COPY_PART_SIZE = 1024**3
"""S3 copies no more than that in one request; what is larger is copied in parts."""

CHANGED_DELAY = 2.0
"""Seconds until a manifest is looked at again that changed while it was being read."""

SERVER_ERROR = 500

ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE", "ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"})
"""Storage classes, and tiers of `INTELLIGENT_TIERING`, whose objects must be restored before they can be read.
`GLACIER_IR` can be read at once."""

PROBED = "csv-files/.probe"
"""A key where nothing lies. Whoever may read and list a bucket is told so: NoSuchKey; whoever may not: AccessDenied."""


class S3:
    """The few S3 operations that the worker needs. Each waits out what passes, for as long as `patience`."""

    def __init__(
        self,
        client: "S3Client",
        *,
        buckets: Buckets | None = None,
        patience: Patience = USUAL,
    ) -> None:
        self._client = client
        self._buckets = buckets or Buckets()
        self._patience = patience

    async def head(self, bucket: str, key: str, version: str | None = None) -> ManifestHead | None:
        """Return the object's head, or None where there is no such object (or version).

        Raises `TerminalError` where it is in an archive, or where this object alone may not be read.
        """
        async with self._call(f"looking at s3://{bucket}/{key}", bucket) as call:
            try:
                found = await call(self._look, bucket, key, version)
            except ClientError as error:
                if meaning_of_failure(Dependency.S3, error) is Meaning.ANSWER:
                    return None
                await self._judge_refusal(bucket, key, error)
                raise
        if archived := archive_of(found):
            raise _archived(bucket, key, archived)
        version = found.get("VersionId")
        # S3 writes metadata that is not ASCII as encoded words.
        metadata = {key.lower(): _decoded(value) for key, value in found["Metadata"].items()}
        version = None if version == "null" else version
        return ManifestHead(
            found["ETag"].strip('"'), version, found["ContentLength"], metadata, found["LastModified"].timestamp()
        )

    async def _look(self, bucket: str, key: str, version: str | None) -> "HeadObjectOutputTypeDef":
        """Ask for a head once. Its errors have no body: what they mean is told by a GET of the first byte."""
        exactly: Any = {**self._buckets.to_read(bucket), "Key": key, **_version(version)}
        try:
            return await self._client.head_object(**exactly)
        except ClientError as error:
            if status_of(error) >= SERVER_ERROR:
                raise
            try:
                (await self._client.get_object(**exactly, Range="bytes=0-0"))["Body"].close()
            except ClientError as told:
                if code_of(told) == "InvalidRange":  # an empty object: it can be read
                    return await self._client.head_object(**exactly)
                raise told from error
            return await self._client.head_object(**exactly)  # what was in the way is gone

    async def _judge_refusal(self, bucket: str, key: str, error: ClientError) -> None:
        """Where a read was refused, raise `TerminalError` if it is this object's matter and not the worker's rights."""
        meaning = meaning_of_failure(Dependency.S3, error)
        if meaning is Meaning.ARCHIVED:
            raise _archived(bucket, key, code_of(error)) from error
        if meaning is Meaning.FORBIDDEN and await self._may_read(bucket):
            raise TerminalError(
                JobReason.MANIFEST_FORBIDDEN,
                f"S3 does not let us read s3://{bucket}/{key}, but other objects of its bucket ({error}); "
                "grant s3:GetObject and the key's decryption right, and redrive the message",
            ) from error

    async def _may_read(self, bucket: str) -> bool:
        """Say whether the worker's rights to a bucket are in order: it is told then that there is no such object."""
        try:
            (await self._client.get_object(**self._buckets.to_read(bucket), Key=PROBED))["Body"].close()
        except ClientError as error:
            return code_of(error) == "NoSuchKey"
        return True

    async def probe(self, buckets: Iterable[str]) -> None:
        """Ask whether S3 answers and knows these buckets. Raises as `aws_call`, at once."""

        async def look_at(bucket: str) -> None:
            doing = f"looking at bucket {bucket}"
            async with self._call(doing, bucket, deadline=PROBE_DEADLINE, patience=NONE) as call:
                await call(self._client.head_bucket, **self._buckets.at(bucket))

        with unwrapped():
            async with asyncio.TaskGroup() as looks:
                for bucket in buckets:
                    looks.create_task(look_at(bucket))

    async def download(self, bucket: str, key: str, head: ManifestHead, file: BinaryIO) -> None:
        """Stream the object into a file, exactly as `head` saw it.

        Raises `Postponed(manifest_changed)` where another upload took its place meanwhile.
        """
        async with self._call(f"reading s3://{bucket}/{key}", bucket, deadline=_deadline(head.size)) as call:
            try:
                await call(self._stream, bucket, key, head, file)
            except ClientError as error:
                if meaning_of_failure(Dependency.S3, error) is Meaning.ANSWER:
                    raise Postponed(
                        JobReason.MANIFEST_CHANGED,
                        f"s3://{bucket}/{key} changed while it was being read",
                        delay=CHANGED_DELAY,
                    ) from error
                await self._judge_refusal(bucket, key, error)
                raise
        file.seek(0)

    async def _stream(self, bucket: str, key: str, head: ManifestHead, file: BinaryIO) -> None:
        file.seek(0)
        file.truncate()
        exactly: Any = {"IfMatch": f'"{head.etag}"', **_version(head.version)}
        found = await self._client.get_object(**self._buckets.to_read(bucket), Key=key, **exactly)
        async with found["Body"] as body:
            while block := await body.read(READ_SIZE):
                file.write(block)

    async def get(self, bucket: str, key: str) -> bytes | None:
        """Return the bytes of a small object of our own, or None where there is none."""
        found = await self.get_described(bucket, key)
        return found and found[0]

    async def get_described(self, bucket: str, key: str) -> tuple[bytes, dict[str, str]] | None:
        """Return the bytes of an object of our own and its own metadata, or None where there is none."""

        async def read() -> tuple[bytes, dict[str, str]]:
            found = await self._client.get_object(**self._buckets.at(bucket), Key=key)
            async with found["Body"] as body:
                return await body.read(), dict(found.get("Metadata", {}))

        async with self._call(f"reading s3://{bucket}/{key}", bucket) as call:
            try:
                return await call(read)
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    return None
                raise

    async def fetch(self, bucket: str, key: str, file: BinaryIO) -> bool:
        """Copy an object of our own into an empty file, and go back to its beginning; False where there is none."""

        async def read() -> None:
            file.seek(0)
            file.truncate()
            found = await self._client.get_object(**self._buckets.at(bucket), Key=key)
            async with found["Body"] as body:
                while block := await body.read(READ_SIZE):
                    file.write(block)

        async with self._call(f"reading s3://{bucket}/{key}", bucket, deadline=TRANSFER_DEADLINE) as call:
            try:
                await call(read)
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    return False
                raise
        file.seek(0)
        return True

    async def keys(self, bucket: str, prefix: str) -> AsyncIterator[str]:
        """Give the keys that begin with `prefix`, in S3's order; a thousand are read at a time."""
        listing: Any = {**self._buckets.at(bucket), "Prefix": prefix}
        while True:
            async with self._call(f"listing s3://{bucket}/{prefix}", bucket) as call:
                page = await call(self._client.list_objects_v2, **listing)
            for found in page.get("Contents", ()):
                yield found["Key"]
            if not page.get("IsTruncated"):
                return
            listing["ContinuationToken"] = page["NextContinuationToken"]

    async def put(self, bucket: str, key: str, body: "bytes | BinaryIO", content_type: str) -> None:
        """Write an object that is the same however often it is written: metadata, summaries."""

        async def write() -> None:
            if not isinstance(body, bytes):
                body.seek(0)
            await self._client.put_object(
                **self._buckets.at(bucket), Key=key, Body=body, ContentType=content_type, **self._buckets.encryption
            )

        async with self._call(f"writing s3://{bucket}/{key}", bucket, deadline=TRANSFER_DEADLINE) as call:
            await call(write)

    async def put_new(
        self, bucket: str, key: str, body: bytes, *, headers: Mapping[str, Any], only_new: bool = True
    ) -> bool:
        """Write an object where there is none; False where the key is taken (nothing is written then).

        `headers` are arguments of PutObject. Bodies over 100 MB go up in parts. Without `only_new` it is a plain put.
        """
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if only_new else {}
        headers = {**headers, **self._buckets.encryption}
        target = {**self._buckets.at(bucket), "Key": key}
        async with self._call(f"writing s3://{bucket}/{key}", bucket, deadline=TRANSFER_DEADLINE) as call:
            try:
                if len(body) > MULTIPART_FROM:
                    await put_parts(
                        self._client, call, target, body, part_size=PART_SIZE, headers=headers, condition=condition
                    )
                else:
                    # 409: another put of the same key is under way, and may yet fail. It is waited for.
                    await call(self._client.put_object, **target, Body=body, **headers, **condition)
            except ClientError as error:
                # An upload that is gone was completed by a try whose answer got lost: the caller looks whose it is.
                if code_of(error) in {"PreconditionFailed", "412", "NoSuchUpload"}:
                    return False
                raise
        return True

    async def metadata(self, bucket: str, key: str) -> dict[str, str] | None:
        """Return an object's own metadata, or None where there is no such object."""
        async with self._call(f"looking at s3://{bucket}/{key}", bucket) as call:
            try:
                return dict((await call(self._look, bucket, key, None))["Metadata"])
            except ClientError as error:
                if meaning_of_failure(Dependency.S3, error) is Meaning.ANSWER:
                    return None
                raise

    async def presigned(self, bucket: str, key: str, seconds: int) -> str:
        """Return a link with which anyone may read an object for so many seconds. It is a secret while it lasts."""
        async with self._call(f"signing a link to s3://{bucket}/{key}", bucket):
            link: str = await self._client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
            )
        return link

    async def move(
        self, bucket: str, key: str, head: ManifestHead, target: str, *, metadata: Mapping[str, str]
    ) -> None:
        """Move the very object that `head` saw; a newer upload under the same key stays where it is.

        Safe to repeat: where the object is gone already, an earlier try moved it.
        """
        async with self._call(f"archiving s3://{bucket}/{key}", bucket, deadline=_deadline(head.size)) as call:
            try:
                await self._copy(call, bucket, key, head, target, metadata)
            except ClientError as error:
                if code_of(error) in {"NoSuchKey", "NoSuchVersion", "PreconditionFailed", "404", "412"}:
                    return
                raise
            await self._delete(call, bucket, key, head)

    async def _delete(self, call: AwsCall, bucket: str, key: str, head: ManifestHead) -> None:
        """Delete the very object that `head` saw: with its version named, a newer upload stays where it is.

        A version that S3 keeps (Object Lock) is hidden instead, as whoever deletes such an object by hand does.
        """

        async def delete_version() -> bool:
            try:
                await self._client.delete_object(**self._buckets.at(bucket), Key=key, VersionId=str(head.version))
            except ClientError as error:
                if code_of(error) == "AccessDenied":
                    return False
                raise
            return True

        if head.version is not None and await call(delete_version):
            return
        now = await self.head(bucket, key)
        if now is not None and (now.etag, now.version, now.config) == (head.etag, head.version, head.config):
            await call(self._client.delete_object, **self._buckets.at(bucket), Key=key)

    async def _copy(
        self, call: AwsCall, bucket: str, key: str, head: ManifestHead, target: str, metadata: Mapping[str, str]
    ) -> None:
        source: Any = {
            "CopySource": _copy_source(bucket, key, head.version),
            "CopySourceIfMatch": f'"{head.etag}"',
            **self._buckets.to_copy_from(bucket),
        }
        there = {**self._buckets.at(bucket), "Key": target}
        headers: dict[str, Any] = {"Metadata": metadata, **self._buckets.encryption}
        if head.size > COPIED_WHOLE:
            await copy_parts(self._client, call, source, there, head.size, part_size=COPY_PART_SIZE, headers=headers)
            return
        # Tags are replaced as well, or a tagged manifest would need rights to tags.
        replaced: Any = {"MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}
        await call(self._client.copy_object, **there, **source, **headers, **replaced)

    def _call(self, doing: str, bucket: str, **more: Any) -> AbstractAsyncContextManager[AwsCall]:
        named = {"setting": self._buckets.settings.get(bucket), "patience": self._patience, **more}
        return aws_call(Dependency.S3, doing, **named)


def open_s3(settings: Settings, clients: Clients, *, patience: Patience = USUAL) -> S3:
    """Return S3 as the settings have it."""
    return S3(clients.s3, buckets=buckets_of(settings), patience=patience)


def _decoded(value: str) -> str:
    """Undo the encoded words (RFC 2047) of metadata that is not ASCII; what cannot be undone stays as it is."""
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value)))
    except (LookupError, UnicodeError, ValueError):
        return value


def _deadline(size: int) -> float:
    return max(TRANSFER_DEADLINE, size / SLOWEST)


def _copy_source(bucket: str, key: str, version: str | None) -> "CopySourceTypeDef":
    return {"Bucket": bucket, "Key": key, "VersionId": version} if version else {"Bucket": bucket, "Key": key}


def _version(version: str | None) -> dict[str, Any]:
    return {"VersionId": version} if version else {}


def archive_of(head: "HeadObjectOutputTypeDef") -> str | None:
    """Return the archive that an object lies in and cannot be read from, by its head; None where it can be read."""
    if 'ongoing-request="false"' in head.get("Restore", ""):
        return None  # a copy was restored, and can be read for some days
    return next((told for told in (head.get("ArchiveStatus"), head.get("StorageClass")) if told in ARCHIVES), None)


def _archived(bucket: str, key: str, archive: str) -> TerminalError:
    return TerminalError(
        JobReason.MANIFEST_ARCHIVED,
        f"s3://{bucket}/{key} is in an archive ({archive}) and cannot be read; restore it, and redrive the message",
    )
