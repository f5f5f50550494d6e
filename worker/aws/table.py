"""The state table as both kinds of records share it, and plain values as DynamoDB items and back."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError

from worker.aws.calls import NONE, PROBE_DEADLINE, USUAL, AwsCall, Patience, aws_call
from worker.errors import Dependency

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

Item = dict[str, Any]

SETTING = "DYNAMODB_TABLE_NAME"

CREATORS_AT_ONCE = 24
"""Writes of creators' records under way at a time: fewer than the client has connections (`CONNECTIONS`), so that those
which keep leases never wait behind them, however long throttling lasts."""

PROBED = {"creator_name": {"S": " probe"}, "processing_date": {"S": "-"}}
"""A key under which nothing is kept."""

_READS = TypeDeserializer()


class Table:
    """The table, a client for it, and how long its items are kept."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        *,
        ttl_days: int,
        clock: Callable[[], float] = time.time,
        patience: Patience = USUAL,
    ) -> None:
        self._client = client
        self._table = table
        self._patience = patience
        self._queued = asyncio.Semaphore(CREATORS_AT_ONCE)
        self._ttl = timedelta(days=ttl_days).total_seconds()
        self._clock = clock

    def expiry(self, now: float) -> int:
        """Return the epoch seconds after which DynamoDB may forget an item that is written now."""
        return int(now + self._ttl)

    async def probe(self) -> None:
        """Ask whether DynamoDB answers and knows the table. Raises as `aws_call`, at once."""
        async with aws_call(
            Dependency.DYNAMODB, "looking at the table", deadline=PROBE_DEADLINE, patience=NONE, setting=SETTING
        ) as call:
            await call(self._client.get_item, TableName=self._table, Key=PROBED, ConsistentRead=True)

    def _call(self, doing: str, *, urgent: bool = False) -> AbstractAsyncContextManager[AwsCall]:
        patience = self._patience.urgent if urgent else self._patience
        return aws_call(Dependency.DYNAMODB, doing, patience=patience, setting=SETTING)


def stamp(epoch: float) -> str:
    """Write epoch seconds as `2025-01-19T12:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))


def to_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Write plain values as DynamoDB attributes; it has no binary floats, only decimals."""
    return {name: _attribute(value) for name, value in values.items()}


def from_item(item: Mapping[str, Any]) -> Item:
    """Read DynamoDB attributes as plain values."""
    return {name: _number(_READS.deserialize(value)) for name, value in item.items()}


def _attribute(value: Any) -> dict[str, Any]:
    match value:
        case str():
            return {"S": str(value)}
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | float() if isfinite(value):
            return {"N": repr(value)}
        case list():
            return {"L": [_attribute(inner) for inner in value]}
        case dict():
            return {"M": to_item(value)}
    raise TypeError(f"no attribute can hold {value!r}")


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {key: _number(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_number(inner) for inner in value]
    return value


def old_item(error: ClientError) -> Mapping[str, Any]:
    """Return the item that stood in the way of a conditional write, as the answer carries it."""
    found = error.response.get("Item", {})
    return found if isinstance(found, dict) else {}
