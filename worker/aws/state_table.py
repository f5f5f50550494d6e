"""The state table: an item for each creator and batch, and one for each batch and chunk, with its lease."""

from worker.aws.batches import Batches
from worker.aws.calls import Patience
from worker.aws.clients import Clients
from worker.aws.creators import Creators
from worker.aws.waits import Waits
from worker.settings import Settings


class StateTable(Batches, Creators, Waits):
    """Everything that is known of creators, batches and chunks, and of what workers wait for."""


def open_table(settings: Settings, clients: Clients) -> StateTable:
    """Return the state table that the settings name."""
    return StateTable(
        clients.dynamodb,
        settings.dynamodb_table_name,
        ttl_days=settings.state_ttl_days,
        patience=Patience.within(settings.visibility_timeout),
    )
