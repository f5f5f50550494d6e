"""`report`: a batch's HTML report as a file here."""

import io
import json
import time
import webbrowser
from pathlib import Path

from worker.aws.s3 import S3
from worker.cli.access import Access, open_access
from worker.cli.batch_names import AmbiguousNameError, named_batch
from worker.cli.finishing import finisher_of
from worker.cli.terminal import print_json, stderr, stdout
from worker.errors import Dependency
from worker.jobs.chunk_files import spec_of
from worker.jobs.report.links import with_links
from worker.jobs.report.page import rebuilt
from worker.keys import report_key, summary_key
from worker.model import BatchRecord, BatchState
from worker.settings import Settings


async def fetch_report(
    settings: Settings, name: str, output: Path | None, *, opened: bool, as_json: bool = False
) -> int:
    """Write the report to a file, with links that work from there; returns the exit code."""
    async with open_access(settings, Dependency.S3, Dependency.DYNAMODB) as access:
        s3 = access.s3
        try:
            record = await named_batch(access.table, name)
        except AmbiguousNameError as error:
            stderr.print(f"{error}\ntype more of it", markup=False)
            return 2
        batch_id = record.id if record else name
        # A record is forgotten after STATE_TTL_DAYS; the report may still be there.
        key = record.summary_key if record else summary_key(settings.default_output_prefix, batch_id)
        page = await _page(s3, settings.output_bucket, key) if key else None
        if page is None and record is not None and record.state is BatchState.RUNNING and record.asked is not None:
            key, page = await _page_so_far(access, record)
        if page is None or key is None:
            stderr.print(_why_there_is_none(batch_id, record), markup=False)
            return 1
        page = await with_links(page, key, access.link, time.time() + settings.s3_presigned_url_expiration)
    path = (output or Path(Path(f"{batch_id}.html").name)).absolute()
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        stderr.print(f"cannot write {path}: {error.strerror}", markup=False)
        return 1
    if as_json:
        print_json({"batch_id": batch_id, "report": str(path)})
    else:
        stdout.print(str(path), markup=False)
    if opened and not webbrowser.open(path.as_uri()):
        stderr.print("no browser could be opened", markup=False)
    return 0


async def _page(s3: S3, bucket: str, key: str) -> str | None:
    """Return the report beside a summary, built anew where it is gone; None where the summary is gone, too."""
    if (page := await s3.get(bucket, report_key(key))) is not None:
        return page.decode()
    summary = await s3.get(bucket, key)
    return rebuilt(json.loads(summary)).decode() if summary is not None else None


async def _page_so_far(access: Access, record: BatchRecord) -> tuple[str, str]:
    """Return the report of a batch that goes on, made here, with the key that it has at the batch's end."""
    with io.BytesIO() as page:
        await finisher_of(access, "collage report").write_report_so_far(record, page)
        return summary_key(spec_of(record).job.output_prefix, record.id), page.getvalue().decode()


def _why_there_is_none(batch_id: str, record: BatchRecord | None) -> str:
    if record is None:
        return f"there is no batch {batch_id}, and no report of it: it waits in the queue, or the id is wrong"
    if record.state is BatchState.FAILED:
        return f"batch {batch_id} failed as a whole, without a report: {record.error_code}: {record.error_message}"
    if record.state is BatchState.COMPLETED:
        return f"the summary of batch {batch_id} is gone from the output bucket"
    return f"batch {batch_id} is {record.state}, and its manifest is not read yet; try again in a moment"
