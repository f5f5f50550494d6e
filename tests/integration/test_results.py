"""What a finished batch leaves behind: objects, their headers, summary, metadata and records."""

import gzip
import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest
from PIL import Image

from tests.integration.emulator import Aws
from tests.integration.pictures import EVERY, SMALL, Origin, manifest, token
from tests.integration.places import Place, creators
from tests.integration.processes import Worker
from worker.jobs.part_lines import RowOutcome

REFUSED = "http://169.254.169.254/latest/meta-data/"


@pytest.fixture(scope="module")
def worker(shared_worker: Worker) -> Worker:
    return shared_worker


@pytest.fixture
def place(shared_place: Place, worker: Worker) -> Place:
    return shared_place


def finished(place: Place, name: str, prefix: str = "") -> tuple[str, dict[str, Any], Any]:
    """Wait for a batch; returns its id, its records and its summary."""
    batch_id, _ = place.batch(name, within=60)
    return batch_id, place.records(batch_id), place.summary(batch_id, prefix)


def picture(place: Place, key: str) -> Image.Image:
    with Image.open(io.BytesIO(place.read(key))) as opened:
        opened.load()
        return opened


class Mixed:
    """One batch in which most things happen, done once for the module."""

    def __init__(self, place: Place, origin: Origin) -> None:
        self.name = token()
        photo = origin.photo
        self.fates = {
            "alice": [
                (photo(SMALL[0], self.name), "used"),
                (f"{origin.base}/status/404?{self.name}", "not_found"),
                (photo(SMALL[1], self.name), "used"),
                (photo(SMALL[0], self.name), "duplicate"),
                (photo(SMALL[0], self.name + "-again"), "duplicate"),
                (f"{origin.base}/redirect/{SMALL[2]}?{self.name}", "used"),
                (f"{origin.base}/flaky/2/{EVERY[5]}?{self.name}", "used"),
            ],
            "bob/../é": [
                (f"{origin.base}/status/403?{self.name}", "forbidden"),
                (f"{origin.base}/status/410?{self.name}", "not_found"),
                (f"{origin.base}/html/{self.name}", "not_an_image"),
                (f"{origin.base}/tiny.png?{self.name}", "too_small"),
                (f"{origin.base}/truncated/{EVERY[3]}?{self.name}", "truncated"),
                (photo(SMALL[3], self.name) + "?x-expires=1000000000", "expired"),
            ],
        }
        rows = [(creator, url) for creator, fates in self.fates.items() for url, _ in fates]
        text = manifest(rows) + ",http://x/y.jpg\nalice,\nalice,ftp://x/y.jpg\n"
        self.body = place.send_job(text, self.name, processing_config={"cols": 3, "rows": 2, "max_retries": 2})
        self.id, self.records, self.summary = finished(place, self.name)
        self.place = place


@pytest.fixture(scope="module")
def mixed(shared_place: Place, worker: Worker, origin: Origin) -> Mixed:
    return Mixed(shared_place, origin)


def test_the_keys_are_those_of_the_contract_and_no_others(mixed: Mixed) -> None:
    stamp = re.sub(r"[-:Z]", "", mixed.records["alice"]["processing_date"]).replace("T", "_")
    ours = {key for key in mixed.place.listed() if mixed.id in key or f"alice/collage_{stamp}" in key or "bob" in key}
    assert ours == {
        f"collages/by-creator/alice/collage_{stamp}.jpg",
        f"results/processing-summaries/{mixed.id}.json",
        f"results/processing-summaries/{mixed.id}.html",
        f"results/metadata/{mixed.id}/part-000001-000001.jsonl.gz",
        f"results/metadata/{mixed.id}/creators.jsonl.gz",
    }


def test_a_collage_has_the_headers_of_the_contract(mixed: Mixed) -> None:
    head = mixed.place.head(mixed.records["alice"]["collage_s3_key"])
    assert head["ContentType"] == "image/jpeg"
    assert head["CacheControl"] == "max-age=31536000"
    assert head["ContentDisposition"].startswith('inline; filename="alice_')
    assert head["ServerSideEncryption"] == "AES256"
    assert head["Metadata"] == {"batch-id": mixed.id, "creator": "alice", "images": "4"}


def test_a_collage_is_as_wide_as_its_columns_and_as_high_as_its_rows(mixed: Mixed) -> None:
    found = picture(mixed.place, mixed.records["alice"]["collage_s3_key"])
    assert (found.format, found.mode, found.size) == ("JPEG", "RGB", (600, 400))
    assert found.getpixel((500, 300)) == (255, 255, 255), "an empty cell shows the background"


def test_the_records_tell_what_became_of_each_creator(mixed: Mixed) -> None:
    alice, bob = mixed.records["alice"], mixed.records["bob/../é"]
    assert (alice["status"], alice["images_processed"], alice["error_count"]) == ("completed", 4, 1)
    assert (alice["errors"], alice["duplicates"]) == ({"not_found": 1}, 2), "a repeat is no failure"
    assert (bob["status"], bob["images_processed"], bob["error_count"]) == ("failed", 0, 6)
    assert bob["errors"] == dict(Counter(reason for _, reason in mixed.fates["bob/../é"]))
    assert "collage_s3_key" not in bob
    for record in (alice, bob):
        assert record["batch_id"] == mixed.id
        assert record["metadata"]["source_csv"] == f"{mixed.name}.csv"
        assert record["metadata"]["mode"] == "normal"
        assert record["part_s3_key"] == f"results/metadata/{mixed.id}/part-000001-000001.jsonl.gz"
        assert record["processing_duration"] > 0
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["processing_date"])


def test_the_parts_have_every_row_with_its_fate(mixed: Mixed) -> None:
    rows = mixed.place.rows(mixed.id)
    for creator, fates in mixed.fates.items():
        own = [row for row in rows if row.creator == creator]
        assert [(row.url, row.reason or row.outcome.value) for row in own] == fates
        assert all(row.line > 1 for row in own)
    for row in rows:
        if row.outcome is RowOutcome.USED:
            assert None not in {row.format, row.width, row.height, row.bytes, row.fingerprint, row.seconds}
            assert row.collage_key == mixed.records[row.creator]["collage_s3_key"]
            assert row.collage_hash == mixed.records[row.creator]["content_hash"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row.ended_at or "")


def test_the_table_of_creators_says_what_the_records_say(mixed: Mixed) -> None:
    body = mixed.place.read(mixed.summary["results"]["creators"])
    told = {line["creator"]: line for line in map(json.loads, gzip.decompress(body).splitlines())}
    assert set(told) == set(mixed.records)
    for name, line in told.items():
        record = mixed.records[name]
        for field in ("status", "images_processed", "error_count", "errors"):
            assert line[field] == record[field]
        assert line["part"] == record["part_s3_key"]
        assert line["content_hash"] == record.get("content_hash")


def recipe(name: str, folder: Path) -> list[tuple[Any, ...]]:
    """Run a query of docs/results.md on the parts in a folder."""
    page = (Path(__file__).parents[2] / "docs/results.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- recipe: {name} -->\n```sql\n(.*?)```", page, re.DOTALL)
    assert found
    return duckdb.sql(found[1].replace("FOLDER", str(folder))).fetchall()


@pytest.fixture
def folder(mixed: Mixed, tmp_path: Path) -> Path:
    for key in mixed.place.listed(prefix=f"results/metadata/{mixed.id}/"):
        (tmp_path / key.rpartition("/")[2]).write_bytes(mixed.place.read(key))
    return tmp_path


def test_the_recipe_for_failures_counts_them_by_reason_and_host(mixed: Mixed, folder: Path) -> None:
    reasons = Counter(reason for fates in mixed.fates.values() for _, reason in fates)
    del reasons["used"], reasons["duplicate"]
    found = recipe("failures", folder)
    assert {reason: rows for reason, _, rows in found} == reasons
    assert {host for _, host, _ in found} == {"127.0.0.1"}


def test_the_recipe_for_slow_hosts_tells_how_long_their_images_took(folder: Path) -> None:
    ((host, images, mean, p95),) = recipe("hosts", folder)
    assert (host, images) == ("127.0.0.1", 4)
    assert 0 <= mean <= p95


def test_the_recipe_for_creators_without_a_collage_tells_why(mixed: Mixed, folder: Path) -> None:
    reasons = sorted({reason for _, reason in mixed.fates["bob/../é"]})
    assert recipe("creators", folder) == [("bob/../é", 6, ", ".join(reasons))]


def test_the_summary_adds_up_to_what_the_origin_served(mixed: Mixed, origin: Origin) -> None:
    summary, counts = mixed.summary, mixed.summary["counts"]
    assert (summary["batch_id"], summary["status"], summary["source_csv"]) == (
        mixed.id,
        "completed",
        f"{mixed.name}.csv",
    )
    assert counts == {
        "creators_total": 2,
        "creators_completed": 1,
        "creators_failed": 1,
        "images_processed": 4,
        "images_failed": 7,
        "collages_written": 1,
        "rows_total": 13,
        "rejects_total": 3,
    }
    reasons = Counter(reason for fates in mixed.fates.values() for _, reason in fates if reason != "used")
    assert summary["duplicates"] == reasons.pop("duplicate")
    assert summary["failures_by_reason"] == dict(reasons)
    assert summary["rejects"]["total"] == 3
    assert summary["rejects"]["by_reason"] == {"bad_scheme": 1, "no_creator": 1, "no_url": 1}
    assert [reject["line"] for reject in summary["rejects"]["listed"]] == [15, 16, 17]
    assert summary["collages"] == [mixed.records["alice"]["collage_s3_key"]]
    assert {creator["creator"] for creator in summary["creators"]} == set(mixed.fates)
    assert summary["settings"]["processing_config"]["cols"] == 3
    assert origin.asked(f"/copy/{mixed.name}/{SMALL[0]}") == 1, "the same URL twice is downloaded once"
    assert origin.asked(f"/flaky/2/{EVERY[5]}?{mixed.name}") == 3, "two failures that pass, then the photo"
    assert origin.asked("x-expires=1000000000") == 0, "an expired link is told without a request"
    assert origin.asked(f"/status/404?{mixed.name}") == 1, "nothing to try again"


def test_the_report_is_a_page_that_names_the_creators(mixed: Mixed) -> None:
    key = f"results/processing-summaries/{mixed.id}.html"
    assert mixed.place.head(key)["ContentType"].startswith("text/html")
    page = mixed.place.read(key).decode()
    assert "alice" in page
    assert "bob/../é" in page


def test_the_batchs_record_counts_as_its_summary(mixed: Mixed) -> None:
    record = mixed.place.batches(mixed.id)[mixed.id]
    counts = mixed.summary["counts"]
    assert {name: int(record["counts"][name]) for name in counts} == counts
    assert record["summary_key"] == f"results/processing-summaries/{mixed.id}.json"


def test_a_collage_shows_the_photos_in_manifest_order_however_they_arrive(place: Place, origin: Origin) -> None:
    name = token()
    names = [photo for photo in EVERY if photo.endswith(".jpg")][:4]
    slow = [origin.slow(milliseconds, photo) for milliseconds, photo in zip((600, 10, 300, 20), names, strict=True)]
    quick = [origin.photo(photo, name) for photo in names]
    config = {"cols": 2, "rows": 2}
    place.send_job(manifest([("slow", url) for url in slow]), f"slow{name}", processing_config=config)
    place.send_job(manifest([("quick", url) for url in quick]), f"quick{name}", processing_config=config)
    bodies = [place.read(finished(place, f"{kind}{name}")[1][kind]["collage_s3_key"]) for kind in ("slow", "quick")]
    assert bodies[0] == bodies[1], "the same inputs give the same bytes"


def test_more_images_than_a_page_holds_make_further_pages(place: Place, origin: Origin) -> None:
    name = token()
    config = {"cols": 2, "rows": 2, "max_images_per_creator": 9, "cell_size": 50}
    place.send_job(manifest([(name, url) for url in origin.photos(11, name)]), name, processing_config=config)
    batch_id, records, summary = finished(place, name)
    record = records[name]
    first = record["collage_s3_key"]
    keys = [first, first.replace(".jpg", "_p2.jpg"), first.replace(".jpg", "_p3.jpg")]
    assert record["collage_s3_keys"] == keys
    assert summary["collages"] == keys
    assert record["images_processed"] == 9
    assert [picture(place, key).size for key in keys] == [(100, 100), (100, 100), (100, 50)]
    assert [place.head(key)["Metadata"]["images"] for key in keys] == ["4", "4", "1"]
    rows = place.rows(batch_id)
    assert [row.outcome.value for row in rows] == ["used"] * 9 + ["not_needed"] * 2
    assert [row.collage_key for row in rows if row.position == 1] == keys
    assert origin.asked(f"/copy/{name}/") == 9


def test_creators_of_any_name_get_collages_that_never_meet(place: Place, origin: Origin) -> None:
    name = token()
    names = ["a/b", "a%2Fb", ".", "..", "\U0001f408 café", "x" * 1_000, "x" * 999 + "y", "A", "a", "-", name]
    rows = [(creator, origin.photo(SMALL[0], name)) for creator in names]
    place.send_job(manifest(rows), name, processing_config={"cell_size": 32})
    batch_id, records, _ = finished(place, name)
    assert set(records) == set(names)
    keys = [record["collage_s3_key"] for record in records.values()]
    assert len(set(keys)) == len(names)
    assert len(creators(keys)) == len(names)
    assert all(len(key.encode()) <= 1_024 and ".." not in key.split("/") for key in keys)
    assert {"a%2Fb", "%2E", "%2E%2E", "%F0%9F%90%88%20caf%C3%A9"} <= creators(keys)
    assert all(place.head(key)["Metadata"]["batch-id"] == batch_id for key in keys)
    assert {row.creator for row in place.rows(batch_id)} == set(names)


def test_without_grouping_all_rows_make_one_collage_named_after_the_manifest(place: Place, origin: Origin) -> None:
    name = token()
    rows = [(f"creator-{number % 3}", url) for number, url in enumerate(origin.photos(5, name))]
    place.send_job(manifest(rows), name, processing_config={"group_by_creator": False, "cell_size": 40})
    _, records, _ = finished(place, name)
    assert list(records) == [name]
    assert records[name]["images_processed"] == 5
    assert records[name]["collage_s3_key"].startswith(f"collages/by-creator/{name}/collage_")


def test_an_output_prefix_stands_before_every_key_of_the_results(place: Place, origin: Origin) -> None:
    name = token()
    prefix = f"sqs-trigger/{name}/"
    place.send_job(manifest([(name, origin.photo(SMALL[0], name))]), name, output_prefix=prefix)
    batch_id, records, _ = finished(place, name, prefix)
    found = place.listed(prefix=prefix)
    assert len(found) == 5
    assert records[name]["collage_s3_key"] in found
    assert [key for key in place.listed() if (batch_id in key or name in key) and not key.startswith(prefix)] == []


def test_a_job_gets_the_format_gutter_and_background_that_it_asks_for(place: Place, origin: Origin) -> None:
    name = token()
    config = {"format": "png", "gutter": 10, "background": "#ff0000", "cols": 2, "rows": 2, "cell_size": 40}
    place.send_job(manifest([(name, url) for url in origin.photos(3, name)]), name, processing_config=config)
    _, records, _ = finished(place, name)
    key = records[name]["collage_s3_key"]
    assert key.endswith(".png")
    assert place.head(key)["ContentType"] == "image/png"
    found = picture(place, key)
    assert (found.format, found.size) == ("PNG", (90, 90))
    assert [found.getpixel(at) for at in ((45, 20), (20, 45), (70, 70))] == [(255, 0, 0)] * 3


def test_addresses_of_the_machine_itself_are_never_asked(aws: Aws, origin: Origin, shared_place: Place) -> None:
    name = token()
    place = shared_place.with_queue(aws)
    with Worker(place.env(ALLOW_PRIVATE_ADDRESSES="false")).ready():
        place.send_job(manifest([(name, origin.photo(SMALL[0], name)), (name, REFUSED)]), name)
        _, records, _ = finished(place, name)
    assert records[name]["errors"] == {"address_refused": 2}
    assert origin.asked(name) == 0


def test_a_failed_images_bytes_are_kept_only_when_asked_for(aws: Aws, origin: Origin, shared_place: Place) -> None:
    name = token()
    place = shared_place.with_queue(aws)
    with Worker(place.env(DEBUG_CAPTURE="true")).ready():
        place.send_job(manifest([(name, f"{origin.base}/tiny.png?{name}")]), name)
        batch_id, records, _ = finished(place, name)
    assert records[name]["errors"] == {"too_small": 1}
    temp = place.settings.temp_bucket
    (key,) = place.listed(temp, f"debug/{batch_id}/")
    assert place.read(key, temp).startswith(b"\x89PNG")
    assert json.dumps(place.listed(temp, "debug/")).count("debug/") == 1, "the module's other worker kept nothing"
