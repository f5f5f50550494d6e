"""`cancel`: stop a running batch, and tell what was done of it."""

from worker.aws.clients import open_clients
from worker.aws.s3 import S3
from worker.aws.state_table import open_table
from worker.aws.stores import S3Manifests, S3Results
from worker.cli.terminal import stderr, stdout
from worker.jobs.finish import Finisher
from worker.jobs.leasing import Leases
from worker.model import BatchState
from worker.settings import Settings


async def cancel_batch(settings: Settings, batch_id: str) -> int:
    """Cancel a batch; returns the exit code. What is done of it by now is in its summary and report."""
    async with open_clients(region=settings.aws_region, endpoint_url=settings.aws_endpoint_url) as clients:
        table = open_table(settings, clients)
        record = await table.cancel(batch_id)
        if record is None:
            stderr.print(f"there is no batch {batch_id}", markup=False)
            return 1
        if record.state is BatchState.CANCELLED and record.asked is not None:
            s3 = S3(clients.s3, settings=settings.own_buckets)
            await Finisher(
                manifests=S3Manifests(s3),
                results=S3Results(
                    s3,
                    bucket=settings.output_bucket,
                    temp_bucket=settings.temp_bucket,
                    only_new=settings.collision_check_enabled,
                    debug=False,
                ),
                ledger=table,
                leases=Leases(table, owner="collage cancel", seconds=settings.visibility_timeout),
                chunk_files=None,
            ).close_cancelled(record)
    stdout.print(f"{record.id}  {record.state}", markup=False)
    return 0 if record.state is BatchState.CANCELLED else 1
