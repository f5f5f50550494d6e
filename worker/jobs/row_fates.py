"""The covers of one creator: the first so many usable ones in manifest order, however the downloads finish."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from worker.errors import ImageError, ImageReason
from worker.model import Row
from worker.tasks import first_failure


@dataclass(frozen=True, slots=True)
class UsableImage:
    """One usable cover: its cell's RGB pixels and what is told of it in the metadata."""

    pixels: bytes
    fingerprint: str
    """Hash of the file's bytes."""
    width: int
    height: int
    format: str
    size: int
    """Bytes of the file."""
    attempts: int
    seconds: float


Fate = UsableImage | ImageError | None
"""What became of a row; None for one that was not needed any more."""


async def gather_images(
    rows: Sequence[Row], wanted: int, obtain: Callable[[Row], Awaitable[UsableImage]], *, dedupe: bool
) -> list[Fate]:
    """Obtain covers until `wanted` are usable or the rows are used up; returns one fate for each row, in order.

    Only ever a beginning of the rows is obtained, and no more of it than is needed: a further row is begun for each
    one that failed. So the result depends on what the rows give, not on which of them is faster. A URL that stands
    twice is obtained once. With `dedupe`, a cover equal to an earlier one is an `ImageError(duplicate)`.
    """
    attempts: list[asyncio.Task[UsableImage | ImageError]] = []
    first: dict[str, int] = {}
    pending: set[asyncio.Task[UsableImage | ImageError]] = set()
    usable: set[str] = set()
    try:
        async with asyncio.TaskGroup() as group:
            for row in rows:
                while pending and len(pending) + len(usable) >= wanted:
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    usable |= {_token(task.result(), task, dedupe=dedupe) for task in done} - {""}
                if len(usable) >= wanted:
                    break
                position = first.setdefault(row.url, len(attempts))
                if position < len(attempts) and dedupe:
                    attempts.append(attempts[position])  # a repeat: nothing to obtain, nothing to promise
                    continue
                earlier = attempts[position] if position < len(attempts) else None
                task = group.create_task(_same_again(earlier) if earlier else _attempt(obtain, row))
                attempts.append(task)
                pending.add(task)
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from None
    fates: list[Fate] = [task.result() for task in attempts]
    fates += [None] * (len(rows) - len(fates))
    return _without_repeats(fates, rows) if dedupe else fates


async def _attempt(obtain: Callable[[Row], Awaitable[UsableImage]], row: Row) -> UsableImage | ImageError:
    """Obtain a cover; an image that cannot be used is a result here, so that it does not end its siblings."""
    try:
        return await obtain(row)
    except ImageError as error:
        # The error is kept until its creator is done; its traceback would keep the image's bytes as long.
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)


async def _same_again(earlier: "asyncio.Task[UsableImage | ImageError]") -> UsableImage | ImageError:
    return await earlier


def _token(found: UsableImage | ImageError, task: object, *, dedupe: bool) -> str:
    """Return what counts as one usable cover: its bytes or, where repeats are shown, each row; "" for none."""
    if isinstance(found, ImageError):
        return ""
    return found.fingerprint if dedupe else str(id(task))


def _without_repeats(fates: Sequence[Fate], rows: Sequence[Row]) -> list[Fate]:
    first_line: dict[str, int] = {}
    kept: list[Fate] = []
    urls: dict[str, int] = {}
    for fate, row in zip(fates, rows, strict=True):
        if fate is not None and row.url in urls:
            kept.append(ImageError(ImageReason.DUPLICATE, f"the same URL as line {urls[row.url]}"))
        elif isinstance(fate, UsableImage) and fate.fingerprint in first_line:
            kept.append(ImageError(ImageReason.DUPLICATE, f"the same bytes as line {first_line[fate.fingerprint]}"))
        else:
            kept.append(fate)
        urls.setdefault(row.url, row.line)
        if isinstance(fate, UsableImage):
            first_line.setdefault(fate.fingerprint, row.line)
    return kept
