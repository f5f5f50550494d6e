"""A manifest becomes collages, however it comes in."""

import io
import json

import numpy as np
from PIL import Image

from tests.system.compose import Compose
from tests.system.environment import Environment
from tests.system.manifests import COVERS, SAMPLES, manifest
from tests.system.waiting import wait_for
from tests.unit.ssim import Plane, luma, ssim

CELL = 200
COLS = 7
SAMPLE_CREATORS = {"passport.pages", "wild.garden", "coastal.walks", "reel.static", "city_after_dark", "Café Größe"}


def test_dropping_the_sample_manifest_leads_to_collages_records_a_summary_and_the_archived_manifest(
    environment: Environment, name: str
) -> None:
    key = f"csv-files/{name}.csv"
    environment.upload(key, COVERS.read_bytes())

    summary = environment.summary(name)

    _check_sample_results(environment, summary)
    archived = f"archived/processed/{key}"
    wait_for(lambda: environment.keys(environment.input_bucket, archived) == [archived], "the archived manifest")
    assert environment.read(environment.input_bucket, archived) == COVERS.read_bytes()
    assert environment.keys(environment.input_bucket, key) == []


def test_a_job_message_does_the_same_and_leaves_its_manifest_where_it_is(environment: Environment, name: str) -> None:
    key = f"manual-uploads/{name}.csv"
    environment.upload(key, COVERS.read_bytes())

    environment.send_job(key, output_prefix=f"{name}/", processing_config={"quality": 80})

    summary = environment.summary(name, f"{name}/")
    _check_sample_results(environment, summary)
    assert all(collage.startswith(f"{name}/collages/by-creator/") for collage in summary["collages"])
    assert summary["settings"]["processing_config"]["quality"] == 80
    assert environment.keys(environment.input_bucket, key) == [key]
    assert environment.keys(environment.input_bucket, f"archived/processed/{key}") == []


def test_a_manifest_inside_the_message_does_too(environment: Environment, name: str) -> None:
    text = manifest([(name, f"{environment.origin}/photos/koala.jpg")]).decode()

    environment.send({"processing_type": "csv_inline", "csv_data": text, "output_prefix": f"{name}/"})

    summary = environment.summary("inline", f"{name}/")
    assert list(environment.records(summary["batch_id"])) == [name]


def test_submit_in_a_container_follows_its_batch_to_the_end_and_exits_0(
    compose: Compose, environment: Environment
) -> None:
    done = compose.worker_command("submit", "/samples/covers.csv", "--wait", "--again")

    batch_id = done.stdout.splitlines()[0]
    environment.wait_until_idle()
    key = f"results/processing-summaries/{batch_id}.json"
    _check_sample_results(environment, json.loads(environment.read(environment.output_bucket, key)))
    assert "6 of 6" in done.stdout + done.stderr


def test_the_demo_of_the_compose_file_exits_0_however_often_it_is_run(compose: Compose) -> None:
    for _ in range(2):
        compose.run("--profile", "demo", "run", "--rm", "-T", "demo")


def test_a_collage_is_a_jpeg_1400_px_wide_that_shows_the_covers_in_manifest_order(
    environment: Environment, name: str
) -> None:
    photos = [path for path in sorted((SAMPLES / "photos").glob("*.jpg")) if _is_plain(path.read_bytes())][:35][::-1]
    assert len(photos) == 35
    environment.upload(
        f"csv-files/{name}.csv", manifest((name, f"{environment.origin}/photos/{photo.name}") for photo in photos)
    )

    (key,) = environment.summary(name)["collages"]

    collage = Image.open(io.BytesIO(environment.read(environment.output_bucket, key)))
    assert (collage.format, collage.size) == ("JPEG", (COLS * CELL, 5 * CELL))
    shown = [_luma(_cell(collage, index)) for index in range(35)]
    wanted = [_luma(_composed(photo.read_bytes())) for photo in photos]
    apart = np.array([[np.abs(one - other).mean() for other in wanted] for one in shown])
    assert apart.argmin(axis=1).tolist() == list(range(35)), "every cell shows its own photo"
    likeness = [ssim(one, other) for one, other in zip(shown, wanted, strict=True)]
    assert min(likeness) >= 0.96, "against full decoding and LANCZOS"
    assert np.mean(likeness) >= 0.985


def _check_sample_results(environment: Environment, summary: dict[str, object]) -> None:
    """Check what every run of the sample manifest must leave, against the summary's own account."""
    batch_id = str(summary["batch_id"])
    records = environment.records(batch_id)
    assert set(records) == SAMPLE_CREATORS
    failed = {creator for creator, record in records.items() if record["status"] == "failed"}
    assert failed == {"reel.static"}
    assert "collage_s3_key" not in records["reel.static"]
    assert records["passport.pages"]["images_processed"] == 35

    collages = {str(record["collage_s3_key"]) for record in records.values() if record["status"] == "completed"}
    assert collages == set(summary["collages"])
    for key in collages:
        head = environment.s3.head_object(Bucket=environment.output_bucket, Key=key)
        assert (head["ContentType"], head["CacheControl"]) == ("image/jpeg", "max-age=31536000")
        assert head["ServerSideEncryption"] == "AES256"
        assert head["Metadata"]["batch-id"] == batch_id

    assert summary["status"] == "completed"
    counts = dict(summary["counts"])
    assert (counts["creators_completed"], counts["creators_failed"], counts["rejects_total"]) == (5, 1, 3)
    reasons = {"expired", "forbidden", "not_found", "not_an_image", "too_small", "truncated", "server_error"}
    assert reasons <= set(summary["failures_by_reason"])

    prefix = next(iter(collages)).partition("collages/")[0]
    results = environment.keys(environment.output_bucket, f"{prefix}results/metadata/{batch_id}/")
    assert [key.rpartition("/")[2] for key in results] == ["creators.jsonl.gz", "part-000001-000001.jsonl.gz"]


def _is_plain(body: bytes) -> bool:
    """Tell whether a photo needs neither turning nor a conversion of colours: those have tests of their own."""
    with Image.open(io.BytesIO(body)) as photo:
        turned = photo.getexif().get(0x0112, 1) != 1
        return photo.format == "JPEG" and photo.mode == "RGB" and not turned and "icc_profile" not in photo.info


def _composed(body: bytes) -> Image.Image:
    """Compose a photo's cell anew, decoded in full, by the geometry that the worker promises."""
    with Image.open(io.BytesIO(body)) as photo:
        width, height = photo.size
        size = (int(width * CELL / height), CELL) if width > height else (CELL, int(height * CELL / width))
        scaled = photo.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    left, top = (size[0] - CELL) // 2, (size[1] - CELL) // 2
    return scaled.crop((left, top, left + CELL, top + CELL))


def _cell(collage: Image.Image, index: int) -> Image.Image:
    left, top = index % COLS * CELL, index // COLS * CELL
    return collage.crop((left, top, left + CELL, top + CELL))


def _luma(picture: Image.Image) -> Plane:
    return luma(picture.convert("RGB").tobytes(), picture.size)
