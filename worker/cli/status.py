"""`status`: how a batch stands."""

from datetime import UTC, datetime, timedelta

from worker.cli.access import Access, open_access
from worker.cli.batch_names import existing_batch
from worker.cli.batch_told import show_record, status_told
from worker.cli.following import follow
from worker.cli.terminal import print_json, stdout
from worker.errors import Dependency
from worker.keys import iso, report_key
from worker.model import BatchRecord, BatchState
from worker.settings import Settings


async def show_status(settings: Settings, name: str, *, as_json: bool, watch: bool, links: bool) -> int:
    """Show a batch; returns the exit code. `links` adds presigned ones to its summary and report."""
    async with open_access(settings, Dependency.DYNAMODB) as access:
        record = await existing_batch(access.table, name)
        if isinstance(record, int):
            return record
        code = 0
        if watch:
            code, record = await follow(access.table, record.id, as_json=as_json)
            if as_json and not links:
                return code
        waits = await access.table.waits() if record.state is BatchState.RUNNING else {}
        opened = await _links_of(access, record) if links else {}
    if as_json:
        more = {"links": opened, "links_end_at": _links_end(settings)} if links else {}
        print_json(status_told(record) | {"waits_for": waits} | more)
        return code
    show_record(record)
    for dependency, why in waits.items():
        stdout.print(f"waits    for {dependency}: {why['reason']}: {why['error']}", markup=False)
    for what, link in opened.items():
        stdout.print(f"{what:<8} {link}", markup=False)
    if opened:
        told = f"anyone who has a link may open it until {_links_end(settings)} (S3_PRESIGNED_URL_EXPIRATION)"
        stdout.print(f"links    {told}; sooner where the credentials end that signed it", markup=False)
    elif links:
        stdout.print("links    there is no summary yet; collage report makes a report of what is done", markup=False)
    return code


def _links_end(settings: Settings) -> str:
    return iso(datetime.now(UTC) + timedelta(seconds=settings.s3_presigned_url_expiration))


async def _links_of(access: Access, record: BatchRecord) -> dict[str, str]:
    """Return links that anyone may open for S3_PRESIGNED_URL_EXPIRATION seconds; none before there is a summary."""
    if record.summary_key is None:
        return {}
    keys = {"summary": record.summary_key, "report": report_key(record.summary_key)}
    return {name: await access.link(key) for name, key in keys.items()}
