"""S3: manifests in, collages and documents out. Nothing is ever overwritten by `put_new`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.header import decode_header, make_header
from typing import TYPE_CHECKING, Any, BinaryIO

from botocore.exceptions import ClientError

from worker.aws.clients import aws_call, code_of, status_of
from worker.errors import Dependency, JobReason, Postponed, TerminalError

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef

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

NOT_FOUND, FORBIDDEN, CONFLICT, PRECONDITION_FAILED = 404, 403, 409, 412


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What S3 says of an object. `version` is None in a bucket without versions."""

    etag: str
    version: str | None
    size: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The object's user metadata. S3 writes what is not ASCII as encoded words; they are undone here."""


class S3:
    """The few S3 operations that the worker needs."""

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    async def head(self, bucket: str, key: str, version: str | None = None) -> ObjectHead | None:
        """Return the object's head, or None where there is no such object (or version).

        Raises `TerminalError(manifest_forbidden)` where we may not look.
        """
        async with aws_call(Dependency.S3, f"looking at s3://{bucket}/{key}"):
            try:
                found = await self._client.head_object(Bucket=bucket, Key=key, **_version(version))
            except ClientError as error:
                if status_of(error) == FORBIDDEN:
                    raise _forbidden(bucket, key) from error
                if status_of(error) in {NOT_FOUND, 405}:  # 405 is a delete marker
                    return None
                raise
        version = found.get("VersionId")
        metadata = {key.lower(): _decoded(value) for key, value in found["Metadata"].items()}
        version = None if version == "null" else version
        return ObjectHead(found["ETag"].strip('"'), version, found["ContentLength"], metadata)

    async def download(self, bucket: str, key: str, head: ObjectHead, file: BinaryIO) -> None:
        """Stream the object into a file, exactly as `head` saw it.

        Raises `Postponed(manifest_changed)` where another upload took its place meanwhile.
        """
        async with aws_call(Dependency.S3, f"reading s3://{bucket}/{key}", deadline=_deadline(head.size)):
            try:
                found = await self._client.get_object(
                    Bucket=bucket, Key=key, IfMatch=f'"{head.etag}"', **_version(head.version)
                )
            except ClientError as error:
                if status_of(error) == FORBIDDEN:
                    raise _forbidden(bucket, key) from error
                if status_of(error) in {NOT_FOUND, PRECONDITION_FAILED}:
                    raise Postponed(
                        JobReason.MANIFEST_CHANGED,
                        f"s3://{bucket}/{key} changed while it was being read",
                        delay=CHANGED_DELAY,
                    ) from error
                raise
            async with found["Body"] as body:
                while block := await body.read(READ_SIZE):
                    file.write(block)
        file.seek(0)

    async def get(self, bucket: str, key: str) -> bytes | None:
        """Return the bytes of a small object of our own, or None where there is none."""
        async with aws_call(Dependency.S3, f"reading s3://{bucket}/{key}"):
            try:
                found = await self._client.get_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if status_of(error) == NOT_FOUND:
                    return None
                raise
            async with found["Body"] as body:
                return await body.read()

    async def put(self, bucket: str, key: str, body: "bytes | BinaryIO", content_type: str) -> None:
        """Write an object that is the same however often it is written: metadata, summaries."""
        async with aws_call(Dependency.S3, f"writing s3://{bucket}/{key}", deadline=TRANSFER_DEADLINE):
            await self._client.put_object(
                Bucket=bucket, Key=key, Body=body, ContentType=content_type, ServerSideEncryption="AES256"
            )

    async def put_new(
        self, bucket: str, key: str, body: bytes, *, headers: Mapping[str, Any], only_new: bool = True
    ) -> bool:
        """Write an object where there is none; False where the key is taken (nothing is written then).

        `headers` are arguments of PutObject. Bodies over 100 MB go up in parts. Without `only_new` it is a plain put.
        """
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if only_new else {}
        put = self._put_parts if len(body) > MULTIPART_FROM else self._put_whole
        async with aws_call(Dependency.S3, f"writing s3://{bucket}/{key}", deadline=TRANSFER_DEADLINE):
            for pause in (0.1, 0.5, None):
                try:
                    await put(bucket, key, body, headers, condition)
                except ClientError as error:
                    # An upload that is gone was completed by a try whose answer got lost: the caller looks whose it is.
                    if status_of(error) == PRECONDITION_FAILED or code_of(error) == "NoSuchUpload":
                        return False
                    if status_of(error) != CONFLICT or pause is None:
                        raise
                    await asyncio.sleep(pause)  # another put of the same key is under way, and may yet fail
                else:
                    break
        return True

    async def _put_whole(
        self, bucket: str, key: str, body: bytes, headers: Mapping[str, Any], condition: Mapping[str, Any]
    ) -> None:
        await self._client.put_object(Bucket=bucket, Key=key, Body=body, **headers, **condition)

    async def _put_parts(
        self, bucket: str, key: str, body: bytes, headers: Mapping[str, Any], condition: Mapping[str, Any]
    ) -> None:
        async with self._upload(bucket, key, headers) as name:
            parts: list[CompletedPartTypeDef] = []
            for number, start in enumerate(range(0, len(body), PART_SIZE), start=1):
                part = await self._client.upload_part(
                    **name,
                    PartNumber=number,
                    Body=memoryview(body)[start : start + PART_SIZE].tobytes(),
                )
                parts.append({"ETag": part["ETag"], "PartNumber": number})
            await self._client.complete_multipart_upload(**name, MultipartUpload={"Parts": parts}, **condition)

    async def metadata(self, bucket: str, key: str) -> dict[str, str] | None:
        """Return an object's own metadata, or None where there is no such object."""
        async with aws_call(Dependency.S3, f"looking at s3://{bucket}/{key}"):
            try:
                return dict((await self._client.head_object(Bucket=bucket, Key=key))["Metadata"])
            except ClientError as error:
                if status_of(error) == NOT_FOUND:
                    return None
                raise

    async def presigned(self, bucket: str, key: str, seconds: int) -> str:
        """Return a link with which anyone may read an object for so many seconds. It is a secret while it lasts."""
        async with aws_call(Dependency.S3, f"signing a link to s3://{bucket}/{key}"):
            link: str = await self._client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
            )
        return link

    async def move(self, bucket: str, source: str, head: ObjectHead, target: str) -> None:
        """Move the very object that `head` saw; a newer upload under the same key stays where it is.

        Safe to repeat: where the source is gone already, an earlier try moved it.
        """
        async with aws_call(Dependency.S3, f"archiving s3://{bucket}/{source}", deadline=_deadline(head.size)):
            try:
                await self._copy(bucket, source, head, target)
            except ClientError as error:
                if status_of(error) in {NOT_FOUND, PRECONDITION_FAILED} or code_of(error) == "NoSuchVersion":
                    return
                raise
            if head.version is None:
                now = await self.head(bucket, source)
                if now is None or now.etag != head.etag:
                    return
            # With its version named, the delete leaves a newer upload alone; the archive keeps the bytes.
            await self._client.delete_object(Bucket=bucket, Key=source, **_version(head.version))

    async def _copy(self, bucket: str, source: str, head: ObjectHead, target: str) -> None:
        exactly: Any = {"CopySource": _copy_source(bucket, source, head.version), "CopySourceIfMatch": f'"{head.etag}"'}
        if head.size <= COPIED_WHOLE:
            await self._client.copy_object(
                Bucket=bucket,
                Key=target,
                **exactly,
                TaggingDirective="REPLACE",  # or a tagged manifest would need rights to tags
                ServerSideEncryption="AES256",
            )
            return
        async with self._upload(bucket, target, {"ServerSideEncryption": "AES256"}) as name:
            parts: list[CompletedPartTypeDef] = []
            for number, start in enumerate(range(0, head.size, COPY_PART_SIZE), start=1):
                span = f"bytes={start}-{min(start + COPY_PART_SIZE, head.size) - 1}"
                part = await self._client.upload_part_copy(**name, **exactly, PartNumber=number, CopySourceRange=span)
                parts.append({"ETag": part["CopyPartResult"]["ETag"], "PartNumber": number})
            await self._client.complete_multipart_upload(**name, MultipartUpload={"Parts": parts})

    @asynccontextmanager
    async def _upload(self, bucket: str, key: str, headers: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Begin an upload in parts; gives its names, and takes it back where the body fails."""
        upload = await self._client.create_multipart_upload(Bucket=bucket, Key=key, **headers)
        name: dict[str, Any] = {"Bucket": bucket, "Key": key, "UploadId": upload["UploadId"]}
        try:
            yield name
        except BaseException:
            with suppress(ClientError):  # what went wrong first is what counts; the bucket's lifecycle ends leftovers
                await self._client.abort_multipart_upload(**name)
            raise


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


def _forbidden(bucket: str, key: str) -> TerminalError:
    return TerminalError(
        JobReason.MANIFEST_FORBIDDEN,
        f"S3 does not let us read s3://{bucket}/{key} (it is missing and we may not list, or the task role lacks "
        "s3:GetObject or the key's decryption right); grant it and redrive the message",
    )
