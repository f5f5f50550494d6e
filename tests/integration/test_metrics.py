"""The metrics on a worker's stdout: Embedded Metric Format, declared metrics only, sums that are right."""

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.pictures import PICTURE_BYTES, SMALL, Origin, manifest, token
from tests.integration.places import Place
from tests.integration.processes import Worker

DECLARED = {
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


@pytest.fixture(scope="module")
def lines(shared_place: Place, origin: Origin) -> Iterator[list[dict[str, Any]]]:
    """What a worker wrote that did two creators with three images and three failures between them."""
    name = token()
    rows = [
        ("ann", origin.photo(SMALL[0], name)),
        ("ann", origin.photo(SMALL[1], name)),
        ("ann", f"{origin.base}/status/404?{name}"),
        ("ben", origin.photo(SMALL[2], name)),
        ("cat", f"{origin.base}/status/410?{name}"),
        ("cat", f"{origin.base}/html/{name}"),
    ]
    with Worker(shared_place.env(METRICS_NAMESPACE="TikTokImageProcessor")) as worker:
        shared_place.send_job(manifest(rows), name)
        shared_place.batch(name)
        shared_place.until_empty()
        assert worker.stop() == 0
        yield worker.metrics()


def values(lines: list[dict[str, Any]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
            value = line[metric["Name"]]
            found[metric["Name"]] += value if isinstance(value, list) else [value]
    return found


def test_every_line_of_stdout_is_in_the_embedded_metric_format(lines: list[dict[str, Any]]) -> None:
    assert lines
    for line in lines:
        stamp = line["_aws"]["Timestamp"]
        assert isinstance(stamp, int)
        assert abs(stamp / 1000 - time.time()) < 600
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "TikTokImageProcessor"
        for dimensions in directive["Dimensions"]:
            assert all(isinstance(line[dimension], str) for dimension in dimensions)
        told = {metric["Name"] for metric in directive["Metrics"]}
        assert 0 < len(told) <= 100
        assert line.keys() == told | {"_aws"} | {name for names in directive["Dimensions"] for name in names}
        for name in told:
            value = line[name]
            assert all(isinstance(one, int | float) for one in (value if isinstance(value, list) else [value]))
            assert not isinstance(value, list) or len(value) <= 100


def test_only_declared_metrics_are_written_each_with_its_unit(lines: list[dict[str, Any]]) -> None:
    found = {
        metric["Name"]: metric["Unit"] for line in lines for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }
    assert found == DECLARED


def test_no_dimension_is_a_creator_or_a_batch(lines: list[dict[str, Any]]) -> None:
    told = {
        str(line[name])
        for line in lines
        for names in line["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
        for name in names
    }
    assert told == {"collage-worker"}


def test_the_counts_add_up_to_what_was_done(lines: list[dict[str, Any]]) -> None:
    found = values(lines)
    assert sum(found["ImagesProcessed"]) == 3
    assert sum(found["ErrorCount"]) == 3
    assert sum(found["CollagesWritten"]) == 2
    assert len(found["ProcessingDuration"]) == 3
    assert all(value >= 0 for value in found["ProcessingDuration"] + found["QueueDelay"] + found["DownloadLatency"])
    assert len(found["QueueDelay"]) == 1
    photos = sum(PICTURE_BYTES[photo] for photo in SMALL[:3])
    assert photos <= sum(found["BytesDownloaded"]) < photos + 10_000
    assert all(0 < value <= 100 for value in found["MemoryUtilization"])
