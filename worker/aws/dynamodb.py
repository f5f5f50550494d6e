"""The state table: an item for each creator and batch, and one for each batch and chunk, with its lease."""

from worker.aws.batches import Batches
from worker.aws.creators import Creators


class StateTable(Batches, Creators):
    """Everything that is known of creators, batches and chunks."""
