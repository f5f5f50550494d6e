"""The log of batches: people find the newest by it, without an id and without a look at every creator of the table.

There is one item for each batch, all under one key, in the order of their starts.
"""

from collections.abc import AsyncIterator
from typing import Any

import structlog

from worker.aws.table import Table, from_item, stamp, to_item
from worker.errors import JobError
from worker.keys import iso
from worker.model import BatchRecord

log = structlog.get_logger(__name__)

LOG_KEY = " batches"
"""The partition of the log: no creator's name begins with a space."""


class BatchLog(Table):
    """Which batches there are."""

    async def log_batch(self, record: BatchRecord) -> None:
        """Note that there is this batch; however often, it is one item.

        A failure is logged and ignored: the batch goes on and is found by its id, and its next taker notes it again.
        """
        now = self._clock()
        item = {
            "creator_name": LOG_KEY,
            "processing_date": f"{iso(record.started_at)} {record.id}",
            "updated_at": stamp(now),
            "ttl": self.expiry(now),
        }
        try:
            async with self._call(f"noting batch {record.id}", urgent=True) as call:
                await call(self._client.put_item, TableName=self._table, Item=to_item(item))
        except JobError as error:
            log.warning("batch.log_failed", batch_id=record.id, error=str(error))

    async def logged_ids(self, *, since: str = "") -> AsyncIterator[str]:
        """Give the ids of all batches, the newest first; `since` is a start in ISO 8601, or a beginning of one."""
        query: Any = {
            "TableName": self._table,
            "KeyConditionExpression": "creator_name = :log AND processing_date >= :since",
            "ExpressionAttributeValues": to_item({":log": LOG_KEY, ":since": since or " "}),
            "ProjectionExpression": "processing_date",
            "ScanIndexForward": False,
        }
        while True:
            async with self._call("reading the log of batches") as call:
                page = await call(self._client.query, **query)
            for item in page["Items"]:
                yield from_item(item)["processing_date"].partition(" ")[2]
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
