"""Alarms, dashboard and queries speak of what the worker really says."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

from tests.infra.terraform import ROOT, Rendered
from worker.aws.emf import METRICS, Metrics
from worker.errors import CreatorReason, ImageReason

NAMESPACE = "TikTokImageProcessor"
DIMENSIONS = {"Service": "collage-worker-staging-us-east-1"}
SCALING = {"wake", "rest", "spot-short", "spot-back"}
EVENTS = {"deployment-failed", "placement-failed"}
WHERE_ASKED_FOR = {"export-failed"}


def dashboard_metrics(service: Rendered) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Give namespace, name and dimensions of each line of each graph."""
    for widget in dashboard(service):
        for metric in widget["properties"].get("metrics", []):
            *names, _options = metric
            if names:
                yield names[0], names[1], dict(zip(names[2::2], names[3::2], strict=True))


def dashboard(service: Rendered) -> list[Any]:
    widgets: list[Any] = json.loads(service.one("aws_cloudwatch_dashboard.main")["dashboard_body"])["widgets"]
    return widgets


def alarm_metrics(service: Rendered) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Give namespace, name and dimensions of everything an alarm looks at."""
    for _, alarm in service.all("aws_cloudwatch_metric_alarm"):
        if alarm["metric_name"]:
            yield alarm["namespace"], alarm["metric_name"], alarm["dimensions"]
        for query in alarm["metric_query"]:
            for metric in query["metric"]:
                yield metric["namespace"], metric["metric_name"], metric["dimensions"]


def test_every_metric_of_ours_is_one_that_the_worker_emits(service: Rendered) -> None:
    seen = [*dashboard_metrics(service), *alarm_metrics(service)]
    ours = {name for namespace, name, _ in seen if namespace == NAMESPACE}
    assert ours <= set(METRICS), f"nobody emits {ours - set(METRICS)}"
    assert all(dimensions == DIMENSIONS for namespace, _, dimensions in seen if namespace == NAMESPACE)


def test_the_dashboard_shows_every_metric_that_the_worker_emits(service: Rendered) -> None:
    shown = {name for namespace, name, _ in dashboard_metrics(service) if namespace == NAMESPACE}
    assert shown == set(METRICS)


def test_the_dimensions_are_those_of_the_emitter(service: Rendered) -> None:
    containers = json.loads(service.one("aws_ecs_task_definition.worker")["container_definitions"])
    environment = {each["name"]: each["value"] for each in containers[0]["environment"]}
    out = io.StringIO()
    metrics = Metrics(environment["METRICS_NAMESPACE"], out, service=environment["SERVICE_NAME"])
    metrics.record("ImagesProcessed", 1)
    metrics.flush()
    line = json.loads(out.getvalue())
    assert {
        name: line[name] for each in line["_aws"]["CloudWatchMetrics"] for (name,) in each["Dimensions"]
    } == DIMENSIONS


def test_the_worker_is_told_the_namespace_that_is_looked_at(service: Rendered) -> None:
    containers = json.loads(service.one("aws_ecs_task_definition.worker")["container_definitions"])
    environment = {each["name"]: each["value"] for each in containers[0]["environment"]}
    assert environment["METRICS_NAMESPACE"] == NAMESPACE


def test_other_metrics_are_looked_up_where_aws_publishes_them(service: Rendered) -> None:
    dimensions_of = {
        "AWS/SQS": [{"QueueName"}],
        "ECS/ContainerInsights": [{"ClusterName", "ServiceName"}],
        "AWS/DynamoDB": [{"TableName"}, {"TableName", "GlobalSecondaryIndexName"}],
    }
    for namespace, name, dimensions in [*dashboard_metrics(service), *alarm_metrics(service)]:
        if namespace != NAMESPACE:
            assert set(dimensions) in dimensions_of[namespace], name


def test_the_dashboard_answers_what_it_is_there_for(service: Rendered) -> None:
    text = json.dumps(dashboard(service))
    for wanted in (
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
        "RunningTaskCount",
        "ImagesProcessed",
        "Failures by reason",
        "p99",
        "MemoryUtilization",
        "thousand collages",
    ):
        assert wanted in text


def test_widgets_do_not_lie_on_each_other(service: Rendered) -> None:
    taken: set[tuple[int, int]] = set()
    for widget in dashboard(service):
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def queries(service: Rendered) -> dict[str, str]:
    return {values["name"]: values["query_string"] for _, values in service.all("aws_cloudwatch_query_definition")}


def test_failures_are_counted_under_every_reason_there_is(service: Rendered) -> None:
    reasons = {str(reason) for reason in ImageReason} | {str(reason) for reason in CreatorReason}
    query = next(text for name, text in queries(service).items() if name.endswith("/failures-by-reason"))
    assert set(re.findall(r"sum\(errors\.(\w+)\)", query)) == reasons


def test_queries_ask_for_events_that_the_worker_logs(service: Rendered) -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "worker").rglob("*.py"))
    asked = {
        event
        for text in queries(service).values()
        for line in text.splitlines()
        if "event" in line
        for event in re.findall(r'"([a-z]+\.[a-z_]+)"', line)
    }
    assert len(asked) > 10
    assert {event for event in asked if f'"{event}"' not in code} == set()


def test_every_alarm_stands_in_the_runbook_and_the_other_way_round(service: Rendered) -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    headings = set(re.findall(r"^## ([a-z-]+)$", runbook, re.MULTILINE))
    names = {
        alarm["alarm_name"].removeprefix("collage-worker-staging-us-east-1-")
        for _, alarm in service.all("aws_cloudwatch_metric_alarm")
    }
    assert headings - EVENTS - WHERE_ASKED_FOR == names - SCALING
    rules = service.all("aws_cloudwatch_event_rule")
    assert {rule["name"].removeprefix("collage-worker-staging-us-east-1-") for _, rule in rules} == EVENTS
    for _, alarm in service.all("aws_cloudwatch_metric_alarm"):
        link = re.search(r"#([a-z-]+)$", alarm["alarm_description"])
        assert (link is None) == (alarm["alarm_name"].removeprefix("collage-worker-staging-us-east-1-") in SCALING)
        if link is not None:
            assert alarm["alarm_name"].endswith(link[1])


def test_the_runbook_names_only_settings_commands_and_queries_that_exist(service: Rendered) -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    saved = {name.rpartition("/")[2] for name in queries(service)}
    assert set(re.findall(r"query `([a-z-]+)`", runbook)) <= saved
