"""A message's body becomes jobs: AWS's own events, the contract's job, and everything that may come instead."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.errors import JobReason, TerminalError
from worker.jobs.messages import JobDefaults, Parsed, config_of, explicit_of, parse
from worker.keys import batch_id
from worker.model import ChunkJob, InlineManifest, Job, ProcessingConfig, S3Manifest

BUCKET = "tiktok-image-input"
DEFAULTS = JobDefaults(
    config=ProcessingConfig(quality=90),
    output_prefix="default/",
    input_bucket=BUCKET,
    input_buckets=frozenset({BUCKET}),
)

CONTRACT_JOB: dict[str, Any] = {
    "processing_type": "csv_s3",
    "s3_bucket": "tiktok-image-input",
    "s3_key": "manual-uploads/batch_20250119.csv",
    "output_prefix": "sqs-trigger/",
    "processing_config": {
        "group_by_creator": True,
        "rows": 5,
        "cols": 7,
        "max_images_per_creator": 35,
        "quality": 95,
        "max_workers": 8,
        "timeout": 30,
        "max_retries": 3,
    },
}


def s3_record(key: str = "csv-files/covers.csv", bucket: str = BUCKET, **of_object: Any) -> dict[str, Any]:
    """Return a record as documented.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-west-2",
        "eventTime": "1970-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {
            "x-amz-request-id": "C3D13FE58DE4C810",
            "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD",
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "testConfigRule",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {
                "key": key,
                "size": 1024,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
                "sequencer": "0055AED6DCD90281E5",
            }
            | of_object,
        },
    }


def s3_event(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(records or [s3_record()])}


def in_sns(message: dict[str, Any]) -> dict[str, Any]:
    """Return the envelope as documented: https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html"""
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:us-west-2:123456789012:MyTopic",
        "Subject": "Amazon S3 Notification",
        "Message": json.dumps(message),
        "Timestamp": "2012-05-02T00:54:06.655Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLEw6JRN...",
        "SigningCertURL": "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem",
        "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe",
    }


def eventbridge_event(key: str = "csv-files/covers.csv", bucket: str = BUCKET, **of_object: Any) -> dict[str, Any]:
    """Return the event as documented: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html"""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2021-11-12T00:00:00Z",
        "region": "ca-central-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {
                "key": key,
                "size": 5,
                "etag": "b1946ac92492d2347c6235b4d2611184",
                "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
                "sequencer": "617f08299329d189",
            }
            | of_object,
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }


TEST_EVENT = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2014-10-13T15:57:02.089Z",
    "Bucket": BUCKET,
    "RequestId": "5582815E1AEA5ADF",
    "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE",
}


def parsed(message: object) -> Parsed:
    return parse(message if isinstance(message, str) else json.dumps(message), DEFAULTS)


def only_job(message: object) -> Job:
    (job,) = parsed(message).jobs
    assert isinstance(job, Job)
    return job


def manifest_of(message: object) -> S3Manifest:
    manifest = only_job(message).manifest
    assert isinstance(manifest, S3Manifest)
    return manifest


def refused(message: object) -> TerminalError:
    with pytest.raises(TerminalError) as caught:
        parsed(message)
    return caught.value


# --- jobs -----------------------------------------------------------------------------------------------------------


def test_the_contracts_job_is_understood() -> None:
    assert only_job(CONTRACT_JOB) == Job(
        S3Manifest(BUCKET, "manual-uploads/batch_20250119.csv"),
        "sqs-trigger/",
        ProcessingConfig(),
        from_event=False,
        explicit=explicit_of("sqs-trigger/", CONTRACT_JOB["processing_config"]),
    )


def test_defaults_fill_in_where_a_job_is_silent() -> None:
    job = only_job({"processing_type": "csv_s3", "s3_key": "a.csv"})
    assert job == Job(S3Manifest(BUCKET, "a.csv"), "default/", DEFAULTS.config, from_event=False)
    job = only_job({"processing_type": "csv_s3", "s3_key": "a.csv", "processing_config": {"rows": 3}})
    assert (job.config.rows, job.config.quality) == (3, 90)


def test_an_empty_output_prefix_is_not_a_missing_one() -> None:
    assert only_job({**CONTRACT_JOB, "output_prefix": ""}).output_prefix == ""


def test_an_inline_job_carries_its_csv() -> None:
    job = only_job({"processing_type": "csv_inline", "csv_data": "creator,url\na,https://h/p\n"})
    assert job.manifest == InlineManifest("creator,url\na,https://h/p\n")
    assert job.from_event is False


def test_the_key_of_a_job_is_taken_as_it_is() -> None:
    assert manifest_of({**CONTRACT_JOB, "s3_key": "a+b%20c.csv"}).key == "a+b%20c.csv"


def test_a_job_may_name_a_bucket_that_is_listed() -> None:
    defaults = JobDefaults(DEFAULTS.config, "", BUCKET, frozenset({"other-bucket"}))
    (job,) = parse(json.dumps({**CONTRACT_JOB, "s3_bucket": "other-bucket"}), defaults).jobs
    assert isinstance(job, Job)
    assert job.manifest == S3Manifest("other-bucket", CONTRACT_JOB["s3_key"])
    with pytest.raises(TerminalError, match="other-bucket"):
        parse(json.dumps(CONTRACT_JOB), defaults)


def config(**keys: Any) -> dict[str, Any]:
    return {**CONTRACT_JOB, "processing_config": keys}


TERMINAL: list[tuple[object, JobReason, tuple[str, ...]]] = [
    ("", JobReason.BAD_JSON, ("not JSON",)),
    ("{'a': 1}", JobReason.BAD_JSON, ("not JSON", "{'a': 1}")),
    ("[]", JobReason.BAD_JSON, ("[]", "one JSON object")),
    ("null", JobReason.BAD_JSON, ("one JSON object",)),
    ('"text"', JobReason.BAD_JSON, ("text", "one JSON object")),
    ('{"processing_type": NaN}', JobReason.BAD_JSON, ("NaN",)),
    ("[" * 100_000, JobReason.BAD_JSON, ("not JSON",)),
    ('{"a":' * 100_000, JobReason.BAD_JSON, ("not JSON",)),
    ('{"a": ' + "9" * 5_000 + "}", JobReason.BAD_JSON, ("not JSON",)),
    ({**in_sns({}), "Message": "oops"}, JobReason.BAD_JSON, ("SNS", "oops")),
    ({}, JobReason.UNKNOWN_MESSAGE, ("[]", "csv_s3", "Records", "EventBridge")),
    ({"hello": "world"}, JobReason.UNKNOWN_MESSAGE, ("hello", "csv_inline")),
    ({"Records": []}, JobReason.UNKNOWN_MESSAGE, ("Records",)),
    ({"Records": {}}, JobReason.UNKNOWN_MESSAGE, ("Records",)),
    ({**eventbridge_event(), "detail-type": "Object Deleted"}, JobReason.UNKNOWN_MESSAGE, ("detail-type",)),
    ({**CONTRACT_JOB, "processing_type": "csv_ftp"}, JobReason.BAD_VALUE, ("processing_type", "csv_ftp", "csv_s3")),
    ({**CONTRACT_JOB, "processing_type": ["csv_s3"]}, JobReason.BAD_VALUE, ("processing_type", "csv_inline")),
    ({**CONTRACT_JOB, "s3_kye": 1}, JobReason.UNKNOWN_KEY, ("s3_kye", "s3_key")),
    ({**CONTRACT_JOB, "csv_data": "a"}, JobReason.UNKNOWN_KEY, ("csv_data", "csv_s3")),
    (
        {"processing_type": "csv_inline", "csv_data": "a,b", "s3_key": "k"},
        JobReason.UNKNOWN_KEY,
        ("s3_key", "csv_data"),
    ),
    ({"processing_type": "csv_s3"}, JobReason.BAD_VALUE, ("s3_key", "missing", "1024")),
    ({**CONTRACT_JOB, "s3_key": ""}, JobReason.BAD_VALUE, ("s3_key", "1024")),
    ({**CONTRACT_JOB, "s3_key": 5}, JobReason.BAD_VALUE, ("s3_key", "5", "1024")),
    ({**CONTRACT_JOB, "s3_key": "é" * 513}, JobReason.BAD_VALUE, ("s3_key", "éé", "1024")),
    ({**CONTRACT_JOB, "s3_key": "\ud800"}, JobReason.BAD_VALUE, ("s3_key", "1024")),
    ({**CONTRACT_JOB, "s3_bucket": 5}, JobReason.BAD_VALUE, ("s3_bucket", "5", "bucket")),
    ({**CONTRACT_JOB, "s3_bucket": "secrets"}, JobReason.BUCKET_NOT_ALLOWED, ("s3_bucket", "secrets", BUCKET)),
    ({"processing_type": "csv_inline"}, JobReason.BAD_VALUE, ("csv_data", "missing", "CSV")),
    ({"processing_type": "csv_inline", "csv_data": " \n"}, JobReason.BAD_VALUE, ("csv_data", "CSV")),
    ({"processing_type": "csv_inline", "csv_data": ["a"]}, JobReason.BAD_VALUE, ("csv_data", "CSV")),
    ({**CONTRACT_JOB, "output_prefix": "/x"}, JobReason.BAD_VALUE, ("output_prefix", "/x", "256")),
    ({**CONTRACT_JOB, "output_prefix": "x" * 257}, JobReason.BAD_VALUE, ("output_prefix", "xx", "256")),
    ({**CONTRACT_JOB, "output_prefix": "é" * 200}, JobReason.BAD_VALUE, ("output_prefix", "éé", "256")),
    ({**CONTRACT_JOB, "output_prefix": "a\nb"}, JobReason.BAD_VALUE, ("output_prefix", "control")),
    ({**CONTRACT_JOB, "output_prefix": "\ud800"}, JobReason.BAD_VALUE, ("output_prefix", "256")),
    ({**CONTRACT_JOB, "output_prefix": 7}, JobReason.BAD_VALUE, ("output_prefix", "7", "256")),
    ({**CONTRACT_JOB, "processing_config": []}, JobReason.BAD_VALUE, ("processing_config", "[]", "object")),
    (config(row=5), JobReason.UNKNOWN_KEY, ("processing_config.row", "rows", "max_retries")),
    (config(row=5, col=7), JobReason.UNKNOWN_KEY, ("processing_config.row", "processing_config.col")),
    (config(row=5, cols=0), JobReason.BAD_VALUE, ("processing_config.row", "processing_config.cols is 0")),
    (config(background="reddish"), JobReason.BAD_VALUE, ("processing_config.background", "reddish", "#ffffff")),
    (config(background="#ffffff80"), JobReason.BAD_VALUE, ("processing_config.background", "opaque")),
    (config(format="gif"), JobReason.BAD_VALUE, ("processing_config.format", "gif", "jpeg", "webp")),
    (config(rows=100, cols=100), JobReason.BAD_VALUE, ("100 rows", "100 cols", "20000 x 20000", "65500")),
    (
        {"Records": [{**s3_record(), "eventSource": "aws:sqs"}]},
        JobReason.BAD_VALUE,
        ("eventSource", "aws:sqs", "aws:s3"),
    ),
    ({"Records": ["a"]}, JobReason.BAD_VALUE, ("eventSource", "aws:s3")),
    ({"Records": [{**s3_record(), "eventVersion": "3.0"}]}, JobReason.BAD_VALUE, ("eventVersion", "3.0", "2.x")),
    ({"Records": [{**s3_record(), "s3": {}}]}, JobReason.BAD_VALUE, ("Records[].s3", "object.key")),
    ({"Records": [s3_record(key=5)]}, JobReason.BAD_VALUE, ("Records[].s3", "object.key")),  # type: ignore[arg-type]
    ({**eventbridge_event(), "detail": {}}, JobReason.BAD_VALUE, ("detail", "object.key")),
    (eventbridge_event("csv-files/\ud800.csv"), JobReason.BAD_VALUE, ("the object's key", "1024")),
]


@pytest.mark.parametrize(("message", "reason", "named"), TERMINAL)
def test_what_cannot_be_done_is_refused_by_name_with_what_it_got_and_what_is_allowed(
    message: object, reason: JobReason, named: tuple[str, ...]
) -> None:
    error = refused(message)
    assert error.reason is reason
    for word in named:
        assert word in str(error)
    assert len(str(error)) < 1_000


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("rows", 1, 100),
        ("cols", 1, 100),
        ("max_images_per_creator", 1, 1_000),
        ("quality", 1, 100),
        ("max_workers", 1, 256),
        ("timeout", 0.001, 300),
        ("max_retries", 0, 10),
        ("cell_size", 16, 2_000),
        ("gutter", 0, 200),
    ],
)
def test_a_number_is_taken_up_to_the_edges_of_its_range_and_no_further(key: str, low: float, high: float) -> None:
    small = {"rows": 1, "cols": 1}  # so that the page's own limit stays out of it
    for value in (low, high):
        assert getattr(only_job(config(**{**small, key: value})).config, key) == value
    for value in (0 if key == "timeout" else low - 1, high + 1, -(10**30), 10**30):
        error = refused(config(**{**small, key: value}))
        assert f"processing_config.{key} is {value}; it should be a " in str(error)
        edges = "above 0 and up to 300" if key == "timeout" else f"from {low} to {high}"
        assert str(error).endswith(edges), "both ends are told, whichever was passed"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rows", True),
        ("rows", "5"),
        ("rows", 5.5),
        ("rows", 5.0),
        ("rows", None),
        ("rows", [5]),
        ("timeout", True),
        ("timeout", "30"),
        ("timeout", None),
        ("group_by_creator", 1),
        ("group_by_creator", "true"),
        ("background", 0),
        ("format", 1),
        ("format", "JPEG"),
        ("creator_column", 3),
        ("creator_column", ""),
        ("url_column", "x" * 201),
    ],
)
def test_a_value_of_another_type_is_not_converted(key: str, value: object) -> None:
    error = refused(config(**{key: value}))
    assert error.reason is JobReason.BAD_VALUE
    assert f"processing_config.{key} is " in str(error)
    assert "it should " in str(error)


def test_null_is_told_as_null() -> None:
    error = refused(config(rows=None))
    assert str(error) == "processing_config.rows is null; it should be a whole number from 1 to 100"


def test_a_whole_number_of_seconds_is_a_timeout() -> None:
    assert only_job(config(timeout=5)).config.timeout == 5.0


def test_columns_may_be_named_and_may_be_left_to_the_worker() -> None:
    assert only_job(config(creator_column="who", url_column=None)).config.creator_column == "who"


def test_of_a_key_that_stands_twice_the_last_one_counts() -> None:
    body = '{"processing_type": "csv_s3", "s3_key": "a.csv", "s3_key": "b.csv"}'
    assert manifest_of(body).key == "b.csv"


# --- chunks ---------------------------------------------------------------------------------------------------------

CHUNK: dict[str, Any] = {
    "processing_type": "batch_chunk",
    "batch_id": "s3_covers-1f3a9c52",
    "chunk": 3,
}


def test_a_chunk_message_is_only_a_pointer() -> None:
    assert parsed(CHUNK).jobs == (ChunkJob("s3_covers-1f3a9c52", 3),)
    with_key = {**CHUNK, "s3_key": "processing/another/chunks/000001.jsonl.gz"}  # as earlier versions wrote it
    assert parsed(with_key).jobs == (ChunkJob("s3_covers-1f3a9c52", 3),)


@settings(deadline=None)
@given(st.text(max_size=200), st.integers(1, 10_000_000))
def test_every_chunk_of_every_batch_can_be_named(key: str, number: int) -> None:
    manifest = S3Manifest(BUCKET, f"csv-files/{key}.csv")
    identifier = batch_id(Job(manifest, "", ProcessingConfig(), from_event=True))
    message = {**CHUNK, "batch_id": identifier, "chunk": number}
    assert len(parsed(message).jobs) == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"batch_id": "../secrets-12345678"}, "batch_id"),
        ({"batch_id": "s3_a/b-12345678"}, "batch_id"),
        ({"batch_id": None}, "batch_id"),
        ({"chunk": 0}, "chunk"),
        ({"chunk": True}, "chunk"),
        ({"chunk": "3"}, "chunk"),
        ({"chunk": 3.0}, "chunk"),
        ({"chunk": 10**4000}, "chunk"),
    ],
)
def test_a_chunk_message_that_the_worker_would_not_write_is_refused(change: dict[str, Any], named: str) -> None:
    error = refused({**CHUNK, **change})
    assert error.reason is JobReason.BAD_VALUE
    assert str(error).startswith(f"{named} is ")
    assert len(str(error)) < 1_000


def test_a_chunk_message_has_no_further_keys() -> None:
    assert refused({**CHUNK, "s3_bucket": "elsewhere"}).reason is JobReason.UNKNOWN_KEY


# --- events ---------------------------------------------------------------------------------------------------------


def test_an_s3_event_as_aws_documents_it_starts_a_batch() -> None:
    assert only_job(s3_event()) == Job(
        S3Manifest(
            BUCKET, "csv-files/covers.csv", "096fKKXTRTtl3on89fVO.nfljtsv6qko", "d41d8cd98f00b204e9800998ecf8427e"
        ),
        "default/",
        DEFAULTS.config,
        from_event=True,
    )


def test_an_sns_envelope_as_aws_documents_it_is_opened() -> None:
    assert parsed(in_sns(s3_event())) == parsed(s3_event())


def test_a_job_in_an_sns_envelope_is_a_job() -> None:
    assert parsed(in_sns(CONTRACT_JOB)) == parsed(CONTRACT_JOB)


def test_an_eventbridge_event_as_aws_documents_it_starts_a_batch() -> None:
    job = only_job(eventbridge_event())
    assert job.from_event
    assert job.manifest == S3Manifest(
        BUCKET, "csv-files/covers.csv", "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", "b1946ac92492d2347c6235b4d2611184"
    )


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("csv-files/my+covers.csv", "csv-files/my covers.csv"),
        ("csv-files/my%20covers.csv", "csv-files/my covers.csv"),
        ("csv-files/a%2Bb.csv", "csv-files/a+b.csv"),
        ("csv-files/100%25.csv", "csv-files/100%.csv"),
        ("csv-files/Jos%C3%A9.csv", "csv-files/José.csv"),
        ("csv-files/%F0%9F%98%80.csv", "csv-files/😀.csv"),
        ("csv-files%2Fa%3D1%26b.csv", "csv-files/a=1&b.csv"),
        ("csv-files/red+flower.csv.gz", "csv-files/red flower.csv.gz"),
    ],
)
def test_the_key_of_an_s3_event_is_form_encoded(encoded: str, key: str) -> None:
    assert manifest_of(s3_event(s3_record(encoded))).key == key


def test_the_key_of_an_eventbridge_event_is_not_encoded() -> None:
    assert manifest_of(eventbridge_event("csv-files/a+b%20c.csv")).key == "csv-files/a+b%20c.csv"


@pytest.mark.parametrize(("version", "known"), [("v1", "v1"), ("null", None), ("", None), (None, None)])
def test_a_version_is_taken_where_there_is_one(version: str | None, known: str | None) -> None:
    assert manifest_of(s3_event(s3_record(versionId=version))).version == known
    assert manifest_of(eventbridge_event(**{"version-id": version})).version == known


def test_an_event_of_a_bucket_without_versions_is_known_by_its_etag() -> None:
    record = s3_record()
    del record["s3"]["object"]["versionId"]
    assert manifest_of(s3_event(record)) == S3Manifest(
        BUCKET, "csv-files/covers.csv", None, "d41d8cd98f00b204e9800998ecf8427e"
    )


def test_several_records_are_several_jobs_and_others_are_passed_over() -> None:
    found = parsed(
        s3_event(
            s3_record("csv-files/a.csv"),
            s3_record("csv-files/a.error.json"),
            {**s3_record("csv-files/gone.csv"), "eventName": "ObjectRemoved:Delete"},
            s3_record("csv-files/b.csv.gz"),
            s3_record("csv-files/c.csv", bucket="another-bucket"),
        )
    )
    assert [
        job.manifest.key for job in found.jobs if isinstance(job, Job) and isinstance(job.manifest, S3Manifest)
    ] == [
        "csv-files/a.csv",
        "csv-files/b.csv.gz",
    ]
    assert len(found.ignored) == 3
    assert "a.error.json" in found.ignored[0]
    assert "ObjectRemoved:Delete" in found.ignored[1]
    assert "another-bucket" in found.ignored[2]


@pytest.mark.parametrize(
    "name", ["ObjectCreated:Put", "s3:ObjectCreated:CompleteMultipartUpload", "ObjectCreated:Copy"]
)
def test_every_way_an_object_is_created_starts_a_batch(name: str) -> None:
    assert len(parsed(s3_event({**s3_record(), "eventName": name})).jobs) == 1


@pytest.mark.parametrize(
    "key",
    ["manual-uploads/a.csv", "archived/processed/csv-files/a.csv", "csv-files/a.csv.error.json", "csv-files/", ""],
)
def test_an_event_for_anything_but_a_manifest_asks_for_nothing(key: str) -> None:
    for message in (s3_event(s3_record(key)), eventbridge_event(key)):
        found = parsed(message)
        assert (found.jobs, len(found.ignored)) == ((), 1)


def test_an_s3_test_event_asks_for_nothing_plain_and_in_sns() -> None:
    assert parsed(TEST_EVENT) == parsed(in_sns(TEST_EVENT)) == Parsed(ignored=("S3 test event",))


def test_a_later_minor_version_of_the_event_is_understood() -> None:
    assert parsed(s3_event({**s3_record(), "eventVersion": "2.9"})).jobs


# --- whatever may come ----------------------------------------------------------------------------------------------

everything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["csv_s3", "csv_inline", "Notification", "aws:s3", "Object Created", "a.csv", BUCKET, 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)

WORDS = [
    "processing_type", "s3_bucket", "s3_key", "output_prefix", "processing_config", "csv_data", "Type", "Message",
    "Event", "detail-type", "detail", "Records", "eventSource", "eventVersion", "eventName", "s3", "bucket", "object",
    "key", "name", "batch_id", "chunk", "versionId", "eTag", *ProcessingConfig.model_fields,
]  # fmt: skip


def paths(value: object, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [so_far] if so_far else []
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [path for key, inner in inside for path in paths(inner, (*so_far, key))]


def changed(message: Any, path: tuple[Any, ...], value: object) -> Any:
    copy = json.loads(json.dumps(message))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


@st.composite
def almost_right(draw: st.DrawFn) -> str:
    """Draw a message of the contract with one place in it changed to anything."""
    inline = {"processing_type": "csv_inline", "csv_data": "a,b\n", "processing_config": {"background": "white"}}
    message = draw(
        st.sampled_from([CONTRACT_JOB, s3_event(), in_sns(s3_event()), eventbridge_event(), inline, CHUNK, TEST_EVENT])
    )
    return json.dumps(changed(message, draw(st.sampled_from(paths(message))), draw(everything)))


def refuses_or_understands(body: str) -> None:
    error: TerminalError | None = None
    try:
        parse(body, DEFAULTS)
    except TerminalError as caught:
        error = caught
    assert error is None or 0 < len(str(error)) < 4_000


@settings(deadline=None, max_examples=400)
@given(almost_right())
def test_a_message_with_one_thing_wrong_is_refused_or_understood(body: str) -> None:
    refuses_or_understands(body)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from(WORDS), everything, max_size=6))
def test_a_message_of_known_words_and_any_values_is_refused_or_understood(message: dict[str, Any]) -> None:
    refuses_or_understands(json.dumps(message))


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
@example("\ufeff{}")
@example('{"a": "\ud800"}')
@example('{"processing_type": "csv_s3", "s3_key": "\\ud800"}')
@example('{"Type": "Notification", "Message": "' + "[" * 5_000 + '"}')
@example('{"processing_type": "csv_inline", "csv_data": "' + "x" * 1_048_000 + '"}')
@example("x" * 1_048_576)
@example("[" * 1_048_576)
def test_any_text_at_all_is_refused_or_understood(body: str) -> None:
    refuses_or_understands(body)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(list(ProcessingConfig.model_fields)) | st.text(max_size=5), everything, max_size=4)
)
def test_any_configuration_is_refused_or_understood(given_config: dict[str, Any]) -> None:
    with suppress(TerminalError):
        assert isinstance(config_of(given_config, DEFAULTS.config), ProcessingConfig)


@pytest.mark.parametrize(("wrong", "right"), [("rowz", "rows"), ("Rows", "rows"), ("cellsize", "cell_size")])
def test_a_wrong_key_is_answered_with_the_right_one(wrong: str, right: str) -> None:
    with pytest.raises(TerminalError, match=f"unknown key processing_config.{wrong}; did you mean {right}?"):
        config_of({wrong: 3}, ProcessingConfig())
