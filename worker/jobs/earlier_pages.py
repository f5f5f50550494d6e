"""Pages of a collage that an earlier try wrote before its worker ended: they stay, and what is told follows from them.

A page tells in a note which rows' images are on it. So a creator that is done once more, when its links may have
expired, comes to what lies in S3, and to no other.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from worker.errors import ImageError, ImageReason
from worker.failpoints import failpoint
from worker.images.fingerprint import content_hash
from worker.images.page_note import note_of
from worker.jobs.creator_rows import Page
from worker.jobs.ports import Results
from worker.jobs.row_fates import Fate, UsableImage
from worker.keys import batch_hash, collage_key
from worker.model import Batch, ProcessingConfig, Row

EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp"}

Obtain = Callable[[Row], Awaitable[UsableImage]]


@dataclass(slots=True)
class EarlierPages:
    """The pages that are there, and the images on them, by the place of their row in the creator's group."""

    pages: list[Page] = field(default_factory=list)
    images: dict[int, UsableImage] = field(default_factory=dict)
    is_full: bool = True
    """Whether the last page has an image in every cell: further ones may follow."""
    _spare: set[int] = field(default_factory=set)

    def obtaining(self, rows: Sequence[Row], obtain: Obtain) -> Obtain:
        """Return `obtain` for a creator with these pages: images on them are not asked for, and none comes between."""
        if not self.pages:
            return obtain
        places = {row.line: place for place, row in enumerate(rows)}
        last = max(self.images, default=-1)

        async def obtained(row: Row) -> UsableImage:
            place = places[row.line]
            if place in self.images:
                return self.images[place]
            image = await obtain(row)
            if place > last and self.is_full:
                return image
            self._spare.add(place)
            raise ImageError(ImageReason.DUPLICATE, "the page that it would be on is there without it")

        return obtained

    def settled(self, fates: Sequence[Fate]) -> list[Fate]:
        """Return the fates of the creator's rows as its pages have them."""
        return [self.images.get(place, None if place in self._spare else fate) for place, fate in enumerate(fates)]

    def new(self, fates: Sequence[Fate]) -> list[tuple[int, UsableImage]]:
        """Return the images that stand on no page yet, with their rows' places."""
        usable = ((place, fate) for place, fate in enumerate(fates) if isinstance(fate, UsableImage))
        return [(place, fate) for place, fate in usable if place not in self.images]


async def find_pages(
    results: Results, batch: Batch, creator: str, config: ProcessingConfig, hash_algorithm: str
) -> EarlierPages:
    """Look which pages of a creator's collage an earlier try of this batch wrote."""
    found = EarlierPages()
    while found.is_full:
        keys = page_keys(batch, creator, config, len(found.pages) + 1)
        there = await results.get_collage(keys, batch_id=batch.id, creator=creator)
        failpoint("creator.page_looked")
        note = note_of(there[1]) if there else None
        if there is None or note is None:
            break
        found.pages.append(Page(there[0], content_hash(there[1], hash_algorithm), len(note)))
        for image in note:
            told = (image.fingerprint, image.width, image.height, image.format, image.size)
            found.images[image.row] = UsableImage(b"", *told, attempts=0, seconds=0.0)
        found.is_full = len(note) >= config.rows * config.cols
    return found


def page_keys(batch: Batch, creator: str, config: ProcessingConfig, page: int) -> tuple[str, str]:
    """Return the keys that a page may have: the second where another batch of the same second has the first."""
    key_of = partial(
        collage_key,
        batch.job.output_prefix,
        creator,
        batch.started_at,
        page=page,
        extension=EXTENSIONS[config.format],
    )
    return key_of(), key_of(suffix=batch_hash(batch.id))
