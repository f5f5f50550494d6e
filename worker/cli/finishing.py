"""What commands need of the jobs to tell and close batches, on the ports of AWS."""

from worker.aws.stores import S3Manifests, S3Results, open_results
from worker.cli.access import Access
from worker.jobs.finish import Finisher
from worker.jobs.leasing import Leases


def results_of(access: Access) -> S3Results:
    """Return where the results of batches are."""
    return open_results(access.settings, access.s3)


def finisher_of(access: Access, owner: str) -> Finisher:
    """Return what closes batches and tells what was done of them, in the name of a command."""
    return Finisher(
        manifests=S3Manifests(access.s3),
        results=results_of(access),
        ledger=access.table,
        leases=Leases(access.table, owner=owner, seconds=access.settings.visibility_timeout),
        chunk_files=None,
    )
