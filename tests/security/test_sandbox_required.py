"""Where the kernel refuses seccomp, nothing reads pictures, unless somebody allowed it; by the kernel, not by fakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.processes import ROOT

NO_SECCOMP = (sys.executable, "-m", "tests.security.no_seccomp", sys.executable, "-m", "worker")
QUEUE = {
    "SQS_QUEUE_URL": "http://127.0.0.1:9/queue/jobs",
    "SQS_DLQ_URL": "http://127.0.0.1:9/queue/dead",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "HEALTH_PORT": "0",
}


def run(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DECODE_PROCESSES": "1", **environment}
    return subprocess.run(
        [*NO_SECCOMP, *command], env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "covers.csv"
    path.write_text("creator_name,cover_url\nann,http://127.0.0.1:9/a.jpg\n")
    return path


def refused(ended: "subprocess.CompletedProcess[str]") -> None:
    assert ended.returncode == 2, ended.stderr
    for told in ("REQUIRE_SANDBOX", "seccomp", "Docker's default profile", "REQUIRE_SANDBOX=false"):
        assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_worker_does_not_start() -> None:
    refused(run("run", **QUEUE))


def test_process_does_not_begin(manifest: Path, tmp_path: Path) -> None:
    refused(run("process", str(manifest), "-o", str(tmp_path / "out")))


def test_process_goes_on_where_that_was_allowed(manifest: Path, tmp_path: Path) -> None:
    ended = run(
        "process", str(manifest), "-o", str(tmp_path / "out"),
        REQUIRE_SANDBOX="false", ALLOW_PRIVATE_ADDRESSES="true", DEFAULT_MAX_RETRIES="0",
    )  # fmt: skip
    assert ended.returncode != 2, ended.stderr
    assert list((tmp_path / "out").rglob("*.json")), ended.stderr


@pytest.mark.parametrize("required", ["true", "false"])
def test_health_says_so(required: str) -> None:
    told = json.loads(run("health", "--json", REQUIRE_SANDBOX=required, **QUEUE).stdout)
    check = told["checks"]["sandbox"]
    assert (check["ok"], check["required"]) == (False, required == "true")
    assert "seccomp" in check["detail"]
