"""`cancel`: stop a running batch, and tell what was done of it."""

from worker.cli.access import open_access
from worker.cli.batch_names import existing_batch
from worker.cli.batch_told import status_told
from worker.cli.finishing import finisher_of
from worker.cli.terminal import print_json, stderr, stdout
from worker.errors import Dependency
from worker.model import BatchState
from worker.settings import Settings


async def cancel_batch(settings: Settings, name: str, *, as_json: bool) -> int:
    """Cancel a batch; returns the exit code. What is done of it by now is in its summary and report."""
    async with open_access(settings, Dependency.S3, Dependency.DYNAMODB) as access:
        known = await existing_batch(access.table, name)
        if isinstance(known, int):
            return known
        record = await access.table.cancel(known.id) or known
        if record.state is BatchState.CANCELLED and record.asked is not None:
            await finisher_of(access, "collage cancel").close_cancelled(record)
    if as_json:
        print_json(status_told(record))
    else:
        stdout.print(f"{record.id}  {record.state}", markup=False)
    if record.state is not BatchState.CANCELLED:
        stderr.print(f"it is {record.state}: there is nothing to stop", markup=False)
        return 1
    stderr.print(
        f"what is done of it stays: collage report {record.id} shows it, collage retry {record.id} runs the rest",
        markup=False,
    )
    return 0
