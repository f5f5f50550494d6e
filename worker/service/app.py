"""The long-running process: opened from the settings, run until it is told to stop."""

import asyncio
import os
import signal
import socket
import sys
import uuid
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

import structlog

from worker import __version__
from worker.aws.calls import Patience
from worker.aws.clients import Clients, open_clients
from worker.aws.ecs import EcsAgent
from worker.aws.emf import Metrics
from worker.aws.s3 import open_s3
from worker.aws.sqs import MAX_RECEIVES, Queue, RedrivePolicy, redrive_policy_of
from worker.aws.state_table import StateTable, open_table
from worker.aws.stores import TempObjects
from worker.errors import Dependency, JobError, SettingsError, Unavailable
from worker.failpoints import arm, parse_failpoints
from worker.sandbox import hide_memory
from worker.service.assembly import assembled, aws_ports, image_ports, job_defaults, shape_of
from worker.service.breaker import Breakers, probe_disk
from worker.service.health import health_endpoint
from worker.service.memory import MemoryGauge, spare_the_collector
from worker.service.protection import ScaleIn
from worker.service.receive import Receiver, ReceiverTimes
from worker.service.share import own_share
from worker.settings import Settings
from worker.tasks import first_failure

log = structlog.get_logger(__name__)

SAMPLE_EVERY = 10.0
"""Seconds between samples of memory, and between lines of metrics."""

DEAF_AFTER = 60.0
"""Seconds beyond a poll's own wait after which a worker counts as deaf whose poll has not ended, answered or not."""


async def serve(settings: Settings) -> None:
    """Run the worker until SIGTERM or SIGINT. Raises what makes going on pointless: the container starts anew."""
    hide_memory()
    arm(parse_failpoints(settings.failpoints))
    stop, hurry = asyncio.Event(), asyncio.Event()
    with signals_set(stop, hurry):
        async with AsyncExitStack() as stack:
            receiver, metrics, gauge, scale_in, table = await _put_together(settings, stack)
            await stack.enter_async_context(
                health_endpoint(settings.health_port, lambda: liveness(settings, receiver, stop))
            )
            spare_the_collector()
            # If a side task dies, the group ends the loop with its error: a worker half alive is worse than none.
            try:
                async with asyncio.TaskGroup() as group:
                    side = [
                        group.create_task(_sample(metrics, gauge, receiver, table)),
                        group.create_task(scale_in.keep()),
                    ]
                    log.info("worker.started", version=__version__, settings=settings.effective())
                    await receiver.run(stop, hurry)
                    for task in side:
                        task.cancel()
            except BaseExceptionGroup as failures:
                log.critical("worker.died", exc_info=first_failure(failures))
                raise SystemExit(1) from None
            await scale_in.end()
    log.info("worker.stopped")


async def _put_together(
    settings: Settings, stack: AsyncExitStack
) -> tuple[Receiver, Metrics, MemoryGauge, ScaleIn, StateTable]:
    clients = await stack.enter_async_context(
        open_clients(region=settings.aws_region, endpoint_url=settings.aws_endpoint_url)
    )
    metrics = Metrics(settings.metrics_namespace, sys.stdout, service=settings.service_name)
    stack.callback(metrics.flush)
    share = await own_share(settings.ecs_container_metadata_uri_v4)
    gauge = share.gauge
    images = await stack.enter_async_context(image_ports(settings, share, record_metric=metrics.record))
    queue = await _queue(settings, clients)
    ports = aws_ports(settings, clients, queue, images, read_memory=gauge.read, record_metric=metrics.record)
    owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    table = open_table(settings, clients)
    breakers = Breakers(
        {
            Dependency.S3: partial(open_s3(settings, clients).probe, settings.own_buckets),
            Dependency.SQS: queue.probe,
            Dependency.DYNAMODB: table.probe,
            Dependency.DISK: probe_disk,
        },
        record_metric=metrics.record,
    )
    scale_in = ScaleIn(EcsAgent(settings.ecs_agent_uri) if settings.ecs_agent_uri else None)
    receiver = Receiver(
        queue,
        assembled(ports, shape_of(settings, owner)),
        job_defaults(settings),
        metrics,
        slots=settings.max_concurrent_jobs,
        times=ReceiverTimes(settings.wait_time_seconds, settings.visibility_timeout, settings.stop_grace_seconds),
        scale_in=scale_in,
        breakers=breakers,
    )
    return receiver, metrics, gauge, scale_in, table


async def _queue(settings: Settings, clients: Clients) -> Queue:
    if settings.sqs_queue_url is None:
        raise SettingsError("SQS_QUEUE_URL: it is not set, and this command needs it")
    try:
        policy = await redrive_policy_of(clients.sqs, settings.sqs_queue_url)
    except Unavailable as error:
        if settings.sqs_dlq_url is None:
            raise
        log.warning("queue.policy_unknown", error=str(error), assumed_receives=MAX_RECEIVES)
        policy = RedrivePolicy(max_receives=MAX_RECEIVES)
    dead_letters = settings.sqs_dlq_url or policy.dead_letter_url
    if dead_letters is None:
        raise SettingsError(
            "SQS_DLQ_URL: it is not set, and the queue has no redrive policy that names a dead-letter queue; "
            "set one of them, so that what fails can be explained"
        )
    patience = Patience.within(settings.visibility_timeout)
    return Queue(
        clients.sqs,
        settings.sqs_queue_url,
        dead_letters,
        patience=patience,
        max_receives=policy.max_receives,
        keep_large=TempObjects(open_s3(settings, clients), settings.temp_bucket).keep_large,
    )


def liveness(settings: Settings, receiver: Receiver, stop: asyncio.Event) -> tuple[bool, dict[str, Any]]:
    """Say whether the process is alive and working, and what else the health endpoint tells."""
    well = stop.is_set() or receiver.silent_for < settings.wait_time_seconds + DEAF_AFTER
    return well, {
        "status": "stopping" if stop.is_set() else "deaf" if not well else "waiting" if receiver.waits_for else "ok",
        "waits_for": receiver.waits_for,
        "in_flight": receiver.in_flight,
        "seconds_since_poll": round(receiver.silent_for, 1),
        "version": __version__,
    }


async def _sample(metrics: Metrics, gauge: MemoryGauge, receiver: Receiver, table: StateTable) -> None:
    noted = False
    while True:
        if (waits_for := receiver.waits_for) or noted:
            with suppress(JobError):  # the log and the metric say it as well
                await table.note_waits(waits_for)
                noted = bool(waits_for)
        metrics.record("MemoryUtilization", gauge.read().percent)
        metrics.record("DependencyDown", len(receiver.waits_for))
        metrics.flush()
        await asyncio.sleep(SAMPLE_EVERY)


class signals_set:  # noqa: N801 -- reads as a statement: with signals_set(stop, hurry)
    """Set `stop` at the first SIGTERM or SIGINT and `hurry` at the second."""

    def __init__(self, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        self._stop = stop
        self._hurry = hurry
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._received, number)

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.remove_signal_handler(number)

    def _received(self, number: signal.Signals) -> None:
        log.info("signal.received", name=signal.Signals(number).name)
        (self._hurry if self._stop.is_set() else self._stop).set()
