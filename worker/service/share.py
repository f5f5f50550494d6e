"""The worker's share of its machine: how many cores it feeds, and how much memory it may fill.

On Fargate a container may see two cores and have a quarter of one, and may see no limit of memory: there the metadata
of the task tells. Where nothing tells, the worker does not guess.
"""

import math
import os
from dataclasses import dataclass

import structlog

from worker.aws.ecs import TaskLimits, task_limits
from worker.errors import SettingsError
from worker.service.cgroups import Cgroups
from worker.service.memory import MemoryGauge

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Share:
    """`cores` to count on, at least one; `gauge` reads memory as percent of what the worker may use."""

    cores: int
    gauge: MemoryGauge


async def own_share(metadata_uri: str | None, cgroups: Cgroups | None = None) -> Share:
    """Find out what this process may use. `metadata_uri` is `ECS_CONTAINER_METADATA_URI_V4`, None outside of ECS.

    Raises `SettingsError` for an ECS task without any limit of memory, and `WorkerError` where ECS does not answer.
    """
    cgroups = cgroups or Cgroups()
    task = await task_limits(metadata_uri) if metadata_uri is not None else TaskLimits(None, None)
    gauge = MemoryGauge(cgroups, task.memory_bytes)
    if metadata_uri is not None and gauge.limit_bytes is None:
        raise SettingsError(
            "memory: neither the container's cgroup nor the task's metadata has a limit, and the machine's memory is "
            "not the task's; give the container definition (or the task) a `memory`"
        )
    cores = usable_cores(len(os.sched_getaffinity(0)), cgroups.cpus(), task.cpus)
    log.info("share.found", cores=cores, memory_bytes=gauge.limit_bytes)
    return Share(cores, gauge)


def usable_cores(visible: int, *shares: float | None) -> int:
    """Return the cores to count on: those that are visible, or the smallest share (in CPUs), rounded up."""
    return max(1, min([visible, *(math.ceil(share) for share in shares if share is not None)]))
