"""How much may be under way at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.jobs.admission import (
    LIMITS,
    Limits,
    Thresholds,
    careful_mode,
    creator_limit,
    download_limit,
    limited,
    next_mode,
)
from worker.model import Mode, ProcessingConfig

USUAL = Thresholds(80.0, 90.0)
MIB = 1 << 20

percents = st.floats(0, 100)
thresholds = st.tuples(percents, percents).map(lambda pair: Thresholds(*sorted(pair)))


@settings(deadline=None)
@given(st.integers(0, 10**7), st.integers(1, 256), percents, thresholds, st.none() | st.integers(0, 1 << 40))
def test_downloads_are_at_least_one_and_at_most_what_was_asked_for(
    images: int, max_workers: int, memory: float, limits: Thresholds, free: int | None
) -> None:
    assert 1 <= download_limit(images, max_workers, memory, limits, free) <= max_workers


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 256), percents, percents, thresholds, st.integers(0, 1 << 32))
def test_more_memory_in_use_never_means_more_downloads(
    images: int, max_workers: int, one: float, other: float, limits: Thresholds, free: int
) -> None:
    less, more = sorted((one, other))
    assert download_limit(images, max_workers, more, limits, free) <= download_limit(
        images, max_workers, less, limits, free
    )


@pytest.mark.parametrize(
    ("images", "max_workers", "memory", "free", "downloads"),
    [
        (1_000, 8, 50.0, None, 8),
        (1_000, 8, 80.0, None, 8),
        (1_000, 8, 85.0, None, 4),
        (1_000, 8, 90.0, None, 1),
        (1_000, 8, 100.0, None, 1),
        (3, 8, 50.0, None, 3),
        (0, 8, 50.0, None, 1),
        (1_000, 8, 50.0, 24 * MIB, 3),
        (1_000, 8, 50.0, 0, 1),
        (1_000, 1, 85.0, 1 << 40, 1),
    ],
)
def test_downloads_follow_the_job_the_memory_and_what_is_free(
    images: int, max_workers: int, memory: float, free: int | None, downloads: int
) -> None:
    assert download_limit(images, max_workers, memory, USUAL, free) == downloads


@settings(deadline=None)
@given(st.integers(1, 512), percents, thresholds)
def test_no_creator_is_admitted_from_the_critical_threshold_on_and_always_one_below(
    most: int, memory: float, limits: Thresholds
) -> None:
    found = creator_limit(most, memory, limits)
    assert (found == 0) is (memory >= limits.critical)
    assert found <= most


@settings(deadline=None)
@given(st.integers(1, 512), percents, percents, thresholds)
def test_more_memory_in_use_never_admits_more_creators(most: int, one: float, other: float, limits: Thresholds) -> None:
    less, more = sorted((one, other))
    assert creator_limit(most, more, limits) <= creator_limit(most, less, limits)


@pytest.mark.parametrize(
    ("memory", "creators"), [(0.0, 32), (79.9, 32), (80.0, 32), (85.0, 16), (89.99, 1), (90.0, 0), (100.0, 0)]
)
def test_creators_fall_in_a_line_between_the_thresholds(memory: float, creators: int) -> None:
    assert creator_limit(32, memory, USUAL) == creators


def test_thresholds_that_meet_are_a_plain_stop() -> None:
    assert [creator_limit(8, memory, Thresholds(90, 90)) for memory in (89.9, 90.0, 90.1)] == [8, 0, 0]


def test_the_modes_limits_are_the_designs() -> None:
    assert {
        Mode.NORMAL: Limits(downloads=None, quality=None, images=None),
        Mode.SAFE: Limits(downloads=2, quality=75, images=20),
        Mode.MINIMAL: Limits(downloads=1, quality=75, images=10),
    } == LIMITS


@pytest.mark.parametrize(
    ("mode", "quality", "images"), [(Mode.NORMAL, 95, 35), (Mode.SAFE, 75, 20), (Mode.MINIMAL, 75, 10)]
)
def test_a_mode_holds_what_is_asked_for_to_its_limits(mode: Mode, quality: int, images: int) -> None:
    found = limited(ProcessingConfig(rows=3), mode)
    assert (found.quality, found.max_images_per_creator, found.rows) == (quality, images, 3)


@pytest.mark.parametrize("mode", Mode)
def test_a_mode_never_raises_what_is_asked_for(mode: Mode) -> None:
    asked = ProcessingConfig(quality=40, max_images_per_creator=2)
    assert limited(asked, mode) == asked


@pytest.mark.parametrize(
    ("memory", "mode"), [(90.0, Mode.SAFE), (94.9, Mode.SAFE), (95.0, Mode.MINIMAL), (100.0, Mode.MINIMAL)]
)
def test_a_careful_mode_is_minimal_in_the_upper_half_of_the_critical_range(memory: float, mode: Mode) -> None:
    assert careful_mode(memory, 90.0) is mode


def test_after_memory_ran_out_the_next_mode_is_more_careful_until_none_is_left() -> None:
    assert [next_mode(mode) for mode in (Mode.NORMAL, Mode.SAFE, Mode.MINIMAL)] == [Mode.SAFE, Mode.MINIMAL, None]
