"""One creator's collage: covers are fetched and cut to cells, composed page by page, written and recorded."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import structlog

from worker.download.fetch import Fetched
from worker.errors import CreatorReason, ImageError, ImageReason, JobError, Unavailable
from worker.failpoints import failpoint
from worker.images.cell import CellSpec
from worker.images.collage import parse_background
from worker.images.fingerprint import content_hash
from worker.images.geometry import canvas_size, pages
from worker.images.page_note import NotedImage, note_of, noted
from worker.jobs.creator_rows import Course, CreatorRows, Page, creator_rows, rows_by_fate, rows_given_up, with_previews
from worker.jobs.earlier_pages import EarlierPages, find_pages, page_keys
from worker.jobs.gate import LIMITS, limited, next_mode
from worker.jobs.ports import Decodes, Fetches, Ledger, Results
from worker.jobs.reasons import CREATORS
from worker.jobs.row_fates import UsableImage, gather_images
from worker.keys import safe_name
from worker.limiter import Limiter
from worker.model import Batch, CreatorGroup, CreatorRecord, Mode, ProcessingConfig, Row
from worker.tasks import unwrapped

log = structlog.get_logger(__name__)

SHOWN_AFTER = 2.0
"""Seconds after which a creator that is not done yet may get a record that says `processing`."""

SHOWN_APART = 5.0
"""Seconds that such a record, while its creator is being worked on, keeps the worker from writing the next."""

CONTENT_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


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
        compose: Callable[..., tuple[bytes, bytes | None]],
        results: Results,
        ledger: Ledger,
        rules: ImageRules,
        record_metric: Callable[[str, float], None],
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._fetcher = fetcher
        self._decoder = decoder
        self._composer = composer
        self._compose = compose
        self._results = results
        self._ledger = ledger
        self._rules = rules
        self._metric = record_metric
        self._turn_to_show = asyncio.Lock()

    async def run(self, batch: Batch, group: CreatorGroup, mode: Mode, slots: Limiter) -> CreatorRows:
        """Do one creator, which has been begun or is the first owner's; returns its rows, which are not put yet.

        `slots` bounds the job's downloads. A creator that fails is told as such, and is no error. Raises `Unavailable`
        (S3 or DynamoDB out of reach) and `LeaseLost`.
        """
        started = time.monotonic()
        with unwrapped():
            async with asyncio.TaskGroup() as tasks:
                showing = tasks.create_task(self._show_if_slow(batch, group.name))
                done = await self._in_a_mode_that_fits(batch, group, mode, slots, started)
                showing.cancel()
        self._report(done.record)
        return done

    async def give_up(
        self, group: CreatorGroup, reason: CreatorReason, *, mode: Mode = Mode.NORMAL, seconds: float = 0.0
    ) -> CreatorRows:
        """Tell a creator as failed, without doing anything of it; its rows are told, so that it can be run again."""
        rows = rows_given_up(group, reason, CREATORS[reason], Course(mode, seconds, self._clock()))
        return await creator_rows(group, rows, self._rules.hash_algorithm)

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
        self, batch: Batch, group: CreatorGroup, mode: Mode | None, slots: Limiter, started: float
    ) -> CreatorRows:
        looked = not batch.first
        while mode is not None:
            try:
                return await self._collage(batch, group, mode, slots, started, look=looked)
            except _OtherPage:
                looked = True
            except MemoryError:
                log.warning("creator.memory_ran_out", mode=mode)
                mode = next_mode(mode)
            except JobError:
                raise
            except Exception:
                log.exception("creator.failed_unexpectedly")
                seconds = time.monotonic() - started
                return await self.give_up(group, CreatorReason.INTERNAL_ERROR, mode=mode, seconds=seconds)
        seconds = time.monotonic() - started
        return await self.give_up(group, CreatorReason.OUT_OF_MEMORY, mode=Mode.MINIMAL, seconds=seconds)

    async def _collage(
        self, batch: Batch, group: CreatorGroup, mode: Mode, slots: Limiter, started: float, *, look: bool
    ) -> CreatorRows:
        config = limited(batch.job.config, mode)
        downloads = LIMITS[mode].downloads
        ended: dict[int, float] = {}
        earlier = EarlierPages()
        if look:
            earlier = await find_pages(self._results, batch, group.name, config, self._rules.hash_algorithm)
        download = partial(self._obtain, batch, group.name, config, Limiter(downloads) if downloads else slots, ended)
        obtain, wanted = earlier.obtaining(group.rows, download), config.max_images_per_creator
        fates = earlier.settled(await gather_images(group.rows, wanted, obtain, dedupe=self._rules.dedupe))
        failpoint("creator.covers_gathered")
        new = earlier.new(fates)
        pages = earlier.pages + await self._write_pages(batch, group.name, config, new, len(earlier.pages))
        course = Course(mode, time.monotonic() - started, self._clock())
        rows = rows_by_fate(group, fates, pages, course, ended)
        return with_previews(await creator_rows(group, rows, self._rules.hash_algorithm), pages)

    async def _obtain(
        self, batch: Batch, creator: str, config: ProcessingConfig, slots: Limiter, ended: dict[int, float], row: Row
    ) -> UsableImage:
        try:
            fetched = await self._fetcher.fetch(
                row.url, timeout=config.timeout, max_retries=config.max_retries, slots=slots
            )
            try:
                return await self._usable(batch, creator, config, row, fetched)
            finally:
                fetched.release()  # there is room for few large bodies
        finally:
            ended[row.line] = self._clock()

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
        self,
        batch: Batch,
        creator: str,
        config: ProcessingConfig,
        images: Sequence[tuple[int, UsableImage]],
        there: int,
    ) -> list[Page]:
        """Compose and write each page after the `there` first ones; an image comes with the place of its row."""
        written: list[Page] = []
        loop = asyncio.get_running_loop()
        for number, page in enumerate(pages(len(images), config.rows, config.cols), start=there + 1):
            body, preview = await loop.run_in_executor(
                self._composer,
                partial(
                    self._compose,
                    [images[i][1].pixels for i in page],
                    rows=config.rows,
                    cols=config.cols,
                    cell=config.cell_size,
                    gutter=config.gutter,
                    background=parse_background(config.background),
                    format=config.format,
                    quality=config.quality,
                    preview=batch.preview,
                ),
            )
            size = canvas_size(len(page), config.cols, config.cell_size, config.gutter)
            body = noted(body, size, [_noted(*images[i]) for i in page])
            key, found = await self._results.put_collage(
                page_keys(batch, creator, config, number),
                body,
                batch_id=batch.id,
                creator=creator,
                images=len(page),
                content_type=CONTENT_TYPES[config.format],
            )
            failpoint("creator.collage_written")
            if found is not None and found != body and note_of(found) is not None:
                raise _OtherPage
            written.append(Page(key, content_hash(found or body, self._rules.hash_algorithm), len(page), preview))
        return written

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


class _OtherPage(Exception):
    """Another try of the same batch wrote a page with other images: what is told must follow from that one."""


def _noted(place: int, image: UsableImage) -> NotedImage:
    return NotedImage(place, image.format, image.width, image.height, image.size, image.fingerprint)
