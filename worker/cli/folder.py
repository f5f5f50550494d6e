"""The same job without AWS: a manifest from a file, results into a folder.

What is done lies in the folder: the parts that tell of it, and in `.collage/` what is done of unfinished parts. So a
run that was stopped, however hard, goes on from there.
"""

import hashlib
import shutil
from collections.abc import AsyncIterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from worker.cli.safe_folder import SafeFolder
from worker.errors import JobReason, TerminalError
from worker.file_names import FolderNames
from worker.model import ManifestHead, S3Manifest

BLOCK = 1 << 20

KEPT = ".collage/"
"""Below it lies what a later run needs and people do not."""


class FolderManifests:
    """One manifest of the file system. Its key is its name alone: a batch is the same from wherever it is begun."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def head(self, manifest: S3Manifest) -> ManifestHead | None:
        """Return the file's size and, in place of S3's ETag, the hash of its bytes; None where there is no file."""
        del manifest
        if not self._path.is_file():
            return None
        try:
            with self._path.open("rb") as file:
                return ManifestHead(hashlib.file_digest(file, "sha256").hexdigest(), None, self._path.stat().st_size)
        except OSError as error:
            raise TerminalError(JobReason.MANIFEST_FORBIDDEN, f"cannot read {self._path}: {error.strerror}") from error

    async def download(self, _manifest: S3Manifest, _head: ManifestHead, file: BinaryIO) -> None:
        """Copy the file: what is worked from must not change meanwhile."""
        with self._path.open("rb") as opened:
            shutil.copyfileobj(opened, file, BLOCK)
        file.seek(0)

    async def archive(self, manifest: S3Manifest, head: ManifestHead, *, batch_id: str, failed: bool) -> None:
        """Leave the file where it is."""

    async def put_error(self, manifest: S3Manifest, body: bytes, *, batch_id: str) -> None:
        """Leave it to the caller to tell the error."""


class FolderResults:
    """Collages and documents in a folder, as in S3, but creators' folders have names that people read."""

    def __init__(self, folder: SafeFolder) -> None:
        self._folder = folder

    @cached_property
    def _names(self) -> FolderNames:
        return FolderNames(self._folder.names_in("collages/by-creator"))

    async def put_collage(
        self, keys: tuple[str, str], body: bytes, *, batch_id: str, creator: str, images: int, content_type: str
    ) -> tuple[str, bytes | None]:
        """Write a collage under the first key that is free, or that holds the same bytes."""
        del batch_id, images, content_type  # S3's metadata has no place in a file
        first, second = (self._readable(key, creator) for key in keys)
        path = self._folder.path / first
        key = second if path.exists() and path.read_bytes() != body else first
        self._folder.write(key, body)
        return key, None

    async def get_collage(self, keys: tuple[str, str], *, batch_id: str, creator: str) -> tuple[str, bytes] | None:
        """Return a page that is there under the first key."""
        del batch_id  # S3's metadata has no place in a file
        key = self._readable(keys[0], creator)
        path = self._folder.path / key
        return (key, path.read_bytes()) if path.is_file() else None

    def _readable(self, key: str, creator: str) -> str:
        """Put the creator's folder as people read it in place of the one that keys have."""
        before, _, name = key.rpartition("/")
        return f"{before.rpartition('/')[0]}/{self._names.of(creator)}/{name}".lstrip("/")

    async def put_part(self, key: str, body: bytes) -> bool:
        """Write a part where there is none."""
        if (self._folder.path / key).exists():
            return False
        self._folder.write(key, body)
        return True

    async def put_document(self, key: str, body: bytes | BinaryIO, _content_type: str) -> None:
        """Write metadata, a summary or a report."""
        with self._folder.writing(key) as file:
            if isinstance(body, bytes):
                file.write(body)
            else:
                body.seek(0)
                shutil.copyfileobj(body, file, BLOCK)

    async def fetch(self, key: str, file: BinaryIO) -> bool:
        """Copy a document into a file."""
        path = self._folder.path / key
        if not path.is_file():
            return False
        with path.open("rb") as opened:
            shutil.copyfileobj(opened, file, BLOCK)
        file.seek(0)
        return True

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """Give the keys of the files of the folder that the prefix, which ends with a slash, names."""
        for path in sorted((self._folder.path / prefix).glob("[!.]*")):
            yield prefix + path.name

    async def put_debug(self, batch_id: str, name: str, body: bytes) -> None:
        """Keep nothing: the links are at hand."""


class FolderStore:
    """What is done of parts that are not: each creator's lines, below `.collage/` until the batch is done."""

    def __init__(self, folder: SafeFolder) -> None:
        self._folder = folder
        self.creators_done = 0
        """Creators that were done in this run: what was found done is not put again."""

    async def put(self, key: str, body: bytes) -> None:
        """Keep the lines of a creator."""
        self._folder.write(KEPT + key, body)
        self.creators_done += 1

    async def get(self, key: str) -> bytes | None:
        """Return the lines of a creator, or None where it is not done."""
        path = self._folder.path / KEPT / key
        return path.read_bytes() if path.is_file() else None
