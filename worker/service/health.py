"""Is the worker well? `/healthz` for the container's health check, and the checks of the `health` command."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from worker.aws.clients import Clients, aws_call
from worker.errors import Dependency, WorkerError
from worker.settings import Settings

log = structlog.get_logger(__name__)

OUTSIDE = ("p16-sign-va.tiktokcdn.com", 443)
"""A host that covers come from: what has to be reachable from a worker in AWS."""

CHECK_DEADLINE = 5.0
"""Seconds for one check."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. One that is not `required` is told but does not make the whole unwell."""

    name: str
    ok: bool
    detail: str
    required: bool = True


@asynccontextmanager
async def health_endpoint(port: int, look: Callable[[], tuple[bool, dict[str, Any]]]) -> AsyncIterator[None]:
    """Serve `/healthz` while the body runs: 200 where `look` says that the worker is well, else 503. Port 0: none."""
    if not port:
        yield
        return

    async def healthz(_request: web.Request) -> web.Response:
        well, told = look()
        return web.json_response(told, status=200 if well else 503)

    site = web.Application()
    site.router.add_get("/healthz", healthz)
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, port=port).start()
        except OSError as error:  # a second worker on a laptop: it works as well without
            log.warning("health.port_taken", port=port, error=str(error))
        yield
    finally:
        await runner.cleanup()


async def check_all(settings: Settings, clients: Clients, memory_percent: Callable[[], float]) -> list[Check]:
    """Look at memory, S3, SQS, DynamoDB and the network outside, all at once."""

    async def buckets() -> str:
        names = (settings.input_bucket, settings.output_bucket, settings.temp_bucket)
        for name in names:
            async with aws_call(Dependency.S3, f"looking at bucket {name}", deadline=CHECK_DEADLINE):
                await clients.s3.head_bucket(Bucket=name)
        return ", ".join(names)

    async def queue() -> str:
        if settings.sqs_queue_url is None:
            raise LookupError("SQS_QUEUE_URL is not set")
        async with aws_call(Dependency.SQS, "looking at the queue", deadline=CHECK_DEADLINE):
            answer = await clients.sqs.get_queue_attributes(
                QueueUrl=settings.sqs_queue_url, AttributeNames=["ApproximateNumberOfMessages"]
            )
        return f"{answer['Attributes']['ApproximateNumberOfMessages']} messages waiting"

    async def table() -> str:
        async with aws_call(Dependency.DYNAMODB, "looking at the table", deadline=CHECK_DEADLINE):
            answer = await clients.dynamodb.describe_table(TableName=settings.dynamodb_table_name)
        return f"{settings.dynamodb_table_name} is {answer['Table']['TableStatus']}"

    async def memory() -> str:
        percent = memory_percent()
        if percent >= settings.memory_critical_threshold:
            raise LookupError(f"{percent:.0f}% in use; critical from {settings.memory_critical_threshold:g}%")
        return f"{percent:.0f}% in use"

    async def outside() -> str:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CHECK_DEADLINE):
            found = await loop.getaddrinfo(*OUTSIDE, type=socket.SOCK_STREAM)
            _, writer = await asyncio.open_connection(str(found[0][4][0]), OUTSIDE[1])
        writer.close()
        await writer.wait_closed()
        return f"{OUTSIDE[0]} answers"

    # Where private addresses are allowed, images come from the machine itself: the outside is not needed.
    return list(
        await asyncio.gather(
            _checked("memory", memory),
            _checked("s3", buckets),
            _checked("sqs", queue),
            _checked("dynamodb", table),
            _checked("network", outside, required=not settings.allow_private_addresses),
        )
    )


async def _checked(name: str, look: Callable[[], Awaitable[str]], *, required: bool = True) -> Check:
    try:
        return Check(name, ok=True, detail=await look(), required=required)
    except (WorkerError, LookupError, OSError, TimeoutError) as error:
        return Check(name, ok=False, detail=str(error) or "no answer in time", required=required)


def as_json(checks: list[Check]) -> str:
    """Write checks for a program."""
    return json.dumps(
        {
            "healthy": healthy(checks),
            "checks": {
                check.name: {"ok": check.ok, "required": check.required, "detail": check.detail} for check in checks
            },
        }
    )


def healthy(checks: list[Check]) -> bool:
    """Say whether everything that is required is well."""
    return all(check.ok or not check.required for check in checks)
