"""One creator: from rows to pages, documents and a record, and what becomes of it when something fails."""

import asyncio
import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from tests.unit.fakes import (
    Clock,
    FakeDecoder,
    FakeFetcher,
    FakeLedger,
    FakeResults,
    Here,
    batch_of,
    job,
    not_found,
    outage,
)
from worker.errors import ImageError, ImageReason, JobReason, LeaseLost, Unavailable
from worker.images.collage import compose_with_preview
from worker.images.fingerprint import content_hash
from worker.jobs import creator as module
from worker.jobs.creator import CreatorWork, ImageRules
from worker.jobs.part_lines import RowLine, RowOutcome
from worker.jobs.part_plan import Part
from worker.jobs.part_work import PartWork
from worker.keys import part_key
from worker.limiter import Limiter
from worker.model import Batch, CreatorGroup, CreatorRecord, CreatorStatus, Mode, Row

RULES = ImageRules(min_side=50, keep_side=800, max_pixels=1_000_000, dedupe=True, hash_algorithm="sha256")


class Studio:
    """A creator's work with everything about it faked."""

    def __init__(
        self,
        answers: Mapping[str, bytes | BaseException] | None = None,
        undecodable: Mapping[bytes, BaseException] | None = None,
        rules: ImageRules = RULES,
        compose: Callable[..., tuple[bytes, bytes | None]] = compose_with_preview,
        **config: Any,
    ) -> None:
        self.fetcher = FakeFetcher(answers)
        self.decoder = FakeDecoder(undecodable)
        self.results = FakeResults()
        self.ledger = FakeLedger(Clock())
        self.metrics: Counter[str] = Counter()
        self.batch: Batch = batch_of(job(prefix="p/", **config))
        self.slots = Limiter(8)
        self.runs = 0
        self.work = CreatorWork(
            fetcher=self.fetcher,
            decoder=self.decoder,
            composer=Here(),
            compose=compose,
            results=self.results,
            ledger=self.ledger,
            rules=rules,
            record_metric=self.record_metric,
            clock=self.ledger.clock,
        )
        self.parts = PartWork(self.results, None, self.ledger, hash_algorithm=rules.hash_algorithm)

    def record_metric(self, name: str, value: float) -> None:
        self.metrics[name] += value  # type: ignore[assignment]
        self.metrics[f"{name} times"] += 1

    async def run(self, *urls: str, name: str = "ann", mode: Mode = Mode.NORMAL) -> CreatorRecord:
        rows = tuple(Row(line, url) for line, url in enumerate(urls, start=2))
        group = CreatorGroup(name, rows)
        done = await self.work.run(self.batch, group, mode, self.slots)
        self.runs += 1
        part = Part(part_key("p/", self.batch.id, 1, self.runs), (group,), {name: done})
        return (await self.parts.end(self.batch, part))[0]

    def picture(self, key: str) -> Image.Image:
        return Image.open(io.BytesIO(self.results.collages[key][1]), formats=("JPEG", "PNG", "WEBP"))


FIRST = "p/collages/by-creator/ann/collage_20250119_120000.jpg"


async def test_a_creator_becomes_a_collage_a_part_and_a_record() -> None:
    studio = Studio()
    record = await studio.run("a", "b", "c")
    assert record.status is CreatorStatus.COMPLETED
    assert (record.creator, record.images_processed, record.error_count, record.mode) == ("ann", 3, 0, Mode.NORMAL)
    assert record.collage_keys == (FIRST,)
    assert 0 <= record.duration < 60
    batch_id, body, images, content_type = studio.results.collages[FIRST]
    assert (batch_id, images, content_type) == (studio.batch.id, 3, "image/jpeg")
    assert record.content_hash == content_hash(body, "sha256")
    assert studio.picture(FIRST).size == (7 * 16, 16)
    assert studio.ledger.creators[studio.batch.id, "ann"] == (record, 1)


async def test_images_that_fail_are_left_out_and_counted_by_reason() -> None:
    broken = ImageError(ImageReason.TRUNCATED, "cut short")
    studio = Studio({"a": not_found("a"), "b": not_found("b"), "d": b"broken"}, {b"broken": broken})
    record = await studio.run("a", "b", "c", "d", "c")
    assert record.status is CreatorStatus.COMPLETED
    assert record.images_processed == 1
    assert record.errors == {"not_found": 2, "truncated": 1}
    assert (record.error_count, record.duplicates) == (3, 1), "a repeat is no failure"


async def test_a_creator_without_a_usable_image_is_a_failed_record_with_its_rows() -> None:
    studio = Studio({"a": not_found("a")})
    record = await studio.run("a")
    assert (record.status, record.collage_keys, record.content_hash) == (CreatorStatus.FAILED, (), None)
    assert record.errors == {"not_found": 1}
    assert studio.results.collages == {}
    assert [(row.outcome.value, row.reason) for row in studio.results.rows()] == [("failed", "not_found")]
    assert studio.ledger.finished == {"ann": 1}


async def test_the_part_tells_every_rows_fate() -> None:
    studio = Studio({"b": not_found("b")}, max_images_per_creator=2)
    record = await studio.run("a", "b", "c", "c", "d", name="ann/é")
    key = "p/collages/by-creator/ann%2F%C3%A9/collage_20250119_120000.jpg"
    used = {
        "format": "JPEG",
        "width": 300,
        "height": 400,
        "bytes": 1,
        "attempts": 1,
        "seconds": 0.25,
        "page": 1,
        "collage_key": key,
        "collage_hash": record.content_hash,
    }
    course = {"mode": "normal", "creator_seconds": round(record.duration, 3), "ended_at": "2025-01-19T12:00:00Z"}
    told = [
        {"line": 2, "url": "a", "outcome": "used", "position": 1, "fingerprint": content_hash(b"a", "sha256"), **used},
        {"line": 3, "url": "b", "outcome": "failed", "reason": "not_found", "message": "b answered 404"},
        {"line": 4, "url": "c", "outcome": "used", "position": 2, "fingerprint": content_hash(b"c", "sha256"), **used},
        {"line": 5, "url": "c", "outcome": "not_needed"},
        {"line": 6, "url": "d", "outcome": "not_needed"},
    ]
    assert studio.results.rows() == [
        RowLine(**{"creator": "ann/é", **course, **row, "outcome": RowOutcome(str(row["outcome"]))})  # type: ignore[arg-type]
        for row in told
    ]


async def test_a_repeat_is_not_needed_and_says_of_what() -> None:
    studio = Studio({"b": b"a"})
    await studio.run("a", "a", "b")
    assert [(row.outcome.value, row.reason, row.message) for row in studio.results.rows()[1:]] == [
        ("not_needed", "duplicate", "the same URL as line 2"),
        ("not_needed", "duplicate", "the same bytes as line 2"),
    ]


async def test_each_row_tells_its_place_in_the_collage() -> None:
    studio = Studio({"b": not_found("b")}, rows=1, cols=2, max_images_per_creator=9)
    keys = (await studio.run(*"abcd")).collage_keys
    assert [(row.page, row.position, row.collage_key) for row in studio.results.rows()] == [
        (1, 1, keys[0]),
        (None, None, None),
        (1, 2, keys[0]),
        (2, 1, keys[1]),
    ]


async def test_a_part_is_json_even_with_a_name_that_is_no_unicode() -> None:
    studio = Studio()
    await studio.run("a", name="x\ud800")
    assert [row.creator for row in studio.results.rows()] == ["x\ud800"]


async def test_covers_beyond_a_page_go_to_further_pages() -> None:
    studio = Studio(rows=2, cols=2, max_images_per_creator=9)
    record = await studio.run(*"abcdefghijk")
    assert record.images_processed == 9
    assert record.collage_keys == (FIRST, FIRST.replace(".jpg", "_p2.jpg"), FIRST.replace(".jpg", "_p3.jpg"))
    assert [studio.results.collages[key][2] for key in record.collage_keys] == [4, 4, 1]
    assert [studio.picture(key).size for key in record.collage_keys] == [(32, 32), (32, 32), (32, 16)]
    bodies = [studio.results.collages[key][1] for key in record.collage_keys]
    assert record.content_hash not in {content_hash(body, "sha256") for body in bodies}


async def test_covers_stand_in_manifest_order() -> None:
    studio = Studio(format="png", gutter=2, background="#102030")
    (key,) = (await studio.run("a", "b", "c")).collage_keys
    picture = studio.picture(key).convert("RGB")
    colours = [content_hash(url.encode(), "sha256")[:6] for url in "abc"]
    assert [bytes(picture.getpixel((left, 8))).hex() for left in (8, 26, 44)] == colours  # type: ignore[arg-type]
    assert picture.getpixel((17, 8)) == (0x10, 0x20, 0x30)


@pytest.mark.parametrize(
    ("asked", "extension", "content_type"),
    [("jpeg", "jpg", "image/jpeg"), ("png", "png", "image/png"), ("webp", "webp", "image/webp")],
)
async def test_the_format_decides_name_and_content_type(asked: str, extension: str, content_type: str) -> None:
    studio = Studio(format=asked)
    (key,) = (await studio.run("a")).collage_keys
    assert key.endswith(f".{extension}")
    assert studio.results.collages[key][3] == content_type
    assert studio.picture(key).format == asked.upper()


async def test_a_key_that_another_batch_has_is_left_alone_and_ours_gets_the_batchs_hash() -> None:
    studio = Studio()
    theirs = ("s3_other-00000000", b"theirs", 1, "image/jpeg")
    studio.results.collages[FIRST] = theirs
    record = await studio.run("a")
    assert record.collage_keys == (FIRST.replace(".jpg", "_1f3a9c52.jpg"),)
    assert studio.results.collages[FIRST] == theirs


async def test_deduplication_can_be_turned_off() -> None:
    studio = Studio({"b": b"a"}, rules=replace(RULES, dedupe=False))
    assert (await studio.run("a", "b", "a")).images_processed == 3
    assert studio.fetcher.asked == ["a", "b"]


async def test_cells_are_cut_by_the_settings_and_the_jobs_wishes() -> None:
    studio = Studio(background="red")
    await studio.run("a")
    (spec,) = studio.decoder.specs
    assert (spec.size, spec.background, spec.min_side, spec.max_pixels, spec.keep_side) == (
        16,
        (255, 0, 0),
        50,
        1_000_000,
        800,
    )


async def test_an_image_that_cannot_be_decoded_is_handed_to_debug_and_one_that_did_not_come_is_not() -> None:
    broken = ImageError(ImageReason.NOT_AN_IMAGE, "it is HTML")
    studio = Studio({"a": b"<html>", "b": not_found("b")}, {b"<html>": broken})
    await studio.run("a", "b", name="a/b")
    assert studio.results.debug == {f"{studio.batch.id}/a%2Fb/2.not_an_image": b"<html>"}


async def test_metrics_tell_of_images_and_creators() -> None:
    studio = Studio({"c": not_found("c"), "a": b"12345"})
    record = await studio.run("a", "b", "c")
    assert studio.metrics["ProcessingDuration"] == pytest.approx(record.duration)
    assert {name: studio.metrics[name] for name in ("ImagesProcessed", "ErrorCount", "CollagesWritten")} == {
        "ImagesProcessed": 2,
        "ErrorCount": 1,
        "CollagesWritten": 1,
    }
    assert (studio.metrics["BytesDownloaded"], studio.metrics["DownloadLatency"]) == (6, 0.5)


# --- when memory runs out -------------------------------------------------------------------------------------------


def running_out(times: int) -> tuple[Callable[..., tuple[bytes, bytes | None]], list[tuple[int, int]]]:
    """Return a composer that runs out of memory so many times, and what it was asked: (quality, cells)."""
    asked: list[tuple[int, int]] = []

    def composing(cells: Any, **options: Any) -> tuple[bytes, bytes | None]:
        asked.append((options["quality"], len(cells)))
        if len(asked) <= times:
            raise MemoryError
        return compose_with_preview(cells, **options)

    return composing, asked


@pytest.mark.parametrize(
    ("times", "mode", "asked"),
    [
        (0, Mode.NORMAL, [(95, 25)]),
        (1, Mode.SAFE, [(95, 25), (75, 20)]),
        (2, Mode.MINIMAL, [(95, 25), (75, 20), (75, 10)]),
    ],
)
async def test_when_memory_runs_out_a_creator_is_tried_more_carefully(
    times: int, mode: Mode, asked: list[tuple[int, int]]
) -> None:
    composing, found = running_out(times)
    studio = Studio(compose=composing)
    record = await studio.run(*(f"u{i}" for i in range(25)))
    assert (record.mode, record.status, found) == (mode, CreatorStatus.COMPLETED, asked)
    assert record.images_processed == asked[-1][1]
    assert {row.mode for row in studio.results.rows()} == {mode}


async def test_when_memory_runs_out_in_every_mode_the_creator_fails_and_only_it() -> None:
    composing, _ = running_out(3)
    studio = Studio(compose=composing)
    record = await studio.run("a")
    assert (record.status, record.errors, record.mode) == (CreatorStatus.FAILED, {"out_of_memory": 1}, Mode.MINIMAL)
    assert studio.ledger.finished == {"ann": 1}


async def test_a_creator_that_begins_careful_has_slots_of_its_own() -> None:
    studio = Studio()
    await studio.run("a", "b", mode=Mode.SAFE)
    assert {slots.limit for slots in studio.fetcher.slots} == {2}
    assert studio.slots not in studio.fetcher.slots
    await studio.run("a", name="bob", mode=Mode.MINIMAL)
    assert studio.fetcher.slots[-1].limit == 1
    await studio.run("a", name="cid")
    assert studio.fetcher.slots[-1] is studio.slots


async def test_a_download_that_runs_out_of_memory_counts_as_well() -> None:
    studio = Studio({"a": MemoryError()})
    assert (await studio.run("a")).errors == {"out_of_memory": 1}
    assert studio.fetcher.asked == ["a", "a", "a"]


# --- what its record shows meanwhile ----------------------------------------------------------------------------------


def first_owners(studio: Studio) -> Studio:
    studio.batch = replace(studio.batch, first=True)
    return studio


async def test_who_is_the_first_to_work_on_a_batch_writes_one_record_for_a_creator() -> None:
    studio = first_owners(Studio())
    record = await studio.run("a")
    assert [step for step in studio.ledger.journal.steps if "creator" in step] == ["finish_creator"]
    assert studio.ledger.creators[studio.batch.id, "ann"] == (record, 1)


async def test_a_creator_that_takes_long_shows_as_processing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHOWN_AFTER", 0.0)
    studio = first_owners(Studio())
    shown: list[CreatorStatus] = []

    async def hold(_url: str) -> None:
        await studio.ledger.journal.reached("begin_creator")
        shown.append(studio.ledger.creators[studio.batch.id, "ann"][0].status)

    studio.fetcher.gate = hold
    assert (await studio.run("a")).status is CreatorStatus.COMPLETED
    assert shown == [CreatorStatus.PROCESSING]


async def test_an_outage_while_a_creator_is_shown_does_it_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHOWN_AFTER", 0.0)
    studio = first_owners(Studio())
    refused = asyncio.Event()

    async def no_answer(*_: object) -> None:
        refused.set()
        raise outage("begin_creator")

    async def hold(_url: str) -> None:
        await refused.wait()

    monkeypatch.setattr(studio.ledger, "begin_creator", no_answer)
    studio.fetcher.gate = hold
    assert (await studio.run("a")).status is CreatorStatus.COMPLETED


async def test_a_creator_that_another_one_has_begun_meanwhile_is_left_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHOWN_AFTER", 0.0)
    studio = first_owners(Studio())
    studio.ledger.creators[studio.batch.id, "ann"] = CreatorRecord("ann", CreatorStatus.PROCESSING), 2

    async def for_ever(_url: str) -> None:
        await asyncio.Event().wait()

    studio.fetcher.gate = for_ever
    with pytest.raises(LeaseLost):
        await studio.run("a")


# --- when something fails -------------------------------------------------------------------------------------------


async def test_an_error_nobody_thought_of_is_a_failed_record_and_ends_nothing_else() -> None:
    studio = Studio({"a": RuntimeError("a bug")})
    record = await studio.run("a", "b")
    assert (record.status, record.errors) == (CreatorStatus.FAILED, {"internal_error": 1})
    assert [(row.url, row.reason) for row in studio.results.rows()] == [
        ("a", "internal_error"),
        ("b", "internal_error"),
    ]
    assert studio.ledger.finished == {"ann": 1}
    assert studio.metrics["ErrorCount"] == 1


@pytest.mark.parametrize("step", ["put_collage", "put_part", "finish_creator"])
async def test_an_outage_is_not_the_creators_fault(step: str) -> None:
    studio = Studio()
    store = studio.results if step.startswith("put") else studio.ledger
    store.journal.failing.append(step)
    with pytest.raises(Unavailable) as caught:
        await studio.run("a")
    assert caught.value.reason is JobReason.AWS_UNAVAILABLE
    assert studio.ledger.finished == {}
    assert (await studio.run("a")).status is CreatorStatus.COMPLETED, "another try finds nothing in its way"


async def test_an_outage_while_keeping_a_debug_copy_is_not_the_images_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    studio = Studio({}, {b"a": ImageError(ImageReason.TRUNCATED, "cut short")})

    async def no_answer(*_: object) -> None:
        raise outage("debug")

    monkeypatch.setattr(studio.results, "put_debug", no_answer)
    with pytest.raises(Unavailable):
        await studio.run("a")
