"""`dlq list` and `dlq redrive`: told without taking anything away, and sent back by cause."""

import json

import pytest

from tests.integration.pictures import SMALL, Origin, manifest, token
from tests.integration.places import Place
from tests.integration.processes import Worker, command


@pytest.fixture
def place(shared_place: Place) -> Place:
    """Queues that only this test uses."""
    return shared_place.with_queue(shared_place.aws)


def letter(place: Place, body: object, **told: str) -> None:
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in told.items()}
    text = body if isinstance(body, str) else json.dumps(body)
    place.aws.sqs.send_message(QueueUrl=place.dlq_url, MessageBody=text, MessageAttributes=attributes)  # type: ignore[arg-type]


def three_letters(place: Place) -> None:
    key = {"processing_type": "csv_s3", "s3_bucket": place.input, "s3_key": "manual-uploads/none.csv"}
    letter(place, key, error_code="manifest_missing", error_message="there is none", batch_id="s3_a-00000000")
    letter(place, "no \x1b[31m json x-signature=hunter2", error_code="bad_json", error_message="it is not JSON")
    letter(place, {"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "k+1.csv"}}}]})


def test_list_tells_what_is_there_and_why_and_leaves_it_there(place: Place) -> None:
    three_letters(place)
    for _ in range(2):
        found = command("dlq", "list", env=place.env())
        assert found.returncode == 0
        for words in (
            "manifest_missing",
            "there is none",
            "manual-uploads/none.csv",
            "s3://b/k+1.csv",
            "s3_a-00000000",
        ):
            assert words in found.stdout
        assert "attempts_exhausted" in found.stdout, "what SQS moved there by itself has no reason of its own"
        assert "hunter2" not in found.stdout
        assert "\x1b" not in found.stdout
        assert found.stderr.startswith("3 in the dead-letter queue: ")
    told = json.loads(command("dlq", "list", "--json", env=place.env()).stdout)
    assert told["by_cause"] == {"manifest_missing": 1, "bad_json": 1, "attempts_exhausted": 1}
    assert {one["error_code"] for one in told["messages"]} == told["by_cause"].keys()
    assert place.dead_count() == 3
    assert place.waiting() == 0


def test_an_empty_queue_is_no_failure(place: Place) -> None:
    found = command("dlq", "list", env=place.env(SQS_DLQ_URL=""))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "0 in the dead-letter queue\n")


def test_redrive_sends_back_what_has_the_cause_and_a_dry_run_nothing(place: Place) -> None:
    three_letters(place)
    tried = command("dlq", "redrive", "--cause", "manifest_missing", "--dry-run", env=place.env())
    assert tried.returncode == 0
    assert "none.csv" in tried.stdout
    assert tried.stderr == "1 would be sent back: 1 manifest_missing\n"
    assert (place.dead_count(), place.waiting()) == (3, 0)

    sent = command("dlq", "redrive", "--cause", "manifest_missing", env=place.env())
    assert (sent.returncode, sent.stdout) == (0, tried.stdout)
    assert sent.stderr == "1 sent back: 1 manifest_missing\n"
    assert (place.dead_count(), place.waiting()) == (2, 1)

    assert command("dlq", "redrive", env=place.env()).returncode == 0
    assert (place.dead_count(), place.waiting()) == (0, 3)


def test_a_cause_that_there_is_not_is_a_wrong_call(place: Place) -> None:
    found = command("dlq", "redrive", "--cause", "manifest_mising", env=place.env())
    assert found.returncode == 2
    assert "manifest_missing" in found.stderr


def test_a_job_that_was_mended_succeeds_when_it_is_sent_back(place: Place, origin: Origin) -> None:
    name = token()
    place.send({"processing_type": "csv_s3", "s3_bucket": place.input, "s3_key": f"manual-uploads/{name}.csv"})
    with Worker(place.env()):
        place.until_empty()
        assert place.dead_count() == 1
        place.put(f"manual-uploads/{name}.csv", manifest([(name, origin.photo(SMALL[0], name))]))
        assert command("dlq", "redrive", env=place.env()).returncode == 0
        place.until_empty()
    assert place.dead_count() == 0
    assert place.listed(prefix=f"collages/by-creator/{name}/")
