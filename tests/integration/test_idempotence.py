"""The same work asked for more than once, to two workers that share a queue."""

from collections.abc import Iterator

import pytest

from tests.integration.pictures import SMALL, Origin, manifest, token
from tests.integration.places import Place
from tests.integration.processes import Worker
from tests.integration.waiting import until


@pytest.fixture(scope="module")
def workers(shared_place: Place, origin: Origin) -> Iterator[tuple[Worker, Worker]]:
    env = shared_place.env(VISIBILITY_TIMEOUT=4, MAX_CONCURRENT_JOBS=1)
    with Worker(env) as one, Worker(env) as other:
        yield one.ready(), other.ready()


@pytest.fixture
def place(shared_place: Place, workers: tuple[Worker, Worker]) -> Place:
    return shared_place


def answered(workers: tuple[Worker, Worker], batch_id: str) -> int:
    return sum(len(worker.logged("batch.found_done", batch_id=batch_id)) for worker in workers)


def once(place: Place, origin: Origin, name: str) -> str:
    """Wait for the end of everything, and hold what is there against having been done once; returns the batch's id."""
    batch_id, _ = place.batch(name)
    place.until_empty()
    (record,) = place.records(batch_id).values()
    assert (record["status"], record["images_processed"]) == ("completed", 2)
    assert place.listed(prefix=f"collages/by-creator/{name}/") == [record["collage_s3_key"]]
    assert [origin.asked(f"/copy/{name}/{photo}") for photo in SMALL[:2]] == [1, 1]
    assert place.dead_count() == 0
    return batch_id


def small(origin: Origin, name: str) -> str:
    return manifest([(name, origin.photo(photo, name)) for photo in SMALL[:2]])


def test_a_finished_batch_that_is_delivered_again_renders_nothing(
    place: Place, origin: Origin, workers: tuple[Worker, Worker]
) -> None:
    name = token()
    body = place.send_job(small(origin, name), name)
    batch_id = once(place, origin, name)
    (key,) = place.listed(prefix=f"collages/by-creator/{name}/")
    before = (place.head(key)["LastModified"], place.summary(batch_id), place.records(batch_id))
    place.send(body)
    until(lambda: answered(workers, batch_id) == 1, "an answer from the record")
    once(place, origin, name)
    assert (place.head(key)["LastModified"], place.summary(batch_id), place.records(batch_id)) == before


def test_a_message_that_two_workers_get_at_once_is_done_once(
    place: Place, origin: Origin, workers: tuple[Worker, Worker]
) -> None:
    name = token()
    rows = [(name, origin.photo(photo, name)) for photo in SMALL[:2]] + [(name, f"{origin.base}/slow/1500/{name}")]
    body = place.send_job(manifest(rows), name)
    place.send(body)
    batch_id = once(place, origin, name)
    assert sum(len(worker.logged("batch.started", batch_id=batch_id)) for worker in workers) == 1
    assert origin.asked(f"/slow/1500/{name}") == 1


def test_an_object_that_is_notified_twice_is_one_batch(
    place: Place, origin: Origin, workers: tuple[Worker, Worker]
) -> None:
    name = token()
    key = f"csv-files/{name}.csv"
    etag = place.put(key, small(origin, name))
    event = {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": place.input}, "object": {"key": key, "eTag": etag}},
            }
        ]
    }
    place.send(event)
    once(place, origin, name)
    place.send(event)
    batch_id = once(place, origin, name)
    assert list(place.batches(name)) == [batch_id]
    assert place.listed(place.input, key) == []
    assert place.listed(place.input, f"archived/processed/{key}") == [f"archived/processed/{key}"]
    assert place.listed(place.input, f"archived/failed/{key}") == []


def test_the_same_name_uploaded_again_with_other_rows_is_a_new_batch(
    place: Place, origin: Origin, workers: tuple[Worker, Worker]
) -> None:
    name = token()
    for number in (1, 2):
        place.put(f"csv-files/{name}.csv", manifest([(f"{name}-{number}", origin.photo(SMALL[0], name))]))
        until(lambda: len(place.batches(name)) == number, "a batch of its own")  # noqa: B023 -- looked at within the turn
        place.until_empty()
    assert {record["creator_name"] for each in place.batches(name) for record in place.records(each).values()} == {
        f"{name}-1",
        f"{name}-2",
    }


def test_two_batches_of_the_same_second_overwrite_nothing_of_each_other(
    place: Place, origin: Origin, workers: tuple[Worker, Worker]
) -> None:
    for _ in range(10):  # until two of them start within the same second
        name = token()
        for part in "ab":
            place.send_job(manifest([(name, origin.photo(SMALL[0], name + part))]), f"{name}{part}")
        records = [place.records(place.batch(f"{name}{part}")[0])[name] for part in "ab"]
        if len({record["processing_date"][:19] for record in records}) == 1:
            break
    else:
        pytest.fail("no two batches started within the same second")
    assert len({record["processing_date"] for record in records}) == 2, "both keep their record"
    keys = {record["collage_s3_key"]: record["batch_id"] for record in records}
    assert set(place.listed(prefix=f"collages/by-creator/{name}/")) == set(keys)
    plain = min(keys, key=len)
    (other,) = set(keys) - {plain}
    assert other == plain.replace(".jpg", f"_{keys[other][-8:]}.jpg")
    for key, batch_id in keys.items():
        assert place.head(key)["Metadata"]["batch-id"] == batch_id
