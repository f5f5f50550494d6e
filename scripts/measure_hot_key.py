#!/usr/bin/env python
"""Let tasks write creators' records to a table one of whose index keys takes fewer writes than they have.

    .venv/bin/python -m scripts.measure_hot_key

All creators of a batch that are `completed` share one key of `status-date-index`, which takes 1,000 writes a second;
DynamoDB turns the rest away (`ThrottlingException`), and the table's write with it. The stores are the worker's own,
with their own patience; the table is an emulator in this process that takes so many writes a second, and answers each
call within five milliseconds; time is virtual, so that the machine's speed is in no figure. It is a tenth of all: five
tasks of fifty, and a key that takes a hundred writes of a thousand; what is printed is reckoned up again.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import Any, cast

import structlog
from botocore.exceptions import ClientError

from tests.simulation.clock import in_virtual_time
from worker.aws.calls import Patience
from worker.aws.state_table import StateTable
from worker.errors import JobError
from worker.model import Batch, CreatorRecord, CreatorStatus, InlineManifest, Job, ProcessingConfig

SHARE = 0.1
KEY_WRITES = 1_000 * SHARE
"""Writes a second that one key of an index takes."""

ANSWER_SECONDS = 0.005
TASKS, CREATORS_IN_FLIGHT = round(50 * SHARE), 32
LEASE_SECONDS = 120.0
SECONDS = 120.0
LOOK_EVERY = 1.0
"""Seconds between two calls of another kind, on the same client as the writes of creators."""

HEAD = """\
| offered a second | recorded a second | turned away for each record | median, p99, most to record one | \
another call: most | given up |
| ---: | ---: | ---: | ---: | ---: | ---: |"""

JOB = Job(InlineManifest("a,b\n"), "", ProcessingConfig(), from_event=False)


class HotTable:
    """A table whose puts share one key: a bucket that holds a second's writes, and is filled as the key takes them."""

    def __init__(self) -> None:
        self.tokens = KEY_WRITES
        self.filled = time.monotonic()
        self.taken = self.turned_away = 0

    async def put_item(self, **_: Any) -> dict[str, Any]:
        """Take a write, or turn it away."""
        await asyncio.sleep(ANSWER_SECONDS)
        now = time.monotonic()
        self.tokens = min(KEY_WRITES, self.tokens + (now - self.filled) * KEY_WRITES)
        self.filled = now
        if self.tokens < 1:
            self.turned_away += 1
            told: Any = {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(told, "PutItem")
        self.tokens -= 1
        self.taken += 1
        return {}

    async def get_item(self, **_: Any) -> dict[str, Any]:
        """Answer that there is nothing."""
        await asyncio.sleep(ANSWER_SECONDS)
        return {}


class Measured:
    """What was seen: seconds for each record and each other call, and what was given up."""

    def __init__(self) -> None:
        self.records: list[float] = []
        self.others: list[float] = []
        self.given_up = 0


async def work(table: StateTable, batch: Batch, names: Iterator[str], made_in: float, seen: Measured) -> None:
    """Make one creator after the other, each in about `made_in` seconds, and record it."""
    end = time.monotonic() + SECONDS
    await asyncio.sleep(random.uniform(0, made_in))  # noqa: S311 -- so that they do not march in step
    for name in names:
        await asyncio.sleep(random.uniform(0.5, 1.5) * made_in)  # noqa: S311
        began = time.monotonic()
        if began > end:
            return
        try:
            await table.finish_creator(batch, CreatorRecord(name, CreatorStatus.COMPLETED, 5))
        except JobError:
            seen.given_up += 1
        seen.records.append(time.monotonic() - began)


async def look(table: StateTable, seen: Measured) -> None:
    """Make another call now and then, as those that keep leases are made."""
    for _ in range(int(SECONDS / LOOK_EVERY)):
        began = time.monotonic()
        await table.probe()
        seen.others.append(time.monotonic() - began)
        await asyncio.sleep(LOOK_EVERY)


def named(task: int, slot: int) -> Iterator[str]:
    """Give the names of the creators of one slot."""
    number = 0
    while True:
        number += 1
        yield f"creator-{task}-{slot}-{number}"


async def measure(offered: float) -> tuple[Measured, HotTable, float]:
    """Let the tasks offer so many creators a second; returns what was seen, and the seconds that it took."""
    seen, hot = Measured(), HotTable()
    made_in = TASKS * CREATORS_IN_FLIGHT / offered
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for task in range(TASKS):
            table = StateTable(cast("Any", hot), "table", ttl_days=30, patience=Patience.within(LEASE_SECONDS))
            batch = Batch(f"s3_covers-{task:08x}", JOB, datetime.now(UTC), "w", 1, "m", "rows.csv")
            group.create_task(look(table, seen))
            for slot in range(CREATORS_IN_FLIGHT):
                group.create_task(work(table, batch, named(task, slot), made_in, seen))
    return seen, hot, time.monotonic() - began


def main() -> None:
    """Measure at half of what the key takes, at nine tenths of it, at twice and at four times as much."""
    random.seed(1)
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    print(HEAD)
    for factor in (0.5, 0.9, 2.0, 4.0):
        seen, hot, took = in_virtual_time(measure(KEY_WRITES * factor))
        print(
            f"| {KEY_WRITES * factor / SHARE:,.0f} | {hot.taken / took / SHARE:,.0f} "
            f"| {hot.turned_away / hot.taken:.2f} "
            f"| {median(seen.records):.2f} s, {quantiles(seen.records, n=100)[-1]:.2f} s, {max(seen.records):.1f} s "
            f"| {max(seen.others):.2f} s | {seen.given_up} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
