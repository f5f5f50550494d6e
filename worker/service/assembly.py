"""The one way to put a worker's jobs together: the service, `collage process`, the simulation and the tests use it."""

import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from worker.aws.calls import Patience
from worker.aws.clients import Clients
from worker.aws.s3 import open_s3
from worker.aws.sqs import Queue
from worker.aws.state_table import open_table
from worker.aws.stores import S3Manifests, TempObjects, open_results
from worker.decode.pool import DecodePool
from worker.download.fetch import Fetcher
from worker.download.policy import FetchPolicy
from worker.images.collage import compose_with_preview
from worker.images.sniff import could_be_image
from worker.jobs.batch import BatchWork
from worker.jobs.chunk import ChunkWork
from worker.jobs.chunk_files import ChunkFiles
from worker.jobs.creator import CreatorWork, ImageRules
from worker.jobs.creator_loop import CreatorLoop
from worker.jobs.finish import Finisher
from worker.jobs.gate import CREATORS_PER_JOB, Gate, Memory, Thresholds
from worker.jobs.leasing import Leases
from worker.jobs.messages import JobDefaults
from worker.jobs.part_work import PartWork
from worker.jobs.planning import Planner
from worker.jobs.ports import Decodes, Fetches, Ports
from worker.jobs.summary import Tally
from worker.model import PART_CREATORS, CreatorRecord
from worker.service.share import Share
from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Shape:
    """What a worker is told besides its ports.

    `owner` names it in leases, each of `lease_seconds`. `creators_in_flight` is the most of all its jobs together. A
    batch of more than `chunk_creators` is split where the ports have a queue (0: it never is, but the chunks of others
    are done all the same); `chunks_at_a_time` are sent together.
    """

    owner: str
    lease_seconds: float
    rules: ImageRules
    thresholds: Thresholds
    creators_in_flight: int
    chunk_creators: int = 50
    chunks_at_a_time: int = 100
    part_creators: int = PART_CREATORS


@dataclass(frozen=True, slots=True)
class ImagePorts:
    """What turns URLs into pages."""

    fetcher: Fetches
    decoder: Decodes
    composer: Executor


def assembled(
    ports: Ports,
    shape: Shape,
    *,
    on_plan: Callable[[Tally], None] = lambda _tally: None,
    on_creator: Callable[[CreatorRecord], None] = lambda _record: None,
) -> BatchWork:
    """Put the jobs on their ports. `on_plan` is told of each batch that is planned, `on_creator` of each done."""
    files = None
    if ports.temp is not None and ports.queue is not None:
        files = ChunkFiles(ports.temp, ports.queue, creators=shape.chunk_creators)
    creators = CreatorWork(
        fetcher=ports.fetcher,
        decoder=ports.decoder,
        composer=ports.composer,
        compose=ports.compose,
        results=ports.results,
        ledger=ports.ledger,
        rules=shape.rules,
        record_metric=ports.record_metric,
        clock=ports.clock,
    )
    parts = PartWork(ports.results, ports.temp, ports.ledger, hash_algorithm=shape.rules.hash_algorithm)
    gate = Gate(shape.creators_in_flight, shape.thresholds, ports.read_memory)
    loop = CreatorLoop(creators, parts, gate, ports.ledger, on_creator=on_creator)
    leases = Leases(ports.ledger, owner=shape.owner, seconds=shape.lease_seconds, clock=ports.clock)
    planner = Planner(ports.manifests, part_creators=shape.part_creators)
    finisher = Finisher(
        manifests=ports.manifests,
        results=ports.results,
        ledger=ports.ledger,
        leases=leases,
        chunk_files=files,
        clock=ports.clock,
    )
    chunk_work = None
    if files is not None:
        chunk_work = ChunkWork(
            manifests=ports.manifests,
            ledger=ports.ledger,
            leases=leases,
            planner=planner,
            chunk_files=files,
            creator_loop=loop,
            finisher=finisher,
        )
    return BatchWork(
        manifests=ports.manifests,
        ledger=ports.ledger,
        leases=leases,
        planner=planner,
        creator_loop=loop,
        finisher=finisher,
        chunk_files=files,
        chunk_work=chunk_work,
        chunks_at_a_time=shape.chunks_at_a_time,
        on_plan=on_plan,
    )


def shape_of(settings: Settings, owner: str) -> Shape:
    """Return a worker's shape as the settings have it."""
    return Shape(
        owner=owner,
        lease_seconds=settings.visibility_timeout,
        rules=ImageRules(
            min_side=settings.min_image_size,
            keep_side=settings.max_image_size,
            max_pixels=settings.max_image_pixels,
            dedupe=settings.enable_deduplication,
            hash_algorithm=settings.content_hash_algorithm,
        ),
        thresholds=Thresholds(settings.memory_warning_threshold, settings.memory_critical_threshold),
        creators_in_flight=settings.max_concurrent_jobs * CREATORS_PER_JOB,
        chunk_creators=settings.chunk_creators if settings.batch_coordination_enabled else 0,
    )


def aws_ports(
    settings: Settings,
    clients: Clients,
    queue: Queue,
    images: ImagePorts,
    *,
    read_memory: Callable[[], Memory],
    record_metric: Callable[[str, float], None],
) -> Ports:
    """Return the ports of a worker on AWS."""
    s3 = open_s3(settings, clients, patience=Patience.within(settings.visibility_timeout))
    return Ports(
        manifests=S3Manifests(s3),
        results=open_results(settings, s3, debug=True),
        ledger=open_table(settings, clients),
        temp=TempObjects(s3, settings.temp_bucket),
        queue=queue,
        fetcher=images.fetcher,
        decoder=images.decoder,
        composer=images.composer,
        compose=compose_with_preview,
        read_memory=read_memory,
        record_metric=record_metric,
        clock=time.time,
    )


@asynccontextmanager
async def image_ports(
    settings: Settings, share: Share, *, record_metric: Callable[[str, float], None]
) -> AsyncIterator[ImagePorts]:
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
            yield ImagePorts(fetcher, decoder, composer)


def default_decoders(cores: int) -> int:
    """Two for each core where there are several, so that a core has work while the event loop feeds the others."""
    return 2 * cores if cores > 1 else 1


def job_defaults(settings: Settings) -> JobDefaults:
    """Return what fills in where a message is silent."""
    return JobDefaults(
        config=settings.default_config,
        output_prefix=settings.default_output_prefix,
        input_bucket=settings.input_bucket,
        input_buckets=settings.input_buckets,
    )
