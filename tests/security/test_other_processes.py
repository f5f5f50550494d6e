"""Other processes of the worker's user cannot look into the worker, which holds credentials."""

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.processes import ROOT
from tests.unit.rights import MAY_TRACE

SECRET = "wJalrXUtnFEMI+thatnobodymaysee"
# As a container's processes run: who may trace may look into everything.
CONTAINED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if MAY_TRACE else ()


@contextmanager
def started(*command: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "AWS_SECRET_ACCESS_KEY": SECRET, **environment}
    quiet = subprocess.DEVNULL
    with subprocess.Popen([*CONTAINED, *command], env=env, cwd=ROOT, stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            process.kill()


def environment_of(pid: int) -> str:
    """Return what another process of the same user reads; empty where it may not."""
    reader = [*CONTAINED, "cat", f"/proc/{pid}/environ"]
    return subprocess.run(reader, capture_output=True, text=True, timeout=10, check=False).stdout


@pytest.fixture
def silent_aws() -> Iterator[socket.socket]:
    """An endpoint that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def test_the_workers_environment_can_be_read_by_no_other_process(silent_aws: socket.socket) -> None:
    endpoint = f"http://127.0.0.1:{silent_aws.getsockname()[1]}"
    queue = {"SQS_QUEUE_URL": f"{endpoint}/1/jobs", "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "testing"}
    with started(sys.executable, "-m", "worker", "run", HEALTH_PORT="0", **queue) as worker:
        connection, _ = silent_aws.accept()  # it asks for its queue
        with connection:
            assert environment_of(worker.pid) == ""


def test_the_test_sees_what_can_be_seen(silent_aws: socket.socket) -> None:
    """The same way into a process that hides nothing."""
    port = silent_aws.getsockname()[1]
    idle = f"import socket; socket.create_connection(('127.0.0.1', {port})).recv(1)"
    with started(sys.executable, "-c", idle) as process:
        connection, _ = silent_aws.accept()
        with connection:
            assert SECRET in environment_of(process.pid)


def test_a_program_that_the_worker_starts_can_be_looked_into() -> None:
    """Otherwise nobody could debug a child, and decoders ask for as much themselves."""
    ask = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # PR_GET_DUMPABLE
    hidden = (
        "import subprocess, sys; from worker.sandbox import hide_memory; hide_memory(); "
        f"subprocess.run([sys.executable, '-c', {ask!r}], check=True); {ask}"
    )
    ended = subprocess.run(
        [sys.executable, "-c", hidden], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert sorted(ended.stdout.split()) == ["0", "1"]
    assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 1, "the tests themselves are as they were"


def test_the_workers_own_files_stay_open_to_itself() -> None:
    """Its cgroup, and its own descriptors, are read from /proc while it works."""
    code = (
        "from pathlib import Path; from worker.sandbox import hide_memory; hide_memory(); "
        "import psutil; psutil.Process().memory_info(); "
        "print(Path('/proc/self/cgroup').read_text() != '', len(list(Path('/proc/self/fd').iterdir())) > 2)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stdout.split() == ["True", "True"]
