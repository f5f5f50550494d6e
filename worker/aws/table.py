"""The state table as its two kinds of records share it."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient


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
