"""The settings: names, defaults, what is refused, and how that is told."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from worker.errors import SettingsError
from worker.service.assembly import default_decoders
from worker.settings import Settings, load

DEFAULTS = {
    "INPUT_BUCKET": "tiktok-image-input",
    "OUTPUT_BUCKET": "tiktok-image-output",
    "TEMP_BUCKET": "tiktok-image-temp",
    "SQS_QUEUE_URL": None,
    "SQS_DLQ_URL": None,
    "DYNAMODB_TABLE_NAME": "tiktok-creator-processing-state",
    "DEFAULT_ROWS": 5,
    "DEFAULT_COLS": 7,
    "DEFAULT_QUALITY": 95,
    "DEFAULT_MAX_WORKERS": 8,
    "DEFAULT_TIMEOUT": 30,
    "DEFAULT_MAX_RETRIES": 3,
    "DEFAULT_MAX_IMAGES_PER_CREATOR": 35,
    "MIN_IMAGE_SIZE": 50,
    "MAX_IMAGE_SIZE": 800,
    "MEMORY_WARNING_THRESHOLD": 80.0,
    "MEMORY_CRITICAL_THRESHOLD": 90.0,
    "ENABLE_DEDUPLICATION": True,
    "COLLISION_CHECK_ENABLED": True,
    "CONTENT_HASH_ALGORITHM": "sha256",
    "BATCH_COORDINATION_ENABLED": True,
    "METRICS_NAMESPACE": "TikTokImageProcessor",
    "ALLOW_PRIVATE_ADDRESSES": False,
    "VISIBILITY_TIMEOUT": 120,
    "WAIT_TIME_SECONDS": 20,
    "STOP_GRACE_SECONDS": 100,
    "STATE_TTL_DAYS": 30,
    "MAX_IMAGE_BYTES": 20971520,
    "MAX_IMAGE_PIXELS": 50000000,
    "ALLOWED_INPUT_BUCKETS": (),
    "DEBUG_CAPTURE": False,
    "REFERER": "",
    "AWS_ENDPOINT_URL": None,
}
"""Names and values that users rely on, as the contract lists them."""

WITHOUT_STATED_DEFAULT = (
    "MAX_CONCURRENT_DOWNLOADS",
    "USER_AGENT",
    "RETRY_BACKOFF_FACTOR",
    "RETRY_MAX_DELAY",
    "S3_PRESIGNED_URL_EXPIRATION",
)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.chdir(tmp_path)


def loaded(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load()


def refused(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(monkeypatch, **variables)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(("name", "default"), DEFAULTS.items())
def test_the_default_is_the_contracts(name: str, default: object) -> None:
    found = getattr(load(), name.lower())
    assert found == default
    assert isinstance(found, bool) is isinstance(default, bool)


@pytest.mark.parametrize("name", WITHOUT_STATED_DEFAULT)
def test_a_name_without_a_stated_default_is_a_setting_too(name: str) -> None:
    assert getattr(load(), name.lower())


@pytest.mark.parametrize("name", [*DEFAULTS, *WITHOUT_STATED_DEFAULT])
def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    without = load()
    assert loaded(monkeypatch, **{name: ""}) == without


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        DEFAULT_ROWS="3",
        ENABLE_DEDUPLICATION="false",
        DEFAULT_TIMEOUT="2.5",
        ALLOWED_INPUT_BUCKETS="one-bucket, two-bucket,",
        LOG_LEVEL="WARNING",
        AWS_ENDPOINT_URL="http://localstack:4566",
    )
    assert settings.default_config.rows == 3
    assert settings.enable_deduplication is False
    assert settings.default_config.timeout == 2.5
    assert settings.input_buckets == {"tiktok-image-input", "one-bucket", "two-bucket"}
    assert settings.log_level == "warning"
    assert settings.aws_endpoint_url == "http://localstack:4566"


def test_a_job_may_name_the_input_bucket_only_unless_others_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, INPUT_BUCKET="mine").input_buckets == {"mine"}


def test_the_region_is_taken_from_either_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().aws_region == "us-east-1"
    assert loaded(monkeypatch, AWS_DEFAULT_REGION="eu-west-1", AWS_REGION="").aws_region == "eu-west-1"
    assert loaded(monkeypatch, AWS_REGION="eu-north-1").aws_region == "eu-north-1"


BAD = {
    "INPUT_BUCKET": "Not A Bucket",
    "ALLOWED_INPUT_BUCKETS": "good-one,BAD_ONE",
    "SQS_QUEUE_URL": "queue",
    "DYNAMODB_TABLE_NAME": "a table",
    "DEFAULT_ROWS": "0",
    "DEFAULT_COLS": "101",
    "DEFAULT_QUALITY": "ninety",
    "DEFAULT_MAX_WORKERS": "2.5",
    "DEFAULT_TIMEOUT": "nan",
    "DEFAULT_MAX_RETRIES": "-1",
    "DEFAULT_MAX_IMAGES_PER_CREATOR": "1001",
    "DEFAULT_OUTPUT_PREFIX": "/leading",
    "MIN_IMAGE_SIZE": "0",
    "MAX_IMAGE_SIZE": "1e3x",
    "MEMORY_WARNING_THRESHOLD": "101",
    "MEMORY_CRITICAL_THRESHOLD": "nan",
    "MAX_CONCURRENT_DOWNLOADS": "0",
    "ENABLE_DEDUPLICATION": "perhaps",
    "CONTENT_HASH_ALGORITHM": "crc32",
    "RETRY_MAX_DELAY": "inf",
    "METRICS_NAMESPACE": "with space",
    "VISIBILITY_TIMEOUT": "43201",
    "WAIT_TIME_SECONDS": "21",
    "STOP_GRACE_SECONDS": "-1",
    "STATE_TTL_DAYS": "0",
    "MAX_IMAGE_BYTES": "20MB",
    "AWS_ENDPOINT_URL": "localhost:4566",
    "HEALTH_PORT": "65536",
    "LOG_LEVEL": "loud",
}


def test_every_bad_variable_is_reported_at_once_with_what_it_got_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = refused(monkeypatch, **BAD)
    told = dict(line.split(":", 1) for line in lines)
    assert told.keys() == BAD.keys()
    assert len(lines) == len(BAD)
    for name, value in BAD.items():
        got = "BAD_ONE" if name == "ALLOWED_INPUT_BUCKETS" else value
        assert f"got {got!r}; it should " in told[name]
        assert len(told[name].partition("it should ")[2]) > 5


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("DEFAULT_ROWS", "0", "be a whole number from 1 to 100"),
        ("CONTENT_HASH_ALGORITHM", "crc32", "'sha256'"),
        ("DEFAULT_TIMEOUT", "x", "be a number above 0 and up to 300"),
        ("DEFAULT_OUTPUT_PREFIX", "é" * 129, "at most 256 bytes"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:abc", "have a host and, where it has a port, one from 1 to 65535"),
        ("SQS_QUEUE_URL", "http://[127.0.0.1/q", "have a host"),
        ("SQS_DLQ_URL", "https:///dlq", "have a host"),
        ("MYSQL_URL", "mysql://me:secret@db.example:65536/x", "have a host"),
        ("DEFAULT_QUALITY", "ninety", "be a whole number from 1 to 100"),
    ],
)
def test_a_report_says_what_is_allowed(monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str) -> None:
    (line,) = refused(monkeypatch, **{name: value})
    assert line.startswith(f"{name}: got '{value[:50].replace('me:secret', '***')}")
    assert allowed in line


def test_a_warning_threshold_above_the_critical_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = refused(monkeypatch, MEMORY_WARNING_THRESHOLD="95")
    assert line == ("MEMORY_CRITICAL_THRESHOLD: got 90.0; it should not be below MEMORY_WARNING_THRESHOLD, which is 95")


def test_a_default_page_that_no_jpeg_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = refused(monkeypatch, DEFAULT_ROWS="100", DEFAULT_COLS="100")
    assert line.startswith("DEFAULT_COLS: got '100'; it should go with DEFAULT_ROWS: ")
    assert "20000 x 20000 px" in line


def test_relations_that_do_not_hold_are_reported_with_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = refused(
        monkeypatch, MEMORY_WARNING_THRESHOLD="95", DEFAULT_ROWS="100", DEFAULT_COLS="100", DEFAULT_QUALITY="0"
    )
    assert {line.partition(":")[0] for line in lines} == {
        "MEMORY_CRITICAL_THRESHOLD",
        "DEFAULT_COLS",
        "DEFAULT_QUALITY",
    }


def test_what_a_command_needs_is_asked_for_beside_what_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFAULT_ROWS", "0")
    with pytest.raises(SettingsError) as caught:
        load(required=("SQS_QUEUE_URL",))
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["DEFAULT_ROWS", "SQS_QUEUE_URL"]


def test_what_a_command_needs_is_reported_once_when_it_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQS_QUEUE_URL", "queue")
    with pytest.raises(SettingsError) as caught:
        load(required=("SQS_QUEUE_URL",))
    assert str(caught.value).count("SQS_QUEUE_URL") == 1


def test_credentials_in_urls_are_masked_in_the_log_and_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, SQS_QUEUE_URL="https://user:hunter2@queue.example/1/jobs")
    assert "hunter2" not in str(settings.effective())
    assert settings.effective()["sqs_queue_url"] == "https://***@queue.example/1/jobs"
    (line,) = refused(monkeypatch, SQS_QUEUE_URL="ftp://user:hunter2@queue.example")
    assert "hunter2" not in line


def test_effective_settings_name_every_setting() -> None:
    assert load().effective().keys() == Settings.model_fields.keys()


def test_a_value_of_any_length_is_shown_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = refused(monkeypatch, DEFAULT_ROWS="9" * 5_000 + "x")
    assert len(line) < 300


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().default_rows = 6


@pytest.mark.parametrize(("cores", "decoders"), [(1, 1), (2, 4), (4, 8)])
def test_two_decoders_for_each_core_where_there_are_several(cores: int, decoders: int) -> None:
    assert default_decoders(cores) == decoders
