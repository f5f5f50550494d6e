"""The table in memory and an emulator's agree: the same operations, in random order, come to the same."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.emulator import REGION, Aws
from tests.simulation.clock import EPOCH
from tests.simulation.dynamodb import DynamoDb, client_error
from worker.aws.bootstrap import _make_table
from worker.aws.clients import open_clients
from worker.aws.state_table import StateTable
from worker.errors import JobReason, TerminalError, WorkerError
from worker.model import (
    WHOLE,
    Asked,
    Batch,
    CreatorRecord,
    CreatorStatus,
    InlineManifest,
    Job,
    ProcessingConfig,
)

JOB = Job(InlineManifest("a,b\n"), "", ProcessingConfig(), from_event=False)
PARTS = [WHOLE, "chunk/000001", "chunk/000002"]
SEQUENCES, OPERATIONS = 8, 60


class Direct:
    """A client whose calls are with the table at once."""

    def __init__(self, table: DynamoDb) -> None:
        self._table = table

    def __getattr__(self, operation: str) -> Any:
        async def call(**asked: Any) -> Any:
            return getattr(self._table, operation)(None, **asked)

        return call


class Both:
    """A state table at an emulator and one in memory."""

    def __init__(self, emulated: StateTable, ours: StateTable) -> None:
        self._tables = (emulated, ours)

    async def __call__(self, operation: str, *given: Any, **named: Any) -> Any:
        emulated, ours = [await _outcome(table, operation, given, named) for table in self._tables]
        assert emulated == ours, (operation, given, named)
        return ours


async def _outcome(table: StateTable, operation: str, given: Any, named: Any) -> Any:
    try:
        return await getattr(table, operation)(*given, **named)
    except WorkerError as error:
        return type(error), error.reason


async def test_the_table_in_memory_behaves_as_the_emulators(simulation_aws: Aws) -> None:
    name = "simulated-state"
    _make_table(simulation_aws.dynamodb, name)
    memory = DynamoDb()
    now = [EPOCH]
    rng = random.Random(1)
    async with open_clients(region=REGION, endpoint_url=simulation_aws.endpoint) as clients:
        both = Both(
            StateTable(clients.dynamodb, name, ttl_days=30, clock=lambda: now[0]),
            StateTable(Direct(memory), name, ttl_days=30, clock=lambda: now[0]),  # type: ignore[arg-type]
        )
        for sequence in range(SEQUENCES):
            await _sequence(both, rng, now, f"s3_rows-{sequence:08x}", f"s3_other-{sequence:07x}1")
    found = simulation_aws.dynamodb.get_paginator("scan").paginate(TableName=name)
    items = {(i["creator_name"]["S"], i["processing_date"]["S"]): i for page in found for i in page["Items"]}
    assert items == memory.items
    assert len(items) > SEQUENCES


async def _sequence(  # noqa: C901 -- one list of operations
    both: Both, rng: random.Random, now: list[float], *identifiers: str
) -> None:
    """Do operations on two batches that share creators, by owners with leases that may be held, lost or never had."""
    leases = [_lease(rng, identifier, "nobody", 1) for identifier in identifiers]
    closed: list[Batch] = []
    for _ in range(OPERATIONS):
        now[0] += rng.choice([0.0, 0.25, 1.0, 30.0])
        lease = rng.choice(leases[-6:])
        match rng.choice(["take", "take", "change", "change", "change", "creator", "creator", "finish", "cancel"]):
            case "take":
                identifier, unit, owner = rng.choice(identifiers), rng.choice(PARTS), rng.choice("xyz")
                as_of = rng.choice([None, now[0] - 10])
                asked = rng.choice([None, Asked("d1", "{}", 50, 2_000), Asked("d2", "{}", 50, 2_000)])
                record, ours = await both(
                    "take",
                    identifier,
                    owner=owner,
                    source_csv="a.csv",
                    lease_seconds=60.0,
                    unit=unit,
                    fence_above=3,
                    as_of=as_of,
                    asked=asked if unit == WHOLE else None,
                    outage_at=rng.choice([0.0, now[0]]),
                )
                if ours:
                    leases.append(Batch(identifier, JOB, _start(), owner, record.fence, "m", "a.csv", unit))
            case "change":
                operation, named = rng.choice(CHANGES)
                if operation == "complete_chunk":
                    # Once for each fence, as the worker does: the emulator takes a second time with other values,
                    # which AWS refuses (IdempotentParameterMismatchException).
                    if lease.unit == WHOLE or lease in closed:
                        continue
                    closed.append(lease)
                await both(operation, lease, **named)
            case "creator":
                await both("begin_creator", lease, rng.choice(["ann", "bob"]))
            case "finish":
                status = rng.choice([CreatorStatus.COMPLETED, CreatorStatus.FAILED])
                creator = rng.choice(["ann", "bob"])
                await both("finish_creators", lease, [CreatorRecord(creator, status, 2, ("k",), {"gone": 1}, 0.5)])
            case "cancel":
                if rng.random() < 0.1:
                    await both("cancel", lease.id)
                await both("batch", lease.id, unit=lease.unit)


LOST = TerminalError(JobReason.CHUNK_MISSING, "it is gone")

CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("extend", {"lease_seconds": 60.0, "counts": {"creators_total": 3}}),
    ("release", {}),
    ("note_plan", {"chunks": 2, "counts": {"creators_total": 3}}),
    ("note_sent", {"chunks": 2}),
    ("note_written", {"chunks": 2, "counts": {"creators_total": 3}}),
    ("note_progress", {}),
    ("release_failed", {}),
    ("note_suspects", {"strikes": {"ann": 2}, "on_trial": "ann"}),
    ("note_summary", {"summary_key": "s.json", "counts": {"creators_total": 3}}),
    ("complete_chunk", {"counts": {"creators_completed": 2}, "errors": {"gone": 1}, "failure": None}),
    ("complete_chunk", {"counts": {"creators_completed": 2}, "errors": {"gone": 1}, "failure": LOST}),
    ("complete", {}),
    ("fail", {"code": "manifest_empty", "message": "no rows"}),
]


def _start() -> datetime:
    return datetime.fromtimestamp(EPOCH, UTC)


def _lease(rng: random.Random, identifier: str, owner: str, fence: int) -> Batch:
    return Batch(identifier, JOB, _start(), owner, fence, "m", "a.csv", rng.choice(PARTS))


def test_an_expression_that_the_table_in_memory_does_not_know_is_an_error() -> None:
    table = DynamoDb()
    key = {"creator_name": {"S": "a"}, "processing_date": {"S": "b"}}
    with pytest.raises(AssertionError):
        table.update_item(None, Key=key, UpdateExpression="SET a = list_append(a, :b)", ExpressionAttributeValues={})
    assert client_error("X", 400).response["Error"]["Code"] == "X"
