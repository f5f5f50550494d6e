"""The records of batches and their chunks, each of which also holds its lease.

They stand under a key that begins with a space: creator names are trimmed, so none can take it. They have neither a
`status` nor a `batch_id`, so that they are in neither index.
"""

import uuid
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from worker.aws.calls import cancellation_reasons, code_of, meaning_of_failure
from worker.aws.failures import Meaning
from worker.aws.table import Item, Table, from_item, old_item, stamp, to_item
from worker.errors import Dependency, JobReason, LeaseLost, Unavailable
from worker.model import WHOLE, Batch, BatchRecord, BatchState, Lease, S3Manifest

COUNT, ERROR = "n_", "e_"
"""What the names of a batch's counters begin with. They are attributes of their own: DynamoDB adds to no others."""

BORN_WITH = frozenset({"state", "started_at", "lease_owner", "fence", "lease_expires", "source_csv"})
"""What a record holds from its first write on. DynamoDB shows that write whole or not at all; moto shows the key first
and then one attribute after another. A reader in between has come before the write."""


class Batches(Table):
    """What is known of batches and chunks. Every write is conditional on who may make it."""

    async def take(
        self,
        batch_id: str,
        *,
        owner: str,
        source_csv: str,
        lease: float,
        part: str = WHOLE,
        fence_above: int = 0,
        as_of: float | None = None,
    ) -> tuple[BatchRecord, bool]:
        """Take the lease on a batch or chunk for `lease` seconds; returns its record and whether the lease is ours.

        It is taken where there is no such batch, where it failed as a whole, or where the lease has run out. Each
        take-over raises the fence. The batch's start is the first taker's: keys and records are named after it.
        A chunk's fence begins above its batch's (`fence_above`), under which its creators may have been begun.
        One that failed after the taker last looked (`as_of`, epoch seconds; else now) is not taken: whoever was away
        meanwhile would set it going again, and its message may be gone.
        Raises `Unavailable` where another one's first write to the record is not whole yet (`BORN_WITH`).
        """
        now = self._clock()
        record, done = await self._update(
            batch_id,
            part,
            "SET started_at = if_not_exists(started_at, :started), source_csv = :source, #state = :running, "
            "lease_owner = :owner, lease_expires = :expires, fence = if_not_exists(fence, :above) + :one, "
            "takes = if_not_exists(takes, :zero) + :one, updated_at = :stamp, #ttl = :ttl "
            "REMOVE error_code, error_message",
            condition="attribute_not_exists(creator_name) OR (#state = :failed AND lease_expires <= :looked) "
            "OR (#state = :running AND lease_expires < :now)",
            values={
                ":started": stamp(now),
                ":source": source_csv,
                ":running": BatchState.RUNNING,
                ":failed": BatchState.FAILED,
                ":owner": owner,
                ":expires": now + lease,
                ":now": now,
                ":looked": now if as_of is None else as_of,
                ":above": fence_above,
                ":zero": 0,
                ":one": 1,
            },
        )
        if record is None:
            other = f"{part} of batch {batch_id} is being taken by another worker"
            raise Unavailable(Dependency.DYNAMODB, JobReason.AWS_UNAVAILABLE, other)
        # Where the answer to our own write got lost, the SDK's second try meets what the first one wrote.
        return record, done or (record.owner == owner and record.lease_expires == now + lease)

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

    async def note_plan(self, batch: Batch, *, chunks: int, counts: Mapping[str, Any]) -> None:
        """Note that all chunks are written: from here on only what was not sent yet is left to send.

        So is a manifest that has to be archived: whoever finds the batch's files gone has nothing else to go by.
        """
        dropped = asdict(batch.job.dropped) if batch.job.dropped else None
        await self._held(
            batch,
            "SET chunks_total = :chunks, counts = :counts, dropped = :dropped, updated_at = :stamp, #ttl = :ttl",
            {":chunks": chunks, ":counts": dict(counts), ":dropped": dropped},
        )

    async def note_sent(self, batch: Batch | Lease, *, chunks: int, lease: float) -> None:
        """Note how many chunks' messages have been sent, and keep the lease."""
        await self._held(
            batch,
            "SET chunks_sent = :chunks, lease_expires = :expires, updated_at = :stamp, #ttl = :ttl",
            {":chunks": chunks, ":expires": self._clock() + lease},
        )

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
        """Close the batch as failed as a whole. Raises `LeaseLost`.

        Should it be run again, it is planned again; chunks that are done stay so, and stay counted.
        """
        await self._held(
            batch,
            "SET #state = :failed, lease_expires = :now, error_code = :code, error_message = :message, "
            "updated_at = :stamp, #ttl = :ttl REMOVE chunks_total, chunks_sent",
            {":failed": BatchState.FAILED, ":now": self._clock(), ":code": code, ":message": message[:2_000]},
        )

    async def cancel(self, batch_id: str) -> BatchRecord | None:
        """Stop a running batch: no lease on it can be extended or taken any more. Returns its record as it was left.

        None where there is no such batch; a batch that is over stays as it is.
        """
        record, _ = await self._update(
            batch_id,
            WHOLE,
            "SET #state = :cancelled, lease_expires = :zero, updated_at = :stamp, #ttl = :ttl",
            condition="#state = :running",
            values={":cancelled": BatchState.CANCELLED, ":zero": 0, ":running": BatchState.RUNNING},
        )
        return record

    async def complete_chunk(
        self, chunk: Batch | Lease, *, counts: Mapping[str, int], errors: Mapping[str, int]
    ) -> None:
        """Close a chunk and add what came of it to its batch, both or neither, once. Raises `LeaseLost`.

        Where the batch was cancelled meanwhile, nothing is added.
        """
        added = {f"{COUNT}{name}": count for name, count in counts.items()}
        added |= {f"{ERROR}{reason}": count for reason, count in errors.items()} | {"chunks_done": 1}
        names = list(added)
        now = self._clock()
        writes = [
            self._write(
                chunk.id,
                chunk.part,
                "SET #state = :done, lease_expires = :zero, updated_at = :stamp, #ttl = :ttl",
                "lease_owner = :me AND fence = :fence AND #state = :running",
                {
                    ":done": BatchState.COMPLETED,
                    ":zero": 0,
                    ":me": chunk.owner,
                    ":fence": chunk.fence,
                    ":running": BatchState.RUNNING,
                    ":stamp": stamp(now),
                    ":ttl": self.expiry(now),
                },
            ),
            self._write(
                chunk.id,
                WHOLE,
                "SET updated_at = :stamp, #ttl = :ttl ADD "
                + ", ".join(f"{name} :v{number}" for number, name in enumerate(names)),
                "#state = :running",
                {":stamp": stamp(now), ":ttl": self.expiry(now), ":running": BatchState.RUNNING}
                | {f":v{number}": added[name] for number, name in enumerate(names)},
            ),
        ]
        token = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{chunk.id} {chunk.part} {chunk.fence}"))
        refused = await self._transact(f"closing {chunk.part} of batch {chunk.id}", writes, token)
        if refused is not None and refused[0] == "ConditionalCheckFailed":
            record = await self.batch(chunk.id, part=chunk.part)
            if record is None or record.state is not BatchState.COMPLETED:  # else our own write's answer got lost
                raise LeaseLost(JobReason.LEASE_LOST, f"{chunk.part} of batch {chunk.id} was taken over")

    async def batch(self, batch_id: str, *, part: str = WHOLE) -> BatchRecord | None:
        """Return what is known of a batch or chunk, or None."""
        async with self._call(f"reading the record of batch {batch_id}", urgent=True) as call:
            answer = await call(
                self._client.get_item, TableName=self._table, Key=_key(batch_id, part), ConsistentRead=True
            )
        return _record(batch_id, from_item(answer["Item"])) if "Item" in answer else None

    async def _held(self, batch: Batch | Lease, update: str, values: Mapping[str, Any]) -> None:
        _, done = await self._update(
            batch.id,
            batch.part,
            update,
            condition="lease_owner = :me AND fence = :fence AND #state = :running",
            values={**values, ":me": batch.owner, ":fence": batch.fence, ":running": BatchState.RUNNING},
        )
        if not done:
            raise LeaseLost(JobReason.LEASE_LOST, f"{batch.part} of {batch.id} was taken over, or cancelled")

    async def _update(
        self, batch_id: str, part: str, update: str, *, condition: str, values: Mapping[str, Any]
    ) -> tuple[BatchRecord | None, bool]:
        now = self._clock()
        write = self._write(
            batch_id, part, update, condition, {**values, ":stamp": stamp(now), ":ttl": self.expiry(now)}
        )
        async with self._call(f"writing the record of batch {batch_id}", urgent=True) as call:
            try:
                answer = await call(self._client.update_item, **write, ReturnValues="ALL_NEW")
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                return _record(batch_id, from_item(old_item(error))), False
        return _record(batch_id, from_item(answer["Attributes"])), True

    def _write(self, batch_id: str, part: str, update: str, condition: str, values: Mapping[str, Any]) -> Any:
        """Return the arguments of a conditional update."""
        return {
            "TableName": self._table,
            "Key": _key(batch_id, part),
            "UpdateExpression": update,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#state": "state", "#ttl": "ttl"},
            "ExpressionAttributeValues": to_item(values),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    async def _transact(self, what: str, writes: list[Any], token: str) -> list[str] | None:
        """Make updates together; returns why each was refused, or None when they were made.

        Refused are only those whose conditions do not hold; conflicts, throttling and outages are waited out.
        """
        async with self._call(what, urgent=True) as call:
            try:
                await call(
                    self._client.transact_write_items,
                    TransactItems=[{"Update": write} for write in writes],
                    ClientRequestToken=token,
                )
            except ClientError as error:
                if meaning_of_failure(Dependency.DYNAMODB, error) is not Meaning.ANSWER:
                    raise
                return [str(reason.get("Code")) for reason in cancellation_reasons(error)]
        return None


def _key(batch_id: str, part: str) -> Item:
    return to_item({"creator_name": f" batch {batch_id}", "processing_date": part})


def _record(batch_id: str, found: Mapping[str, Any]) -> BatchRecord | None:
    """Read a record; None where there is none (yet), as after a condition that failed on an absent item."""
    if not found.keys() >= BORN_WITH:
        return None
    return BatchRecord(
        id=batch_id,
        state=BatchState(found["state"]),
        started_at=datetime.fromisoformat(found["started_at"]),
        owner=found["lease_owner"],
        fence=int(found["fence"]),
        lease_expires=float(found["lease_expires"]),
        source_csv=found["source_csv"],
        counts=_counts(found),
        summary_key=found.get("summary_key"),
        error_code=found.get("error_code"),
        error_message=found.get("error_message"),
        updated_at=found.get("updated_at"),
        chunks_total=found.get("chunks_total"),
        chunks_sent=found.get("chunks_sent", 0),
        chunks_done=found.get("chunks_done", 0),
        takes=found.get("takes", 0),
        dropped=S3Manifest(**found["dropped"]) if found.get("dropped") else None,
    )


def _counts(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of the last report and, where chunks add theirs, the sums."""
    counts = dict(found.get("counts", {}))
    counts |= {name.removeprefix(COUNT): value for name, value in found.items() if name.startswith(COUNT)}
    errors = {name.removeprefix(ERROR): value for name, value in found.items() if name.startswith(ERROR)}
    return counts | ({"errors": errors, "images_failed": sum(errors.values())} if errors else {})
