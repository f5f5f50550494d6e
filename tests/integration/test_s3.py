"""`worker.aws.s3` and what `worker.aws.stores` makes of it, against an emulator."""

import asyncio
import base64
import io
import zlib
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.request import urlopen

import pytest
from botocore.awsrequest import AWSPreparedRequest

from tests.integration.faulty import CONFLICT, FORBIDDEN, Faulty, xml_error
from tests.integration.pictures import token
from tests.integration.places import Place
from tests.integration.waiting import until
from worker.aws import s3 as s3_module
from worker.aws.buckets import Buckets, buckets_of
from worker.aws.calls import Patience
from worker.aws.clients import Clients
from worker.aws.s3 import S3
from worker.aws.stores import S3Results
from worker.errors import Dependency, JobReason, Postponed, RetryableError, TerminalError, Unavailable
from worker.model import ManifestHead

pytestmark = pytest.mark.asyncio(loop_scope="session")

BATCH = {"batch-id": "b"}
HEADERS = {
    "ContentType": "image/jpeg",
    "CacheControl": "max-age=31536000",
    "ServerSideEncryption": "AES256",
    "Metadata": {"batch-id": "b-1"},
}


@pytest.fixture
def s3(clients: Clients) -> S3:
    return S3(clients.s3)


@pytest.fixture
def shaky_s3(shaky_clients: Clients) -> S3:
    return S3(shaky_clients.s3)


@pytest.fixture
def hasty_s3(shaky_clients: Clients, shared_place: Place) -> S3:
    """One that soon gives up."""
    patience = Patience(throttle=0.1, outage=0.1, conflict=0.1, moment=0.1)
    return S3(shaky_clients.s3, buckets=buckets_of(shared_place.settings), patience=patience)


@pytest.fixture
def key() -> str:
    return f"csv-of-nobody/{token()}.csv"


@pytest.fixture(scope="module")
def versioned(shared_place: Place) -> str:
    """A bucket that keeps versions."""
    name = f"it-{token()}-versioned"
    shared_place.aws.s3.create_bucket(Bucket=name)
    shared_place.aws.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


async def downloaded(s3: S3, bucket: str, key: str, head: ManifestHead) -> bytes:
    file = io.BytesIO()
    await s3.download(bucket, key, head, file)
    return file.read()


async def head_of(s3: S3, bucket: str, key: str, version: str | None = None) -> ManifestHead:
    found = await s3.head(bucket, key, version)
    assert found is not None
    return found


def versions(place: Place, bucket: str, key: str) -> list[str]:
    found = place.aws.s3.list_object_versions(Bucket=bucket, Prefix=key)
    return [version["VersionId"] for version in found.get("Versions", [])]


# --- reading --------------------------------------------------------------------------------------------------------


async def test_the_head_of_nothing_is_none(s3: S3, shared_place: Place, key: str) -> None:
    assert await s3.head(shared_place.input, key) is None


async def test_the_head_in_a_bucket_without_versions_names_none(s3: S3, shared_place: Place, key: str) -> None:
    etag = shared_place.put(key, "12345")
    assert await s3.head(shared_place.input, key) == ManifestHead(etag, None, 5)


async def test_the_head_of_a_version_is_that_versions(s3: S3, shared_place: Place, versioned: str, key: str) -> None:
    old = shared_place.aws.s3.put_object(Bucket=versioned, Key=key, Body=b"old")
    new = shared_place.aws.s3.put_object(Bucket=versioned, Key=key, Body=b"newer")
    assert (await head_of(s3, versioned, key)).version == new["VersionId"]
    found = await head_of(s3, versioned, key, old["VersionId"])
    assert (found.version, found.size) == (old["VersionId"], 3)
    assert await downloaded(s3, versioned, key, found) == b"old"


async def test_a_deleted_version_and_a_delete_marker_are_nothing(
    s3: S3, shared_place: Place, versioned: str, key: str
) -> None:
    old = shared_place.aws.s3.put_object(Bucket=versioned, Key=key, Body=b"old")
    shared_place.aws.s3.delete_object(Bucket=versioned, Key=key)
    assert await s3.head(versioned, key) is None
    shared_place.aws.s3.delete_object(Bucket=versioned, Key=key, VersionId=old["VersionId"])
    assert await s3.head(versioned, key, old["VersionId"]) is None


async def test_a_version_is_read_although_a_newer_one_came(
    s3: S3, shared_place: Place, versioned: str, key: str
) -> None:
    shared_place.aws.s3.put_object(Bucket=versioned, Key=key, Body=b"first")
    head = await head_of(s3, versioned, key)
    shared_place.aws.s3.put_object(Bucket=versioned, Key=key, Body=b"second")
    assert await downloaded(s3, versioned, key, head) == b"first"


async def test_an_object_that_was_replaced_is_not_read(s3: S3, shared_place: Place, key: str) -> None:
    shared_place.put(key, "first")
    head = await head_of(s3, shared_place.input, key)
    shared_place.put(key, "second")
    with pytest.raises(Postponed) as caught:
        await downloaded(s3, shared_place.input, key, head)
    assert caught.value.reason is JobReason.MANIFEST_CHANGED


async def test_an_object_that_was_deleted_since_its_head_has_changed(s3: S3, shared_place: Place, key: str) -> None:
    shared_place.put(key, "first")
    head = await head_of(s3, shared_place.input, key)
    shared_place.aws.s3.delete_object(Bucket=shared_place.input, Key=key)
    with pytest.raises(Postponed) as caught:
        await downloaded(s3, shared_place.input, key, head)
    assert caught.value.reason is JobReason.MANIFEST_CHANGED


async def test_a_download_goes_to_the_end_of_a_long_object(s3: S3, shared_place: Place, key: str) -> None:
    body = bytes(range(256)) * 20_000
    shared_place.put(key, body)
    assert await downloaded(s3, shared_place.input, key, await head_of(s3, shared_place.input, key)) == body


@pytest.mark.parametrize(
    ("method", "attempt"),
    [
        ("HEAD", lambda s3, bucket, key: s3.head(bucket, key)),
        ("GET", lambda s3, bucket, key: s3.download(bucket, key, ManifestHead("e", None, 1), io.BytesIO())),
    ],
)
async def test_a_manifest_that_may_not_be_read_is_terminal(
    shaky_s3: S3,
    proxy: Faulty,
    shared_place: Place,
    key: str,
    method: str,
    attempt: Callable[[S3, str, str], Awaitable[object]],
) -> None:
    proxy.refuse(rf"s3\.(GET|HEAD) .*{key}", FORBIDDEN)
    with pytest.raises(TerminalError) as caught:
        await attempt(shaky_s3, shared_place.input, key)
    assert caught.value.reason is JobReason.MANIFEST_FORBIDDEN
    assert f"s3://{shared_place.input}/{key}" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (403, "AccessDenied", JobReason.AWS_FORBIDDEN),
        (403, "RequestTimeTooSkewed", JobReason.CLOCK_SKEW),
        (403, "InvalidAccessKeyId", JobReason.AWS_CREDENTIALS),
        (400, "ExpiredToken", JobReason.AWS_CREDENTIALS),
        (400, "KMS.DisabledException", JobReason.AWS_FORBIDDEN),
        (500, "InternalError", JobReason.AWS_UNAVAILABLE),
        (503, "SlowDown", JobReason.AWS_UNAVAILABLE),  # a HEAD has no body that could tell
        (404, "NoSuchBucket", JobReason.AWS_RESOURCE_MISSING),
    ],
)
async def test_what_a_head_without_a_body_means_is_told_by_a_get(
    hasty_s3: S3, proxy: Faulty, shared_place: Place, key: str, status: int, code: str, reason: JobReason
) -> None:
    shared_place.put(key, "12345")
    proxy.refuse(r"s3\.(GET|HEAD) ", xml_error(status, code))
    with pytest.raises(Unavailable) as caught:
        await hasty_s3.head(shared_place.input, key)
    assert (caught.value.dependency, caught.value.reason) == (Dependency.S3, reason)
    if code == "NoSuchBucket":
        assert "INPUT_BUCKET" in str(caught.value)


async def test_a_bucket_that_a_job_names_and_that_is_not_there_is_terminal(hasty_s3: S3, key: str) -> None:
    with pytest.raises(TerminalError) as caught:
        await hasty_s3.head(f"not-there-{token()}", key)
    assert caught.value.reason is JobReason.BUCKET_MISSING


async def test_a_refusal_that_passes_at_once_is_none(
    shaky_s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    etag = shared_place.put(key, "12345")
    proxy.refuse(r"s3\.HEAD ", FORBIDDEN, times=1)
    assert await shaky_s3.head(shared_place.input, key) == ManifestHead(etag, None, 5)


async def test_an_empty_object_behind_a_refused_head_is_found(
    shaky_s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    etag = shared_place.put(key, "")
    proxy.refuse(r"s3\.HEAD ", FORBIDDEN, times=1)
    assert await shaky_s3.head(shared_place.input, key) == ManifestHead(etag, None, 0)


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
async def test_an_object_in_an_archive_is_told_by_its_head(
    s3: S3, shared_place: Place, key: str, storage_class: str
) -> None:
    shared_place.aws.s3.put_object(Bucket=shared_place.input, Key=key, Body=b"12345", StorageClass=storage_class)  # type: ignore[arg-type]
    with pytest.raises(TerminalError, match=storage_class) as caught:
        await s3.head(shared_place.input, key)
    assert caught.value.reason is JobReason.MANIFEST_ARCHIVED


async def test_an_archived_object_that_was_restored_is_read(s3: S3, shared_place: Place, key: str) -> None:
    aws = shared_place.aws.s3
    aws.put_object(Bucket=shared_place.input, Key=key, Body=b"12345", StorageClass="GLACIER")
    aws.restore_object(Bucket=shared_place.input, Key=key, RestoreRequest={"Days": 1})

    def restored() -> bool:
        return 'ongoing-request="false"' in aws.head_object(Bucket=shared_place.input, Key=key)["Restore"]

    await asyncio.to_thread(until, restored, "a restored object")
    head = await head_of(s3, shared_place.input, key)
    assert await downloaded(s3, shared_place.input, key, head) == b"12345"


async def test_an_object_whose_archive_only_the_read_tells_is_terminal(
    hasty_s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    shared_place.put(key, "12345")
    head = await head_of(hasty_s3, shared_place.input, key)
    proxy.refuse(rf"s3\.GET .*{key}", xml_error(403, "InvalidObjectState"))
    with pytest.raises(TerminalError) as caught:
        await downloaded(hasty_s3, shared_place.input, key, head)
    assert caught.value.reason is JobReason.MANIFEST_ARCHIVED


async def test_a_status_of_200_with_an_error_in_the_body_is_no_success(
    shaky_s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    shared_place.put(key, "12345")
    head = await head_of(shaky_s3, shared_place.input, key)
    proxy.refuse(r"s3\.PUT .*-moved", xml_error(200, "InternalError"), times=2)
    await shaky_s3.move(shared_place.input, key, head, f"{key}-moved", metadata=BATCH)
    assert shared_place.read(f"{key}-moved", shared_place.input) == b"12345"
    assert await shaky_s3.head(shared_place.input, key) is None
    assert proxy.seen(r"s3\.PUT .*-moved") == 3


async def test_an_error_that_nobody_knows_is_no_success_and_is_not_waited_out(
    shaky_s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    proxy.refuse(r"s3\.PUT ", xml_error(400, "SomethingNew"))
    with pytest.raises(RetryableError) as caught:
        await shaky_s3.put(shared_place.input, key, b"12345", "text/csv")
    assert caught.value.reason is JobReason.AWS_UNKNOWN
    assert proxy.seen(r"s3\.PUT ") == 1


async def test_a_download_that_breaks_off_is_retryable(
    shaky_s3: S3, s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    shared_place.put(key, "x" * 1_000)
    head = await head_of(s3, shared_place.input, key)
    proxy.drop(rf"s3\.GET .*{key}", times=2)
    assert await downloaded(shaky_s3, shared_place.input, key, head) == b"x" * 1_000
    assert proxy.seen(rf"s3\.GET .*{key}") == 3


# --- writing --------------------------------------------------------------------------------------------------------


async def test_a_second_put_of_a_key_is_refused_and_leaves_the_object_alone(
    s3: S3, shared_place: Place, key: str
) -> None:
    assert await s3.put_new(shared_place.output, key, b"first", headers=HEADERS) is True
    other = HEADERS | {"ContentType": "text/plain", "Metadata": {"batch-id": "b-2"}}
    assert await s3.put_new(shared_place.output, key, b"second", headers=other) is False
    assert shared_place.read(key) == b"first"
    head = shared_place.head(key)
    assert head["ContentType"] == "image/jpeg"
    assert head["CacheControl"] == "max-age=31536000"
    assert head["ServerSideEncryption"] == "AES256"
    assert await s3.metadata(shared_place.output, key) == {"batch-id": "b-1"}


async def test_a_put_without_the_collision_check_replaces(s3: S3, shared_place: Place, key: str) -> None:
    for body in (b"first", b"second"):
        assert await s3.put_new(shared_place.output, key, body, headers=HEADERS, only_new=False) is True
    assert shared_place.read(key) == b"second"


async def test_a_lost_answer_to_a_put_ends_in_one_object_that_counts_as_ours(
    shaky_s3: S3, proxy: Faulty, shared_place: Place, versioned: str, key: str
) -> None:
    lost = proxy.lose_answer(rf"s3\.PUT .*{key}")
    assert await collage(shaky_s3, versioned, (key, "never")) == key
    assert lost.reached.is_set()
    assert proxy.seen(rf"s3\.PUT .*{key}") == 2
    assert len(versions(shared_place, versioned, key)) == 1


async def test_a_large_body_is_sent_whole_at_the_second_try_as_well(
    shaky_s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    lost = proxy.lose_answer(rf"s3\.PUT .*{key}")
    assert await shaky_s3.put_new(shared_place.output, key, BIG, headers=HEADERS, only_new=False) is True
    await shaky_s3.put(shared_place.output, f"{key}.copy", BIG, "image/jpeg")
    assert lost.reached.is_set()
    assert proxy.seen(rf"s3\.PUT .*{key}$") == 2
    assert shared_place.read(key) == shared_place.read(f"{key}.copy") == BIG


async def test_a_put_in_conflict_with_another_is_tried_again(
    shaky_s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    proxy.refuse(rf"s3\.PUT .*{key}", CONFLICT, times=1)
    assert await shaky_s3.put_new(shared_place.output, key, b"ours", headers=HEADERS) is True
    assert shared_place.read(key) == b"ours"


async def test_a_key_in_lasting_conflict_is_retryable_and_never_counts_as_written(
    shaky_s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    proxy.refuse(rf"s3\.PUT .*{key}", CONFLICT)
    with pytest.raises(Unavailable):
        await shaky_s3.put_new(shared_place.output, key, b"ours", headers=HEADERS)


async def test_a_key_of_another_batch_is_left_alone_and_ours_gets_the_second(
    s3: S3, shared_place: Place, key: str
) -> None:
    second = key.replace(".csv", "_hash.csv")
    assert await collage(s3, shared_place.output, (key, second), batch="theirs") == key
    assert await collage(s3, shared_place.output, (key, second), batch="ours") == second
    assert await collage(s3, shared_place.output, (key, second), batch="ours") == second, "a retry finds its own"
    assert await s3.metadata(shared_place.output, key) == {"batch-id": "theirs", "creator": "a%20b", "images": "3"}
    with pytest.raises(RetryableError):
        await collage(s3, shared_place.output, (key, second), batch="a third")


async def collage(s3: S3, bucket: str, keys: tuple[str, str], *, batch: str = "ours") -> str:
    results = S3Results(s3, bucket=bucket, temp_bucket="none", only_new=True, debug=False)
    key, there = await results.put_collage(
        keys, batch.encode(), batch_id=batch, creator="a b", images=3, content_type="image/jpeg"
    )
    assert there in {None, batch.encode()}
    assert await results.get_collage(keys, batch_id=batch, creator="a b") == (key, batch.encode())
    return key


# --- in parts -------------------------------------------------------------------------------------------------------

PART = 5 * 1024 * 1024
BIG = bytes(range(256)) * (2 * PART // 256) + b"and the rest"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_module, "MULTIPART_FROM", PART)
    monkeypatch.setattr(s3_module, "PART_SIZE", PART)


def uploads(place: Place) -> int:
    return len(place.aws.s3.list_multipart_uploads(Bucket=place.output).get("Uploads", []))


async def test_a_big_body_goes_up_in_parts_with_the_same_headers(
    small_parts: None, shaky_s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    assert await shaky_s3.put_new(shared_place.output, key, BIG, headers=HEADERS) is True
    assert proxy.seen(r"s3\.PUT .*partNumber=") == 3
    assert shared_place.read(key) == BIG
    head = shared_place.head(key)
    assert (head["ContentType"], head["CacheControl"]) == ("image/jpeg", "max-age=31536000")
    assert head["ServerSideEncryption"] == "AES256"
    assert head["Metadata"] == {"batch-id": "b-1"}
    assert uploads(shared_place) == 0


async def test_the_condition_of_a_put_in_parts_goes_with_its_completion(
    small_parts: None, shaky_s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    taken = b"<Error><Code>PreconditionFailed</Code><Message>taken</Message></Error>"
    proxy.refuse(rf"s3\.POST .*{key}\?uploadId", type(CONFLICT)(412, taken, "application/xml"))
    assert await shaky_s3.put_new(shared_place.output, key, BIG, headers=HEADERS) is False
    assert uploads(shared_place) == 0, "the parts are thrown away"


async def test_an_upload_in_parts_that_fails_leaves_no_parts_behind(
    small_parts: None, shaky_s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    proxy.refuse(rf"s3\.PUT .*{key}.*partNumber=2", FORBIDDEN)
    with pytest.raises(Unavailable):
        await shaky_s3.put_new(shared_place.output, key, BIG, headers=HEADERS)
    assert uploads(shared_place) == 0
    assert key not in shared_place.listed()


async def test_a_lost_answer_to_the_completion_of_parts_ends_in_the_object_counted_as_ours(
    small_parts: None, shaky_s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    proxy.lose_answer(rf"s3\.POST .*{key}\?uploadId")
    await shaky_s3.put_new(shared_place.output, key, BIG, headers=HEADERS)
    assert shared_place.read(key) == BIG
    assert uploads(shared_place) == 0


# --- moving ---------------------------------------------------------------------------------------------------------


async def test_a_move_without_versions_leaves_one_object_at_the_target(s3: S3, shared_place: Place, key: str) -> None:
    shared_place.put(key, "rows")
    head = await head_of(s3, shared_place.input, key)
    for _ in range(2):  # the second time there is nothing to do
        await s3.move(shared_place.input, key, head, f"archived/processed/{key}", metadata=BATCH)
        assert shared_place.listed(shared_place.input, key) == []
        assert shared_place.read(f"archived/processed/{key}", shared_place.input) == b"rows"


async def test_a_move_without_versions_leaves_a_newer_upload_where_it_is(s3: S3, shared_place: Place, key: str) -> None:
    shared_place.put(key, "rows")
    head = await head_of(s3, shared_place.input, key)
    shared_place.put(key, "newer rows")
    await s3.move(shared_place.input, key, head, f"archived/processed/{key}", metadata=BATCH)
    assert shared_place.read(key, shared_place.input) == b"newer rows"


async def test_a_move_with_versions_takes_the_one_that_was_read(
    s3: S3, shared_place: Place, versioned: str, key: str
) -> None:
    shared_place.aws.s3.put_object(Bucket=versioned, Key=key, Body=b"rows")
    head = await head_of(s3, versioned, key)
    newer = shared_place.aws.s3.put_object(Bucket=versioned, Key=key, Body=b"newer rows")
    for _ in range(2):
        await s3.move(versioned, key, head, f"archived/processed/{key}", metadata=BATCH)
        assert versions(shared_place, versioned, key) == [newer["VersionId"]]
        assert shared_place.read(key, versioned) == b"newer rows"
        assert shared_place.read(f"archived/processed/{key}", versioned) == b"rows"


async def test_what_is_too_large_for_one_copy_is_moved_in_parts(
    s3: S3, shared_place: Place, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = 5 << 20  # S3's smallest, but for the last
    monkeypatch.setattr(s3_module, "COPIED_WHOLE", part)
    monkeypatch.setattr(s3_module, "COPY_PART_SIZE", part)
    body = bytes(range(256)) * 45_000
    shared_place.put(key, body)
    head = await head_of(s3, shared_place.input, key)
    await s3.move(shared_place.input, key, head, f"archived/processed/{key}", metadata=BATCH)
    found = shared_place.aws.s3.get_object(Bucket=shared_place.input, Key=f"archived/processed/{key}")
    assert found["Body"].read() == body
    assert found["ETag"].endswith('-3"')
    assert key not in shared_place.listed(shared_place.input)


async def test_a_large_upload_that_was_replaced_meanwhile_stays_where_it_is(
    s3: S3, shared_place: Place, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "COPIED_WHOLE", 0)
    shared_place.put(key, "rows")
    head = await head_of(s3, shared_place.input, key)
    shared_place.put(key, "newer rows")
    await s3.move(shared_place.input, key, head, f"archived/processed/{key}", metadata=BATCH)
    assert shared_place.read(key, shared_place.input) == b"newer rows"
    # moto knows no conditions on copies of parts; in S3 nothing is archived either
    uploads = shared_place.aws.s3.list_multipart_uploads(Bucket=shared_place.input).get("Uploads", [])
    assert key not in {upload["Key"].removeprefix("archived/processed/") for upload in uploads}


async def test_a_move_keeps_spaces_and_unicode_in_keys(s3: S3, shared_place: Place) -> None:
    key = f"csv-of-nobody/{token()} über + 100%/b & c?.csv"
    shared_place.put(key, "rows")
    await s3.move(
        shared_place.input,
        key,
        await head_of(s3, shared_place.input, key),
        f"archived/failed/{key}",
        metadata={"batch-id": "b"},
    )
    assert shared_place.read(f"archived/failed/{key}", shared_place.input) == b"rows"
    assert key not in shared_place.listed(shared_place.input)


async def test_a_move_whose_copy_was_done_but_not_answered_is_finished(
    shaky_s3: S3, s3: S3, proxy: Faulty, shared_place: Place, key: str
) -> None:
    shared_place.put(key, "rows")
    head = await head_of(s3, shared_place.input, key)
    proxy.lose_answer(rf"s3\.PUT .*archived/processed/{key}")
    await shaky_s3.move(shared_place.input, key, head, f"archived/processed/{key}", metadata=BATCH)
    assert shared_place.listed(shared_place.input, key) == []
    assert shared_place.read(f"archived/processed/{key}", shared_place.input) == b"rows"


async def test_a_document_is_copied_into_a_file(s3: S3, shared_place: Place, key: str) -> None:
    bucket = shared_place.settings.output_bucket
    await s3.put(bucket, key, b"rows", "application/gzip")
    file = io.BytesIO()
    assert await s3.fetch(bucket, key, file)
    assert file.read() == b"rows"
    assert not await s3.fetch(bucket, key + ".gone", io.BytesIO())


async def test_keys_are_listed_page_by_page_in_their_order(s3: S3, shared_place: Place) -> None:
    bucket, prefix = shared_place.settings.output_bucket, f"results/{token()}/"
    names = [f"{prefix}{number:04d}" for number in range(1_001)]
    await asyncio.gather(*[s3.put(bucket, name, b"", "text/plain") for name in reversed(names)])
    assert [found async for found in s3.keys(bucket, prefix)] == names
    assert [found async for found in s3.keys(bucket, prefix + "no")] == []


# --- whose buckets, whose keys, whose money -------------------------------------------------------------------------

KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
OWNER = "000000000000"
"""Whose account the emulators make buckets in."""


@pytest.fixture
def sent(clients: Clients) -> Iterator[list[AWSPreparedRequest]]:
    """Every request to S3, as it goes out."""
    found: list[AWSPreparedRequest] = []

    def note(request: AWSPreparedRequest, **_: object) -> None:
        found.append(request)

    clients.s3.meta.events.register("before-send.s3", note)
    yield found
    clients.s3.meta.events.unregister("before-send.s3", note)


def told(request: AWSPreparedRequest, name: str) -> str | None:
    """Return what a request says in a header."""
    value = request.headers.get(name)
    return value.decode() if isinstance(value, bytes) else value


async def test_parts_name_their_checksum_and_their_completion_gives_each(
    small_parts: None, s3: S3, shared_place: Place, key: str, sent: list[AWSPreparedRequest]
) -> None:
    assert await s3.put_new(shared_place.output, key, BIG, headers=HEADERS)
    begun, *parts, completed = sent
    assert told(begun, "x-amz-checksum-algorithm") == "CRC32"
    checksums = [told(part, "x-amz-checksum-crc32") for part in parts]
    pieces = [BIG[start : start + PART] for start in range(0, len(BIG), PART)]
    assert checksums == [base64.b64encode(zlib.crc32(piece).to_bytes(4)).decode() for piece in pieces]
    assert [told(part, "x-amz-trailer") for part in parts] == [None] * len(pieces)
    body = str(completed.body)
    assert [checksum for checksum in checksums if f"<ChecksumCRC32>{checksum}</ChecksumCRC32>" in body] == checksums


async def test_objects_are_encrypted_with_the_key_that_the_settings_name(
    clients: Clients, shared_place: Place, key: str, sent: list[AWSPreparedRequest]
) -> None:
    place = shared_place
    s3 = S3(clients.s3, buckets=Buckets(kms_key=KMS_KEY))
    plain = {name: value for name, value in HEADERS.items() if name != "ServerSideEncryption"}
    await s3.put(place.output, f"{key}.json", b"{}", "application/json")
    await s3.put_new(place.output, f"{key}.jpg", b"a page", headers=plain)
    place.put(key, "rows")
    await s3.move(place.input, key, await head_of(s3, place.input, key), f"archived/{key}", metadata=BATCH)
    writes = [request for request in sent if request.method == "PUT"]
    assert len(writes) == 3
    for request in writes:
        assert told(request, "x-amz-server-side-encryption") == "aws:kms"
        assert told(request, "x-amz-server-side-encryption-aws-kms-key-id") == KMS_KEY
        assert told(request, "x-amz-server-side-encryption-bucket-key-enabled") == "true"
    found = place.head(f"{key}.jpg")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", KMS_KEY)


async def test_our_own_buckets_have_to_be_their_owners_and_those_of_jobs_need_not(
    clients: Clients, shared_place: Place, versioned: str, key: str, sent: list[AWSPreparedRequest]
) -> None:
    place = shared_place
    s3 = S3(clients.s3, buckets=Buckets(place.settings.own_buckets, owner=OWNER))
    await s3.probe([place.output])
    await s3.put(place.output, f"{key}.json", b"{}", "application/json")
    await s3.get(place.output, f"{key}.json")
    await s3.put_new(place.output, f"{key}.jpg", b"a page", headers=HEADERS)
    place.put(key, "rows")
    await s3.move(place.input, key, await head_of(s3, place.input, key), f"archived/{key}", metadata=BATCH)
    assert {told(request, "x-amz-expected-bucket-owner") for request in sent} == {OWNER}
    (copy,) = [request for request in sent if told(request, "x-amz-copy-source")]
    assert told(copy, "x-amz-source-expected-bucket-owner") == OWNER
    sent.clear()
    place.aws.s3.put_object(Bucket=versioned, Key=key, Body=b"rows")
    await downloaded(s3, versioned, key, await head_of(s3, versioned, key))
    assert {told(request, "x-amz-expected-bucket-owner") for request in sent} == {None}


async def test_a_link_names_no_owner_or_nobody_could_follow_it(clients: Clients, shared_place: Place) -> None:
    s3 = S3(clients.s3, buckets=Buckets(shared_place.settings.own_buckets, owner=OWNER))
    shared_place.aws.s3.put_object(Bucket=shared_place.output, Key="linked", Body=b"a page")
    link = await s3.presigned(shared_place.output, "linked", 60)
    assert await asyncio.to_thread(lambda: urlopen(link).read()) == b"a page"


async def test_whoever_reads_a_jobs_bucket_pays_for_it_where_its_owner_says_so(
    clients: Clients, shared_place: Place, versioned: str, key: str, sent: list[AWSPreparedRequest]
) -> None:
    s3 = S3(clients.s3, buckets=buckets_of(shared_place.settings))
    shared_place.aws.s3.put_object(Bucket=versioned, Key=key, Body=b"rows")
    assert await downloaded(s3, versioned, key, await head_of(s3, versioned, key)) == b"rows"
    assert {told(request, "x-amz-request-payer") for request in sent} == {"requester"}
    sent.clear()
    shared_place.put(key, "rows")
    await downloaded(s3, shared_place.input, key, await head_of(s3, shared_place.input, key))
    assert {told(request, "x-amz-request-payer") for request in sent} == {None}


@pytest.fixture(scope="module")
def locked(shared_place: Place) -> str:
    """A bucket that keeps every version for a day, whoever asks for its end (Object Lock)."""
    name = f"it-{token()}-locked"
    shared_place.aws.s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    retention = {"Mode": "COMPLIANCE", "Days": 1}
    shared_place.aws.s3.put_object_lock_configuration(
        Bucket=name,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}},  # type: ignore[typeddict-item]
    )
    return name


async def test_collages_and_documents_go_into_a_bucket_that_keeps_all(
    small_parts: None, s3: S3, shared_place: Place, locked: str, key: str
) -> None:
    assert await s3.put_new(locked, f"{key}.jpg", b"a page", headers=HEADERS)
    assert not await s3.put_new(locked, f"{key}.jpg", b"another page", headers=HEADERS)
    assert await s3.put_new(locked, f"{key}-big.jpg", BIG, headers=HEADERS)
    for _ in range(2):
        await s3.put(locked, f"{key}.json", b"{}", "application/json")
    assert shared_place.read(f"{key}.jpg", locked) == b"a page"


def kept(place: Place, key: str) -> str:
    """Put an object into a bucket of its own, whose first version S3 keeps for a day; returns the bucket."""
    name = f"it-{token()}-kept"
    place.aws.s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    version = place.aws.s3.put_object(Bucket=name, Key=key, Body=b"rows")["VersionId"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    place.aws.s3.put_object_retention(
        Bucket=name, Key=key, VersionId=version, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": tomorrow}
    )
    return name


async def test_a_manifest_that_its_bucket_keeps_is_archived_and_hidden(s3: S3, shared_place: Place, key: str) -> None:
    locked = kept(shared_place, key)
    old = versions(shared_place, locked, key)
    head = await head_of(s3, locked, key)
    for _ in range(2):  # the second time there is nothing to do
        await s3.move(locked, key, head, f"archived/{key}", metadata=BATCH)
        assert shared_place.read(f"archived/{key}", locked) == b"rows"
        assert await s3.head(locked, key) is None
    assert versions(shared_place, locked, key) == old


async def test_a_newer_upload_over_one_that_is_kept_stays_where_it_is(s3: S3, shared_place: Place, key: str) -> None:
    locked = kept(shared_place, key)
    head = await head_of(s3, locked, key)
    shared_place.aws.s3.put_object(Bucket=locked, Key=key, Body=b"newer rows")
    await s3.move(locked, key, head, f"archived/{key}", metadata=BATCH)
    assert shared_place.read(key, locked) == b"newer rows"
