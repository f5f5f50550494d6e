"""The checks of the `health` command: whether everything is there that the worker needs."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from worker.aws.buckets import buckets_of
from worker.aws.calls import NONE, aws_call
from worker.aws.clients import Clients
from worker.aws.sqs import redrive_policy_of
from worker.decode.pool import DecodePool
from worker.errors import Dependency, WorkerError
from worker.settings import Settings

OUTSIDE = ("p16-sign-va.tiktokcdn.com", 443)
"""A host that covers come from: what has to be reachable from a worker in AWS."""

CHECK_DEADLINE = 5.0
"""Seconds for one check."""

ONCE: Any = {"deadline": CHECK_DEADLINE, "patience": NONE}
"""A check asks once: people want to see what is wrong now."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check. A failed check that is not `required` is shown, but the worker counts as healthy."""

    name: str
    ok: bool
    detail: str
    required: bool = True


async def check_all(
    settings: Settings,
    clients: Clients,
    memory_percent: Callable[[], Awaitable[float]],
    outside: tuple[str, int] = OUTSIDE,
) -> list[Check]:
    """Look at memory, the sandbox, S3, SQS, DynamoDB and the network outside, all at once.

    `memory_percent` returns the percent of memory in use; `outside` is the host and port asked for the network.
    """
    # Where private addresses are allowed, images come from this machine: the network outside is not required.
    return list(
        await asyncio.gather(
            _checked("memory", _memory(settings, memory_percent)),
            _checked("sandbox", _sandbox(settings), required=settings.require_sandbox),
            _checked("s3", _buckets(settings, clients)),
            _checked("sqs", _queue(settings, clients)),
            _checked("dynamodb", _table(settings, clients)),
            _checked("network", _outside(outside), required=not settings.allow_private_addresses),
            _checked("worker", _worker(settings.health_port), required=False),
        )
    )


def as_json(checks: list[Check]) -> str:
    """Return the checks as JSON, for programs."""
    return json.dumps(
        {
            "healthy": healthy(checks),
            "checks": {
                check.name: {"ok": check.ok, "required": check.required, "detail": check.detail} for check in checks
            },
        }
    )


def healthy(checks: list[Check]) -> bool:
    """Return whether all required checks passed."""
    return all(check.ok or not check.required for check in checks)


def confinement(levels: Mapping[str, bool | int]) -> str:
    """Say what confines the decoders; `levels` is what a decoder told at its start."""
    version = levels.get("landlock")
    guards = {
        "seccomp": levels.get("seccomp"),
        "namespaces": levels.get("network_namespace"),
        f"Landlock (version {version})" if version else "Landlock": version,
    }
    held = ", ".join(name for name, holds in guards.items() if holds)
    missing = ", ".join(name for name, holds in guards.items() if not holds)
    return f"decoders are confined by {held or 'limits only'}" + (f"; without {missing}" if missing else "")


async def _checked(name: str, look: Awaitable[str], *, required: bool = True) -> Check:
    try:
        return Check(name, ok=True, detail=await look, required=required)
    except (WorkerError, LookupError, OSError, TimeoutError) as error:
        return Check(name, ok=False, detail=str(error) or "no answer in time", required=required)


async def _memory(settings: Settings, memory_percent: Callable[[], Awaitable[float]]) -> str:
    percent = await memory_percent()
    if percent >= settings.memory_critical_threshold:
        raise LookupError(f"{percent:.0f}% in use; critical from {settings.memory_critical_threshold:g}%")
    return f"{percent:.0f}% in use"


async def _sandbox(settings: Settings) -> str:
    async with DecodePool(1, require_sandbox=settings.require_sandbox) as pool:
        told = confinement(pool.sandbox)
        if not pool.sandbox.get("seccomp"):
            raise LookupError(f"{told}. Pictures could run code that reads files and credentials")
    return told


async def _buckets(settings: Settings, clients: Clients) -> str:
    for name, setting in settings.own_buckets.items():
        async with aws_call(Dependency.S3, f"looking at bucket {name}", setting=setting, **ONCE) as call:
            await call(clients.s3.head_bucket, **buckets_of(settings).at(name))
    return ", ".join(settings.own_buckets)


async def _queue(settings: Settings, clients: Clients) -> str:
    if settings.sqs_queue_url is None:
        raise LookupError("SQS_QUEUE_URL is not set")
    waiting = await _depth(clients, settings.sqs_queue_url, "SQS_QUEUE_URL")
    policy = await redrive_policy_of(clients.sqs, settings.sqs_queue_url)
    dead_letters = settings.sqs_dlq_url or policy.dead_letter_url
    if dead_letters is None:
        return f"{waiting} messages waiting; no dead-letter queue is known: set SQS_DLQ_URL"
    return f"{waiting} messages waiting, {await _depth(clients, dead_letters, 'SQS_DLQ_URL')} dead letters"


async def _depth(clients: Clients, url: str, setting: str) -> str:
    async with aws_call(Dependency.SQS, f"looking at the queue {url}", setting=setting, **ONCE) as call:
        answer = await call(
            clients.sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
        )
    return answer["Attributes"]["ApproximateNumberOfMessages"]


async def _table(settings: Settings, clients: Clients) -> str:
    setting = "DYNAMODB_TABLE_NAME"
    async with aws_call(Dependency.DYNAMODB, "looking at the table", setting=setting, **ONCE) as call:
        answer = await call(clients.dynamodb.describe_table, TableName=settings.dynamodb_table_name)
    return f"{settings.dynamodb_table_name} is {answer['Table']['TableStatus']}"


async def _worker(port: int) -> str:
    """Say what the worker on this machine tells of itself at `/healthz`, above all what it waits for."""
    timeout = aiohttp.ClientTimeout(total=CHECK_DEADLINE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://127.0.0.1:{port}/healthz") as answer,
        ):
            told = await answer.json()
    except (aiohttp.ClientError, ValueError):
        raise LookupError(f"none answers on port {port} of this machine (HEALTH_PORT)") from None
    if waits_for := told.get("waits_for"):
        raise LookupError("it waits for " + "; ".join(f"{name}: {why['error']}" for name, why in waits_for.items()))
    return f"{told['status']}, {told['in_flight']} messages in flight"


async def _outside(address: tuple[str, int]) -> str:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CHECK_DEADLINE):
        found = await loop.getaddrinfo(*address, type=socket.SOCK_STREAM)
        _, writer = await asyncio.open_connection(str(found[0][4][0]), address[1])
    writer.close()
    await writer.wait_closed()
    return f"{address[0]} answers"
