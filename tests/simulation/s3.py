"""S3 in memory, as far as the worker uses it: conditions, versions, copies. Each operation is done in one go."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from tests.simulation.clock import EPOCH, Life
from tests.simulation.dynamodb import client_error


@dataclass(frozen=True, slots=True)
class Object:
    """One version of an object."""

    body: bytes
    version: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    stored_at: float = 0.0

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


class Body:
    """What GetObject streams."""

    def __init__(self, body: bytes) -> None:
        self._rest = body

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def close(self) -> None:
        pass

    async def read(self, size: int = -1) -> bytes:
        some, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return some


class Buckets:
    """All buckets. `changed` is told of every put that took place; old versions are kept in `versioned` buckets."""

    def __init__(
        self,
        versioned: frozenset[str] = frozenset(),
        changed: Callable[[Life | None, str, str, Object | None, Object], None] = lambda *_: None,
        *,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.objects: dict[tuple[str, str], list[Object]] = {}
        self.archived: set[str] = set()
        """Keys of objects in Glacier."""
        self.forbidden: set[str] = set()
        """Keys of objects that the worker alone may not read."""
        self._versioned = versioned
        self._changed = changed
        self._count = 0
        self._now = now

    def newest(self, bucket: str, key: str) -> Object | None:
        return (self.objects.get((bucket, key)) or [None])[-1]  # type: ignore[list-item]

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        return sorted(
            key for (where, key), found in self.objects.items() if where == bucket and key.startswith(prefix) and found
        )

    def head_bucket(self, life: Life | None, **_: Any) -> Any:
        return {}

    def head_object(
        self,
        life: Life | None,
        *,
        Bucket: str,  # noqa: N803 -- as the API has it
        Key: str,  # noqa: N803
        VersionId: str | None = None,  # noqa: N803
    ) -> Any:
        found = self._find(Bucket, Key, VersionId)
        if Key in self.forbidden:
            raise client_error("403", 403)
        if found is None:
            raise client_error("404", 404)
        extra: dict[str, Any] = {}
        if Key in self.archived:
            extra["StorageClass"] = "GLACIER"
        told = extra | {
            "ETag": found.etag,
            "ContentLength": len(found.body),
            "Metadata": dict(found.metadata),
            "LastModified": datetime.fromtimestamp(EPOCH + found.stored_at, UTC),
        }
        return told | ({"VersionId": found.version} if Bucket in self._versioned else {})

    def get_object(
        self,
        life: Life | None,
        *,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        VersionId: str | None = None,  # noqa: N803
        IfMatch: str | None = None,  # noqa: N803
        **_: Any,
    ) -> Any:
        found = self._find(Bucket, Key, VersionId)
        if Key in self.forbidden:
            raise client_error("AccessDenied", 403)
        if found is None:
            raise client_error("NoSuchKey", 404)
        if Key in self.archived:
            raise client_error("InvalidObjectState", 403)
        if IfMatch not in {None, found.etag}:
            raise client_error("PreconditionFailed", 412)
        return {"Body": Body(found.body), "ETag": found.etag, "Metadata": dict(found.metadata)}

    def put_object(self, life: Life | None, *, Bucket: str, Key: str, Body: bytes, **headers: Any) -> Any:  # noqa: N803
        old = self.newest(Bucket, Key)
        if headers.get("IfNoneMatch") == "*" and old is not None:
            raise client_error("PreconditionFailed", 412)
        self._put(life, Bucket, Key, Body, headers.get("Metadata", {}))
        return {}

    def copy_object(
        self,
        life: Life | None,
        *,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        CopySource: Any,  # noqa: N803
        CopySourceIfMatch: str | None = None,  # noqa: N803
        **asked: Any,
    ) -> Any:
        if CopySource["Key"] in self.archived | self.forbidden:
            raise client_error("InvalidObjectState" if CopySource["Key"] in self.archived else "AccessDenied", 403)
        found = self._find(CopySource["Bucket"], CopySource["Key"], CopySource.get("VersionId"))
        if found is None:
            raise client_error("NoSuchVersion" if "VersionId" in CopySource else "NoSuchKey", 404)
        if CopySourceIfMatch not in {None, found.etag}:
            raise client_error("PreconditionFailed", 412)
        self._put(life, Bucket, Key, found.body, asked.get("Metadata", found.metadata))
        return {}

    def delete_object(self, life: Life | None, *, Bucket: str, Key: str, VersionId: str | None = None) -> Any:  # noqa: N803
        there = self.objects.get((Bucket, Key), [])
        self.objects[Bucket, Key] = [one for one in there if VersionId and one.version != VersionId]
        return {}

    def _find(self, bucket: str, key: str, version: str | None) -> Object | None:
        there = self.objects.get((bucket, key), [])
        if version is not None:
            return next((one for one in there if one.version == version), None)
        return there[-1] if there else None

    def _put(self, life: Life | None, bucket: str, key: str, body: bytes, metadata: Mapping[str, str]) -> None:
        self._count += 1
        old, new = self.newest(bucket, key), Object(body, f"v{self._count:06d}", metadata, self._now())
        there = self.objects.setdefault((bucket, key), [])
        if bucket not in self._versioned:
            there.clear()
        there.append(new)
        self._changed(life, bucket, key, old, new)
