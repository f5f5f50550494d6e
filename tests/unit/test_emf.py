"""Metrics: lines that CloudWatch understands, of metrics that are declared, and nothing else.

The rules are those of the Embedded Metric Format:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.aws.emf import METRICS, Metrics

UNITS = {"Seconds", "Bytes", "Percent", "Count", "None"}


class Sink:
    def __init__(self) -> None:
        self.out = io.StringIO()
        self.metrics = Metrics(
            "TikTokImageProcessor", self.out, service="collage-worker-test", clock=lambda: 1_737_288_000.1234
        )

    def lines(self) -> list[dict[str, Any]]:
        self.metrics.flush()
        return [json.loads(line) for line in self.out.getvalue().splitlines()]


def checked(line: dict[str, Any]) -> dict[str, list[float]]:
    """Hold a line to the format; returns its values by metric."""
    directives = line["_aws"]["CloudWatchMetrics"]
    assert isinstance(line["_aws"]["Timestamp"], int)
    found: dict[str, list[float]] = {}
    for directive in directives:
        assert 1 <= len(directive["Namespace"]) <= 1024
        assert 0 < len(directive["Metrics"]) <= 100
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) <= 30
            assert all(isinstance(line[name], str) and line[name] for name in dimensions)
        for metric in directive["Metrics"]:
            assert metric["Unit"] in UNITS
            value = line[metric["Name"]]
            values = value if isinstance(value, list) else [value]
            assert 0 < len(values) <= 100
            assert all(isinstance(number, int | float) for number in values)
            found[metric["Name"]] = values
    assert set(line) == {"_aws", "Service", *found}
    return found


def test_the_declared_metrics_are_the_contracts() -> None:
    assert METRICS == {
        "ProcessingDuration": "Seconds",
        "ImagesProcessed": "Count",
        "ErrorCount": "Count",
        "CollagesWritten": "Count",
        "BytesDownloaded": "Bytes",
        "DownloadLatency": "Seconds",
        "QueueDelay": "Seconds",
        "MemoryUtilization": "Percent",
        "DependencyDown": "Count",
        "SandboxSeccomp": "None",
        "SandboxNamespaces": "None",
        "SandboxLandlock": "None",
    }


def test_a_line_is_in_the_format() -> None:
    sink = Sink()
    sink.metrics.record("ImagesProcessed", 35)
    sink.metrics.record("ProcessingDuration", 23.5)
    (line,) = sink.lines()
    assert checked(line) == {"ImagesProcessed": [35], "ProcessingDuration": [23.5]}
    assert line["_aws"]["Timestamp"] == 1_737_288_000_123
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "TikTokImageProcessor"


def test_the_dimensions_are_never_a_creator_or_a_batch() -> None:
    sink = Sink()
    for name in METRICS:
        sink.metrics.record(name, 1)
    (line,) = sink.lines()
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Service"]]
    assert line["Service"] == "collage-worker-test"


def test_counts_are_summed_and_measurements_are_kept_apart() -> None:
    sink = Sink()
    for value in (1, 2, 3):
        sink.metrics.record("ImagesProcessed", value)
        sink.metrics.record("BytesDownloaded", value * 1_000_000_007)
        sink.metrics.record("DownloadLatency", value / 3)
    (line,) = sink.lines()
    assert checked(line) == {
        "ImagesProcessed": [6],
        "BytesDownloaded": [6_000_000_042],
        "DownloadLatency": [0.3333, 0.6667, 1.0],
    }


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(METRICS)), st.integers(0, 1000)), max_size=300))
def test_no_value_is_lost_and_no_line_has_more_than_the_format_allows(recorded: list[tuple[str, int]]) -> None:
    sink = Sink()
    for name, value in recorded:
        sink.metrics.record(name, value)
    found = [checked(line) for line in sink.lines()]
    for name in METRICS:
        told = [value for values in found for value in values.get(name, [])]
        asked = [value for other, value in recorded if other == name]
        assert sum(told) == sum(asked)
        if METRICS[name] in {"Seconds", "Percent", "None"}:
            assert told == asked


def test_a_hundred_values_are_a_line_of_their_own() -> None:
    sink = Sink()
    for value in range(250):
        sink.metrics.record("QueueDelay", value)
    assert [len(checked(line)["QueueDelay"]) for line in sink.lines()] == [100, 100, 50]


def test_a_metric_that_is_not_declared_raises_and_leaves_nothing_behind() -> None:
    sink = Sink()
    with pytest.raises(KeyError, match="CreatorsOnFire"):
        sink.metrics.record("CreatorsOnFire", 1)
    assert sink.lines() == []


def test_where_nothing_was_recorded_nothing_is_written() -> None:
    sink = Sink()
    sink.metrics.record("ErrorCount", 0)
    assert len(sink.lines()) == 1
    assert len(sink.lines()) == 1, "values are written once"
