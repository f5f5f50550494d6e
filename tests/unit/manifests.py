"""Reads manifests for the tests beside it."""

import io

import pytest

from worker.errors import JobReason, RejectReason, TerminalError
from worker.manifest.bytes import MAX_BYTES
from worker.manifest.manifest import Manifest, open_manifest
from worker.manifest.rows import Entry
from worker.model import Reject

HEAD = "creator,url\n"


def opened(
    content: str | bytes,
    *,
    creator_column: str | None = None,
    url_column: str | None = None,
    encoding: str | None = None,
    group: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Manifest:
    raw = content.encode() if isinstance(content, str) else content
    return open_manifest(
        io.BytesIO(raw),
        creator_column=creator_column,
        url_column=url_column,
        encoding=encoding,
        group=group,
        max_bytes=max_bytes,
    )


def read(content: str | bytes, **options: str | None) -> tuple[list[Entry], list[Reject]]:
    """Rows and rejects; a manifest without a row gives its rejects too."""
    entries: list[Entry] = []
    rejects: list[Reject] = []
    try:
        for batch in opened(content, **options).blocks():  # type: ignore[arg-type]
            entries += batch.entries
            rejects += batch.rejects
    except TerminalError as error:
        if error.reason is not JobReason.MANIFEST_EMPTY or not rejects:
            raise
    return entries, rejects


def refusal(content: str | bytes, **options: object) -> TerminalError:
    with pytest.raises(TerminalError) as caught:
        list(opened(content, **options).blocks())  # type: ignore[arg-type]
    return caught.value


def reasons(content: str | bytes) -> list[tuple[int, RejectReason]]:
    return [(reject.line, reject.reason) for reject in read(content)[1]]
