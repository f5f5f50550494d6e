"""`cancel`: stop a running batch."""

from worker.aws.clients import open_clients
from worker.aws.state_table import open_table
from worker.cli.terminal import stderr, stdout
from worker.model import BatchState
from worker.settings import Settings


async def cancel_batch(settings: Settings, batch_id: str) -> int:
    """Cancel a batch; returns the exit code."""
    async with open_clients(region=settings.aws_region, endpoint_url=settings.aws_endpoint_url) as clients:
        record = await open_table(settings, clients).cancel(batch_id)
    if record is None:
        stderr.print(f"there is no batch {batch_id}", markup=False)
        return 1
    stdout.print(f"{record.id}  {record.state}", markup=False)
    return 0 if record.state is BatchState.CANCELLED else 1
