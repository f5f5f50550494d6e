"""The containers, by way of the `docker` command alone."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROJECT = "collage-system"
FILES = ("docker-compose.yml", "tests/system/compose.yml")

Finished = subprocess.CompletedProcess[str]


def docker(*arguments: str, env: Mapping[str, str] | None = None, check: bool = True) -> Finished:
    """Run a docker command; where it fails, show what it said."""
    done = subprocess.run(
        ("docker", *arguments),
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(
            f"docker {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
    return done


class Compose:
    """One compose project. `env` fills in the variables of the compose files."""

    def run(self, *arguments: str, env: Mapping[str, str] | None = None, check: bool = True) -> Finished:
        """Run a compose command on the project."""
        files = [word for file in FILES for word in ("--file", file)]
        return docker("compose", "--project-name", PROJECT, *files, *arguments, env=env, check=check)

    def up(self, *, workers: int = 1, **env: str) -> None:
        """Bring up everything and wait until it is healthy; containers whose settings changed are made anew."""
        self.run("up", "--detach", "--wait", "--scale", f"worker={workers}", env=env)

    def down(self) -> None:
        """Remove everything, and what it held."""
        self.run("--profile", "demo", "down", "--volumes", "--remove-orphans")

    def address(self, service: str, port: int) -> str:
        """Return the URL under which the host reaches a service's port."""
        return "http://" + self.run("port", service, str(port)).stdout.strip()

    def worker_command(self, *arguments: str, env: Mapping[str, str] | None = None, check: bool = True) -> Finished:
        """Run a command of the worker in a container of its own, as `docker compose run --rm worker …`."""
        variables = [word for name, value in (env or {}).items() for word in ("--env", f"{name}={value}")]
        return self.run("run", "--rm", "-T", *variables, "worker", *arguments, check=check)

    def workers(self) -> list["Container"]:
        """Return the workers' containers, running or not, by number."""
        ids = self.run("ps", "--all", "--quiet", "worker").stdout.split()
        return sorted((Container(found) for found in ids), key=lambda container: container.state()["Name"])

    def worker(self) -> "Container":
        """Return the only worker's container."""
        (container,) = self.workers()
        return container


class Container:
    """One container."""

    def __init__(self, container_id: str) -> None:
        self.id = container_id

    def state(self) -> dict[str, Any]:
        """Return all that docker tells of the container."""
        return json.loads(docker("inspect", self.id).stdout)[0]

    def exec(self, *command: str, check: bool = True) -> Finished:
        """Run a command inside."""
        return docker("exec", self.id, *command, check=check)

    def stdout(self) -> list[str]:
        """Return the lines written to stdout: the metrics."""
        return docker("logs", self.id).stdout.splitlines()

    def log(self) -> list[dict[str, Any]]:
        """Return the lines written to stderr: the log, one JSON object each."""
        return [json.loads(line) for line in docker("logs", self.id).stderr.splitlines()]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log's lines of one event."""
        return [line for line in self.log() if line["event"] == event]
