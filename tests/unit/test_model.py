"""The plain things that the rooms hand to each other."""

import dataclasses
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.unit.fakes import NOON, batch_of, job
from worker.model import (
    JPEG_MAX_SIDE,
    MAX_CANVAS_PIXELS,
    CreatorRecord,
    CreatorStatus,
    Mode,
    OutputPrefix,
    ProcessingConfig,
    Retryable,
    Row,
)


def test_a_job_that_asks_for_nothing_gets_the_contracts_defaults() -> None:
    assert ProcessingConfig().model_dump() == {
        "group_by_creator": True,
        "rows": 5,
        "cols": 7,
        "max_images_per_creator": 35,
        "quality": 95,
        "max_workers": 8,
        "timeout": 30,
        "max_retries": 3,
        "cell_size": 200,
        "gutter": 0,
        "background": "white",
        "format": "jpeg",
        "creator_column": None,
        "url_column": None,
        "encoding": None,
    }


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ({"rows": 1, "cols": 100, "cell_size": 655}, True),
        ({"rows": 1, "cols": 100, "cell_size": 656}, False),
        ({"rows": 100, "cols": 1, "cell_size": 656}, False),
        ({"rows": 1, "cols": 100, "cell_size": 600, "gutter": 55}, True),
        ({"rows": 1, "cols": 100, "cell_size": 600, "gutter": 56}, False),
        ({"rows": 10, "cols": 10, "cell_size": 1_000}, True),
        ({"rows": 10, "cols": 10, "cell_size": 1_000, "gutter": 1}, False),
        ({"rows": 50, "cols": 50, "cell_size": 200}, True),
        ({"rows": 51, "cols": 50, "cell_size": 200}, False),
    ],
)
def test_a_page_has_to_fit_a_jpeg_and_memory(asked: dict[str, Any], fits: bool) -> None:
    if fits:
        config = ProcessingConfig(**asked)
        width = config.cols * config.cell_size + (config.cols - 1) * config.gutter
        height = config.rows * config.cell_size + (config.rows - 1) * config.gutter
        assert max(width, height) <= JPEG_MAX_SIDE
        assert width * height <= MAX_CANVAS_PIXELS
    else:
        with pytest.raises(ValidationError, match=r"a page of .* allowed are 65500 px a side and 100000000 px in all"):
            ProcessingConfig(**asked)


@pytest.mark.parametrize("prefix", ["", "sqs-trigger/", "a", "a//b", "é/", "x" * 256])
def test_an_output_prefix_may_be_almost_anything(prefix: str) -> None:
    assert TypeAdapter(OutputPrefix).validate_python(prefix) == prefix


@pytest.mark.parametrize("prefix", ["/", "/a", "a\nb", "a\n", "\x00", "\x7f", "x" * 257])
def test_an_output_prefix_has_no_leading_slash_and_no_control_characters(prefix: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(OutputPrefix).validate_python(prefix)


def test_a_creators_error_count_is_the_sum_of_its_reasons() -> None:
    assert CreatorRecord("ann", CreatorStatus.FAILED, errors={"expired": 2, "not_found": 3}).error_count == 5
    assert CreatorRecord("ann", CreatorStatus.COMPLETED).error_count == 0


def test_records_of_creators_do_not_share_their_errors() -> None:
    one, other = CreatorRecord("a", CreatorStatus.FAILED), CreatorRecord("b", CreatorStatus.FAILED)
    assert one.errors is not other.errors


def test_waiting_costs_an_attempt_unless_it_is_said_not_to() -> None:
    again = Retryable("aws_unavailable", "no answer")  # type: ignore[arg-type]
    assert (again.costs_attempt, again.delay) == (True, 0.0)


@pytest.mark.parametrize("thing", [Row(2, "u"), job(), batch_of(job()), CreatorRecord("a", CreatorStatus.COMPLETED)])
def test_what_is_handed_around_cannot_be_changed(thing: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(thing, dataclasses.fields(thing)[0].name, "x")


def test_a_jobs_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ProcessingConfig().rows = 1


def test_states_are_written_as_the_contract_spells_them() -> None:
    assert [str(status) for status in CreatorStatus] == ["processing", "completed", "failed"]
    assert [str(mode) for mode in Mode] == ["normal", "safe", "minimal"]
    assert batch_of(job()).started_at is NOON
