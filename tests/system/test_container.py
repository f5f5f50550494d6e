"""The container itself: who it runs as, what it may write, what it says."""

import json
import re

from tests.system.compose import ROOT, Compose, docker
from tests.system.environment import Environment
from tests.system.manifests import manifest
from tests.system.waiting import wait_for

METRICS = {
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


def test_it_runs_as_user_10001_with_a_read_only_root(compose: Compose) -> None:
    worker = compose.worker()

    assert worker.exec("id", "-u").stdout.strip() == "10001"
    assert worker.state()["HostConfig"]["ReadonlyRootfs"]
    assert worker.exec("touch", "/app/anything", check=False).returncode != 0
    assert worker.exec("touch", "/tmp/anything").returncode == 0


def test_the_image_says_how_it_is_to_be_run(compose: Compose) -> None:
    config = json.loads(docker("image", "inspect", compose.worker().state()["Image"]).stdout)[0]["Config"]

    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["python", "-m", "worker"], ["run"])
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    labels = {label.removeprefix("org.opencontainers.image.") for label in config["Labels"]}
    assert labels >= {"title", "version", "revision", "licenses"}


def test_the_image_has_the_fast_pillow_and_no_installer_or_compiler(compose: Compose) -> None:
    worker = compose.worker()
    look = "import PIL, platform; print(platform.machine(), PIL.__version__)"
    machine, version = worker.exec("python", "-c", look).stdout.split()

    assert (machine == "x86_64") == ("post" in version), "Pillow-SIMD on x86-64, Pillow elsewhere"
    for command in (("python", "-m", "pip"), ("python", "-c", "import setuptools"), ("pip", "--version"), ("cc",)):
        assert worker.exec(*command, check=False).returncode != 0, command


def test_the_image_carries_a_bill_of_materials_of_all_that_is_in_it(compose: Compose) -> None:
    worker = compose.worker()
    document = json.loads(worker.exec("cat", "/usr/share/doc/collage-worker/sbom.cdx.json").stdout)
    listed = {(part["purl"].partition("/")[0], part["name"], part["version"]) for part in document["components"]}

    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    debian = worker.exec("dpkg-query", "--show", "--showformat", "${Package} ${Version}\n").stdout.splitlines()
    assert {("pkg:deb", *line.split()) for line in debian} == {part for part in listed if part[0] == "pkg:deb"}
    look = "from importlib.metadata import distributions as d; [print(x.metadata['Name'], x.version) for x in d()]"
    told = [line.split() for line in worker.exec("python", "-c", look).stdout.splitlines()]
    python = [(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in told]
    assert {("pkg:pypi", *each) for each in python} == {part for part in listed if part[0] == "pkg:pypi"}
    again = ("run", "--rm", "--network", "none", "--entrypoint", "python", "--volume",
             f"{ROOT}/scripts/make_sbom.py:/sbom.py:ro", worker.state()["Image"], "/sbom.py")  # fmt: skip
    assert json.loads(docker(*again).stdout) == document, "made anew, it is the same"


def test_its_health_check_tells_the_running_worker_from_one_that_does_not_answer(compose: Compose) -> None:
    worker = compose.worker()
    assert worker.state()["State"]["Health"]["Status"] == "healthy"

    probe = ("python", "-IS", "/app/docker/healthcheck.py")
    assert json.loads(worker.exec(*probe).stdout)["status"] == "ok"
    silent = docker("exec", "--env", "HEALTH_PORT=9", worker.id, *probe, check=False)
    assert silent.returncode == 1
    assert "no answer on port 9" in silent.stderr


def test_its_metrics_are_valid_emf_lines_on_stdout(compose: Compose, environment: Environment, name: str) -> None:
    rows = [(name, f"{environment.origin}/photos/koala.jpg"), (name, f"{environment.origin}/status/404")]
    environment.upload(f"csv-files/{name}.csv", manifest(rows))
    environment.summary(name)
    worker = compose.worker()
    wait_for(lambda: any("CollagesWritten" in line for line in worker.stdout()), "metrics")

    for line in map(json.loads, worker.stdout()):
        assert line["_aws"]["Timestamp"] > 1_600_000_000_000, "milliseconds"
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "TikTokImageProcessor"
        assert all(dimension in line for dimensions in directive["Dimensions"] for dimension in dimensions)
        for metric in directive["Metrics"]:
            assert METRICS[metric["Name"]] == metric["Unit"]
            values = line[metric["Name"]] if isinstance(line[metric["Name"]], list) else [line[metric["Name"]]]
            assert 1 <= len(values) <= 100
            assert all(isinstance(value, int | float) for value in values)
        # A creator or a batch as a dimension would make, and bill, a metric for each.
        assert name not in json.dumps(line)


def test_a_run_without_trouble_logs_json_lines_without_a_warning(
    compose: Compose, environment: Environment, name: str
) -> None:
    before = len(compose.worker().log())
    environment.upload(f"csv-files/{name}.csv", manifest([(name, f"{environment.origin}/photos/koala.jpg")]))
    batch_id = environment.summary(name)["batch_id"]
    deleted = wait_for(
        lambda: [x for x in compose.worker().log()[before:] if x["event"] == "message.deleted"], "its end"
    )

    lines = compose.worker().log()[before:]
    assert {line["level"] for line in lines} == {"info"}
    assert all(line["timestamp"].endswith("Z") for line in lines)
    finished = next(line for line in lines if line["event"] == "creator.finished")
    assert (finished["creator"], finished["batch_id"]) == (name, batch_id)
    assert finished["message_id"] == deleted[0]["message_id"]
