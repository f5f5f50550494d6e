"""What the workers wait for, as they last noted it in the state table: for whoever asks how a batch stands."""

from collections.abc import Mapping
from typing import Any

from worker.aws.calls import NONE, PROBE_DEADLINE, aws_call
from worker.aws.table import SETTING, Table, from_item, to_item
from worker.errors import Dependency

FRESH = 60.0
"""Seconds for which a note counts; a worker that still waits writes it anew every ten."""

_KEY = {"creator_name": " waits", "processing_date": "-"}
"""One item for all workers, under a name that no creator can have. The newest note is enough: they share AWS."""


class Waits(Table):
    """Notes of the dependencies that are refused."""

    async def note_waits(self, waits_for: Mapping[str, Mapping[str, Any]]) -> None:
        """Note what a worker waits for: by dependency, the reason and the error. Raises as `aws_call`, at once."""
        now = self._clock()
        item = _KEY | {"noted_at": now, "waits_for": {name: dict(why) for name, why in waits_for.items()}}
        async with aws_call(
            Dependency.DYNAMODB, "noting what is waited for", deadline=PROBE_DEADLINE, patience=NONE, setting=SETTING
        ) as call:
            await call(self._client.put_item, TableName=self._table, Item=to_item(item | {"ttl": self.expiry(now)}))

    async def waits(self) -> dict[str, dict[str, Any]]:
        """Return what a worker has waited for within the last minute; nothing where none does."""
        async with self._call("reading what workers wait for") as call:
            answer = await call(self._client.get_item, TableName=self._table, Key=to_item(_KEY), ConsistentRead=True)
        found = from_item(answer.get("Item", {}))
        fresh = self._clock() - found.get("noted_at", 0.0) < FRESH
        return dict(found["waits_for"]) if fresh and "waits_for" in found else {}
