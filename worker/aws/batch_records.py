"""The records of batches and chunks as items of the state table: how they are read, and what a take-over writes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from worker.aws.table import Item, to_item
from worker.errors import Dependency, JobReason, Unavailable
from worker.model import PART_CREATORS, Asked, BatchRecord, BatchState, Lease

COUNT, ERROR = "n_", "e_"
"""What the names of a batch's counters begin with. They are attributes of their own: DynamoDB adds to no others."""

BORN_WITH = frozenset({"state", "started_at", "lease_owner", "fence", "lease_expires", "source_csv"})
"""What a record holds from its first write on. DynamoDB shows that write whole or not at all; moto shows the key first
and then one attribute after another. A reader in between has come before the write."""


def record_key(batch_id: str, unit: str) -> Item:
    """Return the key of a unit's record: no creator's name begins with a space."""
    return to_item({"creator_name": f" batch {batch_id}", "processing_date": unit})


def needed(record: BatchRecord | None, batch_id: str, unit: str) -> BatchRecord:
    """Return the record that stands there. Raises `Unavailable` where another one's first write is not whole yet."""
    if record is None:
        told = f"{unit} of batch {batch_id} is being taken by another worker"
        raise Unavailable(Dependency.DYNAMODB, JobReason.AWS_UNAVAILABLE, told)
    return record


HELD = "lease_owner = :me AND fence = :fence AND #state = :running"
"""The condition that a lease is still its owner's."""


def held_values(lease: Lease) -> dict[str, Any]:
    """Return the values that `HELD` names."""
    return {":me": lease.owner, ":fence": lease.fence, ":running": BatchState.RUNNING}


def is_held(record: BatchRecord, lease: Lease) -> bool:
    """Say whether a record fulfils `HELD`."""
    return (record.owner, record.fence, record.state) == (lease.owner, lease.fence, BatchState.RUNNING)


TAKE = (
    "SET started_at = if_not_exists(started_at, :started), source_csv = :source, #state = :running, "
    "lease_owner = :owner, lease_expires = :expires, fence = if_not_exists(fence, :above) + :one, "
    "takes = if_not_exists(takes, :zero) + :one, updated_at = :stamp, #ttl = :ttl"
)
"""What every take writes."""

TAKE_VALUES = (":started", ":source", ":running", ":owner", ":expires", ":above", ":zero", ":one")
"""The values that `TAKE` names, besides the times that every write has."""


def first_values(asked: Asked | None) -> dict[str, Any]:
    """Return the values that `set_first` and `same_batch` name."""
    if asked is None:
        return {}
    return {
        ":digest": asked.digest,
        ":header": asked.spec,  # as it has been called in the table from the beginning
        ":creators": asked.chunk_creators,
        ":rows": asked.chunk_rows,
        ":parts": asked.part_creators,
    }


def set_first(asked: Asked | None) -> str:
    """Return what the first taker fixes."""
    if asked is None:
        return ""
    return (
        ", digest = if_not_exists(digest, :digest), header = if_not_exists(header, :header), "
        "chunk_creators = if_not_exists(chunk_creators, :creators), chunk_rows = if_not_exists(chunk_rows, :rows), "
        "part_creators = if_not_exists(part_creators, :parts)"
    )


def same_batch(asked: Asked | None) -> str:
    """Return the condition that a record is not another batch's."""
    return "" if asked is None else " AND (attribute_not_exists(digest) OR digest = :digest)"


def may_be_taken_over(seen: BatchRecord, asked: Asked | None, now: float, as_of: float) -> bool:
    """Say whether a unit may be taken as it is: its lease has run out, or it was over before the taker's last look.

    The message that a batch was begun for does not begin it anew, though it comes twice and clocks differ.
    """
    if seen.asked is not None and asked is not None and seen.asked.digest != asked.digest:
        return False
    match seen.state:
        case BatchState.RUNNING:
            return seen.lease_expires < now
        case BatchState.FAILED | BatchState.CANCELLED:
            is_same_message = asked is not None and seen.asked is not None and asked.spec == seen.asked.spec
            return seen.lease_expires <= as_of and not is_same_message
        case BatchState.COMPLETED:
            return False


def read_record(batch_id: str, unit: str, found: Mapping[str, Any]) -> BatchRecord | None:
    """Read a record; None where there is none (yet), as after a condition that failed on an absent item."""
    if not found.keys() >= BORN_WITH:
        return None
    return BatchRecord(
        id=batch_id,
        unit=unit,
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
        asked=_asked(found),
        chunks_written=found.get("chunks_written", 0),
        attempts=found.get("attempts", 0),
        after_end=found.get("after_end", False),
        strikes=found.get("strikes", {}),
        on_trial=found.get("on_trial"),
    )


def _counts(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of the last report and, where chunks add theirs, the sums."""
    counts = dict(found.get("counts", {}))
    counts |= {name.removeprefix(COUNT): value for name, value in found.items() if name.startswith(COUNT)}
    errors = {name.removeprefix(ERROR): value for name, value in found.items() if name.startswith(ERROR)}
    return counts | ({"errors": errors, "images_failed": sum(errors.values())} if errors else {})


def _asked(found: Mapping[str, Any]) -> Asked | None:
    if "digest" not in found:
        return None
    sizes = (found["chunk_creators"], found["chunk_rows"], found.get("part_creators", PART_CREATORS))
    return Asked(found["digest"], found["header"], *sizes)
