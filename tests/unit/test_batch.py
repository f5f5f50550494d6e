"""One batch, from its manifest to its summary: what its message comes to, and that it converges after any end."""

import asyncio
import errno
import hashlib
import json
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulation.clock import virtually
from tests.unit.fakes import (
    Clock,
    FakeDecoder,
    FakeFetcher,
    FakeLedger,
    FakeManifests,
    FakeResults,
    FakeStore,
    Here,
    Journal,
    Killed,
    job,
    not_found,
)
from worker.errors import Dependency, JobReason, LeaseLost, TerminalError, Unavailable
from worker.images.collage import compose_with_preview
from worker.jobs.batch import BatchWork, Delivery
from worker.jobs.creator import ImageRules
from worker.jobs.finish import Finisher
from worker.jobs.gate import Memory, Thresholds
from worker.jobs.leasing import RELEASE_SECONDS, Leases
from worker.jobs.outcomes import combined
from worker.jobs.part_lines import record_of_rows
from worker.jobs.ports import Ports
from worker.keys import batch_id
from worker.model import (
    Asked,
    BatchState,
    CreatorRecord,
    CreatorStatus,
    InlineManifest,
    Job,
    Outcome,
    ProcessingConfig,
    Retryable,
    Succeeded,
    Terminal,
)
from worker.service.assembly import Shape, assembled

if TYPE_CHECKING:
    from worker.jobs.summary import Tally

MANIFEST = b"creator,url\nann,https://h/a1\nbob,https://h/b1\nann,https://h/a2\ncid,https://h/gone\n,https://h/nobody\n"
KEY = "csv-files/covers.csv"
ARCHIVED = f"archived/processed/{KEY}"
FAILED = f"archived/failed/{KEY}"
LEASE = 120.0
GONE = "https://h/gone"


class Shop:
    """Everything a batch needs, faked, and workers that come and go."""

    def __init__(self, manifest: bytes | None = MANIFEST) -> None:
        self.clock = Clock()
        self.ledger = FakeLedger(self.clock)
        self.manifests = FakeManifests()
        self.results = FakeResults()
        self.store = FakeStore()
        self.fetcher = FakeFetcher({GONE: not_found(GONE)})
        self.stop = asyncio.Event()
        self.plans: list[Tally] = []
        self.done: list[CreatorRecord] = []
        if manifest is not None:
            self.manifests.objects[KEY] = manifest
        self.keep_journal(Journal())

    def keep_journal(self, journal: Journal) -> None:
        self.journal = self.ledger.journal = self.manifests.journal = self.results.journal = journal

    def worker(self, owner: str = "me", lease: float = LEASE) -> BatchWork:
        ports = Ports(
            manifests=self.manifests,
            results=self.results,
            ledger=self.ledger,
            temp=self.store,
            queue=None,
            fetcher=self.fetcher,
            decoder=FakeDecoder(),
            composer=Here(),
            compose=compose_with_preview,
            read_memory=lambda: Memory(10.0, None),
            record_metric=lambda _name, _value: None,
            clock=self.clock,
        )
        rules = ImageRules(min_side=50, keep_side=800, max_pixels=1_000_000, dedupe=True, hash_algorithm="sha256")
        shape = Shape(owner, lease, rules, Thresholds(80.0, 90.0), creators_in_flight=8)
        return assembled(ports, shape, on_plan=self.plans.append, on_creator=self.done.append)

    async def run(
        self, asked: Job | None = None, *, is_last: bool = False, message_id: str = "m1", **of_worker: Any
    ) -> Outcome:
        delivery = Delivery(message_id, self.clock(), is_last)
        return await self.worker(**of_worker).run(asked or job(KEY), delivery, self.stop)

    @property
    def batch_id(self) -> str:
        (identifier,) = self.ledger.batches
        return identifier

    @property
    def record(self) -> Any:
        return self.ledger.batches[self.batch_id]

    def summary(self) -> Any:
        return self.results.document(self.record.summary_key)

    async def somebody_began(self, asked: Job) -> None:
        """Have somebody take the batch's lease and die, so that its creators are asked after one by one."""
        self.keep_journal(Journal(kill_after=self.journal.steps.count("take") + 1))
        with pytest.raises(Killed):
            await self.run(asked, owner="somebody")
        self.keep_journal(Journal())
        self.lease_runs_out()

    def lease_runs_out(self) -> None:
        self.clock.now += LEASE + 1


async def within(seconds: float, work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(seconds):
        return await work


# --- a batch that goes well -----------------------------------------------------------------------------------------


async def test_a_batch_makes_a_collage_for_each_creator_a_summary_and_is_closed() -> None:
    shop = Shop()
    assert await shop.run() == Succeeded()
    assert sorted(shop.results.collages) == [
        "collages/by-creator/ann/collage_20250119_120000.jpg",
        "collages/by-creator/bob/collage_20250119_120000.jpg",
    ]
    assert {record.creator: record.status.value for record in shop.done} == {
        "ann": "completed",
        "bob": "completed",
        "cid": "failed",
    }
    assert shop.record.state is BatchState.COMPLETED
    assert shop.manifests.objects == {ARCHIVED: MANIFEST}
    summary = shop.summary()
    assert summary["counts"] == {
        "creators_total": 3,
        "creators_completed": 2,
        "creators_failed": 1,
        "images_processed": 3,
        "images_failed": 1,
        "collages_written": 2,
        "rows_total": 4,
        "rejects_total": 1,
    }
    assert summary["failures_by_reason"] == {"not_found": 1}
    assert summary["rejects"]["by_reason"] == {"no_creator": 1}
    assert [told["creator"] for told in summary["creators"]] == ["ann", "bob", "cid"]
    assert shop.record.counts["creators_completed"] == 2


async def test_the_summary_comes_before_the_archive_and_the_archive_before_the_end() -> None:
    shop = Shop()
    await shop.run()
    steps = [step for step in dict.fromkeys(shop.journal.steps) if step != "extend"]
    assert steps[0] == "take"
    assert steps[-4:] == ["put_summary", "note_summary", "archive", "complete"]
    assert shop.journal.steps.count("note_summary") == 1
    assert shop.journal.steps.index("put_summary") > max(
        index for index, step in enumerate(shop.journal.steps) if step == "finish_creator"
    )


async def test_a_manifest_that_a_message_named_stays_where_it_is() -> None:
    shop = Shop()
    assert await shop.run(job(KEY, from_event=False)) == Succeeded()
    assert shop.manifests.objects == {KEY: MANIFEST}


async def test_an_inline_manifest_needs_no_bucket() -> None:
    shop = Shop(manifest=None)
    inline = Job(InlineManifest(MANIFEST.decode()), "x/", ProcessingConfig(cell_size=16), from_event=False)
    assert await shop.run(inline) == Succeeded()
    assert len(shop.results.collages) == 2
    assert shop.batch_id.startswith("s3_inline-")


async def test_without_grouping_all_rows_are_one_group_named_after_the_manifest() -> None:
    shop = Shop()
    await shop.run(job(KEY, group_by_creator=False))
    assert [record.creator for record in shop.done] == ["covers"]


async def test_whoever_started_the_batch_is_told_of_the_plan_and_of_each_creator() -> None:
    shop = Shop()
    await shop.run()
    assert [(plan.creators_total, plan.rows_total) for plan in shop.plans] == [(3, 4)]
    assert len(shop.done) == 3


async def test_another_version_of_the_manifest_is_another_batch() -> None:
    shop = Shop()
    await shop.run(job(KEY, from_event=False))
    shop.manifests.objects[KEY] = MANIFEST + b"dan,https://h/d1\n"
    await shop.run(job(KEY, from_event=False))
    assert len(shop.ledger.batches) == 2


# --- a batch that is known ------------------------------------------------------------------------------------------


async def test_a_finished_batch_is_answered_from_its_record() -> None:
    shop = Shop()
    await shop.run(job(KEY, from_event=False))
    before = (dict(shop.results.collages), dict(shop.results.documents), list(shop.fetcher.asked))
    assert await shop.run(job(KEY, from_event=False), owner="you") == Succeeded()
    assert (shop.results.collages, shop.results.documents, shop.fetcher.asked) == before


async def test_a_finished_batch_that_is_notified_again_is_answered_though_its_manifest_is_gone() -> None:
    shop = Shop()
    asked = job(KEY, version="v1")
    assert await shop.run(asked) == Succeeded()
    assert KEY not in shop.manifests.objects
    assert await shop.run(asked) == Succeeded()
    assert shop.record.state is BatchState.COMPLETED


async def test_a_manifest_dropped_again_as_it_was_is_archived_again_and_nothing_is_rendered() -> None:
    shop = Shop()
    await shop.run()
    shop.manifests.objects[KEY] = MANIFEST
    asked = len(shop.fetcher.asked)
    assert await shop.run() == Succeeded()
    assert (len(shop.fetcher.asked), KEY in shop.manifests.objects) == (asked, False)


async def test_a_batch_that_another_worker_is_at_waits_at_the_cost_of_no_attempt() -> None:
    shop = Shop()
    shop.keep_journal(Journal(kill_after=3))
    with pytest.raises(Killed):
        await shop.run(owner="first")
    shop.keep_journal(Journal())
    shop.clock.now += 20
    outcome = await shop.run(owner="second")
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.costs_attempt, outcome.delay) == (JobReason.LEASE_HELD, False, 100.0)
    assert "first" in outcome.message
    shop.lease_runs_out()
    assert await shop.run(owner="second") == Succeeded()
    assert shop.record.fence == 2


# --- a batch that fails ---------------------------------------------------------------------------------------------


async def test_a_manifest_without_its_columns_fails_the_batch_and_says_why_beside_it() -> None:
    shop = Shop(b"who,what\nann,https://h/a\n")
    outcome = await shop.run()
    assert isinstance(outcome, Terminal)
    assert (outcome.reason, outcome.batch_id) == (JobReason.MANIFEST_COLUMNS, shop.batch_id)
    assert (shop.record.state, shop.record.error_code) == (BatchState.FAILED, "manifest_columns")
    assert set(shop.manifests.objects) == {FAILED, f"{FAILED}.error.json"}
    told = json.loads(shop.manifests.objects[f"{FAILED}.error.json"])
    assert told["error_code"] == "manifest_columns"
    assert told["error_message"] == outcome.message
    assert told["batch_id"] == shop.batch_id
    assert told["failed_at"] == "2025-01-19T12:00:00Z"
    assert (shop.summary()["status"], shop.summary()["creators"]) == ("failed", [])


async def test_a_batch_whose_manifest_was_replaced_before_it_was_planned_does_not_stay_running() -> None:
    shop = Shop()
    old = hashlib.sha256(MANIFEST).hexdigest()
    asked = replace(job(KEY), manifest=replace(job(KEY).manifest, etag=old))
    await shop.ledger.take(batch_id(asked), owner="dead", source_csv="covers.csv", lease_seconds=LEASE)
    shop.lease_runs_out()
    newer = MANIFEST + b"dan,https://h/d1\n"
    shop.manifests.objects[KEY] = newer
    outcome = await shop.run(asked)
    assert isinstance(outcome, Terminal)
    assert (outcome.reason, outcome.batch_id) == ("manifest_changed", batch_id(asked))
    assert await shop.run(asked) == outcome, "its dead letter may not have got away the first time"
    etag = hashlib.sha256(newer).hexdigest()
    assert await shop.run(replace(asked, manifest=replace(asked.manifest, etag=etag))) == Succeeded()
    gone, done = shop.ledger.batches.values()
    assert (gone.id, gone.state, gone.error_code) == (batch_id(asked), BatchState.FAILED, "manifest_changed")
    assert done.state is BatchState.COMPLETED


async def test_no_row_is_left_out_in_silence_however_many_a_creator_has(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {f"https://h/{number}": not_found(f"https://h/{number}") for number in range(10_500)}
    rows = "".join(f"ann,{url}\n" for url in gone)
    shop = Shop(f"creator,url\n{rows}ann,https://h/good\n".encode())
    shop.fetcher.answers.update(gone)
    assert await shop.run() == Succeeded()
    (ann,) = shop.summary()["creators"]
    assert (ann["images_processed"], ann["errors"]) == (1, {"not_found": 10_500})
    monkeypatch.setattr("worker.jobs.groups.MAX_ROWS", 3)
    shop = Shop(b"creator,url\n" + b"".join(b"ann,https://h/%d\n" % number for number in range(5)))
    assert await shop.run() == Succeeded()
    assert shop.summary()["rejects"]["by_reason"] == {"too_many_rows": 2}


async def test_a_cancelled_batch_has_a_summary_of_what_was_done_and_can_be_begun_anew() -> None:
    shop = Shop()
    await shop.run()
    record = replace(shop.record, state=BatchState.CANCELLED, summary_key=None)
    shop.ledger.batches[shop.batch_id] = record
    shop.manifests.objects = {KEY: MANIFEST}
    leases = Leases(shop.ledger, owner="cancel", seconds=LEASE, clock=shop.clock)
    finisher = Finisher(
        manifests=shop.manifests,
        results=shop.results,
        ledger=shop.ledger,
        leases=leases,
        chunk_files=None,
        clock=shop.clock,
    )
    await finisher.close_cancelled(record)
    assert shop.summary()["status"] == "cancelled"
    assert {line["creator"] for line in shop.summary()["creators"]} == {"ann", "bob", "cid"}
    assert json.loads(shop.manifests.objects[f"{FAILED}.error.json"])["error_code"] == "cancelled"
    assert FAILED in shop.manifests.objects
    shop.manifests.objects = {KEY: MANIFEST}
    shop.clock.now += 1
    assert await shop.run(message_id="m2") == Succeeded()
    assert shop.record.state is BatchState.COMPLETED


async def test_a_dropped_object_s_metadata_is_its_configuration() -> None:
    shop = Shop(b"creator,url,best\nann,https://h/a,https://h/b\n")
    shop.manifests.metadata = {"config": '{"url_column": "best", "quality": 12}'}
    assert await shop.run() == Succeeded()
    assert shop.fetcher.asked == ["https://h/b"]
    summary = json.loads(
        next(body for key, body in shop.results.documents.items() if "summaries" in key and "json" in key)
    )
    assert summary["settings"]["processing_config"]["quality"] == 12
    assert summary["source"]["url_column"] == "best"


async def test_the_same_object_with_other_settings_in_its_metadata_is_another_batch() -> None:
    shop = Shop()
    event = replace(job(KEY), manifest=replace(job(KEY).manifest, etag=hashlib.sha256(MANIFEST).hexdigest()))
    for config in ('{"quality": 12}', '{"quality": 90}'):
        shop.manifests.objects[KEY] = MANIFEST
        shop.manifests.metadata = {"config": config}
        shop.clock.now += 1
        assert await shop.run(event) == Succeeded()
        assert KEY not in shop.manifests.objects
        assert await shop.run(event) == Succeeded()  # once more
    first, second = shop.ledger.batches.values()
    assert second.id.startswith(first.id.rpartition("-")[0])
    assert {each.state for each in (first, second)} == {BatchState.COMPLETED}
    told = [shop.results.document(each.summary_key)["settings"]["processing_config"] for each in (first, second)]
    assert [each["quality"] for each in told] == [12, 90]


async def test_where_an_object_has_a_version_its_settings_are_in_no_name() -> None:
    shop = Shop()
    shop.manifests.metadata = {"config": '{"quality": 12}'}
    versioned = replace(job(KEY), manifest=replace(job(KEY).manifest, version="v1"))
    assert await shop.run(versioned) == Succeeded()
    assert shop.record.asked.digest == hashlib.sha256(f"{job(KEY).manifest.bucket}\n{KEY}\nv1".encode()).hexdigest()


async def test_a_batch_whose_object_is_dropped_anew_with_other_settings_before_it_was_planned_is_closed() -> None:
    shop = Shop()
    shop.manifests.metadata = {"config": '{"quality": 12}'}
    await shop.somebody_began(job(KEY))
    shop.manifests.metadata = {"config": '{"quality": 90}'}
    assert await shop.run() == Succeeded()
    first, second = shop.ledger.batches.values()
    assert (first.state, first.error_code) == (BatchState.FAILED, JobReason.MANIFEST_CHANGED)
    assert second.state is BatchState.COMPLETED
    assert shop.results.document(second.summary_key)["settings"]["processing_config"]["quality"] == 90
    assert KEY not in shop.manifests.objects


async def test_the_next_batch_of_an_object_waits_for_the_one_that_a_worker_is_at() -> None:
    shop = Shop()
    shop.manifests.metadata = {"config": '{"quality": 12}'}
    await shop.somebody_began(job(KEY))
    shop.clock.now -= LEASE
    shop.manifests.metadata = {"config": '{"quality": 90}'}
    waits = await shop.run()
    assert isinstance(waits, Retryable)
    assert (waits.reason, waits.costs_attempt) == (JobReason.LEASE_HELD, False)


async def test_metadata_of_an_object_that_a_message_named_says_nothing() -> None:
    shop = Shop()
    shop.manifests.metadata = {"config": '{"url_column": "nowhere"}'}
    assert await shop.run(job(KEY, from_event=False)) == Succeeded()


@pytest.mark.parametrize(
    ("config", "reason", "said"),
    [
        ('{"rows": 0}', JobReason.BAD_VALUE, "rows"),
        ('{"rowz": 3}', JobReason.UNKNOWN_KEY, "rowz"),
        ("rows=3", JobReason.BAD_JSON, "config"),
        ("[3]", JobReason.BAD_JSON, "config"),
    ],
)
async def test_metadata_that_cannot_be_obeyed_fails_the_batch_and_says_so(
    config: str, reason: JobReason, said: str
) -> None:
    shop = Shop()
    shop.manifests.metadata = {"config": config}
    outcome = await shop.run()
    assert isinstance(outcome, Terminal)
    assert outcome.reason is reason
    assert said in outcome.message
    assert "metadata config" in outcome.message
    assert set(shop.manifests.objects) == {FAILED, f"{FAILED}.error.json"}


async def test_a_failed_manifest_that_a_message_named_stays_where_it_is() -> None:
    shop = Shop(b"who,what\nann,https://h/a\n")
    assert isinstance(await shop.run(job(KEY, from_event=False)), Terminal)
    assert set(shop.manifests.objects) == {KEY}
    assert shop.record.state is BatchState.FAILED


@pytest.mark.parametrize("from_event", [True, False])
async def test_a_manifest_that_is_not_there_is_terminal_and_named(from_event: bool) -> None:
    shop = Shop(manifest=None)
    outcome = await shop.run(job(KEY, from_event=from_event))
    assert isinstance(outcome, Terminal)
    assert outcome.reason is JobReason.MANIFEST_MISSING
    assert f"s3://tiktok-image-input/{KEY}" in outcome.message
    assert shop.record.state is BatchState.FAILED


async def test_a_failed_batch_runs_again_when_its_message_is_sent_back() -> None:
    shop = Shop(b"who,what\nann,https://h/a\n")
    asked = job(KEY, from_event=False)
    assert isinstance(await shop.run(asked), Terminal)
    assert isinstance(await shop.run(asked), Terminal)
    assert shop.record.fence == 1, "a message that comes twice is answered from the record"
    assert isinstance(await shop.run(asked, message_id="m2"), Terminal)
    assert shop.record.fence == 2


async def test_a_failed_batch_whose_manifest_is_archived_fails_again_with_the_same_reason() -> None:
    """The dead letter may not have got away the first time: nothing else would make up for it."""
    shop = Shop(b"who,what\nann,https://h/a\n")
    asked = job(KEY, version="v1")
    first = await shop.run(asked)
    objects = dict(shop.manifests.objects)
    again = await shop.run(asked)
    assert isinstance(first, Terminal)
    assert isinstance(again, Terminal)
    assert (again.reason, again.message) == (first.reason, first.message)
    assert shop.manifests.objects == objects


async def test_a_message_that_cannot_be_understood_is_recorded_as_a_failed_batch() -> None:
    shop = Shop()
    identifier = await shop.worker().refuse(Delivery("m1", 0.0), TerminalError(JobReason.BAD_JSON, "it is not JSON"))
    assert identifier == shop.batch_id
    assert (shop.record.state, shop.record.error_code, shop.record.error_message) == (
        BatchState.FAILED,
        "bad_json",
        "it is not JSON",
    )


@pytest.mark.parametrize("step", ["take", "fail"])
async def test_a_message_that_cannot_be_understood_is_refused_even_when_it_cannot_be_recorded(step: str) -> None:
    shop = Shop()
    shop.keep_journal(Journal(failing=(step,)))
    assert await shop.worker().refuse(Delivery("m1", 0.0), TerminalError(JobReason.BAD_JSON, "it is not JSON"))


# --- a batch that is interrupted ------------------------------------------------------------------------------------


async def test_asked_to_stop_it_finishes_what_is_in_flight_and_hands_back_the_rest() -> None:
    shop = Shop(b"creator,url\n" + b"".join(b"c%02d,https://h/%d\n" % (n, n) for n in range(20)))

    async def stopping(_url: str) -> None:
        shop.stop.set()

    shop.fetcher.gate = stopping
    outcome = await within(5, shop.run(job(KEY, max_workers=2)))
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.costs_attempt, outcome.delay) == (JobReason.INTERRUPTED, False, 0.0)
    assert 1 <= len(shop.done) <= 2
    assert f"{len(shop.done)} of 20 creators" in outcome.message
    assert shop.record.lease_expires == 0.0, "the next worker need not wait"
    assert (shop.record.summary_key, shop.record.state) == (None, BatchState.RUNNING)

    shop.stop.clear()
    shop.fetcher.gate = None
    assert await shop.run(owner="next") == Succeeded()
    assert shop.summary()["counts"]["creators_completed"] == 20
    assert set(shop.ledger.finished.values()) == {1}
    assert len(shop.fetcher.asked) == 20, "what was done is found done"


async def test_asked_to_stop_while_the_last_creators_are_in_flight_it_finishes_the_batch() -> None:
    shop = Shop()

    async def stopping(url: str) -> None:
        if url == GONE:
            shop.stop.set()

    shop.fetcher.gate = stopping
    assert await within(5, shop.run()) == Succeeded()


async def test_a_cancelled_run_gives_the_lease_back() -> None:
    shop = Shop()
    begun = asyncio.Event()

    async def hang(_url: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    shop.fetcher.gate = hang
    work = asyncio.create_task(shop.run())
    await within(5, begun.wait())
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert shop.record.lease_expires == 0.0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    shop.fetcher.gate = None
    assert await shop.run(owner="next") == Succeeded()


@virtually
async def test_a_cancelled_run_ends_though_the_lease_cannot_be_given_back() -> None:
    shop = Shop()
    begun = asyncio.Event()

    async def hang(_what: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    shop.fetcher.gate = hang
    shop.ledger.release = hang  # type: ignore[method-assign, assignment]
    work = asyncio.create_task(shop.run())
    await within(5, begun.wait())
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(RELEASE_SECONDS + 1, work)


# --- the lease ------------------------------------------------------------------------------------------------------


def gate_of(shop: Shop) -> tuple[asyncio.Event, Callable[[str], Awaitable[object]]]:
    """Hold downloads until the event is set."""
    open_now = asyncio.Event()

    async def hold(_url: str) -> None:
        await open_now.wait()

    shop.fetcher.gate = hold
    return open_now, hold


@virtually
async def test_the_lease_is_extended_while_the_work_goes_on_and_progress_with_it() -> None:
    shop = Shop()
    open_now, _ = gate_of(shop)
    extended = asyncio.Event()
    extend = shop.ledger.extend

    async def extending(*args: Any, **options: Any) -> None:
        await extend(*args, **options)
        if options["counts"]["creators_total"]:  # the first may come before the plan is made
            extended.set()

    shop.ledger.extend = extending  # type: ignore[method-assign]
    work = asyncio.create_task(shop.run(lease=60))
    await within(60, extended.wait())
    assert shop.record.counts["creators_total"] == 3
    open_now.set()
    assert await within(5, work) == Succeeded()


@virtually
async def test_losing_the_lease_ends_the_work_at_once_and_writes_nothing_more() -> None:
    shop = Shop()
    open_now, hold = gate_of(shop)
    asked = asyncio.Event()

    async def note_and_hold(url: str) -> None:
        asked.set()
        await hold(url)

    shop.fetcher.gate = note_and_hold
    work = asyncio.create_task(shop.run(lease=60))
    await within(5, asked.wait())
    shop.lease_runs_out()
    taken, _ = await shop.ledger.take(shop.batch_id, owner="thief", source_csv="covers.csv", lease_seconds=LEASE)
    refused = 0
    extend = shop.ledger.extend

    async def extending(*args: Any, **options: Any) -> None:
        nonlocal refused
        refused += 1
        await extend(*args, **options)

    shop.ledger.extend = extending  # type: ignore[method-assign]
    outcome = await within(60, work)  # by then an extension is due; the lease as the worker knows it is not over
    assert refused == 1, "a lease that is lost is not asked for again"
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.costs_attempt) == (JobReason.LEASE_LOST, False)
    assert outcome.delay > 0
    assert shop.record == taken, "the new owner's lease is not touched"
    assert (shop.results.collages, shop.results.documents, shop.done) == ({}, {}, [])
    assert asyncio.all_tasks() == {asyncio.current_task()}
    open_now.set()


@virtually
async def test_a_lease_that_cannot_be_extended_until_it_ends_counts_as_lost() -> None:
    shop = Shop()
    gate_of(shop)

    async def no_answer(*_: object, **__: object) -> None:
        raise Unavailable(Dependency.S3, JobReason.AWS_UNAVAILABLE, "no answer")

    shop.ledger.extend = no_answer  # type: ignore[method-assign]
    outcome = await within(60, shop.run(lease=60))
    assert isinstance(outcome, Retryable)
    assert outcome.reason is JobReason.LEASE_LOST


@virtually
async def test_an_extension_that_fails_once_is_tried_again() -> None:
    shop = Shop()
    open_now, _ = gate_of(shop)
    shop.keep_journal(Journal(failing=("extend",)))
    work = asyncio.create_task(shop.run(lease=60))
    await shop.journal.reached("extend")
    open_now.set()
    assert await within(5, work) == Succeeded()


async def test_a_creator_that_was_taken_over_hands_the_batch_to_its_new_owner() -> None:
    shop = Shop()
    await shop.somebody_began(job(KEY))
    begin = shop.ledger.begin_creator

    async def taken_over(batch: Any, creator: str) -> Any:
        if creator == "bob":
            raise LeaseLost(JobReason.LEASE_LOST, "taken over")
        return await begin(batch, creator)

    shop.ledger.begin_creator = taken_over  # type: ignore[method-assign]
    outcome = await shop.run()
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.costs_attempt) == (JobReason.LEASE_LOST, False)


# --- whatever happens, the next try ends well -----------------------------------------------------------------------


def is_as_after_an_undisturbed_run(shop: Shop) -> None:
    """Check that nothing is lost, nothing is there twice, and nothing is left to be mended by hand."""
    assert shop.record.state is BatchState.COMPLETED
    assert shop.manifests.objects == {ARCHIVED: MANIFEST}
    assert len(shop.results.collages) == 2
    assert shop.ledger.finished == {"ann": 1, "bob": 1, "cid": 1}
    assert {record.status for record, _ in shop.ledger.creators.values()} == {
        CreatorStatus.COMPLETED,
        CreatorStatus.FAILED,
    }
    assert shop.summary()["counts"]["creators_completed"] == 2
    assert shop.summary()["counts"]["images_processed"] == 3
    rows = shop.results.rows()
    assert sorted(row.line for row in rows) == [2, 3, 4, 5], "each row once"
    for (_, name), (record, _) in shop.ledger.creators.items():
        told = [row for row in rows if row.creator == name]
        assert record == record_of_rows(name, told, hash_algorithm="sha256", part_key=record.part_key)


async def steps_of_a_run(manifest: bytes = MANIFEST) -> list[str]:
    shop = Shop(manifest)
    await shop.run(job(KEY, version="v1", max_workers=1))
    return shop.journal.steps


async def test_killed_after_any_step_the_next_worker_brings_the_batch_to_the_same_end() -> None:
    total = len(await steps_of_a_run())
    assert total > 12
    for killed_after in range(1, total + 1):
        shop = Shop()
        asked = job(KEY, version="v1", max_workers=1)
        shop.keep_journal(Journal(kill_after=killed_after))
        with pytest.raises(Killed):
            await shop.run(asked, owner="first")
        shop.keep_journal(Journal())
        shop.lease_runs_out()
        shop.clock.now += 3_600
        assert await shop.run(asked, owner="second") == Succeeded(), killed_after
        is_as_after_an_undisturbed_run(shop)
        assert all("20250119_120000" in key for key in shop.results.collages), "named after the first start"


async def test_killed_after_any_step_of_failing_the_next_worker_fails_it_for_the_same_reason() -> None:
    bad = b"who,what\nann,https://h/a\n"
    asked = job(KEY, version="v1")
    steps = await steps_of_a_run(bad)
    assert {"put_error", "archive", "fail"} <= set(steps)
    for killed_after in range(1, len(steps) + 1):
        shop = Shop(bad)
        shop.keep_journal(Journal(kill_after=killed_after))
        with pytest.raises(Killed):
            await shop.run(asked, owner="first")
        shop.keep_journal(Journal())
        shop.lease_runs_out()
        outcome = await shop.run(asked, owner="second")
        assert isinstance(outcome, Terminal), steps[:killed_after]
        assert outcome.reason is JobReason.MANIFEST_COLUMNS, steps[:killed_after]
        assert set(shop.manifests.objects) == {FAILED, f"{FAILED}.error.json"}
        assert json.loads(shop.manifests.objects[f"{FAILED}.error.json"])["error_code"] == "manifest_columns"
        assert shop.record.error_code == "manifest_columns"


@pytest.mark.parametrize(
    "step",
    [
        "head",
        "take",
        "download",
        "begin_creator",
        "put_collage",
        "put_part",
        "put_creators",
        "finish_creator",
        "put_summary",
        "note_summary",
        "archive",
        "complete",
    ],
)
async def test_an_outage_at_any_step_gives_the_message_back_and_the_next_try_ends_well(step: str) -> None:
    shop = Shop()
    if step == "begin_creator":
        await shop.somebody_began(job(KEY, version="v1"))
    shop.keep_journal(Journal(failing=(step,)))
    outcome = await shop.run(job(KEY, version="v1"))
    assert isinstance(outcome, Retryable), step
    assert (outcome.reason, outcome.costs_attempt) == (JobReason.AWS_UNAVAILABLE, False)
    if shop.ledger.batches:
        assert shop.record.lease_expires == 0.0, "the lease is given back"
    assert await shop.run(job(KEY, version="v1"), owner="next") == Succeeded()
    is_as_after_an_undisturbed_run(shop)


async def test_an_outage_while_the_lease_is_given_back_changes_nothing() -> None:
    shop = Shop()
    shop.keep_journal(Journal(failing=("put_summary", "release")))
    outcome = await shop.run()
    assert isinstance(outcome, Retryable)
    assert outcome.reason is JobReason.AWS_UNAVAILABLE


async def test_an_error_nobody_thought_of_gives_the_message_back_and_the_lease_too() -> None:
    shop = Shop()

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    shop.results.put_document = broken  # type: ignore[method-assign]
    outcome = await shop.run()
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.message, outcome.costs_attempt) == (
        JobReason.INTERNAL_ERROR,
        "RuntimeError: a bug",
        True,
    )
    assert shop.record.lease_expires == 0.0


def test_a_message_with_several_batches_is_retried_if_any_must_be_and_else_failed_if_any_did() -> None:
    good, bad = Succeeded(), Terminal(JobReason.MANIFEST_EMPTY, "empty", "b1")
    again = Retryable(JobReason.LEASE_HELD, "held", costs_attempt=False)
    assert combined([]) == good
    assert combined([good, good]) == good
    assert combined([good, bad, good]) == bad
    assert combined([bad, again, good]) == again


# --- faults of the world, and single creators' ----------------------------------------------------------------------


async def test_a_record_that_is_too_large_fails_its_creator_and_no_other() -> None:
    shop = Shop()
    shop.ledger.too_large.add("ann")
    assert await shop.run() == Succeeded()
    told = {line["creator"]: (line["status"], line["errors"]) for line in shop.summary()["creators"]}
    assert told["ann"] == ("failed", {"record_too_large": 1})
    assert told["bob"] == ("completed", {})
    assert shop.record.state is BatchState.COMPLETED


@pytest.mark.parametrize("from_event", [True, False])
async def test_a_manifest_that_may_not_be_looked_at_has_a_record_that_says_why(from_event: bool) -> None:
    shop = Shop()
    shop.manifests.refusal = TerminalError(JobReason.MANIFEST_ARCHIVED, "it is in Glacier")
    outcome = await shop.run(job(KEY, from_event=from_event))
    assert outcome == Terminal(JobReason.MANIFEST_ARCHIVED, "it is in Glacier", shop.batch_id)
    assert (shop.record.state, shop.record.error_code) == (BatchState.FAILED, "manifest_archived")
    assert (f"{FAILED}.error.json" in shop.manifests.objects) is from_event


async def test_an_outage_while_a_failure_is_written_costs_no_attempt_and_hides_no_reason() -> None:
    shop = Shop(b"this,that\n1,2\n")
    for _ in range(4):
        shop.keep_journal(Journal(failing=("put_error",)))
        outcome = await shop.run()
        assert isinstance(outcome, Retryable)
        assert not outcome.costs_attempt
        assert (shop.record.lease_expires, shop.record.attempts) == (0.0, 0)
    outcome = await shop.run()
    assert isinstance(outcome, Terminal)
    assert outcome.reason is JobReason.MANIFEST_COLUMNS


async def test_a_disk_that_is_full_when_the_summary_is_written_costs_no_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop()
    real = tempfile.TemporaryFile

    def full(*, prefix: str) -> Any:
        if prefix.startswith("summary"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(prefix=prefix)

    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "TemporaryFile", full)
        outcome = await shop.run()
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.costs_attempt, outcome.refused_by) == ("disk_full", False, Dependency.DISK)
    assert shop.record.attempts == 0
    assert await shop.run() == Succeeded()


async def test_a_batch_whose_eight_digits_another_has_gets_an_id_with_more_of_them() -> None:
    shop = Shop()
    asked = job(KEY, from_event=False)
    other = Asked("0" * 64, "{}")
    name = batch_id(replace(asked, manifest=replace(asked.manifest, etag=hashlib.sha256(MANIFEST).hexdigest())))
    await shop.ledger.take(name, owner="other", source_csv="covers.csv", lease_seconds=LEASE, asked=other)
    assert await shop.run(asked) == Succeeded()
    (taken, theirs), (longer, ours) = shop.ledger.batches.items()
    assert (taken, theirs.state) == (name, BatchState.RUNNING)
    assert longer.startswith(name)
    assert (len(longer), ours.state) == (len(name) + 24, BatchState.COMPLETED)
