"""Plots of a timeline: what they show is within the picture, and in proportion."""

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.jobs.report.charts import BOTTOM, HEIGHT, LEFT, OTHERS, RIGHT, SERIES, TOP, WIDTH, plots
from worker.jobs.report.timeline import Timeline

reasons = st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 1_000), max_size=10)


def timeline(spans: list[tuple[float, dict[str, int], list[float]]]) -> Timeline:
    line = Timeline()
    for at, failures, latencies in spans:
        line.add(at, creators=1, images=3, failures=failures, latencies=latencies)
    return line


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(1e9, 1e9 + 1e6), reasons, st.lists(st.floats(0.0, 300.0), max_size=3)),
        max_size=20,
    )
)
def test_everything_is_within_the_picture(spans: list[tuple[float, dict[str, int], list[float]]]) -> None:
    for chart in plots(timeline(spans)).charts:
        assert chart.levels[0].value == 0
        for bar in chart.bars:
            assert LEFT <= bar.x <= bar.x + bar.width <= WIDTH - RIGHT + 1
            assert TOP - 1 <= bar.y <= bar.y + bar.height <= HEIGHT - BOTTOM + 1
            assert bar.series < len(chart.series) <= SERIES + 1
        for _, path in chart.lines:
            heights = [float(point.split()[1]) for point in path[1:].split("L")]
            assert TOP - 1 <= min(heights) <= max(heights) <= HEIGHT - BOTTOM + 1


def test_rare_reasons_share_a_colour_and_are_counted() -> None:
    failures = {letter: number + 1 for number, letter in enumerate("abcdefghij")}
    (chart,) = [chart for chart in plots(timeline([(1e9, failures, [])])).charts if chart.name == "reasons"]
    assert list(chart.series) == ["j", "i", "h", "g", "f", OTHERS]
    heights = [bar.height for bar in sorted(chart.bars, key=lambda bar: bar.series)]
    assert heights[0] / heights[-1] == 10 / (1 + 2 + 3 + 4 + 5) or abs(heights[0] / heights[-1] - 10 / 15) < 0.01


def test_nothing_known_gives_no_plot() -> None:
    assert plots(Timeline()).charts == []
