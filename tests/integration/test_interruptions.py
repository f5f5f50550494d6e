"""Workers that are killed or asked to stop in the middle of their work, and those that come after them."""

import signal
import time

import pytest

from tests.integration.faulty import Faulty
from tests.integration.pictures import SMALL, Origin, manifest, token
from tests.integration.places import Place
from tests.integration.processes import Worker
from tests.integration.waiting import until

VISIBILITY = 3
NAMES = ("ann", "ben", "cat")

MOMENTS = {
    "after the lease was taken": (r"dynamodb\.UpdateItem.*lease_owner", True),
    "while the second creator begins": (r'dynamodb\.PutItem.*"ben".*"processing"', True),
    "after a collage was written but before its record": (r"s3\.PUT .*/by-creator/ben/", True),
    "before a creator's last record": (r'dynamodb\.PutItem.*"cat".*"completed"', False),
    "before the summary": (r"s3\.PUT .*processing-summaries/.*json", False),
    "before the message is deleted": (r"sqs\.DeleteMessage", False),
}


def rows(origin: Origin, tag: str) -> str:
    return manifest([(name, origin.photo(photo, f"{tag}-{name}")) for name in NAMES for photo in SMALL[:2]])


def one_by_one(place: Place, origin: Origin, tag: str) -> str:
    """Send a job whose creators are done one after the other."""
    return place.send_job(rows(origin, tag), tag, processing_config={"max_workers": 1})


def finished_creators(place: Place) -> set[str]:
    """Return who need not be done again: who is recorded, or saved because the part is not finished yet."""
    recorded = {item["creator_name"] for item in place.items() if item.get("status") == "completed"}
    keys = [key for key in place.listed(place.settings.temp_bucket) if "/unfinished/" in key]
    return recorded | {key.rpartition("/")[2].removesuffix(".jsonl.gz") for key in keys}


def all_is_done_once(place: Place, tag: str) -> None:
    batch_id, _ = place.batch(tag)
    place.until_empty()
    records = place.records(batch_id)
    assert set(records) == set(NAMES)
    for name, record in records.items():
        assert (record["status"], record["images_processed"]) == ("completed", 2)
        assert place.listed(prefix=f"collages/by-creator/{name}/") == [record["collage_s3_key"]]
        assert place.head(record["collage_s3_key"])["Metadata"]["batch-id"] == batch_id
    assert place.summary(batch_id)["counts"]["creators_completed"] == 3
    assert place.dead_count() == 0


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_killed_worker_leaves_is_completed_by_the_next(
    place: Place, origin: Origin, proxy: Faulty, moment: str
) -> None:
    tag = token()
    pattern, forwarded = MOMENTS[moment]
    held = proxy.hold(pattern, forwarded=forwarded)
    with Worker(place.env(proxy.endpoint, VISIBILITY_TIMEOUT=VISIBILITY), check=False) as worker:
        one_by_one(place, origin, tag)
        until(held.reached.is_set, moment)
        worker.kill()
    done = finished_creators(place)
    asked = {name: origin.asked(f"/copy/{tag}-{name}/") for name in NAMES}
    with Worker(place.env(VISIBILITY_TIMEOUT=VISIBILITY)):
        all_is_done_once(place, tag)
    for name in done:
        assert origin.asked(f"/copy/{tag}-{name}/") == asked[name], "what was done is not downloaded again"


def test_a_worker_killed_before_a_dead_letter_was_sent_leaves_it_to_the_next(place: Place, proxy: Faulty) -> None:
    tag = token()
    key = f"csv-files/{tag}.csv"
    held = proxy.hold(r"sqs\.SendMessage")
    with Worker(place.env(proxy.endpoint, VISIBILITY_TIMEOUT=VISIBILITY), check=False) as worker:
        place.put(key, "creator_name,cover_url\n")
        until(held.reached.is_set, "the dead letter")
        worker.kill()
    with Worker(place.env(VISIBILITY_TIMEOUT=VISIBILITY)):
        until(lambda: place.dead_count() == 1, "the dead letter")
        place.until_empty()
    batch_id, record = place.batch(tag, state="failed")
    assert record["error_code"] == "manifest_empty", "the reason is still the first one"
    told = place.read_json(f"archived/failed/{key}.error.json", place.input)
    assert (told["batch_id"], told["error_code"]) == (batch_id, "manifest_empty")


def test_a_worker_killed_between_archive_and_record_leaves_the_true_reason(place: Place, proxy: Faulty) -> None:
    tag = token()
    key = f"csv-files/{tag}.csv"
    held = proxy.hold(r"s3\.DELETE .*csv-files/", forwarded=True)
    with Worker(place.env(proxy.endpoint, VISIBILITY_TIMEOUT=VISIBILITY), check=False) as worker:
        place.put(key, "creator_name,cover_url\n")
        until(held.reached.is_set, "the manifest's move")
        worker.kill()
    with Worker(place.env(VISIBILITY_TIMEOUT=VISIBILITY)):
        until(lambda: place.dead_count() == 1, "the dead letter")
    _, record = place.batch(tag, state="failed")
    assert record["error_code"] == "manifest_empty"
    assert place.read_json(f"archived/failed/{key}.error.json", place.input)["error_code"] == "manifest_empty"


def test_a_worker_asked_to_stop_hands_its_batch_back_and_the_next_finishes_it(
    place: Place, origin: Origin, proxy: Faulty
) -> None:
    tag = token()
    held = proxy.hold(r"s3\.PUT .*/by-creator/ben/", times=None)
    with Worker(place.env(proxy.endpoint, STOP_GRACE_SECONDS=7)) as worker:
        one_by_one(place, origin, tag)
        until(held.reached.is_set, "the second collage")
        asked = time.monotonic()
        assert worker.stop(within=20) == 0
        assert time.monotonic() - asked < 15, "within its grace, give or take a busy machine"
        assert worker.logged("message.handed_back", reason="interrupted")
    assert finished_creators(place) == {"ann"}
    before = origin.asked(f"/copy/{tag}-ann/")
    with Worker(place.env()) as worker:
        all_is_done_once(place, tag)
        assert worker.until_logged("message.received")["receives"] == 1, "the interruption did not cost an attempt"
    assert origin.asked(f"/copy/{tag}-ann/") == before


def test_a_worker_asked_to_stop_finishes_what_fits_in_its_grace(place: Place, origin: Origin, proxy: Faulty) -> None:
    tag = token()
    held = proxy.hold(r"s3\.PUT .*/by-creator/ben/", times=None)
    with Worker(place.env(proxy.endpoint)) as worker:
        one_by_one(place, origin, tag)
        until(held.reached.is_set, "the second collage")
        worker.signal()
        worker.until_logged("worker.draining")
        held.release()
        assert worker.exit_code(within=20) == 0
    assert finished_creators(place) == {"ann", "ben"}, "the one in flight is finished, no other is begun"
    assert place.waiting() == 1


def test_a_second_signal_hurries(place: Place, origin: Origin, proxy: Faulty) -> None:
    held = proxy.hold(r"s3\.PUT .*/by-creator/ann/", times=None)
    with Worker(place.env(proxy.endpoint, STOP_GRACE_SECONDS=200)) as worker:
        one_by_one(place, origin, token())
        until(held.reached.is_set, "the first collage")
        worker.signal()
        worker.until_logged("worker.draining")
        worker.signal(signal.SIGINT)
        assert worker.exit_code(within=20) == 0
    assert place.waiting() == 1, "the message is handed back"


def test_an_idle_worker_ends_soon_after_its_poll(place: Place) -> None:
    with Worker(place.env()).ready() as worker:
        assert worker.stop(within=10) == 0
        assert worker.logged("worker.stopped")
