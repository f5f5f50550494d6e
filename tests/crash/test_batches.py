"""What a person asks of a split batch while it runs: status, cancel, retry."""

import json

from tests.crash.scenarios import whole_batches
from tests.integration.pictures import SMALL, Origin, manifest, token
from tests.integration.places import Item, Place
from tests.integration.processes import Worker, command
from tests.integration.waiting import until

SPLIT = {"VISIBILITY_TIMEOUT": 4, "CHUNK_CREATORS": 2, "MAX_CONCURRENT_JOBS": 1, "DEFAULT_MAX_RETRIES": 0}


def slow_rows(origin: Origin, name: str, creators: int) -> str:
    """Return a manifest whose creators take half a second each."""
    rows = [
        (f"{name}-{number:02d}", f"{origin.base}/slow/500/{SMALL[0]}?{name}-{number}") for number in range(creators)
    ]
    return manifest(rows)


def chunks(place: Place) -> list[Item]:
    return [item for item in place.items() if item["processing_date"].startswith("chunk/")]


def chunks_done(place: Place, name: str) -> int:
    return max(
        (int(item.get("chunks_done", 0)) for key, item in whole_batches(place).items() if name in key), default=0
    )


def test_status_tells_chunks_pace_and_what_is_left(place: Place, origin: Origin) -> None:
    name = token()
    env = place.env(**SPLIT)
    with Worker(env):
        place.send_job(slow_rows(origin, name, 100), name, processing_config={"max_workers": 1})
        until(lambda: chunks_done(place, name) >= 2, "two chunks of fifty", every=0.2)
        (batch_id,) = whole_batches(place)
        answer = command("status", batch_id, "--json", env=env)
        assert answer.returncode == 0
        told = json.loads(answer.stdout)
        assert (told["state"], told["chunks_total"]) == ("running", 50)
        assert 2 <= told["chunks_done"] < 50
        assert told["counts"]["creators_total"] == 100
        assert told["counts"]["creators_completed"] == 2 * told["chunks_done"]
        assert 0 < told["creators_per_second"] < 10
        assert told["seconds_left"] > 0
        readable = command("status", batch_id, env=env).stdout
        assert "of 50" in readable
        assert "creators a second" in readable
        command("cancel", batch_id, env=env)
        place.until_empty(within=60)
        told = json.loads(command("status", batch_id, "--json", env=env).stdout)
    assert told["state"] == "cancelled"
    assert (told["creators_per_second"], told["seconds_left"]) == (None, None)


def test_a_batch_that_is_cancelled_half_way_begins_no_further_chunk_and_leaves_no_message(
    place: Place, origin: Origin
) -> None:
    name = token()
    env = place.env(**SPLIT)
    with Worker(env) as worker:
        place.send_job(slow_rows(origin, name, 20), name, processing_config={"max_workers": 1})
        until(lambda: chunks_done(place, name) >= 2, "two chunks of ten", every=0.2)
        (batch_id,) = whole_batches(place)
        answer = command("cancel", batch_id, env=env)
        assert (answer.returncode, answer.stdout.split()) == (0, [batch_id, "cancelled"])
        begun = {item["creator_name"] for item in place.records(batch_id).values()}
        known = len(chunks(place))
        place.until_empty(within=60)
        assert worker.logged("chunk.found_unneeded", state="cancelled")
    assert place.dead_count() == 0
    assert len(chunks(place)) == known, "no chunk was begun after it"
    after = place.records(batch_id)
    assert len(after.keys() - begun) <= 2, "no creator but those of the chunk at hand, within a lease's time"
    assert len(after) < 20
    (whole,) = whole_batches(place).values()
    assert whole["state"] == "cancelled"
    assert whole["chunks_done"] < whole["chunks_total"]
    assert place.summary(batch_id)["status"] == "cancelled"
    assert json.loads(command("status", batch_id, "--json", env=env).stdout)["state"] == "cancelled"
    again = command("cancel", batch_id, env=env)
    assert again.returncode == 0, "safe to repeat"


def test_a_batch_that_is_over_or_unknown_is_not_cancelled(place: Place, origin: Origin) -> None:
    name = token()
    env = place.env(**SPLIT)
    with Worker(env):
        place.send_job(manifest([(name, origin.photo(SMALL[0], name))]), name)
        batch_id, _ = place.batch(name)
    assert command("cancel", batch_id, env=env).returncode == 1
    assert place.batches(name)[batch_id]["state"] == "completed"
    assert command("cancel", "s3_nothing-00000000", env=env).returncode == 1


def test_retry_runs_only_the_creators_that_it_may_help(place: Place, origin: Origin) -> None:
    name = token()
    rows = [
        (f"{name}-fine", origin.photo(SMALL[0], name)),
        (f"{name}-gone", f"{origin.base}/status/404?{name}"),
        (f"{name}-page", f"{origin.base}/html/{name}"),
        (f"{name}-weak", f"{origin.base}/flaky/1/{SMALL[3]}"),
        (f"{name}-weak", f"{origin.base}/status/404?weak-{name}"),
    ]
    env = place.env(**SPLIT)
    with Worker(env):
        place.send_job(manifest(rows), name, processing_config={"rows": 2, "cols": 2})
        until(lambda: place.waiting() == 0 and chunks_done(place, name) == 2, "the first batch", within=60, every=0.2)
        (first,) = whole_batches(place)
        before = place.records(first)
        assert before[f"{name}-weak"]["errors"] == {"not_found": 1, "server_error": 1}
        asked = origin.asked(f"weak-{name}")
        answer = command("retry", first, env=env)
        assert answer.returncode == 0, answer.stderr
        second = answer.stdout.strip()
        until(lambda: second in whole_batches(place) and place.waiting() == 0, "the second batch", within=60, every=0.2)
    assert answer.stderr == "creators that are run anew: 1\n"
    after = place.records(second)
    assert {key: item["status"] for key, item in after.items()} == {f"{name}-weak": "completed"}
    assert after[f"{name}-weak"]["images_processed"] == 1
    assert place.records(first) == before, "what was done stays as it was"
    assert origin.asked(f"weak-{name}") == asked, "what cannot change is not asked for again"
    assert place.summary(second)["settings"]["processing_config"]["cols"] == 2
    assert place.dead_count() == 0


def test_retry_has_nothing_to_do_where_nothing_can_change(place: Place, origin: Origin) -> None:
    name = token()
    rows = [(f"{name}-page", f"{origin.base}/html/{name}"), (f"{name}-gone", f"{origin.base}/status/404?{name}")]
    env = place.env(**SPLIT)
    with Worker(env):
        place.send_job(manifest(rows), name)
        batch_id, _ = place.batch(name)
        place.until_empty()
    answer = command("retry", batch_id, env=env)
    assert (answer.returncode, answer.stdout) == (0, "")
    assert place.waiting() == 0
