"""The names of things: what keys look like, and that no two things share one."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.encoded_names import name_of
from tests.unit.fakes import NOON, job
from worker.jobs.messages import explicit_of
from worker.keys import (
    MAX_NAME,
    archive_key,
    batch_hash,
    batch_id,
    chunk_key,
    collage_key,
    from_iso,
    iso,
    manifest_name,
    manifest_stem,
    metadata_key,
    safe_name,
    starts_a_batch,
    summary_key,
)
from worker.model import InlineManifest, Job, ProcessingConfig, S3Manifest

S3_KEY_LIMIT = 1_024
"""Bytes of UTF-8; https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

names = st.text(st.characters(exclude_categories=()), max_size=60) | st.text("./%~-_aA é\ud800", max_size=12)


@settings(deadline=None)
@given(names)
@example("..")
@example(".")
@example("%2E%2E")
def test_a_safe_name_is_reversible_and_holds_allowed_characters_only(name: str) -> None:
    encoded = safe_name(name, 10_000)
    assert name_of(encoded) == name
    assert re.fullmatch(r"([A-Za-z0-9._-]|%[0-9A-F]{2})*", encoded)
    assert encoded not in {".", ".."}


@settings(deadline=None)
@given(names, names)
@example("a/b", "a%2Fb")
@example("a", "A")
@example(".", "%2E")
@example("é", "e\u0301")
def test_two_names_never_share_a_safe_name(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) is (one == other)


@settings(deadline=None)
@given(st.text(min_size=60, max_size=400), st.sampled_from([60, 100, MAX_NAME]))
@example("é" * 300, 100)
@example("a" * 66 + "é" * 300, 100)
@example("." * 500, MAX_NAME)
def test_a_cut_name_keeps_to_its_limit_and_to_the_allowed_characters(name: str, limit: int) -> None:
    encoded = safe_name(name, limit)
    assert len(encoded) <= limit
    assert re.fullmatch(r"([A-Za-z0-9._-]|%[0-9A-F]{2})*(~[0-9a-f]{32})?", encoded)
    assert ("~" in encoded) is (len(safe_name(name, 10_000)) > limit)


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_long_names_that_begin_alike_are_cut_to_different_ones(one: int, other: int) -> None:
    begin = "ü" * 300
    assert (safe_name(f"{begin}{one}") == safe_name(f"{begin}{other}")) is (one == other)


def test_a_name_that_looks_like_a_cut_one_does_not_meet_it() -> None:
    cut = safe_name("x" * 500, 100)
    assert safe_name(cut) != cut
    assert name_of(safe_name(cut)) == cut


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("aaliahmaddox", "aaliahmaddox"),
        ("a_b-c.d", "a_b-c.d"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        ("a/b", "a%2Fb"),
        ("a b+c", "a%20b%2Bc"),
        ("José", "Jos%C3%A9"),
        ("😀", "%F0%9F%98%80"),
        ("50%", "50%25"),
        ("~", "%7E"),
    ],
)
def test_safe_names_by_example(name: str, encoded: str) -> None:
    assert safe_name(name) == encoded


# --- batches --------------------------------------------------------------------------------------------------------


def test_a_batch_id_is_the_manifests_stem_and_eight_digits() -> None:
    identifier = batch_id(job("csv-files/cover_urls_20250119_120000.csv", version="v1"))
    assert re.fullmatch(r"s3_cover_urls_20250119_120000-[0-9a-f]{8}", identifier)
    assert identifier.endswith("-" + batch_hash(identifier))


def test_the_same_object_is_the_same_batch_whatever_else_the_job_says() -> None:
    one = job("csv-files/a.csv", version="v1", prefix="x/", rows=3)
    other = job("csv-files/a.csv", version="v1", from_event=False)
    assert batch_id(one) == batch_id(other)


@pytest.mark.parametrize(
    "change", [{"version": "v2"}, {"version": None, "etag": "e2"}, {"bucket": "other"}, {"key": "csv-files/b/a.csv"}]
)
def test_another_version_bucket_or_key_is_another_batch(change: dict[str, str]) -> None:
    one = job("csv-files/a.csv", version="v1")
    assert isinstance(one.manifest, S3Manifest)
    assert batch_id(one) != batch_id(replace(one, manifest=replace(one.manifest, **change)))


def test_without_a_version_another_etag_is_another_batch() -> None:
    one = job("csv-files/a.csv")
    assert isinstance(one.manifest, S3Manifest)
    batches = {batch_id(replace(one, manifest=replace(one.manifest, etag=etag))) for etag in ("e1", "e2", "e1")}
    assert len(batches) == 2


def test_where_there_is_a_version_the_etag_does_not_matter() -> None:
    one = job("csv-files/a.csv", version="v1")
    assert isinstance(one.manifest, S3Manifest)
    assert batch_id(one) == batch_id(replace(one, manifest=replace(one.manifest, etag="e1")))


def test_an_inline_batch_is_named_after_its_text_and_what_was_asked() -> None:
    one = Job(InlineManifest("creator,url\n"), "", ProcessingConfig(), from_event=False)
    assert batch_id(one).startswith("s3_inline-")
    assert batch_id(one) == batch_id(replace(one))
    assert batch_id(one) != batch_id(replace(one, manifest=InlineManifest("creator,url\n\n")))
    assert batch_id(one) != batch_id(replace(one, explicit=explicit_of("x/", None)))
    assert batch_id(one) != batch_id(replace(one, explicit=explicit_of(None, {"rows": 3})))
    assert batch_id(one) == batch_id(replace(one, explicit=explicit_of(None, {})))


@pytest.mark.parametrize(
    ("key", "name", "stem"),
    [
        ("csv-files/a.csv", "a.csv", "a"),
        ("csv-files/x/a.b.CSV", "a.b.CSV", "a.b"),
        ("a.csv.gz", "a.csv.gz", "a"),
        ("a.gz", "a.gz", "a"),
        ("a.b.XLSX", "a.b.XLSX", "a.b"),
        ("a.jsonl.GZ", "a.jsonl.GZ", "a"),
        ("a.v2", "a.v2", "a.v2"),
        ("a.csv.csv", "a.csv.csv", "a.csv"),
        ("plain", "plain", "plain"),
        ("csv-files/.csv", ".csv", "manifest"),
    ],
)
def test_the_manifests_name_and_stem(key: str, name: str, stem: str) -> None:
    assert (manifest_name(job(key)), manifest_stem(job(key))) == (name, stem)


@settings(deadline=None)
@given(st.text(max_size=300).filter(lambda key: "\ud800" not in key))
def test_a_batch_id_is_safe_and_short_whatever_the_key(key: str) -> None:
    assert re.fullmatch(r"s3_[A-Za-z0-9._%~-]{1,100}-[0-9a-f]{8}", batch_id(job(f"csv-files/{key}.csv")))


# --- keys -----------------------------------------------------------------------------------------------------------


def test_keys_are_the_contracts() -> None:
    assert (
        collage_key("sqs-trigger/", "a/b", NOON, page=1, extension="jpg")
        == "sqs-trigger/collages/by-creator/a%2Fb/collage_20250119_120000.jpg"
    )
    assert (
        collage_key("", "ann", NOON, page=2, extension="jpg")
        == "collages/by-creator/ann/collage_20250119_120000_p2.jpg"
    )
    assert (
        collage_key("", "ann", NOON, page=1, extension="jpg", suffix="1f3a9c52")
        == "collages/by-creator/ann/collage_20250119_120000_1f3a9c52.jpg"
    )
    assert summary_key("p/", "s3_a-1f3a9c52") == "p/results/processing-summaries/s3_a-1f3a9c52.json"
    assert summary_key("p/", "s3_a-1f3a9c52", "html") == "p/results/processing-summaries/s3_a-1f3a9c52.html"
    assert metadata_key("p/", "s3_a-1f3a9c52", "a/b") == "p/results/metadata/s3_a-1f3a9c52/a%2Fb.json"
    assert chunk_key("s3_a-1f3a9c52", 3) == "processing/s3_a-1f3a9c52/chunks/000003.jsonl.gz"
    assert archive_key("csv-files/x/a.csv", failed=False) == "archived/processed/csv-files/x/a.csv"
    assert archive_key("csv-files/x/a.csv", failed=True) == "archived/failed/csv-files/x/a.csv"


def test_a_timestamp_is_utc_wherever_the_moment_was_told() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert "collage_20250119_120000." in collage_key("", "ann", there, page=1, extension="jpg")
    assert iso(there) == "2025-01-19T12:00:00Z"


@pytest.mark.parametrize("wide", ["a", "é", "€", "😀", " "])
def test_every_key_fits_s3_at_the_extremes(wide: str) -> None:
    long = job("csv-files/" + wide * ((S3_KEY_LIMIT - 14) // len(wide.encode())) + ".csv", prefix="p" * 256)
    assert isinstance(long.manifest, S3Manifest)
    identifier, creator = batch_id(long), wide * 2_000
    keys = [
        collage_key(long.output_prefix, creator, NOON, page=1_000, extension="jpeg", suffix=batch_hash(identifier)),
        summary_key(long.output_prefix, identifier, "html"),
        metadata_key(long.output_prefix, identifier, creator),
        f"debug/{identifier}/{safe_name(creator)}/{10**9}.unsupported_format",
        chunk_key(identifier, 10**7),
        archive_key(long.manifest.key, failed=False),
        archive_key(long.manifest.key, failed=True) + ".error.json",
    ]
    assert max(len(key.encode()) for key in keys) <= S3_KEY_LIMIT


def test_two_manifests_whose_archive_keys_are_cut_do_not_share_one() -> None:
    begin = "csv-files/" + "é" * 500
    assert archive_key(begin + "1.csv", failed=False) != archive_key(begin + "2.csv", failed=False)
    assert archive_key(begin + "1.csv", failed=False) == archive_key(begin + "1.csv", failed=False)


@settings(deadline=None)
@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(lambda moment: moment.replace(microsecond=0)))  # noqa: DTZ001 -- hypothesis wants naive bounds
def test_a_moment_survives_being_written_and_read(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    assert from_iso(iso(moment)) == moment
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", iso(moment))


@pytest.mark.parametrize(
    ("key", "starts"),
    [
        ("csv-files/a.csv", True),
        ("csv-files/deep/er/a.csv.gz", True),
        ("csv-files/EXPORT.CSV", True),
        ("csv-files/a.txt", True),
        ("csv-files/no-suffix", True),
        ("csv-files/sheet.XLSX", True),
        ("csv-files/a.csv.error.json", False),
        ("csv-files/folder_$folder$", False),
        ("csv-files/", False),
        ("csv-files", False),
        ("manual-uploads/a.csv", False),
        ("archived/processed/csv-files/a.csv", False),
        ("x/csv-files/a.csv", False),
        ("/csv-files/a.csv", False),
        ("csv-files/a.csv/", False),
    ],
)
def test_only_manifests_under_csv_files_start_a_batch(key: str, starts: bool) -> None:
    assert starts_a_batch(key) is starts
