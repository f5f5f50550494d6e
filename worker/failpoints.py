"""Failpoints: named places on the way of a message, at which tests end or freeze the process. For tests only.

`failpoint("batch.taken")` does nothing unless the setting FAILPOINTS arms that place, as in
`FAILPOINTS=batch.taken=kill@2`: when the process comes there for the second time, it sends itself SIGKILL. Commas
separate several.

======  =====================================================================================
kill    SIGKILL, as when the kernel or ECS ends the worker
stop    SIGSTOP, as when the machine is frozen; SIGCONT lets it go on
raise   an error that no code expects
trace   a log line for each pass, and the process goes on; `*=trace` traces every place
======  =====================================================================================

`docs/crash-matrix.md` lists every place, and what became of a batch whose worker was killed there.
"""

import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)

_ARMED = re.compile(r"(?P<name>[a-z_]+\.[a-z_]+|\*)=(?P<action>kill|stop|raise|trace)(?:@(?P<at>[1-9][0-9]{0,5}))?")

_reached: Callable[[str], None] | None = None


class FailpointReached(Exception):
    """What the action `raise` raises; no code of the worker knows it."""


@dataclass(frozen=True, slots=True)
class Armed:
    """What happens at a failpoint's `at`th pass."""

    name: str
    action: str
    at: int = 1


def failpoint(name: str) -> None:
    """Mark a place. Costs one comparison unless something is armed."""
    if _reached is not None:
        _reached(name)


def parse_failpoints(text: str) -> tuple[Armed, ...]:
    """Read the setting FAILPOINTS. Raises `ValueError` that says what is allowed."""
    found = [_ARMED.fullmatch(part.strip()) for part in text.split(",") if part.strip()]
    if None in found:
        raise ValueError(
            "be NAME=ACTION or NAME=ACTION@PASS, with ACTION one of kill, stop, raise, trace; for tests only"
        )
    return tuple(Armed(each["name"], each["action"], int(each["at"] or 1)) for each in found if each)


def arm(points: Iterable[Armed]) -> None:
    """Arm these failpoints and disarm all others; without any, all are disarmed."""
    global _reached  # noqa: PLW0603 -- the one switch of the whole process
    armed = {point.name: point for point in points}
    passes: Counter[str] = Counter()

    def reached(name: str) -> None:
        passes[name] += 1
        point = armed.get(name) or armed.get("*")
        if point is not None and (point.action == "trace" or passes[name] == point.at):
            _act(point.action, name, passes[name])

    _reached = reached if armed else None
    if armed:
        log.warning("failpoints.armed", points=[f"{p.name}={p.action}@{p.at}" for p in armed.values()])


def _act(action: str, name: str, times: int) -> None:
    log.warning("failpoint.reached", name=name, action=action, at=times)
    if action == "raise":
        raise FailpointReached(f"at {name}")
    if action != "trace":
        os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)
