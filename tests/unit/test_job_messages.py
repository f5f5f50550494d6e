"""The published JSON Schema and the worker agree on what a job is."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from worker.errors import TerminalError
from worker.jobs.job_messages import MODELS, json_schema
from worker.jobs.messages import JobDefaults, parse
from worker.model import ProcessingConfig

PUBLISHED = Path(__file__).resolve().parents[2] / "docs/reference/job.schema.json"
BUCKET = "tiktok-image-input"
DEFAULTS = JobDefaults(ProcessingConfig(), "", BUCKET, frozenset({BUCKET}))

JOB: dict[str, Any] = {
    "processing_type": "csv_s3",
    "s3_bucket": BUCKET,
    "s3_key": "manual-uploads/batch_20250119.csv",
    "output_prefix": "sqs-trigger/",
    "processing_config": {"group_by_creator": True, "rows": 5, "cols": 7, "quality": 95, "timeout": 30},
}
INLINE: dict[str, Any] = {"processing_type": "csv_inline", "csv_data": "creator,cover_url\na,https://a.example/1.jpg\n"}


def published() -> Draft202012Validator:
    return Draft202012Validator(json.loads(PUBLISHED.read_text(encoding="utf-8")))


def fits(message: dict[str, Any]) -> bool:
    return bool(published().is_valid(message))


def is_taken(message: dict[str, Any]) -> bool:
    try:
        return bool(parse(json.dumps(message), DEFAULTS).jobs)
    except TerminalError:
        return False


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("message", [JOB, INLINE, {"processing_type": "csv_s3", "s3_key": "a.csv"}])
def test_jobs_fit_the_published_schema(message: dict[str, Any]) -> None:
    published().validate(message)
    assert is_taken(message)


@pytest.mark.parametrize(
    "change",
    [
        {"processing_type": "csv"},
        {"s3_key": ""},
        {"s3_key": None},
        {"s3_bucket": None},
        {"output_prefix": "/a"},
        {"output_prefix": "a\nb"},
        {"output_prefix": 1},
        {"processing_config": []},
        {"processing_config": {"row": 5}},
        {"csv_data": "a"},
        {"more": 1},
    ],
)
def test_what_the_worker_refuses_does_not_fit_the_published_schema(change: dict[str, Any]) -> None:
    message = JOB | change
    assert not is_taken(message)
    assert not fits(message)


WHOLE = st.one_of(st.integers(-1, 12), st.sampled_from([100, 101, 256, 300, 301, 1_000, 1_001, 2_000, 2_001]))
VALUES = st.one_of(WHOLE, st.booleans(), st.none(), st.just([]), st.floats(0.1, 400).filter(lambda x: x % 1 > 0))
WORDS = st.sampled_from(["jpeg", "png", "gif", "white", "utf-8", "", "x" * 41, "x" * 201])
CONFIGS = st.dictionaries(
    st.sampled_from([*ProcessingConfig.model_fields, "quantity"]), st.one_of(VALUES, WORDS), max_size=2
)


@given(CONFIGS)
def test_the_worker_takes_nothing_that_does_not_fit_the_published_schema(config: dict[str, Any]) -> None:
    message = JOB | {"processing_config": config}
    assert fits(message) or not is_taken(message)


SMALL = st.fixed_dictionaries(
    {},
    optional={
        "rows": WHOLE,
        "gutter": st.integers(-1, 3),
        "quality": st.one_of(VALUES, WORDS),
        "max_workers": VALUES,
        "timeout": VALUES,
        "max_retries": VALUES,
        "max_images_per_creator": VALUES,
        "format": WORDS,
        "creator_column": WORDS,
    },
)


@given(SMALL)
def test_the_worker_takes_what_fits_the_published_schema(config: dict[str, Any]) -> None:
    message = JOB | {"processing_config": config}
    assert is_taken(message) == fits(message)


def test_each_kind_of_job_is_in_the_schema() -> None:
    assert set(json_schema()["discriminator"]["mapping"]) == set(MODELS)
