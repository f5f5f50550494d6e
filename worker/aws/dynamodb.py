"""The state table: one item for each creator and batch, and one for each batch, which also holds its lease.

A batch's item stands under a key that begins with a space: creator names are trimmed, so none can take it. It has
neither a `status` nor a `batch_id`, so that it is in neither index.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from worker.aws.clients import aws_call, code_of
from worker.aws.items import Item, from_item, stamp, to_item
from worker.errors import JobReason, LeaseLost
from worker.model import Batch, BatchRecord, BatchState, CreatorRecord, CreatorStatus, Lease, Mode

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient


class StateTable:
    """What is known of creators and batches. Every write is conditional on who may make it."""

    def __init__(
        self, client: "DynamoDBClient", table: str, *, ttl_days: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._table = table
        self._ttl_days = ttl_days
        self._clock = clock

    # --- batches and their lease ------------------------------------------------------------------------------------

    async def take(self, batch_id: str, *, owner: str, source_csv: str, lease: float) -> tuple[BatchRecord, bool]:
        """Take the lease on a batch for `lease` seconds; returns its record and whether the lease is ours.

        It is taken where there is no such batch, where it failed as a whole, or where the lease has run out. Each
        take-over raises the fence. The batch's start is the first taker's: keys and records are named after it.
        """
        now = self._clock()
        return await self._update(
            batch_id,
            "SET started_at = if_not_exists(started_at, :started), source_csv = :source, #state = :running, "
            "lease_owner = :owner, lease_expires = :expires, fence = if_not_exists(fence, :zero) + :one, "
            "updated_at = :stamp, #ttl = :ttl REMOVE error_code, error_message",
            condition="attribute_not_exists(creator_name) OR #state = :failed "
            "OR (#state = :running AND lease_expires < :now)",
            values={
                ":started": stamp(now),
                ":source": source_csv,
                ":running": BatchState.RUNNING,
                ":failed": BatchState.FAILED,
                ":owner": owner,
                ":expires": now + lease,
                ":now": now,
                ":zero": 0,
                ":one": 1,
            },
        )

    async def extend(self, batch: Batch | Lease, *, lease: float, counts: Mapping[str, Any]) -> None:
        """Keep the lease for `lease` seconds more, and report progress. Raises `LeaseLost`."""
        await self._held(
            batch,
            "SET lease_expires = :expires, counts = :counts, updated_at = :stamp, #ttl = :ttl",
            {":expires": self._clock() + lease, ":counts": dict(counts)},
        )

    async def release(self, batch: Batch | Lease) -> None:
        """Give the lease back, so that the next worker need not wait for its end. Raises `LeaseLost`."""
        await self._held(batch, "SET lease_expires = :expires, updated_at = :stamp, #ttl = :ttl", {":expires": 0})

    async def note_summary(self, batch: Batch | Lease, *, summary_key: str, counts: Mapping[str, Any]) -> None:
        """Note that the summary is written: from here on only the manifest's move and `complete` are left."""
        await self._held(
            batch,
            "SET summary_key = :key, counts = :counts, updated_at = :stamp, #ttl = :ttl",
            {":key": summary_key, ":counts": dict(counts)},
        )

    async def complete(self, batch: Batch | Lease) -> None:
        """Close the batch as completed. Raises `LeaseLost`."""
        await self._held(
            batch,
            "SET #state = :done, lease_expires = :zero, updated_at = :stamp, #ttl = :ttl",
            {":done": BatchState.COMPLETED, ":zero": 0},
        )

    async def fail(self, batch: Batch | Lease, *, code: str, message: str) -> None:
        """Close the batch as failed as a whole. Raises `LeaseLost`."""
        await self._held(
            batch,
            "SET #state = :failed, lease_expires = :zero, error_code = :code, error_message = :message, "
            "updated_at = :stamp, #ttl = :ttl",
            {":failed": BatchState.FAILED, ":zero": 0, ":code": code, ":message": message[:2_000]},
        )

    async def batch(self, batch_id: str) -> BatchRecord | None:
        """Return what is known of a batch, or None."""
        async with aws_call(f"reading the record of batch {batch_id}"):
            answer = await self._client.get_item(TableName=self._table, Key=_batch_key(batch_id), ConsistentRead=True)
        return _batch_record(batch_id, from_item(answer["Item"])) if "Item" in answer else None

    async def _held(self, batch: Batch | Lease, update: str, values: Mapping[str, Any]) -> None:
        _, done = await self._update(
            batch.id,
            update,
            condition="lease_owner = :me AND fence = :fence AND #state = :running",
            values={**values, ":me": batch.owner, ":fence": batch.fence, ":running": BatchState.RUNNING},
        )
        if not done:
            raise LeaseLost(JobReason.LEASE_LOST, f"batch {batch.id} was taken over by another worker")

    async def _update(
        self, batch_id: str, update: str, *, condition: str, values: Mapping[str, Any]
    ) -> tuple[BatchRecord, bool]:
        now = self._clock()
        values = {**values, ":stamp": stamp(now), ":ttl": self._expiry(now)}
        async with aws_call(f"writing the record of batch {batch_id}"):
            try:
                answer = await self._client.update_item(
                    TableName=self._table,
                    Key=_batch_key(batch_id),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#state": "state", "#ttl": "ttl"},
                    ExpressionAttributeValues=to_item(values),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                return _batch_record(batch_id, from_item(_old(error))), False
        return _batch_record(batch_id, from_item(answer["Attributes"])), True

    # --- creators ---------------------------------------------------------------------------------------------------

    async def begin_creator(self, batch: Batch, creator: str) -> CreatorRecord | None:
        """Note that a creator is being worked on; returns its record instead where the batch has done it already.

        Raises `LeaseLost` where a later owner of the batch has begun it.
        """
        old = await self._put_creator(
            batch,
            CreatorRecord(creator, CreatorStatus.PROCESSING),
            "attribute_not_exists(creator_name) OR (batch_id = :batch AND #status = :processing AND fence <= :fence)",
        )
        if old is None:
            return None
        if old["status"] == CreatorStatus.PROCESSING:
            raise LeaseLost(JobReason.LEASE_LOST, f"batch {batch.id} was taken over by another worker")
        return _creator_record(old)

    async def finish_creator(self, batch: Batch, record: CreatorRecord) -> None:
        """Write a creator's final record. Raises `LeaseLost` where it is not ours to write any more."""
        old = await self._put_creator(batch, record, "batch_id = :batch AND #status = :processing AND fence = :fence")
        # Where the answer to our own write got lost, the SDK's second try meets what the first one wrote.
        if old is not None and (old.get("fence") != batch.fence or old["status"] != record.status):
            raise LeaseLost(JobReason.LEASE_LOST, f"batch {batch.id} was taken over by another worker")

    async def _put_creator(self, batch: Batch, record: CreatorRecord, condition: str) -> Item | None:
        """Put a creator's item; returns the item of this batch that stands in the way, or None when it was put."""
        for processing_date in _processing_dates(batch):
            item = self._creator_item(batch, record, processing_date)
            async with aws_call(f"writing the record of {record.creator!r}"):
                try:
                    await self._client.put_item(
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
                        ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    )
                except ClientError as error:
                    if code_of(error) != "ConditionalCheckFailedException":
                        raise
                    old = from_item(_old(error))
                    if old.get("batch_id", batch.id) == batch.id:
                        return old or {"status": CreatorStatus.PROCESSING}
                    continue  # another batch of the same second has this creator, too
            return None
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
            "ttl": self._expiry(now),
        }
        if record.collage_keys:
            item["collage_s3_key"] = record.collage_keys[0]
        if len(record.collage_keys) > 1:
            item["collage_s3_keys"] = list(record.collage_keys)
        if record.content_hash:
            item["content_hash"] = record.content_hash
        return item

    def _expiry(self, now: float) -> int:
        return int(now + timedelta(days=self._ttl_days).total_seconds())


def _processing_dates(batch: Batch) -> tuple[str, str]:
    """Return the sort keys a creator may have: the batch's start and, where another batch has that, one of our own."""
    start = f"{batch.started_at:%Y-%m-%dT%H:%M:%S}"
    return f"{start}Z", f"{start}.{int(batch.id[-8:], 16) % 1_000_000:06d}Z"


def _batch_key(batch_id: str) -> dict[str, Any]:
    return to_item({"creator_name": f" batch {batch_id}", "processing_date": "batch"})


def _batch_record(batch_id: str, found: Mapping[str, Any]) -> BatchRecord:
    return BatchRecord(
        id=batch_id,
        state=BatchState(found["state"]),
        started_at=datetime.fromisoformat(found["started_at"]),
        owner=found["lease_owner"],
        fence=int(found["fence"]),
        lease_expires=float(found["lease_expires"]),
        source_csv=found["source_csv"],
        counts=found.get("counts", {}),
        summary_key=found.get("summary_key"),
        error_code=found.get("error_code"),
        error_message=found.get("error_message"),
        updated_at=found.get("updated_at"),
    )


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
    )


def _old(error: ClientError) -> Mapping[str, Any]:
    """Return the item that stood in the way of a conditional write, as the answer carries it."""
    found = error.response.get("Item", {})
    return found if isinstance(found, dict) else {}
