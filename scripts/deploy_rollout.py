"""Watches ECS bring a revision out, and tells a success from a roll-back that looks like one."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from deploy_terraform import DeployError

LOOK_EVERY = 10.0

OF_A_REVISION = {"taskDefinitionArn", "revision", "status", "registeredAt", "registeredBy", "deregisteredAt"}
"""What tells two revisions apart that are otherwise the same."""

FAILED_IN_A_ROW = 3
"""Tasks that end before they are well, after which a revision is given up where ECS does not do so itself."""


@dataclass(frozen=True)
class Service:
    """The ECS service, and the clients to look at it with."""

    ecs: Any
    scaling: Any
    cluster: str
    name: str

    def found(self) -> Any:
        """Return what ECS says of the service, or None where it is not there."""
        services = self.ecs.describe_services(cluster=self.cluster, services=[self.name])["services"]
        return next((each for each in services if each["status"] == "ACTIVE"), None)

    def task(self) -> dict[str, Any] | None:
        """Return what the service's tasks are made of now, without its revision; None before the first deployment."""
        try:
            service = self.found()
        except self.ecs.exceptions.ClusterNotFoundException:
            return None
        if service is None:
            return None
        found = self.ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
        return {name: value for name, value in found.items() if name not in OF_A_REVISION}

    @contextmanager
    def kept_awake(self) -> Iterator[None]:
        """Let at least one task run meanwhile: an idle service would be scaled in to nothing, which proves nothing."""
        self._suspend(scale_in=True)
        try:
            if self.found()["desiredCount"] < 1:
                self.ecs.update_service(cluster=self.cluster, service=self.name, desiredCount=1)
            yield
        finally:
            self._suspend(scale_in=False)

    def _suspend(self, *, scale_in: bool) -> None:
        self.scaling.register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId=f"service/{self.cluster}/{self.name}",
            ScalableDimension="ecs:service:DesiredCount",
            SuspendedState={
                "DynamicScalingInSuspended": scale_in,
                "DynamicScalingOutSuspended": False,
                "ScheduledScalingSuspended": False,
            },
        )


def steady(
    service: Service,
    task_definition: str,
    *,
    patience: float = 1800.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until every task runs this revision and is well; raises `DeployError` where it does not come to that.

    A service that was rolled back is steady, too: it is the revision that counts, not the steadiness.
    """
    end = clock() + patience
    while True:
        said = _state(service.found(), task_definition)
        if said == "steady":
            return
        if said.startswith("failed"):
            raise DeployError(f"ECS gave the new revision up ({said}); its events and stopped tasks say why")
        if clock() >= end:
            raise DeployError(f"after {patience / 60:.0f} minutes the new revision is still {said}")
        print(f"  {said}", flush=True)
        sleep(LOOK_EVERY)


def _state(service: Any, task_definition: str) -> str:
    if service is None:
        return "failed: there is no such service"
    deployments = service["deployments"]
    ours = next((each for each in deployments if each["taskDefinition"] == task_definition), None)
    if ours is None:
        return "failed: it was rolled back"
    if reason := _given_up(ours):
        return f"failed: {reason}"
    settled = len(deployments) == 1 and ours.get("rolloutState", "COMPLETED") == "COMPLETED"
    if settled and ours["runningCount"] == ours["desiredCount"] >= 1:
        return "steady"
    return f"coming: {ours['runningCount']} of {ours['desiredCount']} tasks run, {len(deployments) - 1} older revisions"


def _given_up(ours: Any) -> str:
    """Return why this deployment will come to nothing, or nothing where it may."""
    if ours.get("rolloutState") == "FAILED":
        return str(ours.get("rolloutStateReason", "no reason given"))
    if ours["status"] != "PRIMARY":
        return "another revision took its place"
    # The circuit breaker watches deployments under way. One to no task is over at once, and what starts later is ours.
    if ours.get("rolloutState") != "IN_PROGRESS" and ours.get("failedTasks", 0) >= FAILED_IN_A_ROW:
        return f"{ours['failedTasks']} tasks in a row did not come up"
    return ""
