"""The state table as both kinds of records share it, and plain values as DynamoDB items and back."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

Item = dict[str, Any]

_READS = TypeDeserializer()


class Table:
    """The table, a client for it, and how long its items are kept."""

    def __init__(
        self, client: "DynamoDBClient", table: str, *, ttl_days: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._table = table
        self._ttl = timedelta(days=ttl_days).total_seconds()
        self._clock = clock

    def expiry(self, now: float) -> int:
        """Return the epoch seconds after which DynamoDB may forget an item that is written now."""
        return int(now + self._ttl)


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
