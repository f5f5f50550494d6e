"""What became of one creator: the lines of its rows, and the record that follows from them."""

import asyncio
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from worker.errors import CreatorReason, ImageReason
from worker.extract import Extract
from worker.jobs.part_lines import LEVEL, RowLine, RowOutcome, record_of_rows, row_json
from worker.jobs.row_fates import Fate, UsableImage
from worker.keys import iso_of
from worker.model import CreatorGroup, CreatorRecord, Mode

MANY_ROWS = 1_000
"""Rows from which on a creator's lines are written off the event loop."""


MOST_PREVIEW_BYTES = 250_000
"""Bytes of the previews of one creator: five large ones. Those of a chunk are held in memory until its end."""


@dataclass(frozen=True, slots=True)
class CreatorRows:
    """A creator that is done: its record, and its rows as gzipped lines of its part.

    `is_saved`: its lines lie in the temp bucket. `is_recorded`: its record was written before.
    """

    record: CreatorRecord
    lines: bytes
    is_saved: bool = False
    is_recorded: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a collage that lies in S3: its key, the hash of its bytes, and how many images are on it."""

    key: str
    content_hash: str
    images: int
    preview: bytes | None = None
    """A small JPEG of it, where the report has room for one."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a creator went: what all of its rows tell alike. `ended_at` is in epoch seconds."""

    mode: Mode
    seconds: float
    ended_at: float


async def creator_rows(group: CreatorGroup, rows: Iterable[RowLine], hash_algorithm: str) -> CreatorRows:
    """Write a creator's lines, and derive its record from them."""
    if len(group.rows) > MANY_ROWS:
        return await asyncio.to_thread(_creator_rows, group.name, rows, hash_algorithm)
    return _creator_rows(group.name, rows, hash_algorithm)


def with_previews(done: CreatorRows, pages: Sequence[Page]) -> CreatorRows:
    """Add the previews of a creator's pages to what a report shows of it: as many as its share of a report holds."""
    shown, room = list[bytes](), MOST_PREVIEW_BYTES
    for page in pages:
        room -= len(page.preview or b"")
        if page.preview is None or room < 0:
            break
        shown.append(page.preview)
    extract = replace(done.record.extract or Extract(), previews=tuple(shown))
    return replace(done, record=replace(done.record, extract=extract))


def _creator_rows(creator: str, rows: Iterable[RowLine], hash_algorithm: str) -> CreatorRows:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
    pieces: list[bytes] = []

    def written() -> Iterator[RowLine]:
        for row in rows:
            pieces.append(packer.compress(row_json(row)))
            yield row

    record = record_of_rows(creator, written(), hash_algorithm=hash_algorithm)
    return CreatorRows(record, b"".join((*pieces, packer.flush())))


def rows_by_fate(
    group: CreatorGroup, fates: Sequence[Fate], pages: Sequence[Page], course: Course, ended: Mapping[int, float]
) -> Iterator[RowLine]:
    """Give a creator's rows with their fates, in manifest order. `ended`: when a row's was known, by its line."""
    places = _places(pages)
    mode, seconds, last = course.mode.value, round(course.seconds, 3), iso_of(course.ended_at)
    for row, fate in zip(group.rows, fates, strict=True):
        at = iso_of(ended[row.line]) if row.line in ended else last
        common = (group.name, row.line, row.url)
        if isinstance(fate, UsableImage):
            number, position, page = next(places)
            yield RowLine(
                *common,
                RowOutcome.USED,
                format=fate.format,
                width=fate.width,
                height=fate.height,
                bytes=fate.size,
                fingerprint=fate.fingerprint,
                attempts=fate.attempts or None,  # an earlier try's: how it went is not known
                seconds=round(fate.seconds, 3) if fate.attempts else None,
                page=number,
                position=position,
                collage_key=page.key,
                collage_hash=page.content_hash,
                mode=mode,
                creator_seconds=seconds,
                ended_at=at,
            )
        elif fate is None:
            yield RowLine(*common, RowOutcome.NOT_NEEDED, mode=mode, creator_seconds=seconds, ended_at=last)
        else:
            is_repeat = fate.reason is ImageReason.DUPLICATE
            outcome = RowOutcome.NOT_NEEDED if is_repeat else RowOutcome.FAILED
            told = (outcome, fate.reason.value, str(fate))
            yield RowLine(*common, *told, mode=mode, creator_seconds=seconds, ended_at=at)


def rows_given_up(group: CreatorGroup, reason: CreatorReason, message: str, course: Course) -> Iterator[RowLine]:
    """Give the rows of a creator that failed as a whole."""
    mode, seconds, at = course.mode.value, round(course.seconds, 3), iso_of(course.ended_at)
    for row in group.rows:
        told = (group.name, row.line, row.url, RowOutcome.FAILED, reason.value, message)
        yield RowLine(*told, mode=mode, creator_seconds=seconds, ended_at=at)


def _places(pages: Sequence[Page]) -> Iterator[tuple[int, int, Page]]:
    for number, page in enumerate(pages, 1):
        for position in range(1, page.images + 1):
            yield number, position, page
