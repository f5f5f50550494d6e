"""The records of batches and their chunks, each of which also holds its lease.

They stand under a key that begins with a space: creator names are trimmed, so none can take it. They have neither a
`status` nor a `batch_id`, so that they are in neither index.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from worker.aws.batch_records import (
    COUNT,
    ERROR,
    HELD,
    TAKE,
    TAKE_VALUES,
    first_values,
    held_values,
    is_held,
    may_be_taken_over,
    needed,
    read_record,
    record_key,
    same_batch,
    set_first,
)
from worker.aws.calls import cancellation_reasons, code_of, meaning_of_failure
from worker.aws.failures import Meaning
from worker.aws.table import Table, from_item, old_item, stamp, to_item
from worker.errors import Dependency, JobReason, LeaseLost, TerminalError
from worker.model import WHOLE, Asked, BatchRecord, BatchState, Lease


class Batches(Table):
    """What is known of batches and chunks. Every write is conditional on who may make it."""

    async def take(
        self,
        batch_id: str,
        *,
        owner: str,
        source_csv: str,
        lease_seconds: float,
        asked: Asked | None = None,
        unit: str = WHOLE,
        fence_above: int = 0,
        as_of: float | None = None,
        outage_at: float = 0.0,
    ) -> tuple[BatchRecord, bool]:
        """Take the lease on a unit, as `worker.jobs.ports.Ledger` says.

        Two writes at the most. The first takes a unit that nobody had, or whose lease was given back. Where it is
        refused, the answer tells what stands there; a second one takes just that over, where it may be taken.
        The batch's start is the first taker's: keys and records are named after it.
        Raises `Unavailable` where another one's first write to the record is not whole yet (`BORN_WITH`).
        """
        now = self._clock()
        values = first_values(asked) | {
            ":started": stamp(now),
            ":source": source_csv,
            ":running": BatchState.RUNNING,
            ":owner": owner,
            ":expires": now + lease_seconds,
            ":above": fence_above,
            ":zero": 0,
            ":one": 1,
            ":no": False,
        }
        refused, taken = await self._update(
            batch_id,
            unit,
            TAKE + ", attempts = if_not_exists(attempts, :zero), after_end = :no" + set_first(asked),
            condition="attribute_not_exists(creator_name) OR "
            "(#state = :running AND lease_expires = :zero" + same_batch(asked) + ")",
            values=values,
        )
        if taken:
            return needed(refused, batch_id, unit), True
        seen = needed(refused, batch_id, unit)
        if seen.owner == owner and seen.lease_expires == now + lease_seconds:
            return seen, True  # the answer to our own write got lost, and the second try met what it wrote
        if not may_be_taken_over(seen, asked, now, now if as_of is None else as_of):
            return seen, False
        return await self._take_over(seen, values, lease_seconds, outage_at)

    async def _take_over(
        self, seen: BatchRecord, values: Mapping[str, Any], lease_seconds: float, outage_at: float
    ) -> tuple[BatchRecord, bool]:
        """Take over a unit as it was seen: its lease ran out, or it failed or was cancelled and begins anew."""
        is_begun_anew = seen.state is not BatchState.RUNNING
        excused = outage_at >= seen.lease_expires - lease_seconds
        attempts = 0 if is_begun_anew else seen.attempts + (0 if excused else 1)
        record, done = await self._update(
            seen.id,
            seen.unit,
            TAKE
            + ", attempts = :attempts, after_end = :ended REMOVE error_code, error_message"
            + (", strikes, on_trial, summary_key, chunks_total, chunks_sent" if is_begun_anew else ""),
            condition="#state = :seen_state AND fence = :seen_fence AND lease_expires = :seen_expires",
            values={name: values[name] for name in TAKE_VALUES}
            | {
                ":attempts": attempts,
                ":ended": not (is_begun_anew or excused),
                ":seen_state": seen.state,
                ":seen_fence": seen.fence,
                ":seen_expires": seen.lease_expires,
            },
        )
        found = needed(record, seen.id, seen.unit)
        return found, done or (found.owner == values[":owner"] and found.lease_expires == values[":expires"])

    async def extend(self, lease: Lease, *, lease_seconds: float, counts: Mapping[str, Any]) -> None:
        """Keep the lease for `lease_seconds` more, and report progress. Raises `LeaseLost`."""
        await self._held(
            lease,
            "SET lease_expires = :expires, counts = :counts, updated_at = :stamp, #ttl = :ttl",
            {":expires": self._clock() + lease_seconds, ":counts": dict(counts)},
        )

    async def release(self, lease: Lease) -> None:
        """Give the lease back, so that the next worker need not wait for its end. Raises `LeaseLost`."""
        await self._held(lease, "SET lease_expires = :expires, updated_at = :stamp, #ttl = :ttl", {":expires": 0})

    async def release_failed(self, lease: Lease) -> int:
        """Give the lease back after a failure that nobody foresaw; returns the attempts so far. Raises `LeaseLost`."""
        record = await self._held(
            lease,
            "SET lease_expires = :zero, attempts = if_not_exists(attempts, :zero) + :one, updated_at = :stamp, "
            "#ttl = :ttl",
            {":zero": 0, ":one": 1},
        )
        return record.attempts

    async def note_progress(self, lease: Lease) -> None:
        """Set the count of attempts back to nothing. Raises `LeaseLost`."""
        await self._held(lease, "SET attempts = :zero, updated_at = :stamp, #ttl = :ttl", {":zero": 0})

    async def note_suspects(self, lease: Lease, *, strikes: Mapping[str, int], on_trial: str | None) -> None:
        """Note who is suspected, and who is on trial. Raises `LeaseLost`."""
        await self._held(
            lease,
            "SET strikes = :strikes, on_trial = :trial, updated_at = :stamp, #ttl = :ttl",
            {":strikes": dict(strikes), ":trial": on_trial},
        )

    async def note_written(self, lease: Lease, *, chunks: int, counts: Mapping[str, Any]) -> None:
        """Note how many chunks' files are written. Raises `LeaseLost`.

        A request that arrives once more, late, lowers nothing: a chunk beyond the number would count as forged.
        """
        record, done = await self._update(
            lease.id,
            lease.unit,
            "SET chunks_written = :chunks, counts = :counts, updated_at = :stamp, #ttl = :ttl",
            condition=f"{HELD} AND (attribute_not_exists(chunks_written) OR chunks_written < :chunks)",
            values={":chunks": chunks, ":counts": dict(counts)} | held_values(lease),
        )
        if not done and not (record is not None and is_held(record, lease) and record.chunks_written >= chunks):
            raise LeaseLost(JobReason.LEASE_LOST, f"{lease.unit} of {lease.id} was taken over, or cancelled")

    async def note_sent(self, lease: Lease, *, chunks: int) -> None:
        """Note how many chunks' messages have been sent, which is progress. Raises `LeaseLost`."""
        await self._held(
            lease,
            "SET chunks_sent = :chunks, attempts = :zero, updated_at = :stamp, #ttl = :ttl",
            {":chunks": chunks, ":zero": 0},
        )

    async def note_plan(self, lease: Lease, *, chunks: int, counts: Mapping[str, Any]) -> None:
        """Note how many chunks there are in all: from here on the batch's end is left. Raises `LeaseLost`."""
        await self._held(
            lease,
            "SET chunks_total = :chunks, counts = :counts, updated_at = :stamp, #ttl = :ttl",
            {":chunks": chunks, ":counts": dict(counts)},
        )

    async def note_summary(self, lease: Lease, *, summary_key: str, counts: Mapping[str, Any]) -> None:
        """Note that the summary is written: from here on only the manifest's move and `complete` are left."""
        await self._held(
            lease,
            "SET summary_key = :key, counts = :counts, updated_at = :stamp, #ttl = :ttl",
            {":key": summary_key, ":counts": dict(counts)},
        )

    async def note_unfinished(self, batch_id: str, *, summary_key: str, counts: Mapping[str, Any]) -> None:
        """Note the summary of a batch that failed or was cancelled; nothing is noted where it has begun anew."""
        await self._update(
            batch_id,
            WHOLE,
            "SET summary_key = :key, counts = :counts, updated_at = :stamp, #ttl = :ttl",
            condition="#state = :failed OR #state = :cancelled",
            values={
                ":key": summary_key,
                ":counts": dict(counts),
                ":failed": BatchState.FAILED,
                ":cancelled": BatchState.CANCELLED,
            },
        )

    async def complete(self, lease: Lease) -> None:
        """Close the batch as completed. Raises `LeaseLost`."""
        await self._held(
            lease,
            "SET #state = :done, lease_expires = :zero, updated_at = :stamp, #ttl = :ttl",
            {":done": BatchState.COMPLETED, ":zero": 0},
        )

    async def fail(self, lease: Lease, *, code: str, message: str) -> None:
        """Close the batch as failed as a whole. Raises `LeaseLost`.

        Should it be run again, it is planned again; chunks that are done stay so, and stay counted.
        """
        await self._held(
            lease,
            "SET #state = :failed, lease_expires = :now, error_code = :code, error_message = :message, "
            "updated_at = :stamp, #ttl = :ttl",
            {":failed": BatchState.FAILED, ":now": self._clock(), ":code": code, ":message": message[:2_000]},
        )

    async def cancel(self, batch_id: str) -> BatchRecord | None:
        """Stop a running batch: no lease on it can be extended any more. Returns its record as it was left.

        None where there is no such batch; a batch that is over stays as it is.
        """
        record, _ = await self._update(
            batch_id,
            WHOLE,
            "SET #state = :cancelled, lease_expires = :now, updated_at = :stamp, #ttl = :ttl",
            condition="#state = :running",
            values={":cancelled": BatchState.CANCELLED, ":now": self._clock(), ":running": BatchState.RUNNING},
        )
        return record

    async def complete_chunk(
        self,
        lease: Lease,
        *,
        counts: Mapping[str, int],
        errors: Mapping[str, int],
        failure: TerminalError | None = None,
    ) -> None:
        """Close a chunk and add what came of it to its batch, both or neither, once. Raises `LeaseLost`.

        Where the batch was cancelled meanwhile, nothing is added.
        """
        writes = [self._closing(lease, failure), self._counting(lease, counts, errors)]
        token = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{lease.id} {lease.unit} {lease.fence}"))
        refused = await self._transact(f"closing {lease.unit} of batch {lease.id}", writes, token)
        if refused is not None and refused[0] == "ConditionalCheckFailed":
            record = await self.batch(lease.id, unit=lease.unit)
            if record is None or record.state is not BatchState.COMPLETED:  # else our own write's answer got lost
                raise LeaseLost(JobReason.LEASE_LOST, f"{lease.unit} of batch {lease.id} was taken over")

    def _closing(self, lease: Lease, failure: TerminalError | None) -> Any:
        now = self._clock()
        why = {":code": failure.reason, ":message": str(failure)[:2_000]} if failure else {}
        return self._write(
            lease.id,
            lease.unit,
            "SET #state = :done, lease_expires = :zero, updated_at = :stamp, #ttl = :ttl"
            + (", error_code = :code, error_message = :message" if failure else ""),
            HELD,
            {
                ":done": BatchState.COMPLETED,
                ":zero": 0,
                **held_values(lease),
                ":stamp": stamp(now),
                ":ttl": self.expiry(now),
            }
            | why,
        )

    def _counting(self, lease: Lease, counts: Mapping[str, int], errors: Mapping[str, int]) -> Any:
        now = self._clock()
        added = {f"{COUNT}{name}": count for name, count in counts.items()}
        added |= {f"{ERROR}{reason}": count for reason, count in errors.items()} | {"chunks_done": 1}
        return self._write(
            lease.id,
            WHOLE,
            "SET attempts = :zero, updated_at = :stamp, #ttl = :ttl ADD "
            + ", ".join(f"{name} :v{number}" for number, name in enumerate(added)),
            "#state = :running",
            {":stamp": stamp(now), ":ttl": self.expiry(now), ":running": BatchState.RUNNING, ":zero": 0}
            | {f":v{number}": value for number, value in enumerate(added.values())},
        )

    async def batch(self, batch_id: str, *, unit: str = WHOLE) -> BatchRecord | None:
        """Return what is known of a batch or chunk, or None."""
        async with self._call(f"reading the record of batch {batch_id}", urgent=True) as call:
            key = record_key(batch_id, unit)
            answer = await call(self._client.get_item, TableName=self._table, Key=key, ConsistentRead=True)
        return read_record(batch_id, unit, from_item(answer["Item"])) if "Item" in answer else None

    async def _held(self, lease: Lease, update: str, values: Mapping[str, Any]) -> BatchRecord:
        """Make a write that only the lease's owner may make; returns the record after it. Raises `LeaseLost`."""
        record, done = await self._update(
            lease.id,
            lease.unit,
            update,
            condition=HELD,
            values={**values, **held_values(lease)},
        )
        if not done:
            raise LeaseLost(JobReason.LEASE_LOST, f"{lease.unit} of {lease.id} was taken over, or cancelled")
        return needed(record, lease.id, lease.unit)

    async def _update(
        self, batch_id: str, unit: str, update: str, *, condition: str, values: Mapping[str, Any]
    ) -> tuple[BatchRecord | None, bool]:
        now = self._clock()
        write = self._write(
            batch_id, unit, update, condition, {**values, ":stamp": stamp(now), ":ttl": self.expiry(now)}
        )
        async with self._call(f"writing the record of batch {batch_id}", urgent=True) as call:
            try:
                answer = await call(self._client.update_item, **write, ReturnValues="ALL_NEW")
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                return read_record(batch_id, unit, from_item(old_item(error))), False
        return read_record(batch_id, unit, from_item(answer["Attributes"])), True

    def _write(self, batch_id: str, unit: str, update: str, condition: str, values: Mapping[str, Any]) -> Any:
        """Return the arguments of a conditional update."""
        return {
            "TableName": self._table,
            "Key": record_key(batch_id, unit),
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
