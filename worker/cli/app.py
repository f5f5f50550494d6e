"""The command line. Commands import what they need when they are called, so that each starts quickly."""

import asyncio
import io
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Never, TypeVar

import typer

from worker import __version__
from worker.errors import SettingsError
from worker.model import ProcessingConfig
from worker.settings import Settings, load

DONE, FAILED, WRONG_CALL = 0, 1, 2

app = typer.Typer(
    name="collage",
    help="Makes one grid collage for each creator of a manifest of cover images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

T = TypeVar("T")
BatchId = Annotated[str, typer.Argument(metavar="BATCH_ID", help="What `submit` printed.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A key of processing_config, such as rows=3 or background=#222222; repeatable.",
    ),
]


@app.command()
def run() -> None:
    """Run the worker: receive jobs from SQS until told to stop. This is what the container starts."""
    import structlog

    from worker.errors import WorkerError
    from worker.logs import configure
    from worker.service.app import serve

    settings = _settings("SQS_QUEUE_URL")
    configure(settings.log_level, settings.log_format)
    log = structlog.get_logger(__name__)
    try:
        asyncio.run(serve(settings))
    except SettingsError as error:
        _fail(f"the settings are wrong:\n{error}", WRONG_CALL)
    except WorkerError as error:
        log.error("worker.failed", reason=error.reason, error=str(error))  # noqa: TRY400 -- the text says it all
        raise typer.Exit(FAILED) from None
    except Exception:
        log.exception("worker.died")
        raise typer.Exit(FAILED) from None


@app.command()
def process(
    manifest: Annotated[Path, typer.Argument(metavar="FILE", help="The manifest: CSV, JSON, JSON Lines or XLSX.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where results go.", file_okay=False)],
    sets: Set = None,
) -> None:
    """Do a whole job on this machine, without AWS: collages, summary and report into DIR."""
    from worker.cli.process import process_file

    if not manifest.is_file():
        _fail(f"there is no file {manifest}; process takes a manifest", WRONG_CALL)
    settings = _settings()
    config = _config(settings, _asked(sets))
    raise typer.Exit(_until_done(process_file(settings, manifest, output, config)))


@app.command()
def submit(
    manifest: Annotated[
        str, typer.Argument(metavar="FILE|s3://BUCKET/KEY", help="The manifest: CSV, JSON, JSON Lines or XLSX.")
    ],
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the batch with a progress bar.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Run a file anew that has been done already.")] = False,
    output_prefix: Annotated[str | None, typer.Option(help="Goes before every key of the results.")] = None,
    sets: Set = None,
) -> None:
    """Send a job: upload the manifest where needed, send the message, print the batch id."""
    from worker.cli.submit import submit_manifest
    from worker.jobs.messages import checked_prefix

    settings = _settings("SQS_QUEUE_URL")
    config = _asked(sets)
    _config(settings, config)
    if output_prefix is not None:
        _allowed(lambda: checked_prefix(output_prefix))
    raise typer.Exit(_until_done(submit_manifest(settings, manifest, config, output_prefix, wait=wait, again=again)))


@app.command()
def status(
    batch_id: BatchId,
    *,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it until it is done.")] = False,
    links: Annotated[bool, typer.Option("--links", help="Add links that anyone may open for a while.")] = False,
) -> None:
    """Tell how a batch stands: progress, counts, failures by reason."""
    from worker.cli.status import show_status

    raise typer.Exit(_until_done(show_status(_settings(), batch_id, as_json=as_json, watch=watch, links=links)))


@app.command()
def report(
    batch_id: BatchId,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write it.", show_default="BATCH_ID.html here"),
    ] = None,
    opened: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
) -> None:
    """Fetch a batch's HTML report, built anew where it is gone; prints the file's path.

    The links in it are secrets that work for S3_PRESIGNED_URL_EXPIRATION seconds.
    """
    from worker.cli.report import fetch_report

    raise typer.Exit(_until_done(fetch_report(_settings(), batch_id, output, opened=opened)))


@app.command()
def cancel(batch_id: BatchId) -> None:
    """Stop a running batch. What is done stays; workers drop the rest within a lease's time."""
    from worker.cli.cancel import cancel_batch

    raise typer.Exit(_until_done(cancel_batch(_settings(), batch_id)))


@app.command()
def retry(
    batch_id: BatchId,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the new batch with a progress bar.")] = False,
) -> None:
    """Run anew the creators that missed images for a reason that may have passed; prints the new batch's id."""
    from worker.cli.retry import retry_batch

    raise typer.Exit(_until_done(retry_batch(_settings("SQS_QUEUE_URL"), batch_id, wait=wait)))


dlq = typer.Typer(help="Look at the dead-letter queue, and send back what is in it.", no_args_is_help=True)
app.add_typer(dlq, name="dlq")
Most = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Messages looked at.")]


@dlq.command("list")
def dlq_list(*, as_json: AsJson = False, limit: Most = 1_000) -> None:
    """Tell what is in the dead-letter queue and why. The messages stay there."""
    from worker.cli.dlq import list_dead_letters

    raise typer.Exit(_until_done(list_dead_letters(_settings(), as_json=as_json, limit=limit)))


@dlq.command("redrive")
def dlq_redrive(
    *,
    causes: Annotated[
        list[str] | None,
        typer.Option("--cause", metavar="CODE", help="Only those with this error_code; repeatable. None: all."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be sent back, and send nothing.")] = False,
    limit: Most = 1_000,
) -> None:
    """Send messages back to the queue, by cause. See what it would do with --dry-run first."""
    from worker.cli.dlq import redrive

    settings = _settings("SQS_QUEUE_URL")
    raise typer.Exit(_until_done(redrive(settings, frozenset(causes or ()), dry_run=dry_run, limit=limit)))


@app.command()
def bootstrap() -> None:
    """Make buckets, queues, table and notifications at a local endpoint (AWS_ENDPOINT_URL). Safe to repeat."""
    from botocore.exceptions import BotoCoreError, ClientError

    from worker.aws.bootstrap import bootstrap as make

    settings = _settings()
    if settings.aws_endpoint_url is None:
        _fail(
            "AWS_ENDPOINT_URL is not set: bootstrap is for local endpoints such as LocalStack; "
            "in AWS, infra/ makes these with Terraform",
            WRONG_CALL,
        )
    try:
        for line in make(settings):
            typer.echo(line)
    except (BotoCoreError, ClientError, OSError) as error:
        _fail(f"{settings.aws_endpoint_url}: {error}")


@app.command("export-mysql")
def export_mysql(
    target: Annotated[str, typer.Argument(metavar="FILE.csv|s3://BUCKET/KEY", help="Where the manifest goes.")],
    *,
    query: Annotated[
        str | None, typer.Option(metavar="SQL", help="A SELECT whose columns are named as a manifest's.")
    ] = None,
    table: Annotated[str | None, typer.Option(metavar="NAME", help="Instead of a query: all of this table.")] = None,
) -> None:
    """Export rows from MySQL (MYSQL_URL) as a manifest, streamed; gzipped where the target ends in .gz."""
    from worker.cli.export import export_mysql as export

    if (query is None) == (table is None):
        _fail("say either --query SQL or --table NAME", WRONG_CALL)
    if target.startswith("s3://") and not all(target.removeprefix("s3://").partition("/")):
        _fail(f"the target is {target}; it has to be a file or s3://BUCKET/KEY", WRONG_CALL)
    settings = _settings("MYSQL_URL")
    select = query or "SELECT * FROM `{}`".format(str(table).replace("`", "``"))  # noqa: S608 -- quoted, and read only
    raise typer.Exit(_answered(lambda: export(settings, select, target)))


@app.command()
def health(*, as_json: AsJson = False) -> None:
    """Check memory, S3, SQS, DynamoDB and the network outside; exit code 1 where something required is not well."""
    from worker.cli.health import show_health

    raise typer.Exit(_until_done(show_health(_settings(), as_json=as_json)))


@app.callback(invoke_without_command=True)
def _version(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command that was typed."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # what a terminal or pipe cannot show is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    app()


def _settings(*required: str) -> Settings:
    try:
        return load(required=required)
    except SettingsError as error:
        _fail(f"the settings are wrong:\n{error}", WRONG_CALL)


def _asked(sets: list[str] | None) -> dict[str, Any]:
    """Read KEY=VALUE pairs; a value that is JSON is taken as such, anything else as text."""
    found: dict[str, Any] = {}
    for pair in sets or []:
        key, equals, value = pair.partition("=")
        if not equals:
            _fail(f"--set takes KEY=VALUE, for example --set rows=3; got {pair!r}", WRONG_CALL)
        try:
            found[key.strip()] = json.loads(value)
        except ValueError:
            found[key.strip()] = value
    return found


def _config(settings: Settings, given: dict[str, Any]) -> ProcessingConfig:
    """Return the whole of what a job asks for, checked as the worker checks it."""
    from worker.jobs.messages import config_of

    return _allowed(lambda: config_of(given, settings.default_config))


def _allowed(check: Callable[[], T]) -> T:
    """Ask what the worker would ask: what it would refuse is a wrong call."""
    from worker.errors import TerminalError

    try:
        return check()
    except TerminalError as error:
        _fail(str(error), WRONG_CALL)


def _until_done(work: Coroutine[Any, Any, T]) -> T:
    return _answered(lambda: asyncio.run(work))


def _answered(work: Callable[[], T]) -> T:
    from worker.errors import WorkerError

    try:
        return work()
    except SettingsError as error:
        _fail(f"the settings are wrong:\n{error}", WRONG_CALL)
    except WorkerError as error:
        _fail(f"{error.reason}: {error}")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _fail(text: str, code: int = FAILED) -> Never:
    typer.echo(text, err=True)
    raise typer.Exit(code)
