"""One chunk of a split batch: done once, by what the record says; what cannot be done closes what it stood for."""

import asyncio
import gzip
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.fakes import (
    Clock,
    FakeDecoder,
    FakeFetcher,
    FakeLedger,
    FakeManifests,
    FakeResults,
    FakeStore,
    Here,
    job,
)
from worker.images.collage import compose_with_preview
from worker.jobs.batch import BatchWork, Delivery
from worker.jobs.creator import ImageRules
from worker.jobs.gate import Memory, Thresholds
from worker.jobs.ports import Ports
from worker.keys import batch_id, chunk_key
from worker.model import BatchState, ChunkJob, Outcome, Retryable, Succeeded, Terminal
from worker.service.assembly import Shape, assembled

KEY = "csv-files/covers.csv"
NAMES = ["ann", "bob", "cid"]
MANIFEST = "creator,url\n" + "".join(f"{name},https://h/{name}\n" for name in NAMES)
ASKED = job(KEY, version="v1")
RULES = ImageRules(min_side=50, keep_side=800, max_pixels=1_000_000, dedupe=True, hash_algorithm="sha256")


class Sent:
    """Keeps the messages that are sent."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    async def send_many(self, bodies: list[str], *, group: str) -> None:
        self.bodies += [json.loads(body) for body in bodies]


class Town:
    """A batch of three creators, a chunk for each, and workers that come and go."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ledger = FakeLedger(self.clock)
        self.manifests = FakeManifests()
        self.manifests.objects[KEY] = MANIFEST.encode()
        self.results = FakeResults()
        self.store = FakeStore()
        self.sent = Sent()
        self.fetcher = FakeFetcher()

    def worker(self, creators: int = 1) -> BatchWork:
        ports = Ports(
            manifests=self.manifests,
            results=self.results,
            ledger=self.ledger,
            temp=self.store,
            queue=self.sent,
            fetcher=self.fetcher,
            decoder=FakeDecoder(),
            composer=Here(),
            compose=compose_with_preview,
            read_memory=lambda: Memory(10.0, None),
            record_metric=lambda _name, _value: None,
            clock=self.clock,
        )
        shape = Shape("me", 60, RULES, Thresholds(80, 90), 8, chunk_creators=creators, chunks_at_a_time=2)
        return assembled(ports, shape)

    async def plan(self, creators: int = 1) -> None:
        outcome = await self.worker(creators).run(ASKED, Delivery("m", self.clock()), asyncio.Event())
        assert outcome == Succeeded()

    async def chunk(self, number: int, *, is_last: bool = False) -> Outcome:
        delivery = Delivery(f"c{number}", self.clock(), is_last)
        return await self.worker().run(ChunkJob(self.id, number), delivery, asyncio.Event())

    @property
    def id(self) -> str:
        etag = next(iter(self.ledger.batches))
        return etag.partition(" ")[0]

    @property
    def statuses(self) -> dict[str, tuple[str, dict[str, int]]]:
        return {name: (str(r.status), dict(r.errors)) for (_, name), (r, _) in self.ledger.creators.items()}

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = self.results.document(f"results/processing-summaries/{self.id}.json")
        return found


async def test_a_batch_is_split_its_chunks_are_done_and_the_last_one_finishes_it() -> None:
    town = Town()
    await town.plan()
    assert [body["chunk"] for body in town.sent.bodies] == [1, 2, 3]
    assert town.id == batch_id(ASKED)
    for number in (2, 1, 3):
        assert await town.chunk(number) == Succeeded()
    assert town.ledger.batches[town.id].state is BatchState.COMPLETED
    assert {line["creator"] for line in town.summary()["creators"]} == set(NAMES)
    assert await town.chunk(3) == Succeeded(), "a message that comes again finds everything done"
    assert town.ledger.finished == dict.fromkeys(NAMES, 1)


async def test_chunks_are_sent_while_others_are_still_to_be_written() -> None:
    town = Town()
    await town.plan()
    steps = [step for step in town.ledger.journal.steps if step in {"note_written", "note_sent", "note_plan"}]
    assert steps == ["note_written", "note_sent", "note_written", "note_sent", "note_plan"]


@pytest.mark.parametrize("number", [4, 10_000])
async def test_a_chunk_that_was_never_planned_touches_no_batch(number: int) -> None:
    town = Town()
    await town.plan()
    before = dict(town.ledger.batches)
    outcome = await town.chunk(number)
    assert isinstance(outcome, Terminal)
    assert (outcome.reason, outcome.batch_id) == ("bad_value", town.id)
    assert town.ledger.batches == before


async def test_a_chunks_file_that_expired_is_written_again_from_the_manifest() -> None:
    town = Town()
    await town.plan()
    key = chunk_key(town.id, 2)
    expired = town.store.objects.pop(key)
    assert await town.chunk(2) == Succeeded()
    assert town.store.objects[key] == expired
    assert town.statuses["bob"] == ("completed", {})


async def test_a_chunk_whose_manifest_is_gone_too_is_closed_and_the_batch_comes_to_its_end() -> None:
    town = Town()
    await town.plan()
    town.store.objects.pop(chunk_key(town.id, 2))
    town.manifests.objects.clear()
    await town.chunk(1)
    await town.chunk(3)
    outcome = await town.chunk(2)
    assert isinstance(outcome, Terminal)
    assert outcome.reason == "chunk_missing"
    assert town.ledger.batches[town.id].state is BatchState.COMPLETED
    again = await town.chunk(2)
    assert again == outcome, "the dead letter may not have got away the first time"


async def test_an_unreadable_chunk_file_gives_the_lease_back_and_is_given_up_after_three_tries() -> None:
    town = Town()
    await town.plan()
    town.store.objects[chunk_key(town.id, 1)] = b"no gzip"
    for tried in (1, 2):
        outcome = await town.chunk(1)
        assert isinstance(outcome, Retryable)
        assert outcome.reason == "chunk_unreadable"
        record = town.ledger.batches[f"{town.id} chunk/000001"]
        assert (record.lease_expires, record.attempts) == (0.0, tried)
    outcome = await town.chunk(1)
    assert isinstance(outcome, Terminal)
    assert outcome.reason == "chunk_unreadable"
    assert town.ledger.batches[f"{town.id} chunk/000001"].state is BatchState.COMPLETED


async def test_a_chunk_that_ends_its_workers_is_given_up_with_its_creators() -> None:
    town = Town()
    await town.plan()
    unit = f"{town.id} chunk/000001"
    for _ in range(4):  # workers that took the chunk, and ended without a word
        await town.ledger.take(
            town.id, owner="dead", source_csv="covers.csv", lease_seconds=60, unit="chunk/000001", fence_above=1
        )
        town.clock.now += 61
    outcome = await town.chunk(1)
    assert isinstance(outcome, Terminal)
    assert outcome.reason == "worker_crashed"
    assert town.statuses["ann"] == ("failed", {"work_lost": 1})
    assert town.ledger.batches[unit].state is BatchState.COMPLETED


async def test_before_the_last_receive_is_used_a_fresh_copy_takes_its_place() -> None:
    town = Town()
    await town.plan()
    outcome = await town.chunk(1, is_last=True)
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.costs_attempt) == ("last_receive", False)
    record = town.ledger.batches[f"{town.id} chunk/000001"]
    assert (record.lease_expires, record.attempts) == (0.0, 0)
    assert await town.chunk(1) == Succeeded()


async def test_a_fresh_copy_keeps_the_trace_of_the_worker_that_ended() -> None:
    town = Town()
    await town.plan()
    await town.ledger.take(
        town.id, owner="dead", source_csv="covers.csv", lease_seconds=60, unit="chunk/000001", fence_above=1
    )
    town.clock.now += 61
    before = town.ledger.batches[f"{town.id} chunk/000001"]
    outcome = await town.chunk(1, is_last=True)
    assert isinstance(outcome, Retryable)
    assert town.ledger.batches[f"{town.id} chunk/000001"] == before


async def test_a_second_plan_cuts_like_the_first_whatever_the_setting_says_by_then() -> None:
    town = Town()
    await town.plan(creators=1)
    files = {key: body for key, body in town.store.objects.items() if "/chunks/" in key}
    record = town.ledger.batches[town.id]
    assert record.asked is not None
    town.store.objects.pop(chunk_key(town.id, 3))
    await town.worker(creators=2).run(ChunkJob(town.id, 3), Delivery("c3", town.clock()), asyncio.Event())
    assert {key: body for key, body in town.store.objects.items() if "/chunks/" in key} == files
    assert len(gzip.decompress(files[chunk_key(town.id, 3)]).splitlines()) == 1


async def test_a_worker_that_does_not_split_batches_does_the_chunks_of_those_that_do() -> None:
    town = Town()
    await town.plan()
    for number in (1, 2, 3):
        outcome = await town.worker(creators=0).run(
            ChunkJob(town.id, number), Delivery(f"c{number}", town.clock()), asyncio.Event()
        )
        assert outcome == Succeeded()
    assert town.ledger.batches[town.id].state is BatchState.COMPLETED


async def test_the_end_waits_for_the_index_where_the_chunks_results_have_expired() -> None:
    town = Town()
    await town.plan()
    await town.chunk(1)
    await town.chunk(2)
    for key in [key for key in town.store.objects if "/results/" in key]:
        del town.store.objects[key]
    town.ledger.not_indexed.add("ann")
    outcome = await town.chunk(3)
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.costs_attempt) == ("index_behind", False)
    town.ledger.not_indexed.clear()
    assert await town.chunk(3) == Succeeded()
    assert {line["creator"] for line in town.summary()["creators"]} == set(NAMES)


async def test_creators_whose_names_nobody_knows_any_more_are_counted_as_lost() -> None:
    town = Town()
    await town.plan()
    town.store.objects.pop(chunk_key(town.id, 2))
    town.manifests.objects.clear()
    for number in (1, 2, 3):
        await town.chunk(number)
    summary = town.summary()
    assert (summary["counts"]["creators_failed"], summary["failures_by_reason"]) == (1, {"work_lost": 1})
    assert any("1 creators are not named" in text for text in summary["warnings"])


async def test_a_failed_batch_whose_manifest_could_not_be_moved_is_cleared_up_by_the_next_message_of_it() -> None:
    town = Town()
    await town.plan()
    await town.chunk(1)
    await town.chunk(2)
    unit = town.ledger.batches[town.id]
    town.ledger.batches[town.id] = replace(unit, attempts=3)  # three workers ended at the batch's end
    town.manifests.journal.failing.append("archive")
    outcome = await town.chunk(3)
    assert isinstance(outcome, Retryable)
    assert town.ledger.batches[town.id].state is BatchState.FAILED
    await town.chunk(3)
    assert f"archived/failed/{KEY}" in town.manifests.objects
    assert KEY not in town.manifests.objects


async def test_a_batch_that_is_planned_again_with_other_settings_keeps_its_chunks() -> None:
    town = Town()
    town.ledger.journal.failing.append("note_plan")
    await town.worker(creators=1).run(ASKED, Delivery("m", town.clock()), asyncio.Event())
    before = dict(town.store.objects)
    await town.plan(creators=3)
    assert town.ledger.batches[town.id].chunks_total == 3
    assert {key: town.store.objects[key] for key in before} == before


async def test_a_manifest_that_is_dropped_again_is_not_taken_for_that_of_the_batch_that_failed() -> None:
    town = Town()
    await town.plan()
    unit = town.ledger.batches[town.id]
    town.ledger.batches[town.id] = replace(unit, state=BatchState.CANCELLED, lease_expires=town.clock() + 10)
    town.manifests.modified = town.clock() + 60
    assert await town.chunk(1) == Succeeded()
    assert KEY in town.manifests.objects
    town.manifests.modified = town.clock()
    assert await town.chunk(1) == Succeeded()
    assert KEY not in town.manifests.objects
