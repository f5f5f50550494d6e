"""The worker as its users have it: a process, its environment, its signals and what it prints."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psutil

from tests.integration.waiting import until

ROOT = Path(__file__).resolve().parents[2]
NEVER = ("Unclosed", "never awaited", "never retrieved", "ResourceWarning", "Traceback (most recent")
"""What a sound worker never writes to stderr."""

KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "VIRTUAL_ENV")


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return a clean environment with `more` in it."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "PYTHONWARNINGS": "default", "PYTHONDONTWRITEBYTECODE": "1", **more}


def command(
    *arguments: str, env: Mapping[str, str], timeout: float = 60, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `typed` is what it reads."""
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        env=environment(env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        input=typed,
        timeout=timeout,
        check=False,
    )


class Worker:
    """`python -m worker run` while the body runs; what it writes is kept, and looked through at its end."""

    def __init__(self, env: Mapping[str, str], *, check: bool = True) -> None:
        self._check = check
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 -- closed in __exit__
        self._err = tempfile.TemporaryFile()  # noqa: SIM115 -- closed in __exit__
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker", "run"],
            env=environment(env),
            cwd=ROOT,
            stdout=self._out,
            stderr=self._err,
            stdin=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self.process.poll() is None:
                self.process.kill() if kind else self.stop()
            self.process.wait(10)
            if kind is None and self._check:
                assert not [line for line in self.stderr.splitlines() if any(word in line for word in NEVER)]
        finally:
            self.process.kill()
            self.process.wait(10)
            if kind:
                sys.stderr.write(self.stderr[-6_000:])
            self._out.close()
            self._err.close()

    @property
    def stdout(self) -> str:
        """Everything that it has written to stdout so far."""
        return _all_of(self._out.fileno())

    @property
    def stderr(self) -> str:
        """Everything that it has written to stderr so far."""
        return _all_of(self._err.fileno())

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def logged(self, event: str, **values: object) -> list[dict[str, Any]]:
        """Return the log lines of an event that carry these values."""
        lines = [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if line.get("event") == event and values.items() <= line.items()]

    def until_logged(self, event: str, *, times: int = 1, within: float = 30.0, **values: object) -> dict[str, Any]:
        """Wait for a log line; returns the first such."""

        def look() -> list[dict[str, Any]]:
            found = self.logged(event, **values)
            assert self.is_running or len(found) >= times, f"the worker ended: {self.stderr[-3_000:]}"
            return found if len(found) >= times else []

        return until(look, f"{event} {values} in the log", within=within)[0]

    def ready(self) -> Self:
        """Wait until it receives messages."""
        self.until_logged("worker.started")
        return self

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def exit_code(self, *, within: float = 30.0) -> int:
        """Wait for its end."""
        return self.process.wait(within)

    def stop(self, *, within: float = 30.0) -> int:
        """Ask it to end, as ECS does, and return its exit code."""
        self.signal()
        return self.exit_code(within=within)

    def kill(self) -> None:
        """End it at once, as ECS does in the end; its decoders end by themselves."""
        children = self.children()
        self.signal(signal.SIGKILL)
        self.process.wait(10)
        until(lambda: not any(_lives(child) for child in children), "the decoders' end")

    def children(self) -> list[psutil.Process]:
        """Return its decoder processes."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def resident_bytes(self) -> int:
        """Return what it and its decoders hold in memory."""
        own = psutil.Process(self.process.pid)
        return sum(process.memory_info().rss for process in (own, *own.children(recursive=True)))

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of stdout, each of which has to be JSON."""
        return [json.loads(line) for line in self.stdout.splitlines()]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _all_of(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode(errors="replace")
