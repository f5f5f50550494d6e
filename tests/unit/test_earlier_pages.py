"""A creator that is done once more is told by the pages that an earlier try wrote, not by what its links give now."""

import io
from dataclasses import replace
from typing import Any

from PIL import Image

from tests.unit.fakes import not_found
from tests.unit.test_creator import FIRST, Studio
from worker.images.fingerprint import content_hash
from worker.images.page_note import note_of
from worker.jobs.earlier_pages import page_keys
from worker.model import CreatorRecord, CreatorStatus

SECOND, THIRD = (FIRST.replace(".jpg", f"_p{page}.jpg") for page in (2, 3))


class Lives:
    """Two tries at one creator of the same batch: what the first wrote is there when the second begins."""

    def __init__(self, **config: Any) -> None:
        self.config = {"rows": 1, "cols": 2, "max_images_per_creator": 5, **config}
        self.first = Studio(**self.config)

    async def begun(self, *urls: str, pages: int = 9, gone: str = "") -> None:
        """Do a creator, and have its worker die when it had written so many pages."""
        self.first.fetcher.answers |= {url: not_found(url) for url in gone}
        await self.first.run(*urls)
        for key in sorted(self.first.results.collages, key=len)[pages:]:
            del self.first.results.collages[key]

    async def once_more(self, *urls: str, gone: str = "", first_owner: bool = False) -> tuple[CreatorRecord, Studio]:
        """Do the creator with another worker, when the links in `gone` have expired."""
        second = Studio({url: not_found(url) for url in gone}, **self.config)
        second.batch = replace(second.batch, first=first_owner)
        second.results.collages = dict(self.first.results.collages)
        return await second.run(*urls), second


def tells_what_is_there(record: CreatorRecord, studio: Studio) -> None:
    """Hold a record and its rows against the pages that lie in the store."""
    there = studio.results.collages
    assert set(record.collage_keys) == set(there), "no page is left over, and none is made up"
    assert record.images_processed == sum(images for _, _, images, _ in there.values())
    hashes = [content_hash(there[key][1], "sha256") for key in record.collage_keys]
    whole = hashes[0] if len(hashes) == 1 else content_hash("".join(hashes).encode(), "sha256")
    assert record.content_hash == (whole if hashes else None)
    used = [row for row in studio.results.rows() if row.collage_key]
    assert [(row.collage_key, row.collage_hash) for row in used] == [
        (key, content_hash(there[key][1], "sha256")) for key in record.collage_keys for _ in range(there[key][2])
    ]
    noted = [(image.row, image.fingerprint) for key in record.collage_keys for image in note_of(there[key][1]) or ()]
    assert [(row.line - 2, row.fingerprint) for row in used] == noted


async def test_pages_whose_links_have_expired_since_are_told_all_the_same() -> None:
    lives = Lives()
    await lives.begun(*"abcde")
    record, second = await lives.once_more(*"abcde", gone="abcde")
    assert (record.status, record.images_processed, len(record.collage_keys)) == (CreatorStatus.COMPLETED, 5, 3)
    tells_what_is_there(record, second)
    assert second.fetcher.asked == [], "nothing that is there is fetched"


async def test_what_is_known_of_an_earlier_tries_images_is_told_and_what_is_not_is_left_open() -> None:
    lives = Lives()
    await lives.begun(*"abcde")
    _, second = await lives.once_more(*"abcde", gone="abcde")
    row = second.results.rows()[0]
    assert (row.format, row.width, row.height, row.bytes) == ("JPEG", 300, 400, 1)
    assert (row.attempts, row.seconds) == (None, None)


async def test_the_pages_that_are_missing_are_made_of_the_rows_that_follow() -> None:
    lives = Lives()
    await lives.begun(*"abcdefg", pages=1)
    record, second = await lives.once_more(*"abcdefg")
    assert (record.images_processed, record.collage_keys) == (5, (FIRST, SECOND, THIRD))
    tells_what_is_there(record, second)
    assert second.fetcher.asked == ["c", "d", "e"]


async def test_a_page_that_cannot_be_made_any_more_is_not_told() -> None:
    lives = Lives()
    await lives.begun(*"abcde", pages=1)
    record, second = await lives.once_more(*"abcde", gone="abcde")
    assert (record.images_processed, record.collage_keys, record.errors) == (2, (FIRST,), {"not_found": 3})
    tells_what_is_there(record, second)


async def test_an_image_that_failed_before_and_comes_now_is_not_put_among_those_that_are_there() -> None:
    lives = Lives()
    await lives.begun(*"abcd", gone="b")
    record, second = await lives.once_more(*"abcd")
    assert (record.images_processed, record.collage_keys) == (3, (FIRST, SECOND))
    tells_what_is_there(record, second)
    assert [row.outcome.value for row in second.results.rows()] == ["used", "not_needed", "used", "used"]


async def test_the_first_owner_too_tells_what_another_one_wrote_meanwhile() -> None:
    lives = Lives()
    await lives.begun(*"abc", gone="a")
    record, second = await lives.once_more(*"abc", first_owner=True)
    assert (record.images_processed, record.collage_keys) == (2, (FIRST,))
    tells_what_is_there(record, second)


async def test_the_same_pages_once_more_are_the_same() -> None:
    lives = Lives()
    await lives.begun(*"abcde")
    record, second = await lives.once_more(*"abcde", first_owner=True)
    assert record.images_processed == 5
    tells_what_is_there(record, second)


async def test_a_page_of_an_earlier_version_tells_no_images_and_is_told_with_the_hash_it_has() -> None:
    lives = Lives()
    await lives.begun("a", "b")
    batch, body, images, kind = lives.first.results.collages[FIRST]
    file = io.BytesIO()
    with Image.open(io.BytesIO(body), formats=("JPEG",)) as page:
        page.save(file, "JPEG", comment=b"")
    lives.first.results.collages[FIRST] = (batch, file.getvalue(), images, kind)
    record, second = await lives.once_more("a", "b")
    assert record.collage_keys == (FIRST,)
    assert record.content_hash == content_hash(second.results.collages[FIRST][1], "sha256")


async def test_a_page_has_the_key_of_its_batch_or_one_with_the_batchs_hash() -> None:
    studio = Studio()
    keys = page_keys(studio.batch, "ann", studio.batch.job.config, 2)
    assert keys == (SECOND, FIRST.replace(".jpg", "_1f3a9c52_p2.jpg"))
