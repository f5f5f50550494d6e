"""The creators' records: one item for each creator and batch, written under the fence of a lease."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from worker.aws.calls import code_of
from worker.aws.table import Item, Table, from_item, old_item, stamp, to_item
from worker.errors import JobReason, LeaseLost
from worker.model import Batch, CreatorRecord, CreatorStatus, Mode
from worker.tasks import unwrapped


class Creators(Table):
    """What is known of creators. Every write is conditional on who may make it."""

    async def begin_creator(self, batch: Batch, creator: str) -> tuple[CreatorRecord | None, bool]:
        """Show a creator as being worked on; returns its record instead where the batch has done it already.

        Also returns whether an earlier owner had begun it. Raises `LeaseLost` where a later owner has begun it.
        """
        old, put = await self._put_creator(
            batch,
            CreatorRecord(creator, CreatorStatus.PROCESSING),
            "attribute_not_exists(creator_name) OR (batch_id = :batch AND #status = :processing AND fence <= :fence)",
        )
        if put:
            return None, old is not None and old.get("fence") != batch.fence
        assert old is not None  # noqa: S101 -- what stood in the way; for the type checker
        if old["status"] == CreatorStatus.PROCESSING:
            raise LeaseLost(JobReason.LEASE_LOST, f"batch {batch.id} was taken over by another worker")
        return _creator_record(old), False

    async def finish_creators(self, batch: Batch, records: Sequence[CreatorRecord]) -> None:
        """Write final records, side by side. Raises `LeaseLost` where a later owner has begun one of the creators."""
        with unwrapped():
            async with asyncio.TaskGroup() as writes:
                for record in records:
                    writes.create_task(self._finish_creator(batch, record))

    async def _finish_creator(self, batch: Batch, record: CreatorRecord) -> None:
        """Write a final record. One that is there follows from the same part, and stays as it is."""
        old, put = await self._put_creator(
            batch,
            record,
            "attribute_not_exists(creator_name) OR (batch_id = :batch AND #status = :processing AND fence <= :fence)",
        )
        if not put and old is not None and old["status"] == CreatorStatus.PROCESSING:
            raise LeaseLost(JobReason.LEASE_LOST, f"batch {batch.id} was taken over by another worker")

    async def creator_record(self, batch_id: str, started_at: datetime, creator: str) -> CreatorRecord | None:
        """Return a creator's record in a batch that began then; None where there is none."""
        query: Any = {
            "TableName": self._table,
            "KeyConditionExpression": "creator_name = :creator AND begins_with(processing_date, :start)",
            "FilterExpression": "batch_id = :batch",
            "ExpressionAttributeValues": to_item(
                {":creator": creator, ":start": f"{started_at:%Y-%m-%dT%H:%M:%S}", ":batch": batch_id}
            ),
            "ConsistentRead": True,
        }
        async with self._call(f"reading the record of {creator!r}") as call:
            items = (await call(self._client.query, **query))["Items"]
        return _creator_record(from_item(items[0])) if items else None

    async def all_creator_records(self, batch_id: str) -> AsyncIterator[CreatorRecord]:
        """Give every record that the batch has of a creator, by the index on batches."""
        query: Any = {
            "TableName": self._table,
            "IndexName": "batch-id-index",
            "KeyConditionExpression": "batch_id = :batch",
            "ExpressionAttributeValues": to_item({":batch": batch_id}),
        }
        while True:
            async with self._call(f"reading the creators of batch {batch_id}") as call:
                page = await call(self._client.query, **query)
            for item in page["Items"]:
                yield _creator_record(from_item(item))
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    async def _put_creator(self, batch: Batch, record: CreatorRecord, condition: str) -> tuple[Item | None, bool]:
        """Put a creator's item; returns what this batch had there before, and whether it was put."""
        for processing_date in _processing_dates(batch):
            item = self._creator_item(batch, record, processing_date)
            async with self._queued, self._call(f"writing the record of {record.creator!r}") as call:
                try:
                    answer = await call(
                        self._client.put_item,
                        TableName=self._table,
                        Item=to_item(item),
                        ConditionExpression=condition,
                        ExpressionAttributeNames={"#status": "status"},
                        ExpressionAttributeValues=to_item(
                            {
                                ":batch": batch.id,
                                ":processing": CreatorStatus.PROCESSING,
                                ":fence": batch.fence,
                            }
                        ),
                        ReturnValues="ALL_OLD",
                        ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    )
                except ClientError as error:
                    if code_of(error) != "ConditionalCheckFailedException":
                        raise
                    old = from_item(old_item(error))
                    if old.get("batch_id", batch.id) == batch.id:
                        return old or {"status": CreatorStatus.PROCESSING}, False
                    continue  # another batch of the same second has this creator, too
            return from_item(answer["Attributes"]) if answer.get("Attributes") else None, True
        raise LeaseLost(JobReason.LEASE_LOST, f"the records of {record.creator!r} are taken by other batches")

    def _creator_item(self, batch: Batch, record: CreatorRecord, processing_date: str) -> Item:
        now = self._clock()
        item: Item = {
            "creator_name": record.creator,
            "processing_date": processing_date,
            "batch_id": batch.id,
            "status": record.status,
            "images_processed": record.images_processed,
            "processing_duration": round(record.duration, 3),
            "error_count": record.error_count,
            "errors": dict(record.errors),
            "updated_at": stamp(now),
            "metadata": {"source_csv": batch.source_csv, "message_id": batch.message_id, "mode": record.mode},
            "fence": batch.fence,
            "ttl": self.expiry(now),
        }
        if record.duplicates:
            item["duplicates"] = record.duplicates
        if record.part_key:
            item["part_s3_key"] = record.part_key
        if record.collage_keys:
            item["collage_s3_key"] = record.collage_keys[0]
        if len(record.collage_keys) > 1:
            item["collage_s3_keys"] = list(record.collage_keys)
        if record.content_hash:
            item["content_hash"] = record.content_hash
        return item


def _processing_dates(batch: Batch) -> tuple[str, str]:
    """Return the sort keys a creator may have: the batch's start and, where another batch has that, one of our own."""
    start = f"{batch.started_at:%Y-%m-%dT%H:%M:%S}"
    return f"{start}Z", f"{start}.{int(batch.id[-8:], 16):010d}Z"


def _creator_record(found: Mapping[str, Any]) -> CreatorRecord:
    first = [found["collage_s3_key"]] if "collage_s3_key" in found else []
    return CreatorRecord(
        creator=found["creator_name"],
        status=CreatorStatus(found["status"]),
        images_processed=int(found["images_processed"]),
        collage_keys=tuple(found.get("collage_s3_keys", first)),
        errors={reason: int(count) for reason, count in found["errors"].items()},
        duration=float(found["processing_duration"]),
        content_hash=found.get("content_hash"),
        mode=Mode(found["metadata"]["mode"]),
        duplicates=int(found.get("duplicates", 0)),
        part_key=found.get("part_s3_key"),
    )
