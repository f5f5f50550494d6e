"""What a batch's counts say to people."""

from typing import Any

import pytest

from worker.jobs.advice import EARLY, no_images, nothing_made

COLUMNS = {"creator": "author", "url": "url", "likelier": "thumbnail"}


@pytest.mark.parametrize(
    ("processed", "errors", "warns"),
    [
        (0, {"not_an_image": EARLY}, True),
        (0, {"not_an_image": EARLY - 1, "timeout": 9}, False),
        (1, {"not_an_image": 10 * EARLY}, False),
        (0, {"expired": 10 * EARLY}, False),
        (0, {}, False),
    ],
)
def test_a_batch_whose_first_covers_are_all_no_images_is_warned_of(
    processed: int, errors: dict[str, int], warns: bool
) -> None:
    assert (no_images({"images_processed": processed, "errors": errors}) is not None) is warns


def test_the_warning_names_the_columns_used_and_the_likelier_one() -> None:
    text = no_images({"errors": {"not_an_image": 60}, "columns": COLUMNS}) or ""
    for word in ("60", "author", "column url", "thumbnail", "url_column"):
        assert word in text


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"errors": {"expired": 7}}, ["all 7", "expired", "Export the manifest anew"]),
        ({"errors": {"expired": 1, "dns": 6, "duplicate": 99}}, ["6 of 7", "dns"]),
        ({"errors": {"not_an_image": 3}, "columns": COLUMNS}, ["all 3", "thumbnail"]),
        ({"errors": {}}, ["no collage was made"]),
    ],
)
def test_a_batch_that_made_nothing_says_what_its_failures_have_in_common(
    counts: dict[str, Any], words: list[str]
) -> None:
    text = nothing_made(counts) or ""
    for word in words:
        assert word in text


def test_a_batch_with_a_collage_made_something() -> None:
    assert nothing_made({"collages_written": 1, "errors": {"expired": 7}}) is None
