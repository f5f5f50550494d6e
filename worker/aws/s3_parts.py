"""Uploads in parts, each with its checksum: of a large body, and of an object that is too large for one copy."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from worker.aws.calls import FAILURES, AwsCall
from worker.aws.clients import checksum_of

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

CHECKSUM = {"ChecksumAlgorithm": "CRC32"}
"""Named when an upload begins: S3 refuses parts with another checksum than the upload's."""


async def put_parts(
    client: "S3Client",
    call: AwsCall,
    target: Mapping[str, Any],
    body: bytes,
    *,
    part_size: int,
    headers: Mapping[str, Any],
    condition: Mapping[str, Any],
) -> None:
    """Put a body in parts of `part_size` bytes. `target` names bucket and key; `condition` is that of the object."""
    async with _upload(client, call, target, headers) as name:
        parts: list[CompletedPartTypeDef] = []
        for number, start in enumerate(range(0, len(body), part_size), start=1):
            piece = memoryview(body)[start : start + part_size].tobytes()
            checksum = checksum_of(piece)
            part = await call(client.upload_part, **name, PartNumber=number, Body=piece, ChecksumCRC32=checksum)
            parts.append({"ETag": part["ETag"], "PartNumber": number, "ChecksumCRC32": checksum})
        await call(client.complete_multipart_upload, **name, MultipartUpload={"Parts": parts}, **condition)


async def copy_parts(
    client: "S3Client",
    call: AwsCall,
    source: Mapping[str, Any],
    target: Mapping[str, Any],
    size: int,
    *,
    part_size: int,
    headers: Mapping[str, Any],
) -> None:
    """Copy an object of `size` bytes in parts of `part_size`. `source` are a copy's arguments for where from."""
    async with _upload(client, call, target, headers) as name:
        parts: list[Any] = []
        for number, start in enumerate(range(0, size, part_size), start=1):
            span = f"bytes={start}-{min(start + part_size, size) - 1}"
            part = await call(client.upload_part_copy, **name, **source, PartNumber=number, CopySourceRange=span)
            told = part["CopyPartResult"]
            # S3 reckons the checksum of such a part itself; of emulators some do not tell it, and want none back.
            checksum = {"ChecksumCRC32": told["ChecksumCRC32"]} if "ChecksumCRC32" in told else {}
            parts.append({"ETag": told["ETag"], "PartNumber": number, **checksum})
        await call(client.complete_multipart_upload, **name, MultipartUpload={"Parts": parts})


@asynccontextmanager
async def _upload(
    client: "S3Client", call: AwsCall, target: Mapping[str, Any], headers: Mapping[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """Begin an upload in parts; gives its names, and takes it back where the body fails."""
    begin: dict[str, Any] = {**target, **headers, **CHECKSUM}
    upload = await call(client.create_multipart_upload, **begin)
    name: dict[str, Any] = {**target, "UploadId": upload["UploadId"]}
    try:
        yield name
    except BaseException:
        with suppress(*FAILURES):  # what went wrong first is what counts; the bucket's lifecycle ends leftovers
            await client.abort_multipart_upload(**name)
        raise
