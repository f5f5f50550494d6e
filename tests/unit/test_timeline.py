"""Timelines: nothing is lost whatever the width, and there are never too many spans."""

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.jobs.report.timeline import SPANS, WIDTHS, Timeline

moments = st.floats(1_600_000_000, 1_700_000_000)
points = st.lists(
    st.tuples(moments, st.integers(0, 50), st.dictionaries(st.sampled_from("abc"), st.integers(1, 5), max_size=3)),
    max_size=40,
)


@settings(deadline=None)
@given(points)
def test_all_that_is_added_is_in_some_span_whatever_its_order(
    added: list[tuple[float, int, dict[str, int]]],
) -> None:
    line, other = Timeline(), Timeline()
    for at, images, failures in added:
        line.add(at, creators=1, images=images, failures=failures, latencies=[0.5])
    for at, images, failures in sorted(added, key=lambda point: point[0], reverse=True):
        other.add(at, creators=1, images=images, failures=failures, latencies=[0.5])
    spans = list(line.spans())
    assert spans == list(other.spans())
    assert len(spans) <= SPANS
    assert sum(span.creators for _, span in spans) == len(added)
    assert sum(span.images for _, span in spans) == sum(images for _, images, _ in added)
    told: Counter[str] = Counter()
    for _, span in spans:
        told.update(span.failures)
    assert told == sum((Counter(failures) for _, _, failures in added), Counter())


@given(moments, moments)
def test_what_ended_within_a_span_stands_in_it(one: float, other: float) -> None:
    line = Timeline()
    line.add(one, creators=1)
    line.add(other, creators=1)
    begun = [at for at, span in line.spans() if span.creators]
    assert begun == sorted({int(at // line.width) * line.width for at in (one, other)})


def test_each_width_is_a_multiple_of_the_one_before() -> None:
    assert all(wide % narrow == 0 for narrow, wide in pairwise(WIDTHS))


def test_a_latency_is_right_to_a_twelfth() -> None:
    line = Timeline()
    line.add(1.0, latencies=[number / 100 for number in range(1, 101)])
    ((_, span),) = line.spans()
    for share in (0.5, 0.95):
        found = span.latency(share)
        assert found is not None
        assert abs(found - share) / share < 1 / 12
    assert Timeline().width == 1


def test_a_batch_of_one_moment_and_one_of_a_year_have_spans() -> None:
    for seconds in (0.0, 86_400.0 * 365):
        line = Timeline()
        line.add(1_700_000_000.0, creators=1)
        line.add(1_700_000_000.0 + seconds, creators=1)
        assert 1 <= len(list(line.spans())) <= SPANS
