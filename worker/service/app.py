"""The composition root: puts the worker together from the settings, and runs it."""

import asyncio
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import structlog

from worker import __version__
from worker.aws.calls import Patience
from worker.aws.clients import open_clients
from worker.aws.ecs import EcsAgent
from worker.aws.emf import Metrics
from worker.aws.s3 import S3
from worker.aws.sqs import Queue, dead_letter_url_of
from worker.aws.state_table import open_table
from worker.aws.stores import S3Manifests, S3Results, TempObjects
from worker.decode.pool import DecodePool
from worker.download.fetch import Fetcher
from worker.download.policy import FetchPolicy
from worker.errors import Dependency, SettingsError
from worker.failpoints import arm, parse_failpoints
from worker.images.sniff import could_be_image
from worker.jobs.batch import BatchWork
from worker.jobs.chunk import ChunkWork
from worker.jobs.chunk_files import ChunkFiles
from worker.jobs.creator import CreatorWork, ImageRules
from worker.jobs.creator_loop import CreatorLoop
from worker.jobs.dispatch import JobWork
from worker.jobs.finish import Finisher
from worker.jobs.gate import CREATORS_PER_JOB, Gate, Thresholds
from worker.jobs.messages import JobDefaults
from worker.jobs.ports import Ledger, Results
from worker.sandbox import hide_memory
from worker.service.breaker import Breakers, probe_disk
from worker.service.health import health_endpoint
from worker.service.memory import MemoryGauge, spare_the_collector
from worker.service.protection import ScaleIn
from worker.service.receive import Receiver
from worker.service.share import Share, own_share
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
            receiver, metrics, gauge, scale_in = await _put_together(settings, stack)
            await stack.enter_async_context(
                health_endpoint(settings.health_port, lambda: _liveness(settings, receiver, stop))
            )
            spare_the_collector()
            # If a side task dies, the group ends the loop with its error: a worker half alive is worse than none.
            try:
                async with asyncio.TaskGroup() as group:
                    side = [group.create_task(_sample(metrics, gauge, receiver)), group.create_task(scale_in.keep())]
                    log.info("worker.started", version=__version__, settings=settings.effective())
                    await receiver.run(stop, hurry)
                    for task in side:
                        task.cancel()
            except BaseExceptionGroup as failures:
                log.critical("worker.died", exc_info=first_failure(failures))
                raise SystemExit(1) from None
            await scale_in.end()
    log.info("worker.stopped")


async def _put_together(settings: Settings, stack: AsyncExitStack) -> tuple[Receiver, Metrics, MemoryGauge, ScaleIn]:
    clients = await stack.enter_async_context(
        open_clients(region=settings.aws_region, endpoint_url=settings.aws_endpoint_url)
    )
    queue = await _queue(settings, clients.sqs)
    metrics = Metrics(settings.metrics_namespace, sys.stdout, service=settings.service_name)
    stack.callback(metrics.flush)
    share = await own_share(settings.ecs_container_metadata_uri_v4)
    gauge = share.gauge
    s3 = S3(clients.s3, settings=settings.own_buckets, patience=Patience.within(settings.visibility_timeout))
    results = S3Results(
        s3,
        bucket=settings.output_bucket,
        temp_bucket=settings.temp_bucket,
        only_new=settings.collision_check_enabled,
        debug=settings.debug_capture,
    )
    ledger = open_table(settings, clients)
    creators = await stack.enter_async_context(
        creator_work(settings, share, results=results, ledger=ledger, record_metric=metrics.record)
    )
    manifests = S3Manifests(s3)
    chunks = ChunkFiles(TempObjects(s3, settings.temp_bucket), queue, creators=settings.chunk_creators)
    hands = CreatorLoop(creators, gate(settings, gauge))
    whose: Any = {
        "owner": f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
        "lease_seconds": settings.visibility_timeout,
    }
    finisher = Finisher(manifests=manifests, results=results, ledger=ledger, chunks=chunks, **whose)
    batches = BatchWork(
        manifests=manifests,
        ledger=ledger,
        hands=hands,
        finisher=finisher,
        chunks=chunks,
        split=settings.batch_coordination_enabled,
        **whose,
    )
    jobs = JobWork(batches, ChunkWork(ledger=ledger, chunks=chunks, hands=hands, finisher=finisher, **whose))
    breakers = Breakers(
        {
            Dependency.S3: partial(s3.probe, settings.own_buckets),
            Dependency.SQS: queue.probe,
            Dependency.DYNAMODB: ledger.probe,
            Dependency.DISK: probe_disk,
        },
        record_metric=metrics.record,
    )
    scale_in = ScaleIn(EcsAgent(settings.ecs_agent_uri) if settings.ecs_agent_uri else None)
    receiver = Receiver(
        queue,
        jobs,
        job_defaults(settings),
        metrics,
        slots=settings.max_concurrent_jobs,
        wait=settings.wait_time_seconds,
        visibility=settings.visibility_timeout,
        grace=settings.stop_grace_seconds,
        scale_in=scale_in,
        breakers=breakers,
    )
    return receiver, metrics, gauge, scale_in


async def _queue(settings: Settings, client: Any) -> Queue:
    if settings.sqs_queue_url is None:
        raise SettingsError("SQS_QUEUE_URL: it is not set, and this command needs it")
    dead_letters = settings.sqs_dlq_url or await dead_letter_url_of(client, settings.sqs_queue_url)
    if dead_letters is None:
        raise SettingsError(
            "SQS_DLQ_URL: it is not set, and the queue has no redrive policy that names a dead-letter queue; "
            "set one of them, so that what fails can be explained"
        )
    patience = Patience.within(settings.visibility_timeout)
    return Queue(client, settings.sqs_queue_url, dead_letters, patience=patience)


@asynccontextmanager
async def creator_work(
    settings: Settings, share: Share, *, results: Results, ledger: Ledger, record_metric: Callable[[str, float], None]
) -> AsyncIterator[CreatorWork]:
    """Open what collages are made with: the download session, the decode pool and the composer's threads."""
    decoders = settings.decode_processes or default_decoders(share.cores)
    policy = FetchPolicy(
        max_bytes=settings.max_image_bytes,
        user_agent=settings.user_agent,
        referer=settings.referer,
        allow_private=settings.allow_private_addresses,
        backoff_factor=settings.retry_backoff_factor,
        max_delay=settings.retry_max_delay,
        connections=settings.max_concurrent_downloads,
        connections_per_host=settings.max_connections_per_host,
        allowed_hosts=settings.allowed_image_hosts,
        allowed_ports=frozenset(settings.allowed_ports),
    )
    rules = ImageRules(
        min_side=settings.min_image_size,
        keep_side=settings.max_image_size,
        max_pixels=settings.max_image_pixels,
        dedupe=settings.enable_deduplication,
        hash_algorithm=settings.content_hash_algorithm,
    )
    with ThreadPoolExecutor(max_workers=share.cores, thread_name_prefix="compose") as composer:
        async with (
            Fetcher(policy, could_be_image=could_be_image) as fetcher,
            DecodePool(
                decoders,
                largest=settings.max_image_bytes,
                require_sandbox=settings.require_sandbox,
                record_metric=record_metric,
            ) as decoder,
        ):
            yield CreatorWork(
                fetcher=fetcher,
                decoder=decoder,
                composer=composer,
                results=results,
                ledger=ledger,
                rules=rules,
                record_metric=record_metric,
            )


def default_decoders(cores: int) -> int:
    """Two for each core where there are several, so that a core has work while the event loop feeds the others."""
    return 2 * cores if cores > 1 else 1


def gate(settings: Settings, gauge: MemoryGauge) -> Gate:
    """Return the worker's gate."""
    thresholds = Thresholds(settings.memory_warning_threshold, settings.memory_critical_threshold)
    return Gate(settings.max_concurrent_jobs * CREATORS_PER_JOB, thresholds, gauge.read)


def job_defaults(settings: Settings) -> JobDefaults:
    """Return what fills in where a message is silent."""
    return JobDefaults(
        config=settings.default_config,
        output_prefix=settings.default_output_prefix,
        input_bucket=settings.input_bucket,
        input_buckets=settings.input_buckets,
    )


def _liveness(settings: Settings, receiver: Receiver, stop: asyncio.Event) -> tuple[bool, dict[str, Any]]:
    well = stop.is_set() or receiver.silent_for < settings.wait_time_seconds + DEAF_AFTER
    return well, {
        "status": "stopping" if stop.is_set() else "deaf" if not well else "waiting" if receiver.waits_for else "ok",
        "waits_for": receiver.waits_for,
        "in_flight": receiver.in_flight,
        "seconds_since_poll": round(receiver.silent_for, 1),
        "version": __version__,
    }


async def _sample(metrics: Metrics, gauge: MemoryGauge, receiver: Receiver) -> None:
    while True:
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
