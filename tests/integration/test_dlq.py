"""Dead letters: told without taking anything away, sent back by cause after a canary, taken away after asking."""

import json

import pytest

from tests.integration.pictures import SMALL, Origin, manifest, token
from tests.integration.places import Place
from tests.integration.processes import Worker, command
from tests.integration.waiting import until


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
    # U+009B begins a command to a terminal as ESC [ does; of the two SQS takes this one.
    letter(place, "no \x9b31m json x-signature=hunter2", error_code="bad_json", error_message="it is not JSON")
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
        assert not {"\x1b", "\x9b"} & set(found.stdout)
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


def test_a_message_too_large_for_its_reason_is_kept_in_an_object_and_sent_back_whole(place: Place) -> None:
    place.aws.sqs.set_queue_attributes(QueueUrl=place.dlq_url, Attributes={"MaximumMessageSize": "1024"})
    large = {"processing_type": "csv_inline", "csv_data": "who,what\n" + "1,2\n" * 500}
    with Worker(place.env()):
        place.send(large)
        until(lambda: place.dead_count() == 1, "the dead letter")
        place.until_empty()
    told = json.loads(command("dlq", "list", "--json", env=place.env()).stdout)["messages"][0]
    assert told["error_code"] == "manifest_columns"
    (key,) = place.listed(place.settings.temp_bucket, "large-files/")
    assert told["body"] == json.dumps({"large_file": f"s3://{place.settings.temp_bucket}/{key}"})
    sent = command("dlq", "redrive", env=place.env())
    assert (sent.returncode, sent.stderr) == (0, "1 sent back: 1 manifest_columns\n")
    answer = place.aws.sqs.receive_message(QueueUrl=place.queue_url, WaitTimeSeconds=5)
    assert json.loads(answer["Messages"][0]["Body"]) == large


def test_a_letter_whose_body_is_gone_stays_and_says_what_to_do(place: Place) -> None:
    gone = f"s3://{place.settings.temp_bucket}/large-files/gone.json"
    letter(place, {"large_file": gone}, error_code="bad_json", error_message="no", message_id="m1")
    found = command("dlq", "redrive", env=place.env())
    assert f"its body, {gone}, is gone; send the job anew" in found.stderr
    assert (place.dead_count(), place.waiting()) == (1, 0)


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


def twenty_letters(place: Place) -> dict[str, list[str]]:
    """Put jobs in the queue that end in the dead-letter queue for three causes; returns their keys by cause."""
    keys = {
        cause: [f"manual-uploads/{cause}-{number}-{token()}.csv" for number in range(count)]
        for cause, count in {"manifest_missing": 8, "manifest_columns": 7}.items()
    }
    for key in keys["manifest_columns"]:
        place.put(key, "who,what\n1,2\n")
    for key in (*keys["manifest_missing"], *keys["manifest_columns"]):
        place.send({"processing_type": "csv_s3", "s3_bucket": place.input, "s3_key": key})
    for number in range(5):
        place.aws.sqs.send_message(QueueUrl=place.queue_url, MessageBody=f"no json {number}")
    return keys


def test_of_twenty_letters_of_three_causes_only_those_run_whose_cause_is_mended(place: Place, origin: Origin) -> None:
    keys = twenty_letters(place)
    with Worker(place.env()) as worker:
        place.until_empty()
        told = json.loads(command("dlq", "list", "--json", env=place.env()).stdout)
        assert told["by_cause"] == {"manifest_missing": 8, "manifest_columns": 7, "bad_json": 5}
        one = next(letter for letter in told["messages"] if letter["error_code"] == "manifest_missing")
        shown = command("dlq", "show", one["message_id"][:13], env=place.env())
        assert shown.returncode == 0
        for words in (one["message_id"], "manifest_missing", one["asks_for"], "collage dlq redrive --cause"):
            assert words in shown.stdout

        for key in keys["manifest_missing"]:
            name = key.rpartition("/")[2].removesuffix(".csv")
            place.put(key, manifest([(name, origin.photo(SMALL[0], name))]))
        chosen = ("dlq", "redrive", "--cause", "manifest_missing")
        tried = command(*chosen, "--dry-run", env=place.env())
        assert tried.stderr == "8 would be sent back: 8 manifest_missing\n"
        assert place.dead_count() == 20

        sent = command(*chosen, env=place.env())
        assert (sent.returncode, len(sent.stdout.splitlines())) == (0, 8)
        assert "canary of manifest_missing: it went well" in sent.stderr
        place.until_empty()
        assert place.dead_count() == 12
        for key in keys["manifest_missing"]:
            name = key.rpartition("/")[2].removesuffix(".csv")
            assert len(place.listed(prefix=f"collages/by-creator/{name}/")) == 1

        before = len(worker.logged("message.received"))
        again = command("dlq", "redrive", "--cause", "manifest_columns", env=place.env())
        assert again.returncode == 1, "its cause is not mended"
        assert "it failed again; the rest stays" in again.stderr
        assert "6 stay in the dead-letter queue" in again.stderr
        place.until_empty()
        assert place.dead_count() == 12
        assert len(worker.logged("message.received")) == before + 1, "the canary alone was received"

    left = json.loads(command("dlq", "list", "--json", env=place.env()).stdout)
    assert left["by_cause"] == {"manifest_columns": 7, "bad_json": 5}


def test_a_batch_alone_is_sent_back(place: Place) -> None:
    three_letters(place)
    sent = command("dlq", "redrive", "--batch", "s3_a", "--json", env=place.env())
    assert [letter["batch_id"] for letter in json.loads(sent.stdout)["sent"]] == ["s3_a-00000000"]
    assert (place.dead_count(), place.waiting()) == (2, 1)


def test_a_canary_that_nobody_takes_is_told_and_the_rest_stays(place: Place) -> None:
    key = {"processing_type": "csv_s3", "s3_bucket": place.input, "s3_key": "manual-uploads/none.csv"}
    for _ in range(3):
        letter(place, key, error_code="manifest_missing", error_message="there is none")
    sent = command("dlq", "redrive", "--canary-wait", "2", env=place.env())
    assert sent.returncode == 1
    assert "is a worker running?" in sent.stderr
    assert (place.dead_count(), place.waiting()) == (2, 1)
    assert command("dlq", "redrive", "--no-canary", env=place.env()).returncode == 0
    assert (place.dead_count(), place.waiting()) == (0, 3)


def test_delete_asks_and_takes_away_what_it_was_told_to(place: Place) -> None:
    three_letters(place)
    assert command("dlq", "delete", env=place.env()).returncode == 2
    assert command("dlq", "delete", "--cause", "bad_json", "--dry-run", env=place.env()).returncode == 0
    for answer in ("", "n\n"):
        refused = command("dlq", "delete", "--cause", "bad_json", env=place.env(), typed=answer)
        assert refused.returncode == 1
        assert "delete 1 for good?" in refused.stderr
        assert place.dead_count() == 3
    said = command("dlq", "delete", "--cause", "bad_json", env=place.env(), typed="y\n")
    assert (said.returncode, place.dead_count()) == (0, 2)
    kept = json.loads(command("dlq", "delete", "--batch", "s3_a", "--yes", "--json", env=place.env()).stdout)
    assert [one["asks_for"] for one in kept["messages"]] == [f"s3://{place.input}/manual-uploads/none.csv"]
    assert place.dead_count() == 1


def test_what_is_in_flight_elsewhere_is_counted(place: Place) -> None:
    three_letters(place)
    place.aws.sqs.receive_message(QueueUrl=place.dlq_url, MaxNumberOfMessages=1, VisibilityTimeout=60)
    found = command("dlq", "list", env=place.env())
    assert found.stderr.splitlines()[0].startswith("2 in the dead-letter queue: ")
    assert "1 more in flight elsewhere" in found.stderr
    assert json.loads(command("dlq", "list", "--json", env=place.env()).stdout)["in_flight_elsewhere"] == 1


def test_show_of_what_is_not_there_says_so(place: Place) -> None:
    found = command("dlq", "show", "00000000", env=place.env())
    assert (found.returncode, found.stdout) == (1, "")
    assert "collage dlq list" in found.stderr
