"""Every kind of message, sent to a running worker: what becomes of it, of its manifest and of its batch."""

import gzip
import json
import re
from typing import Any
from urllib.parse import quote_plus

import pytest

from tests.integration.pictures import SMALL, Origin, manifest, token
from tests.integration.places import Place
from tests.integration.processes import Worker
from tests.integration.waiting import until

pytestmark = pytest.mark.usefixtures("shared_worker")

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"


@pytest.fixture
def place(shared_place: Place) -> Place:
    return shared_place


@pytest.fixture
def name() -> str:
    return f"m{token()}"


def small(origin: Origin, creator: str) -> str:
    return manifest([(creator, origin.photo(SMALL[0], creator)), (creator, origin.photo(SMALL[1], creator))])


def completed(place: Place, name: str, *, images: int = 2) -> str:
    """Wait for the one batch of this name; returns its id."""
    batch_id, _ = place.batch(name)
    assert re.fullmatch(rf"s3_.*{name}.*-[0-9a-f]{{8}}", batch_id)
    (record,) = place.records(batch_id).values()
    assert (record["status"], record["images_processed"]) == ("completed", images)
    assert place.head(record["collage_s3_key"])["Metadata"]["batch-id"] == batch_id
    place.until_empty()
    return batch_id


def s3_record(place: Place, key: str, **more: Any) -> dict[str, Any]:
    """Return a record as AWS documents it."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2025-01-19T12:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "manifest",
            "bucket": {"name": place.input, "arn": f"arn:aws:s3:::{place.input}"},
            "object": {"key": quote_plus(key, safe="/"), "size": 1024, "sequencer": "0055AED6DCD90281E5"},
        },
        **more,
    }


def unannounced(place: Place, key: str, body: str) -> None:
    """Put a manifest under csv-files/ without S3's own notification: its message is the test's."""
    aws = place.aws.s3
    before = aws.get_bucket_notification_configuration(Bucket=place.input)
    before.pop("ResponseMetadata")
    aws.put_bucket_notification_configuration(Bucket=place.input, NotificationConfiguration={})
    try:
        place.put(key, body)
    finally:
        aws.put_bucket_notification_configuration(Bucket=place.input, NotificationConfiguration=before)


# --- jobs -----------------------------------------------------------------------------------------------------------


def test_a_csv_s3_job_is_done_and_its_manifest_stays_where_it_is(place: Place, origin: Origin, name: str) -> None:
    place.send_job(small(origin, name), name)
    completed(place, name)
    assert place.listed(place.input, f"manual-uploads/{name}") == [f"manual-uploads/{name}.csv"]
    assert [key for key in place.listed(place.input, "archived/") if name in key] == []


def test_a_csv_inline_job_is_done(place: Place, origin: Origin, name: str) -> None:
    place.send({"processing_type": "csv_inline", "csv_data": small(origin, name)})

    def found() -> bool:
        return any(item["creator_name"] == name and item["status"] == "completed" for item in place.items())

    until(found, "the creator's record")
    place.until_empty()


def test_a_jobs_bucket_may_be_left_out(place: Place, origin: Origin, name: str) -> None:
    place.put(f"manual-uploads/{name}.csv", small(origin, name))
    place.send({"processing_type": "csv_s3", "s3_key": f"manual-uploads/{name}.csv"})
    completed(place, name)


# --- events ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    ["csv-files/{}.csv", "csv-files/a folder/{} with spaces.csv", "csv-files/über/{} + 100% & größe.csv"],
)
def test_a_manifest_dropped_in_the_bucket_is_done_and_archived(
    place: Place, origin: Origin, name: str, pattern: str
) -> None:
    key = pattern.format(name)
    place.put(key, small(origin, name))
    completed(place, name)
    assert place.listed(place.input, key) == []
    assert place.read(f"archived/processed/{key}", place.input).decode() == small(origin, name)


def test_an_export_as_it_is_leads_to_collages_with_no_setting_at_all(place: Place, origin: Origin, name: str) -> None:
    covers = [origin.photo(photo, name) for photo in SMALL[:2]]
    lines = [
        f'"https://avatars.example/a.jpg","{name}","Shown","hello, ""world""\n#fyp","{cover}","https://www.tiktok.com/@{name}/video/7"'
        for cover in covers
    ]
    header = '"authorMeta/avatar","authorMeta/name","authorMeta/nickName","text","videoMeta/coverUrl","webVideoUrl"'
    place.put(f"csv-files/{name}_EXPORT.CSV", "\ufeff" + "\r\n".join([header, *lines]) + "\r\n")
    batch_id = completed(place, name)
    summary = place.summary(batch_id)
    assert (summary["source"]["creator_column"], summary["source"]["url_column"]) == (
        "authorMeta/name",
        "videoMeta/coverUrl",
    )


def test_an_object_carries_its_configuration(place: Place, origin: Origin, name: str) -> None:
    body = f"who,page,pic\n{name},x,{origin.photo(SMALL[0], name)}\n"
    config = {"creator_column": "who", "url_column": "pic", "rows": 1, "cols": 1, "cell_size": 32}
    place.put(f"csv-files/{name}", body, config=json.dumps(config))
    batch_id = completed(place, name, images=1)
    summary = place.summary(batch_id)
    assert summary["settings"]["processing_config"]["cell_size"] == 32


def test_the_same_file_dropped_again_with_other_settings_is_another_batch(
    place: Place, origin: Origin, name: str
) -> None:
    for cells in (32, 48):
        place.put(f"csv-files/{name}.csv", small(origin, name), config=json.dumps({"cell_size": cells}))
        until(lambda many=cells // 16 - 1: len(summaries(place, name)) == many, "the batch's summary")
        place.until_empty()
    found = [place.read_json(key)["settings"]["processing_config"]["cell_size"] for key in summaries(place, name)]
    assert sorted(found) == [32, 48]
    assert len([key for key in place.listed(place.input, "archived/processed/csv-files/") if name in key]) == 2


def summaries(place: Place, name: str) -> list[str]:
    keys = place.listed(place.output, "results/processing-summaries/")
    return [key for key in keys if name in key and key.endswith(".json")]


def test_a_gzipped_manifest_dropped_in_the_bucket_is_done_and_archived(place: Place, origin: Origin, name: str) -> None:
    place.put(f"csv-files/{name}.csv.gz", gzip.compress(small(origin, name).encode()))
    assert completed(place, name).startswith(f"s3_{name}-")
    assert place.listed(place.input, f"csv-files/{name}") == []
    assert place.listed(place.input, f"archived/processed/csv-files/{name}.csv.gz")


def test_an_event_in_an_sns_notification_is_done(place: Place, origin: Origin, name: str) -> None:
    key = f"csv-files/{name} x.csv"
    unannounced(place, key, small(origin, name))
    event = {"Records": [s3_record(place, key)]}
    place.send({"Type": "Notification", "MessageId": "1", "TopicArn": "arn:x", "Message": json.dumps(event)})
    completed(place, name)
    assert place.listed(place.input, key) == []


def test_an_eventbridge_event_gives_its_key_as_it_is(place: Place, origin: Origin, name: str) -> None:
    key = f"csv-files/{name} a+b.csv"
    unannounced(place, key, small(origin, name))
    place.send(
        {
            "version": "0",
            "detail-type": "Object Created",
            "source": "aws.s3",
            "detail": {"version": "0", "bucket": {"name": place.input}, "object": {"key": key, "size": 5}},
        }
    )
    completed(place, name)
    assert place.listed(place.input, key) == []


def test_each_record_of_a_message_is_a_batch_of_its_own(place: Place, origin: Origin, name: str) -> None:
    keys = [f"csv-files/{name}{part}.csv" for part in "abc"]
    for key in keys:
        unannounced(place, key, small(origin, key[10:-4]))
    removed = s3_record(place, keys[0], eventName="ObjectRemoved:Delete")
    place.send({"Records": [*(s3_record(place, key) for key in keys), removed]})
    for part in "abc":
        completed(place, f"{name}{part}")


def test_one_bad_manifest_of_a_message_does_not_keep_the_others_from_being_done(
    place: Place, origin: Origin, name: str
) -> None:
    unannounced(place, f"csv-files/{name}good.csv", small(origin, name))
    body = {"Records": [s3_record(place, f"csv-files/{name}{part}.csv") for part in ("missing", "good")]}
    sent = place.send(body)
    completed(place, f"{name}good")
    assert place.dead_letter(sent).attributes["error_code"] == "manifest_missing"


@pytest.mark.parametrize("kind", ["test event", "other prefix", "an error", "other bucket", "removal"])
def test_what_asks_for_nothing_is_deleted_with_a_log_line(
    place: Place, shared_worker: Worker, name: str, kind: str
) -> None:
    key = {"other prefix": f"elsewhere/{name}.csv", "an error": f"csv-files/{name}.csv.error.json"}.get(
        kind, f"csv-files/{name}.csv"
    )
    record = s3_record(place, key)
    if kind == "other bucket":
        record["s3"]["bucket"]["name"] = "somebody-elses"
    if kind == "removal":
        record["eventName"] = "ObjectRemoved:Delete"
    test_event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": place.input, "RequestId": name}
    before = len(shared_worker.logged("message.asks_for_nothing"))
    place.send(test_event if kind == "test event" else {"Records": [record]})
    shared_worker.until_logged("message.asks_for_nothing", times=before + 1)
    place.until_empty()
    assert place.batches(name) == {}


# --- what can never succeed -----------------------------------------------------------------------------------------


def failed(place: Place, sent: str, code: str, *, batch: str | None = None) -> dict[str, str]:
    """Wait for a dead letter and hold it against its batch's record; returns its attributes."""
    attributes = dict(place.dead_letter(sent).attributes)
    assert attributes["error_code"] == code
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", attributes["failed_at"])
    batch_id = attributes["batch_id"]
    assert batch is None or batch in batch_id
    record = place.batches(batch_id)[batch_id]
    assert (record["state"], record["error_code"]) == ("failed", code)
    assert record["error_message"].startswith(attributes["error_message"][:900])
    place.until_empty()
    return attributes


JOB = {"processing_type": "csv_s3", "s3_key": "manual-uploads/x.csv"}


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("{not json NAME", "bad_json", ["not json NAME"]),
        ('["NAME"]', "bad_json", ["NAME"]),
        ('{"hello": "NAME"}', "unknown_message", ["hello", "csv_s3"]),
        ({"processing_type": "NAME"}, "bad_value", ["processing_type", "NAME", "csv_s3"]),
        (JOB | {"colour": "NAME"}, "unknown_key", ["colour", "s3_key"]),
        (JOB | {"processing_config": {"rowz": "NAME"}}, "unknown_key", ["rowz", "rows"]),
        (JOB | {"processing_config": {"rows": 0, "background": "NAME"}}, "bad_value", ["rows", "0", "1"]),
        (JOB | {"processing_config": {"quality": "NAME"}}, "bad_value", ["quality", "NAME"]),
        (JOB | {"processing_config": {"background": "NAME"}}, "bad_value", ["background", "NAME"]),
        (JOB | {"output_prefix": "/NAME"}, "bad_value", ["output_prefix", "/NAME"]),
        (JOB | {"s3_bucket": "bucket-of-NAME"}, "bucket_not_allowed", ["bucket-of-NAME", "-input"]),
        ({"processing_type": "csv_inline", "csv_data": "", "output_prefix": "NAME"}, "bad_value", ["csv_data"]),
        ({"Records": [{"eventSource": "aws:NAME"}]}, "bad_value", ["eventSource", "NAME"]),
    ],
)
def test_a_message_that_cannot_be_done_ends_as_a_dead_letter_that_says_why(
    place: Place, name: str, body: object, code: str, words: list[str]
) -> None:
    text = (body if isinstance(body, str) else json.dumps(body)).replace("NAME", name)
    told = failed(place, place.send(text), code)["error_message"]
    for word in words:
        assert word.replace("NAME", name) in told


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "manifest_missing"),
        (PDF, "manifest_not_csv"),
        (b"", "manifest_empty"),
        (b"creator_name,cover_url\n", "manifest_empty"),
        (b"creator_name,cover_url\nalice,\n,http://x/y.jpg\nbob,ftp://x/y.jpg\n", "manifest_empty"),
        (b"who,what\nalice,http://x/y.jpg\n", "manifest_columns"),
    ],
)
def test_a_job_whose_manifest_cannot_be_used_fails_as_a_whole(
    place: Place, name: str, content: bytes | None, code: str
) -> None:
    key = f"manual-uploads/{name}.csv"
    if content is not None:
        place.put(key, content)
    failed(place, place.send({**JOB, "s3_key": key}), code, batch=name)
    assert place.listed(place.input, key) == ([] if content is None else [key]), "it stays where it is"
    assert [found for found in place.listed(place.input, "archived/") if name in found] == []


@pytest.mark.parametrize(
    ("content", "code"), [(PDF, "manifest_not_csv"), (b"creator_name,cover_url\n", "manifest_empty")]
)
def test_a_dropped_manifest_that_cannot_be_used_is_archived_with_the_reason_beside_it(
    place: Place, name: str, content: bytes, code: str
) -> None:
    key = f"csv-files/{name}.csv"
    place.put(key, content)
    batch_id, record = place.batch(name, state="failed")
    assert record["error_code"] == code
    until(lambda: place.listed(place.input, key) == [], "the manifest's move")
    assert place.read(f"archived/failed/{key}", place.input) == content
    told = place.read_json(f"archived/failed/{key}.error.json", place.input)
    assert (told["batch_id"], told["error_code"]) == (batch_id, code)
    assert told["error_message"] == record["error_message"]
    place.until_empty()


def test_an_event_for_a_manifest_that_is_gone_fails_and_says_so(place: Place, name: str) -> None:
    key = f"csv-files/{name}.csv"
    failed(place, place.send({"Records": [s3_record(place, key)]}), "manifest_missing", batch=name)
    told = place.read_json(f"archived/failed/{key}.error.json", place.input)
    assert told["error_code"] == "manifest_missing"
