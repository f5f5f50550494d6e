"""What is asked of the worker while it is killed, and what must have come of it in the end."""

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.integration.pictures import SMALL, Origin, manifest, token
from tests.integration.places import Place
from tests.integration.waiting import until
from worker import keys
from worker.aws.table import to_item
from worker.jobs.chunk_files import written_spec
from worker.jobs.part_lines import RowLine, RowOutcome, packed, read_row, record_of_rows, row_json, unpacked
from worker.model import Job, ProcessingConfig, S3Manifest

VISIBILITY = 4

Expected = Mapping[str, tuple[str, int, dict[str, int]]]
"""What becomes of each creator: status, images, errors."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One batch that was asked for: the manifest's key, and the creators it has."""

    key: str
    rows: str
    creators: Expected


@dataclass(frozen=True, slots=True)
class Scenario:
    """A way through the worker.

    `points` are the failpoints that are tried on it; together the scenarios' are all there are. `later` is done once
    the first worker runs. `armed` are failpoints that belong to the way itself.
    """

    name: str
    told: str
    ask: Callable[[Place, Origin], Asked]
    check: Callable[[Place, Asked], None]
    points: tuple[str, ...]
    env: Mapping[str, object] = field(default_factory=dict)
    later: Callable[[Place, Asked], None] | None = None
    armed: str = ""
    killers: int = 0
    """Workers that end by `armed` before the case begins."""
    quick: bool = False


# --- what goes in ---------------------------------------------------------------------------------------------------


def _rows(origin: Origin, tag: str, more: int = 0) -> tuple[str, Expected]:
    """Return a manifest with a whole creator, one with a broken image, one without any, and `more` plain ones."""
    rows = [
        ("ann", origin.photo(SMALL[0], tag)),
        ("ann", origin.photo(SMALL[1], tag)),
        ("ben", f"{origin.base}/truncated/{SMALL[1]}?{tag}"),
        ("ben", origin.photo(SMALL[0], tag)),
        ("cyd", f"{origin.base}/status/404?{tag}"),
    ]
    expected: dict[str, tuple[str, int, dict[str, int]]] = {
        "ann": ("completed", 2, {}),
        "ben": ("completed", 1, {"truncated": 1}),
        "cyd": ("failed", 0, {"not_found": 1}),
    }
    for number in range(more):
        rows.append((f"dan{number}", origin.photo(SMALL[0], f"{tag}-{number}")))
        expected[f"dan{number}"] = ("completed", 1, {})
    return manifest(rows), expected


def _drop(place: Place, origin: Origin, more: int = 0) -> Asked:
    tag = token()
    rows, expected = _rows(origin, tag, more)
    key = f"csv-files/{tag}.csv"
    place.put(key, rows)
    return Asked(key, rows, expected)


def _inline(place: Place, origin: Origin) -> Asked:
    return _drop(place, origin)


def _split(place: Place, origin: Origin) -> Asked:
    return _drop(place, origin, more=2)


def _empty(place: Place, _origin: Origin) -> Asked:
    key = f"csv-files/{token()}.csv"
    place.put(key, "creator_name,cover_url\n")
    return Asked(key, "", {})


def _poison(place: Place, _origin: Origin) -> Asked:
    return Asked("", place.send("this is no JSON"), {})


def _twice(place: Place, origin: Origin) -> Asked:
    """Send the same job twice; it takes long enough for both to be received at once."""
    tag = token()
    rows = manifest([("ann", f"{origin.base}/slow/1500/{SMALL[0]}?{tag}")])
    body = place.send_job(rows, tag)
    place.send(body)
    return Asked(f"manual-uploads/{tag}.csv", rows, {"ann": ("completed", 1, {})})


def _one_that_takes_long(place: Place, origin: Origin) -> Asked:
    tag = token()
    rows = manifest([("ann", f"{origin.base}/slow/3000/{SMALL[0]}?{tag}")])
    place.send_job(rows, tag)
    return Asked(f"manual-uploads/{tag}.csv", rows, {"ann": ("completed", 1, {})})


def _begun_before(place: Place, origin: Origin) -> Asked:
    """Drop a manifest whose batch somebody has taken, and died."""
    asked = _drop(place, origin)
    head = place.head(asked.key, place.input)
    seen = S3Manifest(place.input, asked.key, head.get("VersionId"), head["ETag"].strip('"'))
    job = Job(seen, "", ProcessingConfig(), from_event=True)
    taken = {
        "creator_name": f" batch {keys.batch_id(job)}",
        "processing_date": "batch",
        "state": "running",
        "started_at": "2025-01-19T12:00:00Z",
        "lease_owner": "somebody",
        "lease_expires": 0,
        "fence": 1,
        "takes": 1,
        "attempts": 0,
        "digest": keys.batch_digest(job),
        "header": written_spec(keys.batch_id(job), job, "m", asked.key.rpartition("/")[2]),
        "chunk_creators": 50,
        "chunk_rows": 2_000,
        "source_csv": asked.key.rpartition("/")[2],
    }
    place.aws.dynamodb.put_item(TableName=place.table, Item=to_item(taken))
    return asked


def _done_by_an_earlier_version(place: Place, origin: Origin) -> Asked:
    """Drop a manifest whose batch somebody has taken who recorded a creator, wrote its document, and died."""
    asked = _begun_before(place, origin)
    (batch_id,) = whole_batches(place)
    rows = [(line, row.split(",")) for line, row in enumerate(asked.rows.splitlines(), start=1)]
    images = [
        {"line": line, "url": url, "outcome": "failed", "reason": "not_found", "message": "it is gone"}
        for line, (name, url) in rows
        if name == "cyd"
    ]
    document = {"creator": "cyd", "batch_id": batch_id, "status": "failed", "mode": "normal", "collages": []}
    place.aws.s3.put_object(
        Bucket=place.output,
        Key=keys.metadata_key("", batch_id, "cyd"),
        Body=json.dumps(document | {"images": images}).encode(),
    )
    record = {
        "creator_name": "cyd",
        "processing_date": "2025-01-19T12:00:00Z",
        "batch_id": batch_id,
        "status": "failed",
        "images_processed": 0,
        "processing_duration": 0.5,
        "error_count": 1,
        "errors": {"not_found": 1},
        "updated_at": "2025-01-19T12:00:01Z",
        "metadata": {"source_csv": "rows.csv", "message_id": "m", "mode": "normal"},
        "fence": 1,
        "ttl": 2_000_000_000,
    }
    place.aws.dynamodb.put_item(TableName=place.table, Item=to_item(record))
    return asked


def _put_the_part(place: Place, asked: Asked) -> None:
    """Put the part of a batch with one creator while that is being done, as a worker that woke up late would."""
    batch_id = until(lambda: next(iter(whole_batches(place)), None), "the batch", within=60)
    row = RowLine("ann", 2, asked.rows.splitlines()[1].split(",")[1], RowOutcome.FAILED, "expired", "it was over")
    place.aws.s3.put_object(
        Bucket=place.output, Key=keys.part_key("", batch_id, 1, 1), Body=packed([row_json(row)]), IfNoneMatch="*"
    )


def _replaced(place: Place, origin: Origin) -> Asked:
    """Drop a manifest whose batch somebody has taken, and died; then drop another one under its name."""
    asked = _begun_before(place, origin)
    rows, creators = _rows(origin, token())
    place.put(asked.key, rows)
    return Asked(asked.key, rows, creators)


def _slow(place: Place, origin: Origin) -> Asked:
    """Drop five creators whose first chunk takes so long that something can be taken away meanwhile."""
    tag = token()
    rows = [("ann", f"{origin.base}/slow/{wait}/{SMALL[0]}?{tag}") for wait in (2500,)]
    rows += [(name, origin.photo(SMALL[0], f"{tag}-{name}")) for name in ("ben", "cyd", "dan", "eve")]
    key = f"csv-files/{tag}.csv"
    text = manifest(rows)
    place.put(key, text)
    return Asked(key, text, {name: ("completed", 1, {}) for name, _ in rows})


def _two(place: Place, origin: Origin) -> Asked:
    """Drop two creators."""
    tag = token()
    text = manifest([(name, origin.photo(SMALL[0], f"{tag}-{name}")) for name in ("ann", "ben")])
    key = f"csv-files/{tag}.csv"
    place.put(key, text)
    return Asked(key, text, {name: ("failed", 0, {"work_lost": 1}) for name in ("ann", "ben")})


def _lose_the_second_chunk(place: Place, _asked: Asked) -> None:
    _lose(place, "/chunks/000002")


def _lose_the_first_result(place: Place, _asked: Asked) -> None:
    _lose(place, "/results/000001")


def _lose(place: Place, kind: str) -> None:
    """Take a file of the temp bucket away as soon as it is there, as its expiry would."""

    def look() -> list[str]:
        return [key for key in place.listed(place.settings.temp_bucket) if kind in key]

    (key,) = until(look, f"a file {kind}", within=60)
    place.aws.s3.delete_object(Bucket=place.settings.temp_bucket, Key=key)


def _once_more(place: Place, asked: Asked) -> None:
    """Notify the same object twice again when its batch is done: once it is there again, once it is not."""
    until(lambda: place.waiting() == 0 and _state(place, asked) == "completed", "the batch's end", within=60)
    etag = place.put(asked.key, asked.rows)
    object_ = {"key": asked.key, "eTag": etag}
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}
    place.send({"Records": [record | {"s3": {"bucket": {"name": place.input}, "object": object_}}]})


# --- what comes out -------------------------------------------------------------------------------------------------


def _state(place: Place, asked: Asked) -> str:
    batches = place.batches(asked.key.rpartition("/")[2].removesuffix(".csv"))
    return next((item.get("state", "") for item in batches.values() if item["processing_date"] == "batch"), "")


def whole_batches(place: Place) -> dict[str, dict[str, Any]]:
    """Return the batches' own records, without those of chunks."""
    return {
        item["creator_name"].removeprefix(" batch "): item
        for item in place.items()
        if item["creator_name"].startswith(" batch ") and item["processing_date"] == "batch"
    }


def completed(place: Place, asked: Asked) -> None:
    """Hold a batch that had to complete against everything that can be seen of it."""
    ((batch_id, batch),) = whole_batches(place).items()
    assert batch["state"] == "completed"
    assert batch.get("chunks_done", 0) == batch.get("chunks_total", 0)
    chunks = [item for item in place.items() if item["processing_date"].startswith("chunk/")]
    assert {item["state"] for item in chunks} <= {"completed"}
    assert len(chunks) == batch.get("chunks_total", 0)
    records_are_right(place, batch_id, asked)
    counts_are_right(place, batch_id, batch, asked)
    manifest_is_where_it_belongs(place, asked)
    nothing_was_overwritten(place)
    assert (place.waiting(), place.dead_count()) == (0, 0), "messages are left"


def versions_kept(place: Place) -> None:
    """Have the output bucket keep every version, so that an overwritten collage can be told."""
    place.aws.s3.put_bucket_versioning(Bucket=place.output, VersioningConfiguration={"Status": "Enabled"})


def nothing_was_overwritten(place: Place) -> None:
    """Each collage was written once."""
    pages = place.aws.s3.get_paginator("list_object_versions").paginate(Bucket=place.output, Prefix="collages/")
    versions = Counter(found["Key"] for page in pages for found in page.get("Versions", []))
    assert {key: count for key, count in versions.items() if count > 1} == {}


def records_are_right(place: Place, batch_id: str, asked: Asked) -> None:
    """Each creator has one record, one page with its batch in it where it is completed, and rows in a part; no more."""
    records = place.records(batch_id)
    found = {
        name: (item["status"], int(item["images_processed"]), {k: int(v) for k, v in item["errors"].items()})
        for name, item in records.items()
    }
    assert found == asked.creators
    collages = {item["collage_s3_key"] for item in records.values() if item["status"] == "completed"}
    parts = {item["part_s3_key"] for item in records.values() if "part_s3_key" in item}
    earlier = {keys.metadata_key("", batch_id, name) for name, item in records.items() if "part_s3_key" not in item}
    documents = parts | earlier | {f"results/metadata/{batch_id}/creators.jsonl.gz"}
    documents |= {f"results/processing-summaries/{batch_id}.{kind}" for kind in ("json", "html")}
    assert set(place.listed()) == collages | documents
    rows_are_right(place, batch_id, parts, records)
    for name, item in records.items():
        if item["status"] == "completed":
            told = place.head(item["collage_s3_key"])["Metadata"]
            assert (told["batch-id"], told["creator"]) == (batch_id, name)


def rows_are_right(place: Place, batch_id: str, parts: set[str], records: Mapping[str, Any]) -> None:
    """Each row stands in the data set once, and each record says what follows from its part."""
    rows = {key: [read_row(line) for line in unpacked(io.BytesIO(place.read(key)))] for key in parts}
    lines = Counter(row.line for found in rows.values() for row in found)
    assert max(lines.values()) == 1, f"batch {batch_id} tells a row twice: {lines}"
    assert len(lines) == place.summary(batch_id)["counts"]["rows_total"]
    for name, item in records.items():
        own = [row for found in rows.values() for row in found if row.creator == name]
        told = record_of_rows(name, own, hash_algorithm="sha256")
        assert (told.status, told.images_processed, dict(told.errors), told.content_hash) == (
            item["status"],
            int(item["images_processed"]),
            {reason: int(count) for reason, count in item["errors"].items()},
            item.get("content_hash"),
        )


def counts_are_right(place: Place, batch_id: str, batch: Mapping[str, Any], asked: Asked) -> None:
    """Summary and record agree, and count each creator once."""
    summary = place.summary(batch_id)
    done = [name for name, (status, _, _) in asked.creators.items() if status == "completed"]
    assert {line["creator"]: line["status"] for line in summary["creators"]} == {
        name: status for name, (status, _, _) in asked.creators.items()
    }
    assert len(summary["creators"]) == len(asked.creators)
    assert len(summary["collages"]) == len(set(summary["collages"])) == len(done)
    expected = {
        "creators_total": len(asked.creators),
        "creators_completed": len(done),
        "creators_failed": len(asked.creators) - len(done),
        "images_processed": sum(images for _, images, _ in asked.creators.values()),
        "collages_written": len(done),
    }
    assert {name: summary["counts"][name] for name in expected} == expected
    sums = {name: int(batch.get(f"n_{name}", batch["counts"].get(name))) for name in expected}
    assert sums == expected


def manifest_is_where_it_belongs(place: Place, asked: Asked) -> None:
    """A dropped manifest is archived, once; one that a job named stays."""
    archived = asked.key.startswith("csv-files/")
    assert place.listed(place.input) == [f"archived/processed/{asked.key}" if archived else asked.key]


def failed(place: Place, asked: Asked) -> None:
    """The batch failed, and left nothing in the output bucket but what tells so."""
    _failed_with("manifest_empty", place, asked)
    tells_so = ("results/processing-summaries/", "results/metadata/")
    assert all(key.startswith(tells_so) for key in place.listed()), place.listed()
    assert not any("/part-" in key for key in place.listed()), "nothing was done"


def completed_or_given_up(place: Place, asked: Asked) -> None:
    """Creators that were on trial when their workers were killed may have been given up; the rest is done."""
    ((batch_id, batch),) = whole_batches(place).items()
    assert batch["state"] == "completed"
    records = place.records(batch_id)
    assert set(records) == set(asked.creators)
    for name, item in records.items():
        found = (item["status"], int(item["images_processed"]), {k: int(v) for k, v in item["errors"].items()})
        assert found in (asked.creators[name], ("failed", 0, {"worker_crashed": 1})), name
    nothing_was_overwritten(place)
    assert (place.waiting(), place.dead_count()) == (0, 0), "messages are left"


def completed_or_crashed(place: Place, asked: Asked) -> None:
    """Where three workers ended one after the other without progress, the batch is given up, as it is promised."""
    ((batch_id, batch),) = whole_batches(place).items()
    if batch["state"] != "failed":
        completed(place, asked)
        return
    assert batch["error_code"] == "worker_crashed"
    _dead_at_least_once(place, "worker_crashed", batch_id)


def work_lost(place: Place, asked: Asked) -> None:
    """Chunks that could not be done have their creators recorded as failed, and a dead letter each; the batch ends."""
    ((batch_id, batch),) = whole_batches(place).items()
    assert (batch["state"], batch["chunks_done"]) == ("completed", batch["chunks_total"])
    found = {name: (item["status"], 0, dict(item["errors"])) for name, item in place.records(batch_id).items()}
    assert found == asked.creators
    assert {line["creator"] for line in place.summary(batch_id)["creators"]} == set(asked.creators)
    _dead_at_least_once(place, "worker_crashed", batch_id, most=6)


def told_by_another(place: Place, asked: Asked) -> None:
    """The one creator's record says what the part says that was there first, and not what its worker came to."""
    (record,) = place.records(next(iter(whole_batches(place)))).values()
    assert (record["status"], record["errors"]) == ("failed", {"expired": 1})
    ((batch_id, batch),) = whole_batches(place).items()
    assert batch["state"] == "completed"
    rows_are_right(place, batch_id, {record["part_s3_key"]}, {"ann": record})
    assert (place.waiting(), place.dead_count()) == (0, 0), "messages are left"


def replaced(place: Place, asked: Asked) -> None:
    """The batch of the upload that is gone failed and says so; the newer one is completed."""
    batches = whole_batches(place)
    states = {item["state"]: (batch_id, item) for batch_id, item in batches.items()}
    assert set(states) == {"completed", "failed"}
    assert states["failed"][1]["error_code"] == "manifest_changed"
    records_are_right_but_for_others(place, states["completed"][0], asked)
    _dead_at_least_once(place, "manifest_changed", states["failed"][0])


def records_are_right_but_for_others(place: Place, batch_id: str, asked: Asked) -> None:
    """Each creator has its record."""
    found = {
        name: (item["status"], int(item["images_processed"]), {k: int(v) for k, v in item["errors"].items()})
        for name, item in place.records(batch_id).items()
    }
    assert found == asked.creators


def refused(place: Place, asked: Asked) -> None:
    """The message is in the dead-letter queue with its reason, which the record tells, too."""
    ((batch_id, batch),) = whole_batches(place).items()
    assert (batch["state"], batch["error_code"]) == ("failed", "bad_json")
    _dead_at_least_once(place, "bad_json", batch_id)


def _failed_with(code: str, place: Place, asked: Asked) -> None:
    """The reason is in the record and beside the archived manifest; the dead letter is there at least once."""
    ((batch_id, batch),) = whole_batches(place).items()
    assert (batch["state"], batch["error_code"]) == ("failed", code)
    archived = f"archived/failed/{asked.key}"
    assert place.listed(place.input) == [archived, f"{archived}.error.json"]
    told = place.read_json(f"{archived}.error.json", place.input)
    assert (told["batch_id"], told["error_code"]) == (batch_id, code)
    _dead_at_least_once(place, code, batch_id)


def _dead_at_least_once(place: Place, code: str, batch_id: str, most: int = 3) -> None:
    assert place.waiting() == 0
    assert 1 <= place.dead_count() <= most, "once for each worker that came so far"
    found = place.aws.sqs.receive_message(
        QueueUrl=place.dlq_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
    )["Messages"]
    for letter in found:
        told = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
        assert (told["error_code"], told["batch_id"]) == (code, batch_id), json.dumps(told)


# --- the ways -------------------------------------------------------------------------------------------------------

ONE = (
    "receive.received receive.understood batch.manifest_seen batch.receives_left batch.taken "
    "planning.manifest_fetched batch.planned "
    "creator.debug_kept creator.covers_gathered creator.collage_written "
    "creator_loop.creator_done parts.put parts.recorded creator_loop.part_counted "
    "finish.creators_gathered finish.creators_written finish.report_written "
    "finish.summary_written finish.summary_noted "
    "finish.manifest_seen finish.archived finish.completed receive.decided fate.before_delete fate.deleted"
)
MANY = (
    "receive.received chunks.file_written batch.written_noted chunks.messages_sent batch.chunks_sent "
    "batch.sent_noted chunks.plan_written batch.plan_noted batch.looked_again batch.released "
    "chunk.batch_known chunk.receives_left chunk.taken chunks.object_read chunk.read creator.collage_written "
    "parts.put parts.recorded chunk.worked chunks.result_stored chunk.result_written chunk.completed finish.looked "
    "finish.taken finish.plan_read finish.creators_gathered finish.report_written finish.summary_written "
    "finish.summary_noted finish.manifest_seen finish.archived finish.completed fate.before_delete fate.deleted"
)
FAILING = (
    "finish.error_written finish.failure_noted finish.failure_known finish.unfinished_noted "
    "finish.failed_archived fate.before_dead_letter fate.dead_letter_sent "
    "fate.failed_deleted"
)
SUSPECTED = "suspects.written creator_loop.suspect_begun creator_loop.progress_noted"

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "one chunk",
            "a manifest of three creators is dropped, and done by one message",
            _inline,
            completed,
            tuple(ONE.split()),
            quick=True,
        ),
        Scenario(
            "many chunks",
            "a manifest of five creators is dropped, and split in three chunks",
            _split,
            completed,
            tuple(MANY.split()),
            env={"CHUNK_CREATORS": 2, "MAX_CONCURRENT_JOBS": 2},
        ),
        Scenario("no rows", "a manifest without a row is dropped", _empty, failed, tuple(FAILING.split())),
        Scenario(
            "no JSON",
            "a message that is no JSON",
            _poison,
            refused,
            ("batch.refusal_taken", "batch.refusal_noted", "receive.refused"),
        ),
        Scenario(
            "a lost chunk",
            "a chunk's file is taken away before its turn, and written again from the manifest",
            _slow,
            completed,
            ("chunk.manifest_seen", "chunk.read_again"),
            env={"CHUNK_CREATORS": 1, "MAX_CONCURRENT_JOBS": 1},
            later=_lose_the_second_chunk,
        ),
        Scenario(
            "a lost result",
            "what came of a chunk is taken away before the end, and the creators' records tell it",
            _slow,
            completed,
            ("finish.creators_gathered", "finish.summary_written"),
            env={"CHUNK_CREATORS": 1, "MAX_CONCURRENT_JOBS": 1},
            later=_lose_the_first_result,
        ),
        Scenario(
            "chunks that end their workers",
            "each worker ends as soon as it has read a chunk: the chunks are given up, and the batch comes to its end",
            _two,
            work_lost,
            ("chunk.lost_read", "creator_loop.lost_begun", "chunk.own_known"),
            env={"CHUNK_CREATORS": 1, "MAX_CONCURRENT_JOBS": 1},
            armed="chunk.read=kill",
            killers=6,
        ),
        Scenario(
            "suspects",
            "a worker ended while creators were in flight: they are done one at a time",
            _inline,
            completed_or_given_up,
            tuple(SUSPECTED.split()),
            armed="creator.covers_gathered=kill",
            killers=1,
        ),
        Scenario(
            "a killer",
            "a creator ends its worker three times, and is given up",
            _inline,
            completed_or_given_up,
            ("parts.creator_saved", "parts.put"),
            armed="creator.covers_gathered=kill",
            killers=3,
        ),
        Scenario(
            "an archive left over",
            "the worker that failed a batch ends before it has moved the manifest",
            _empty,
            failed,
            ("batch.archived_again",),
            armed="finish.failure_noted=kill",
            killers=1,
        ),
        Scenario(
            "at once",
            "a job is sent twice, and both messages are received at once",
            _twice,
            completed,
            ("fate.before_copy", "fate.copy_sent", "fate.copied_deleted"),
        ),
        Scenario(
            "slow covers",
            "a creator takes so long that it is shown as being worked on",
            _one_that_takes_long,
            completed,
            ("creator.shown",),
        ),
        Scenario(
            "taken over",
            "a manifest is dropped whose batch somebody has taken, and died",
            _begun_before,
            completed,
            ("suspects.creator_begun", "creator.page_looked", "parts.saved_read", "parts.creator_saved"),
        ),
        Scenario(
            "a part that is there",
            "a worker ended when it had put a part, and before it wrote the records: they follow from the part",
            _inline,
            completed_or_crashed,
            ("parts.looked", "parts.recorded"),
            armed="parts.put=kill",
            killers=1,
        ),
        Scenario(
            "a part put meanwhile",
            "another worker puts the part while its creators are being done: the records follow from that one",
            _one_that_takes_long,
            told_by_another,
            ("parts.found_put",),
            later=_put_the_part,
        ),
        Scenario(
            "an earlier version",
            "a version without parts has done a creator: its document's rows go into the part",
            _done_by_an_earlier_version,
            completed,
            ("parts.document_read",),
        ),
        Scenario(
            "replaced",
            "a newer upload takes the place of a manifest whose batch somebody has taken, and died",
            _replaced,
            replaced,
            ("batch.replaced_known", "batch.replaced_taken"),
        ),
        Scenario(
            "an error",
            "planning fails unexpectedly, and the message is given back",
            _inline,
            completed,
            ("fate.before_release", "fate.released"),
            armed="batch.planned=raise",
        ),
        Scenario(
            "once more",
            "a finished batch's manifest is dropped again and notified twice",
            _inline,
            completed,
            ("batch.archived_late", "batch.gone_looked_up"),
            env={"MAX_CONCURRENT_JOBS": 1},
            later=_once_more,
        ),
    )
}
