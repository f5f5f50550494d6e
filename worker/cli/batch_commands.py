"""The commands about batches."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.entry import end_with, fail, settings_of
from worker.cli.options import WRONG_CALL, AsJson, BatchId, Wait
from worker.model import BatchState


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("list")(list_)
    for command in (status, show, report, download, cancel, retry):
        app.command()(command)


def list_(
    *,
    states: Annotated[
        list[BatchState] | None,
        typer.Option("--status", metavar="|".join(BatchState), help="Only batches in this state; repeatable."),
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="AGE|DATE", help="Only batches that began since: 30m, 12h, 2d, or 2025-01-19.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The most batches that are shown.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest batches: id, state, counts, age, manifest."""
    from worker.cli.listing import list_batches, since_of

    settings = settings_of()
    try:
        began = since_of(since, datetime.now(UTC)) if since else ""
    except ValueError as error:
        fail(str(error), WRONG_CALL)
    end_with(
        settings, list_batches(settings, states=frozenset(states or ()), since=began, limit=limit, as_json=as_json)
    )


def status(
    batch_id: BatchId,
    *,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow it until it is over; with --json a line for each change.")
    ] = False,
    links: Annotated[bool, typer.Option("--links", help="Add links that anyone may open for a while.")] = False,
) -> None:
    """Tell how a batch stands: progress, pace, counts, failures by reason."""
    from worker.cli.status import show_status

    settings = settings_of()
    end_with(settings, show_status(settings, batch_id, as_json=as_json, watch=watch, links=links))


def show(
    batch_id: BatchId,
    creator: Annotated[str, typer.Argument(metavar="CREATOR", help="The creator's name, as in the manifest.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Tell one creator's story: the record, each row with its fate, links to the collages."""
    from worker.cli.show import show_creator

    settings = settings_of()
    end_with(settings, show_creator(settings, batch_id, creator, as_json=as_json))


def report(
    batch_id: BatchId,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write it.", show_default="BATCH_ID.html here"),
    ] = None,
    opened: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a batch's HTML report, built anew where it is gone; prints the file's path.

    The links in it are secrets that work for S3_PRESIGNED_URL_EXPIRATION seconds.
    """
    from worker.cli.report import fetch_report

    settings = settings_of()
    end_with(settings, fetch_report(settings, batch_id, output, opened=opened, as_json=as_json))


def download(
    batch_id: BatchId,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go.", file_okay=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Fetch the collages, the report and the results of a batch as files; run again it fetches what is missing."""
    from worker.cli.download import download_batch

    settings = settings_of()
    end_with(settings, download_batch(settings, batch_id, output, as_json=as_json))


def cancel(batch_id: BatchId, *, as_json: AsJson = False) -> None:
    """Stop a running batch. What is done stays; workers drop the rest within a lease's time."""
    from worker.cli.cancel import cancel_batch

    settings = settings_of()
    end_with(settings, cancel_batch(settings, batch_id, as_json=as_json))


def retry(batch_id: BatchId, *, wait: Wait = False, as_json: AsJson = False) -> None:
    """Run anew what failed for a reason that may have passed, or was cancelled; prints the new batch's id."""
    from worker.cli.retry import retry_batch

    settings = settings_of("SQS_QUEUE_URL")
    end_with(settings, retry_batch(settings, batch_id, wait=wait, as_json=as_json))
