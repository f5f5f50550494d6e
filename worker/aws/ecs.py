"""The ECS agent: protection of this task from scale-in while it is busy, and what the task may use of its machine.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate.html
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import aiohttp
import structlog

from worker.errors import JobReason, WorkerError

log = structlog.get_logger(__name__)

DEADLINE = 2.0
"""Seconds for a call; the agent is on the same machine."""

EXPIRES_MINUTES = 60
"""How long a protection lasts that nobody renews: what a worker that hangs can cost."""


class Protection(Enum):
    """What the agent said."""

    SET = "set"
    """It confirmed what was asked for: the protection is on, or it is lifted."""
    BLOCKED = "blocked"
    """A deployment is about to replace this task: it cannot be protected any more."""
    UNKNOWN = "unknown"
    """It did not answer, failed, was throttled, or told of another state: the protection may be on or off."""


class EcsAgent:
    """The agent at `ECS_AGENT_URI`."""

    def __init__(self, uri: str) -> None:
        self._url = f"{uri.rstrip('/')}/task-protection/v1/state"

    async def protect(self, *, enabled: bool) -> Protection:
        """Set or lift the protection. Never raises: without it a scale-in costs time, since work is handed back."""
        body = (
            {"ProtectionEnabled": True, "ExpiresInMinutes": EXPIRES_MINUTES}
            if enabled
            else {"ProtectionEnabled": False}
        )
        timeout = aiohttp.ClientTimeout(total=DEADLINE)
        try:
            # A session for each call: there is one in two minutes, and none is left open towards the credentials' host.
            # And with the machine's own way to find addresses: that of the downloads is for names of strangers.
            connector = aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver())
            async with (
                aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
                session.put(self._url, json=body) as response,
            ):
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.warning("protection.call_failed", enabled=enabled, error=f"{type(error).__name__}: {error}")
            return Protection.UNKNOWN
        return _meaning(answer, enabled=enabled)


def _meaning(answer: object, *, enabled: bool) -> Protection:
    """Read the agent's answer, which has one of `protection`, `failure` and `error`."""
    told = answer if isinstance(answer, dict) else {}
    protection = told.get("protection")
    if isinstance(protection, dict) and bool(protection.get("ProtectionEnabled")) is enabled:
        log.info("protection.changed", enabled=enabled)
        return Protection.SET
    failure = told.get("failure") or told.get("error") or {}
    code = str(failure.get("Reason") or failure.get("Code") or "") if isinstance(failure, dict) else str(failure)
    log.warning("protection.refused", enabled=enabled, reason=code)
    return Protection.BLOCKED if "DEPLOYMENT_BLOCKED" in code else Protection.UNKNOWN


METADATA_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between tries: while a task starts, its metadata may not be there yet."""


@dataclass(frozen=True, slots=True)
class TaskLimits:
    """What the task may use of its machine; None where the task definition says nothing."""

    cpus: float | None
    memory_bytes: int | None


async def task_limits(metadata_uri: str) -> TaskLimits:
    """Read the task's limits at `ECS_CONTAINER_METADATA_URI_V4`.

    Raises `WorkerError` where it does not answer within half a minute: the process ends, and ECS starts it anew.
    """
    failure = ""
    for pause in (0.0, *METADATA_PAUSES):
        await asyncio.sleep(pause)
        try:
            return _limits(await _task_metadata(f"{metadata_uri.rstrip('/')}/task"))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failure = f"{type(error).__name__}: {error}"
            log.warning("metadata.call_failed", error=failure)
    raise WorkerError(
        JobReason.AWS_UNAVAILABLE,
        f"the task's metadata at ECS_CONTAINER_METADATA_URI_V4 cannot be read: {failure}",
    )


async def _task_metadata(url: str) -> object:
    timeout = aiohttp.ClientTimeout(total=DEADLINE)
    async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session, session.get(url) as response:
        return await response.json(content_type=None)


def _limits(task: object) -> TaskLimits:
    """Read the answer: the task's own limits, in vCPUs and MiB."""
    if not isinstance(task, Mapping):
        raise ValueError("the answer is no task's metadata")  # noqa: TRY004 -- it cannot be read, like bad JSON
    told = task.get("Limits")
    limits = told if isinstance(told, Mapping) else {}
    memory = _positive(limits.get("Memory"))
    return TaskLimits(_positive(limits.get("CPU")), None if memory is None else int(memory * (1 << 20)))


def _positive(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None
