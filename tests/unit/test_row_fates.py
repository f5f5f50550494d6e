"""The covers of one creator: which are used does not depend on which download is faster."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fakes import not_found
from worker.errors import ImageError, ImageReason, JobReason, LeaseLost
from worker.jobs.row_fates import Fate, UsableImage, gather_images
from worker.model import Row

Answers = dict[str, str | None]
"""URL → the fingerprint of what it gives, None where it fails."""


def cover(fingerprint: str) -> UsableImage:
    return UsableImage(fingerprint.encode(), fingerprint, 300, 400, "JPEG", 9, 1, 0.1)


def rows_of(*urls: str) -> list[Row]:
    return [Row(line, url) for line, url in enumerate(urls, start=2)]


def told(fates: Sequence[Fate]) -> list[str]:
    return [
        "-" if fate is None else fate.reason.value if isinstance(fate, ImageError) else fate.fingerprint
        for fate in fates
    ]


def run_in_order(
    rows: Sequence[Row], wanted: int, answers: Answers, picks: Sequence[int], *, dedupe: bool
) -> tuple[list[str], list[str], int]:
    """Let downloads finish in the order that `picks` says; returns the fates, the URLs obtained, the most at a time."""

    async def run() -> tuple[list[str], list[str], int]:
        waiting: dict[int, asyncio.Future[None]] = {}
        obtained: list[str] = []
        most = 0

        async def obtain(row: Row) -> UsableImage:
            nonlocal most
            obtained.append(row.url)
            waiting[row.line] = asyncio.get_running_loop().create_future()
            most = max(most, len(waiting))
            await waiting[row.line]
            found = answers[row.url]
            if found is None:
                raise not_found(row.url)
            return cover(found)

        work = asyncio.create_task(gather_images(rows, wanted, obtain, dedupe=dedupe))
        turn = 0
        while not work.done():
            for _ in range(10):  # the loop comes to rest: whatever can begin has begun
                await asyncio.sleep(0)
            if waiting:
                line = sorted(waiting)[picks[turn % len(picks)] % len(waiting)] if picks else min(waiting)
                waiting.pop(line).set_result(None)
                turn += 1
        return told(work.result()), obtained, most

    return asyncio.run(run())


def in_sequence(rows: Sequence[Row], wanted: int, answers: Answers, *, dedupe: bool) -> list[str]:
    """Say the fates as a person would who goes through the rows one by one."""
    fates: list[str] = []
    urls: set[str] = set()
    shown: list[str] = []
    for row in rows:
        found = answers[row.url]
        if len(shown) >= wanted:
            fates.append("-")
            continue
        if dedupe and (row.url in urls or found in shown):
            fates.append("duplicate")
        elif found is None:
            fates.append("not_found")
        else:
            shown.append(found)
            fates.append(found)
        urls.add(row.url)
    return fates


cases = st.tuples(
    st.lists(st.sampled_from("abcdefgh"), max_size=14),
    st.fixed_dictionaries({url: st.sampled_from(["red", "green", "blue", "grey", None]) for url in "abcdefgh"}),
    st.integers(1, 6),
    st.lists(st.integers(0, 20), max_size=10),
    st.booleans(),
)


@settings(deadline=None)
@given(cases)
def test_fates_are_those_of_going_through_the_rows_one_by_one_whatever_finishes_first(
    case: tuple[list[str], Answers, int, list[int], bool],
) -> None:
    urls, answers, wanted, picks, dedupe = case
    rows = rows_of(*urls)
    fates, obtained, most = run_in_order(rows, wanted, answers, picks, dedupe=dedupe)
    assert fates == in_sequence(rows, wanted, answers, dedupe=dedupe)
    needed = [row.url for row, fate in zip(rows, fates, strict=True) if fate != "-"]
    assert obtained == list(dict.fromkeys(needed)), "each URL that is needed once, in order, and no other"
    assert most <= wanted


@settings(deadline=None)
@given(cases)
def test_as_many_are_used_as_are_usable_or_wanted(case: tuple[list[str], Answers, int, list[int], bool]) -> None:
    urls, answers, wanted, picks, dedupe = case
    rows = rows_of(*urls)
    fates, _, _ = run_in_order(rows, wanted, answers, picks, dedupe=dedupe)
    usable = [answers[url] for url in urls if answers[url] is not None]
    used = [fate for fate in fates if fate not in {"-", "duplicate", "not_found"}]
    assert len(used) == min(wanted, len(set(usable)) if dedupe else len(usable))


def test_a_row_beyond_what_is_wanted_is_begun_only_when_one_before_it_fails() -> None:
    rows = rows_of("a", "b", "c", "d")
    answers: Answers = {"a": "red", "b": None, "c": "blue", "d": "grey"}
    fates, obtained, _ = run_in_order(rows, 2, answers, [1], dedupe=True)
    assert (fates, obtained) == (["red", "not_found", "blue", "-"], ["a", "b", "c"])


def test_a_repeated_url_is_obtained_once_and_flagged_with_the_line_it_repeats() -> None:
    fates = asyncio.run(gather_images(rows_of("a", "a"), 5, _answer_of({"a": "red"}), dedupe=True))
    assert told(fates) == ["red", "duplicate"]
    assert str(fates[1]) == "the same URL as line 2"


def test_equal_bytes_are_flagged_on_the_later_row_even_when_it_finished_first() -> None:
    rows = rows_of("a", "b", "c")
    answers: Answers = {"a": "red", "b": "red", "c": "blue"}
    fates, _, _ = run_in_order(rows, 2, answers, [1, 0], dedupe=True)
    assert fates == ["red", "duplicate", "blue"]


def test_without_deduplication_repeats_are_shown_from_one_download() -> None:
    fates, obtained, _ = run_in_order(rows_of("a", "a", "b"), 3, {"a": "red", "b": "red"}, [], dedupe=False)
    assert (fates, obtained) == (["red", "red", "red"], ["a", "b"])


def test_without_deduplication_a_repeat_of_a_failed_url_is_a_failure_of_its_own() -> None:
    fates, obtained, _ = run_in_order(rows_of("a", "a", "b"), 1, {"a": None, "b": "red"}, [], dedupe=False)
    assert (fates, obtained) == (["not_found", "not_found", "red"], ["a", "b"])


def test_no_rows_give_no_fates() -> None:
    assert asyncio.run(gather_images([], 5, _answer_of({}), dedupe=True)) == []


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryError(), LeaseLost(JobReason.LEASE_LOST, "gone")])
async def test_an_unexpected_error_comes_out_as_itself_and_ends_its_siblings(error: Exception) -> None:
    ended: list[str] = []

    async def obtain(row: Row) -> UsableImage:
        if row.url == "bad":
            await asyncio.sleep(0)
            raise error
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(row.url)
            raise
        raise AssertionError

    with pytest.raises(type(error)) as caught:
        await gather_images(rows_of("a", "bad", "b"), 5, obtain, dedupe=True)
    assert caught.value is error
    assert sorted(ended) == ["a", "b"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelling_leaves_no_task_behind() -> None:
    begun = asyncio.Event()

    async def obtain(_row: Row) -> UsableImage:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    work = asyncio.create_task(gather_images(rows_of("a", "b", "a"), 5, obtain, dedupe=False))
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert asyncio.all_tasks() == {asyncio.current_task()}


def _answer_of(answers: Answers):  # noqa: ANN202
    async def obtain(row: Row) -> UsableImage:
        found = answers[row.url]
        if found is None:
            raise not_found(row.url)
        return cover(found)

    return obtain


def test_the_reason_of_a_duplicate_is_the_one_that_records_show() -> None:
    fates = asyncio.run(gather_images(rows_of("a", "b"), 5, _answer_of({"a": "red", "b": "red"}), dedupe=True))
    assert isinstance(fates[1], ImageError)
    assert fates[1].reason is ImageReason.DUPLICATE
    assert str(fates[1]) == "the same bytes as line 2"
