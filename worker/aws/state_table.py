"""The state table: an item for each creator and batch, and one for each batch and chunk, with its lease."""

from typing import Any

from worker.aws.batch_log import BatchLog
from worker.aws.batches import Batches
from worker.aws.calls import Patience
from worker.aws.clients import Clients
from worker.aws.creators import Creators
from worker.aws.waits import Waits
from worker.model import WHOLE, BatchRecord
from worker.settings import Settings


class StateTable(Batches, Creators, Waits, BatchLog):
    """Everything that is known of creators, batches and chunks, and of what workers wait for."""

    async def take(self, batch_id: str, **asked: Any) -> tuple[BatchRecord, bool]:
        """Take the lease on a unit, as `worker.jobs.ports.Ledger` says; a batch that is taken is in the log from then.

        After the take, as its answer tells the start: should the worker end in between, the next taker writes it.
        """
        record, ours = await super().take(batch_id, **asked)
        if ours and record.unit == WHOLE:
            await self.log_batch(record)
        return record, ours


def open_table(settings: Settings, clients: Clients) -> StateTable:
    """Return the state table that the settings name."""
    return StateTable(
        clients.dynamodb,
        settings.dynamodb_table_name,
        ttl_days=settings.state_ttl_days,
        patience=Patience.within(settings.visibility_timeout),
    )
