"""SQS delivers at least once: a message that comes again changes nothing."""

from typing import Any

from tests.system.compose import Compose
from tests.system.environment import Environment
from tests.system.manifests import creators, slow_manifest
from tests.system.waiting import wait_for


def test_one_message_sent_twice_at_once_to_two_workers_and_again_after_the_end_yields_one_set_of_objects_and_records(
    compose: Compose, environment: Environment, name: str
) -> None:
    names = creators(name, 12)
    key = f"manual-uploads/{name}.csv"
    environment.upload(key, slow_manifest(environment.origin, names, 1000))
    compose.up(workers=2, MAX_CONCURRENT_JOBS="1")  # with one slot each, both are at it

    sent = {environment.send_job(key) for _ in range(2)}

    _wait_until_each_has_one(compose, sent)
    batch_id = check_one_set(environment, name, names)
    # Not held against this race: that no cover is fetched twice. moto's tables check a condition and write in two
    # steps, so that both workers may be given the lease; one loses it at its first write. The next test does hold it.
    asked = environment.requests(name)
    environment.send_job(key)
    environment.wait_until_idle()
    assert check_one_set(environment, name, names) == batch_id
    assert environment.requests(name) == asked, "a batch that is done is answered from its record"


def test_a_message_that_comes_again_while_another_worker_is_at_its_batch_fetches_nothing(
    compose: Compose, environment: Environment, name: str
) -> None:
    names = creators(name, 12)
    key = f"manual-uploads/{name}.csv"
    environment.upload(key, slow_manifest(environment.origin, names, 2000))
    compose.up(workers=2, MAX_CONCURRENT_JOBS="1")

    sent = {environment.send_job(key)}
    wait_for(lambda: environment.requests(name), "the first worker's requests")
    sent.add(environment.send_job(key))

    _wait_until_each_has_one(compose, sent)
    assert not environment.summaries(name), "the second came in the middle"
    check_one_set(environment, name, names)
    assert {path: count for path, count in environment.requests(name).items() if count > 1} == {}


def test_three_workers_share_the_queue_and_every_batch_is_done_once(
    compose: Compose, environment: Environment, name: str
) -> None:
    compose.up(workers=3, MAX_CONCURRENT_JOBS="1")
    batches = [f"{name}{letter}" for letter in "abcdef"]
    for batch in batches:
        environment.upload(f"csv-files/{batch}.csv", slow_manifest(environment.origin, creators(batch, 2), 1500))

    for batch in batches:
        check_one_set(environment, batch, creators(batch, 2))
    started = [len(worker.logged("batch.started")) for worker in compose.workers()]
    assert sum(started) == len(batches)
    assert all(started), "each worker did some"


def check_one_set(environment: Environment, stem: str, names: list[str]) -> str:
    """Check that a finished batch has each creator's results exactly once; returns its id."""
    summary = environment.summary(stem)
    batch_id = str(summary["batch_id"])
    records = environment.records(batch_id)
    assert sorted(records) == names
    assert {(record["status"], int(record["images_processed"])) for record in records.values()} == {("completed", 2)}
    collages = environment.keys(environment.output_bucket, f"collages/by-creator/{stem}")
    assert len(collages) == len(names), "one collage for each creator, and no more"
    assert collages == sorted(summary["collages"])
    assert collages == sorted(str(record["collage_s3_key"]) for record in records.values())
    results = environment.keys(environment.output_bucket, f"results/metadata/{batch_id}/")
    parts = {str(record["part_s3_key"]) for record in records.values()}
    assert set(results) == parts | {f"results/metadata/{batch_id}/creators.jsonl.gz"}
    return batch_id


def _received(log: list[dict[str, Any]], sent: set[str]) -> bool:
    return any(line["event"] == "message.received" and line["message_id"] in sent for line in log)


def _wait_until_each_has_one(compose: Compose, sent: set[str]) -> None:
    wait_for(lambda: all(_received(worker.log(), sent) for worker in compose.workers()), "both workers to have one")
