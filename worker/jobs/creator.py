"""One creator's collage: covers are fetched and cut to cells, composed page by page, written and recorded."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any

import structlog

from worker.download.fetch import Fetched
from worker.errors import CreatorReason, ImageError, ImageReason, JobError, JobReason, TerminalError, Unavailable
from worker.failpoints import failpoint
from worker.images.cell import CellSpec
from worker.images.collage import parse_background
from worker.images.fingerprint import content_hash
from worker.images.geometry import pages
from worker.jobs.gate import LIMITS, limited, next_mode
from worker.jobs.ports import Decodes, Fetches, Ledger, Results
from worker.jobs.row_fates import Fate, UsableImage, gather_images
from worker.keys import batch_hash, collage_key, metadata_key, safe_name
from worker.limiter import Limiter
from worker.model import Batch, CreatorGroup, CreatorRecord, CreatorStatus, Mode, ProcessingConfig, Row
from worker.tasks import unwrapped

log = structlog.get_logger(__name__)

SHOWN_AFTER = 2.0
"""Seconds after which a creator that is not done yet may get a record that says `processing`."""

SHOWN_APART = 5.0
"""Seconds that such a record, while its creator is being worked on, keeps the worker from writing the next."""

CONTENT_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp"}

_JSON = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class ImageRules:
    """What an image must keep to, from the settings."""

    min_side: int
    keep_side: int
    max_pixels: int
    dedupe: bool
    hash_algorithm: str


class CreatorWork:
    """Does one creator after another; everything it needs is handed in."""

    def __init__(
        self,
        *,
        fetcher: Fetches,
        decoder: Decodes,
        composer: Executor | None,
        compose: Callable[..., bytes],
        results: Results,
        ledger: Ledger,
        rules: ImageRules,
        record_metric: Callable[[str, float], None],
    ) -> None:
        self._fetcher = fetcher
        self._decoder = decoder
        self._composer = composer
        self._compose = compose
        self._results = results
        self._ledger = ledger
        self._rules = rules
        self._metric = record_metric
        self._turn_to_show = asyncio.Lock()

    async def run(self, batch: Batch, group: CreatorGroup, mode: Mode, slots: Limiter) -> CreatorRecord:
        """Do one creator, which has been begun or is the first owner's, and return its record.

        `slots` bounds the job's downloads. A creator that fails is a record, not an error. Raises `Unavailable`
        (S3 or DynamoDB out of reach) and `LeaseLost`.
        """
        started = time.monotonic()
        with unwrapped():
            async with asyncio.TaskGroup() as tasks:
                showing = tasks.create_task(self._show_if_slow(batch, group.name))
                record = await self._in_a_mode_that_fits(batch, group, mode, slots)
                showing.cancel()
        record = replace(record, duration=time.monotonic() - started)
        try:
            await self._ledger.finish_creator(batch, record)
            failpoint("creator.recorded")
        except TerminalError as error:
            if error.reason is not JobReason.RECORD_TOO_LARGE:
                raise
            log.error("creator.record_too_large", creator=group.name, error=str(error))  # noqa: TRY400 -- the text says it all
            return await self.give_up(batch, group, CreatorReason.RECORD_TOO_LARGE)
        self._report(record)
        return record

    async def give_up(self, batch: Batch, group: CreatorGroup, reason: StrEnum) -> CreatorRecord:
        """Record a creator as failed, without doing anything of it; its rows are told, so that it can be run again."""
        record = CreatorRecord(group.name, CreatorStatus.FAILED, errors={reason.value: 1})
        told = {"outcome": "failed", "reason": reason, "message": "the creator was given up"}
        images = [{"line": row.line, "url": row.url, **told} for row in group.rows]
        await self._results.put_document(
            metadata_key(batch.job.output_prefix, batch.id, group.name),
            _metadata(batch, record, images),
            "application/json",
        )
        failpoint("creator.given_up_told")
        await self._ledger.finish_creator(batch, record)
        failpoint("creator.given_up")
        self._report(record)
        return record

    async def _show_if_slow(self, batch: Batch, creator: str) -> None:
        """Let people see what takes long: of many creators at a time one after the other, as it costs a write each."""
        if not batch.first:
            return  # it shows since it was begun
        await asyncio.sleep(SHOWN_AFTER)
        async with self._turn_to_show:
            try:
                await self._ledger.begin_creator(batch, creator)
                failpoint("creator.shown")
            except Unavailable as error:  # its end counts, and will be written or tried again
                log.warning("creator.showing_failed", error=str(error))
            await asyncio.sleep(SHOWN_APART)

    async def _in_a_mode_that_fits(
        self, batch: Batch, group: CreatorGroup, mode: Mode | None, slots: Limiter
    ) -> CreatorRecord:
        while mode is not None:
            try:
                return await self._collage(batch, group, mode, slots)
            except MemoryError:
                log.warning("creator.memory_ran_out", mode=mode)
                mode = next_mode(mode)
            except JobError:
                raise
            except Exception:
                log.exception("creator.failed_unexpectedly")
                return CreatorRecord(group.name, CreatorStatus.FAILED, errors={CreatorReason.INTERNAL_ERROR: 1})
        return CreatorRecord(
            group.name, CreatorStatus.FAILED, errors={CreatorReason.OUT_OF_MEMORY: 1}, mode=Mode.MINIMAL
        )

    async def _collage(self, batch: Batch, group: CreatorGroup, mode: Mode, slots: Limiter) -> CreatorRecord:
        config = limited(batch.job.config, mode)
        downloads = LIMITS[mode].downloads
        obtain = partial(self._obtain, batch, group.name, config, Limiter(downloads) if downloads else slots)
        fates = await gather_images(group.rows, config.max_images_per_creator, obtain, dedupe=self._rules.dedupe)
        failpoint("creator.covers_gathered")
        cells = [fate.pixels for fate in fates if isinstance(fate, UsableImage)]
        keys, fingerprint = await self._write_pages(batch, group.name, config, cells)
        record = CreatorRecord(
            creator=group.name,
            status=CreatorStatus.COMPLETED if cells else CreatorStatus.FAILED,
            images_processed=len(cells),
            collage_keys=keys,
            errors=_errors(fates),
            content_hash=fingerprint,
            mode=mode,
        )
        await self._results.put_document(
            metadata_key(batch.job.output_prefix, batch.id, group.name),
            _metadata(batch, record, [_image(row, fate) for row, fate in zip(group.rows, fates, strict=True)]),
            "application/json",
        )
        failpoint("creator.metadata_written")
        return record

    async def _obtain(
        self, batch: Batch, creator: str, config: ProcessingConfig, slots: Limiter, row: Row
    ) -> UsableImage:
        fetched = await self._fetcher.fetch(
            row.url, timeout=config.timeout, max_retries=config.max_retries, slots=slots
        )
        try:
            return await self._usable(batch, creator, config, row, fetched)
        finally:
            fetched.release()  # there is room for few large bodies

    async def _usable(
        self, batch: Batch, creator: str, config: ProcessingConfig, row: Row, fetched: Fetched
    ) -> UsableImage:
        self._metric("BytesDownloaded", len(fetched.body))
        self._metric("DownloadLatency", fetched.seconds)
        try:
            cell = await self._decoder.decode(fetched.body, self._spec(config))
        except ImageError as error:
            if error.reason is ImageReason.DECODE_MEMORY:
                log.warning("image.decode_memory_ran_out", line=row.line)
            await self._results.put_debug(batch.id, f"{safe_name(creator)}/{row.line}.{error.reason}", fetched.body)
            failpoint("creator.debug_kept")
            raise
        return UsableImage(
            pixels=cell.pixels,
            fingerprint=content_hash(fetched.body, self._rules.hash_algorithm),
            width=cell.width,
            height=cell.height,
            format=cell.format,
            size=len(fetched.body),
            attempts=fetched.attempts,
            seconds=fetched.seconds,
        )

    def _spec(self, config: ProcessingConfig) -> CellSpec:
        return CellSpec(
            size=config.cell_size,
            background=parse_background(config.background),
            min_side=self._rules.min_side,
            max_pixels=self._rules.max_pixels,
            keep_side=self._rules.keep_side,
        )

    async def _write_pages(
        self, batch: Batch, creator: str, config: ProcessingConfig, cells: Sequence[bytes]
    ) -> tuple[tuple[str, ...], str | None]:
        """Compose and write each page; returns the keys and the hash of the pages' bytes (None without pages)."""
        keys: list[str] = []
        hashes: list[str] = []
        loop = asyncio.get_running_loop()
        for number, page in enumerate(pages(len(cells), config.rows, config.cols), start=1):
            body = await loop.run_in_executor(
                self._composer,
                partial(
                    self._compose,
                    [cells[i] for i in page],
                    rows=config.rows,
                    cols=config.cols,
                    cell=config.cell_size,
                    gutter=config.gutter,
                    background=parse_background(config.background),
                    format=config.format,
                    quality=config.quality,
                ),
            )
            key_of = partial(
                collage_key,
                batch.job.output_prefix,
                creator,
                batch.started_at,
                page=number,
                extension=EXTENSIONS[config.format],
            )
            keys.append(
                await self._results.put_collage(
                    (key_of(), key_of(suffix=batch_hash(batch.id))),
                    body,
                    batch_id=batch.id,
                    creator=creator,
                    images=len(page),
                    content_type=CONTENT_TYPES[config.format],
                )
            )
            failpoint("creator.collage_written")
            hashes.append(content_hash(body, self._rules.hash_algorithm))
        together = content_hash("".join(hashes).encode(), self._rules.hash_algorithm) if len(hashes) > 1 else None
        return tuple(keys), together or (hashes[0] if hashes else None)

    def _report(self, record: CreatorRecord) -> None:
        self._metric("ProcessingDuration", record.duration)
        self._metric("ImagesProcessed", record.images_processed)
        self._metric("ErrorCount", record.error_count)
        self._metric("CollagesWritten", len(record.collage_keys))
        log.info(
            "creator.finished",
            status=record.status,
            images=record.images_processed,
            errors=dict(record.errors),
            collages=list(record.collage_keys),
            seconds=round(record.duration, 3),
            mode=record.mode,
        )


def _errors(fates: Sequence[Fate]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for fate in fates:
        if isinstance(fate, ImageError):
            counts[fate.reason.value] = counts.get(fate.reason.value, 0) + 1
    return dict(sorted(counts.items()))


def _metadata(batch: Batch, record: CreatorRecord, images: Sequence[Mapping[str, Any]]) -> bytes:
    """Tell a creator's fate in JSON, a line for each row: indented as a whole, it would take three times the time."""
    top = {
        "creator": record.creator,
        "batch_id": batch.id,
        "status": record.status,
        "mode": record.mode,
        "collages": list(record.collage_keys),
    }
    lines = ",\n".join(map(_JSON.encode, images))
    return f'{_JSON.encode(top)[:-1]}, "images": [\n{lines}\n]}}\n'.encode("utf-8", "backslashreplace")


def _image(row: Row, fate: Fate) -> dict[str, Any]:
    """Tell one row's fate."""
    told: dict[str, Any] = {"line": row.line, "url": row.url}
    if fate is None:
        return told | {"outcome": "not_needed"}
    if isinstance(fate, ImageError):
        return told | {"outcome": "failed", "reason": fate.reason, "message": str(fate)}
    return told | {
        "outcome": "used",
        "format": fate.format,
        "width": fate.width,
        "height": fate.height,
        "bytes": fate.size,
        "fingerprint": fate.fingerprint,
        "attempts": fate.attempts,
        "seconds": round(fate.seconds, 3),
    }
