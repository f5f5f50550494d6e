"""What cannot be done is refused with its reason: in the dead-letter queue, in the log and in the record."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.system.compose import Compose
from tests.system.environment import Environment
from tests.system.manifests import manifest
from tests.system.waiting import wait_for

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n" + bytes(range(256)) * 8
REQUIRED = {"error_code", "error_message", "batch_id", "failed_at"}


@dataclass(frozen=True)
class Refusal:
    """A message that must fail: how it is sent, the code it gets, and words that its error must have."""

    send: Callable[[Environment, str], object]
    code: str
    words: tuple[str, ...]


def _send_pdf(environment: Environment, name: str) -> None:
    environment.upload(f"manual-uploads/{name}.csv", PDF)
    environment.send_job(f"manual-uploads/{name}.csv")


def _send_without_columns(environment: Environment, name: str) -> None:
    environment.upload(f"manual-uploads/{name}.csv", b"a,b\n1,2\n")
    environment.send_job(f"manual-uploads/{name}.csv")


REFUSALS = {
    "a message that is not JSON": Refusal(lambda env, name: env.send("{" + name), "bad_json", ("JSON",)),
    "a message of no known kind": Refusal(
        lambda env, name: env.send({"hello": name}), "unknown_message", ("hello", "processing_type")
    ),
    "an unknown key": Refusal(
        lambda env, name: env.send_job(f"{name}.csv", processing_config={"colour": 1}),
        "unknown_key",
        ("colour", "background"),
    ),
    "a value out of range": Refusal(
        lambda env, name: env.send_job(f"{name}.csv", processing_config={"rows": 0}), "bad_value", ("rows", "0")
    ),
    "a bucket that is none of ours": Refusal(
        lambda env, name: env.send_job(f"{name}.csv", s3_bucket="someone-elses"),
        "bucket_not_allowed",
        ("someone-elses", "tiktok-image-input"),
    ),
    "a manifest that is not there": Refusal(
        lambda env, name: env.send_job(f"manual-uploads/{name}.csv"), "manifest_missing", ("manual-uploads/",)
    ),
    "a manifest that is a PDF": Refusal(_send_pdf, "manifest_not_csv", ("PDF",)),
    "a manifest without the columns": Refusal(_send_without_columns, "manifest_columns", ("creator_name",)),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_is_refused_with_its_reason_in_the_dead_letter_the_log_and_the_record(
    compose: Compose, environment: Environment, name: str, refusal: Refusal
) -> None:
    refusal.send(environment, name)

    letter = environment.dead_letter(lambda body: name in body)
    assert letter.keys() >= REQUIRED
    assert letter["error_code"] == refusal.code
    for word in refusal.words:
        assert word in letter["error_message"]
    logged = [line for line in compose.worker().logged("message.failed") if line["batch_id"] == letter["batch_id"]]
    assert [(line["reason"], line["level"]) for line in logged] == [(refusal.code, "error")]
    record = _status(compose, letter["batch_id"])
    assert (record["state"], record["error_code"]) == ("failed", refusal.code)
    assert record["error_message"] == letter["error_message"]
    environment.wait_until_idle()


def test_a_pdf_dropped_as_a_manifest_is_archived_as_failed_with_its_error_beside_it(
    environment: Environment, name: str
) -> None:
    key = f"csv-files/{name}.csv"
    environment.upload(key, PDF)

    letter = environment.dead_letter(lambda body: name in body)

    assert letter["error_code"] == "manifest_not_csv"
    archived = f"archived/failed/{key}"
    found = wait_for(lambda: environment.keys(environment.input_bucket, archived), "the archived manifest")
    assert found == [archived, f"{archived}.error.json"]
    assert environment.read(environment.input_bucket, archived) == PDF
    assert "manifest_not_csv" in environment.read(environment.input_bucket, f"{archived}.error.json").decode()
    assert environment.keys(environment.input_bucket, key) == []


def test_a_creator_without_a_single_usable_cover_does_not_fail_the_message(environment: Environment, name: str) -> None:
    url = f"{environment.origin}/status/404"
    environment.upload(
        f"csv-files/{name}.csv", manifest([(name, url), (f"{name}-2", f"{environment.origin}/tiny.png")])
    )

    records = environment.records(str(environment.summary(name)["batch_id"]))

    assert {record["status"] for record in records.values()} == {"failed"}
    assert records[name]["errors"] == {"not_found": 1}
    assert records[f"{name}-2"]["errors"] == {"too_small": 1}


def test_wrong_settings_exit_2_and_name_every_bad_variable(compose: Compose) -> None:
    wrong = {
        "DEFAULT_ROWS": "many",
        "WAIT_TIME_SECONDS": "99",
        "SQS_QUEUE_URL": "",
        "CONTENT_HASH_ALGORITHM": "crc32",
        "INPUT_BUCKET": "Not A Bucket",
    }

    done = compose.worker_command("run", env=wrong, check=False)

    assert done.returncode == 2
    assert [variable for variable in wrong if f"{variable}:" not in done.stderr] == []
    assert "Traceback" not in done.stderr


def _status(compose: Compose, batch_id: str) -> dict[str, object]:
    done = compose.worker().exec("python", "-m", "worker", "status", batch_id, "--json")
    told: dict[str, object] = json.loads(done.stdout)
    return told
