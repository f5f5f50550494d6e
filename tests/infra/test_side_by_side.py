"""Two environments in one account: what goes wrong in one does not move a figure that the other's alarms look at."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infra.conftest import Applied
from tests.infra.emulator import client, eventually, worker_environment
from tests.infra.terraform import ROOT, Half, Rendered, rendered

ENVIRONMENTS = ("staging", "production")
BAD = b"this is a manifest without any of the columns\nand one more line\n"

Figure = tuple[str, str, tuple[tuple[str, str], ...]]


@pytest.fixture(scope="module")
def names(everything_applied: Applied) -> dict[str, dict[str, str]]:
    """Return what the data half made for each environment; the emulator speaks no TLS, so the policies go."""
    found = {}
    s3 = client("s3", everything_applied.shared_url)
    for name, half in everything_applied.environments.items():
        found[name] = json.loads(half.run("output", "-json", "for_service"))
        for key in ("input_bucket", "output_bucket", "temp_bucket"):
            s3.delete_bucket_policy(Bucket=found[name][key])
    return found


@pytest.fixture(scope="module")
def services(names: dict[str, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rendered]:
    """Return the service half of each environment, made of what its data half gave out."""
    found = {}
    for name in ENVIRONMENTS:
        half = Half("service", tmp_path_factory.mktemp(f"service-{name}"))
        half.init("-backend=false")
        given = {key: value and value.replace("http://", "https://") for key, value in names[name].items()}
        found[name] = rendered(half, name, {"image_tag": "0123abc", "data_half": given})
    return found


def looked_at(service: Rendered) -> set[Figure]:
    """Return every metric that an alarm of the environment looks at."""
    found = set()
    for _, alarm in service.all("aws_cloudwatch_metric_alarm"):
        metrics = [metric for query in alarm["metric_query"] for metric in query["metric"]] or [alarm]
        found |= {
            (each["namespace"], each["metric_name"], tuple(sorted(each["dimensions"].items()))) for each in metrics
        }
    return found


def test_no_alarm_of_one_looks_at_a_figure_of_the_other(services: dict[str, Rendered]) -> None:
    one, other = (looked_at(services[name]) for name in ENVIRONMENTS)
    assert len(one) > 15
    assert len(one) == len(other)
    assert one & other == set()


def test_nothing_that_is_made_has_one_name_in_both(services: dict[str, Rendered], names: dict[str, Any]) -> None:
    def of(name: str) -> set[str]:
        made = {
            str(value)
            for _, values in services[name].resources.items()
            for key, value in values.items()
            if key in {"name", "alarm_name", "dashboard_name", "family"} and value
        }
        own = {value for key, value in names[name].items() if value and key not in {"region", "key_arn"}}
        return {each for each in made | own if not each.startswith(("do-batches", "start-tasks", "ecs:"))}

    assert of("staging") & of("production") == set()


@pytest.fixture
def workers(
    everything_applied: Applied, names: dict[str, dict[str, str]], services: dict[str, Rendered], tmp_path: Path
) -> Iterator[dict[str, Path]]:
    """Run a worker of each environment with the environment variables of its task; gives what they write."""
    running, logs = [], {}
    for name in ENVIRONMENTS:
        task = services[name].one("aws_ecs_task_definition.worker")
        given = {each["name"]: each["value"] for each in json.loads(task["container_definitions"])[0]["environment"]}
        given |= {"SQS_QUEUE_URL": names[name]["queue_url"], "SQS_DLQ_URL": names[name]["dlq_url"]}
        here = {"HEALTH_PORT": "0", "WAIT_TIME_SECONDS": "1", "TMPDIR": str(tmp_path)}
        env = worker_environment(everything_applied.shared_url) | given | here
        logs[name] = tmp_path / f"{name}.log"
        with logs[name].open("wb") as log:
            command = [sys.executable, "-m", "worker", "run"]
            running.append(subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log))
    try:
        yield logs
    finally:
        for process in running:
            process.kill()
            process.wait(10)


def emitted(log: Path) -> set[Figure]:
    """Return the metrics that a worker wrote."""
    found = set()
    for line in log.read_text(errors="replace").splitlines():
        if '"_aws"' not in line:
            continue
        said = json.loads(line)
        for each in said["_aws"]["CloudWatchMetrics"]:
            dimensions = tuple(sorted((name, said[name]) for (name,) in each["Dimensions"]))
            found |= {(each["Namespace"], metric["Name"], dimensions) for metric in each["Metrics"]}
    return found


def waiting(sqs: Any, url: str) -> int:
    asked = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"]
    return sum(int(value) for value in found.values())


def test_a_bad_manifest_in_one_moves_nothing_of_the_other(
    everything_applied: Applied,
    names: dict[str, dict[str, str]],
    services: dict[str, Rendered],
    workers: dict[str, Path],
) -> None:
    s3, sqs = (client(name, everything_applied.shared_url) for name in ("s3", "sqs"))
    eventually(lambda: all(emitted(log) for log in workers.values()) or None)
    s3.put_object(Bucket=names["staging"]["input_bucket"], Key="csv-files/bad.csv", Body=BAD)
    eventually(lambda: waiting(sqs, names["staging"]["dlq_url"]) or None)

    assert waiting(sqs, names["production"]["dlq_url"]) == 0
    assert s3.list_objects_v2(Bucket=names["production"]["output_bucket"]).get("Contents", []) == []
    for name, other in (("staging", "production"), ("production", "staging")):
        told = emitted(workers[name])
        assert told & looked_at(services[name]), f"the alarms of {name} hear nothing of its worker"
        assert told & looked_at(services[other]) == set()
