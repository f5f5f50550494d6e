"""The commands that begin a job: here, or on the workers."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.entry import allowed, asked_of, config_from, end_with, fail, settings_of
from worker.cli.options import WRONG_CALL, AsJson, Set, Wait, keys_told


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(epilog=keys_told())(process)
    app.command(epilog=keys_told())(submit)


def process(
    manifest: Annotated[Path, typer.Argument(metavar="FILE", help="The manifest: CSV, JSON, JSON Lines or XLSX.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where results go.", file_okay=False)],
    *,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Do those creators anew that missed images that may be there now.")
    ] = False,
    sets: Set = None,
    as_json: AsJson = False,
) -> None:
    """Do a whole job on this machine, without AWS: collages, summary and report into DIR.

    Run again with the same file, settings and DIR it goes on where it was stopped; what is done is not done again.
    Ctrl-C finishes the creators at hand, and tells what is done; once more ends at once.
    """
    from worker.cli.process import process_file

    if not manifest.is_file():
        fail(f"there is no file {manifest}; process takes a manifest", WRONG_CALL)
    settings = settings_of()
    config = config_from(settings, asked_of(sets))
    end_with(settings, process_file(settings, manifest, output, config, retry_failed=retry_failed, as_json=as_json))


def submit(
    manifest: Annotated[
        str, typer.Argument(metavar="FILE|s3://BUCKET/KEY", help="The manifest: CSV, JSON, JSON Lines or XLSX.")
    ],
    *,
    wait: Wait = False,
    again: Annotated[
        bool, typer.Option("--again", help="Begin a batch anew that is done, cancelled or failed already.")
    ] = False,
    output_prefix: Annotated[str | None, typer.Option(help="Goes before every key of the results.")] = None,
    sets: Set = None,
    as_json: AsJson = False,
) -> None:
    """Send a job: upload the manifest where needed, send the message, print the batch id."""
    from worker.cli.submit import submit_manifest
    from worker.jobs.messages import checked_prefix

    settings = settings_of("SQS_QUEUE_URL")
    config = asked_of(sets)
    config_from(settings, config)
    if output_prefix is not None:
        allowed(lambda: checked_prefix(output_prefix))
    work = submit_manifest(settings, manifest, config, output_prefix, wait=wait, again=again, as_json=as_json)
    end_with(settings, work)
