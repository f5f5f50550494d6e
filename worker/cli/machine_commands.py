"""The commands for a machine: the worker itself, an emulator's resources, health, rows from MySQL."""

import asyncio
from typing import Annotated

import typer

from worker.cli.entry import end_after, end_with, fail, settings_of
from worker.cli.options import FAILED, WRONG_CALL, AsJson
from worker.errors import SettingsError, WorkerError


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(bootstrap)
    app.command()(health)
    app.command("export-mysql")(export_mysql)
    app.command()(run)


def run() -> None:
    """Run the worker: receive jobs from SQS until told to stop. This is what the container starts."""
    import structlog

    from worker.logs import configure
    from worker.service.app import serve

    settings = settings_of("SQS_QUEUE_URL")
    configure(settings.log_level, settings.log_format)
    log = structlog.get_logger(__name__)
    try:
        asyncio.run(serve(settings))
    except SettingsError as error:
        fail(f"the settings are wrong:\n{error}", WRONG_CALL)
    except WorkerError as error:
        log.error("worker.failed", reason=error.reason, error=str(error))  # noqa: TRY400 -- the text says it all
        raise typer.Exit(FAILED) from None
    except Exception:
        log.exception("worker.died")
        raise typer.Exit(FAILED) from None


def bootstrap(*, as_json: AsJson = False) -> None:
    """Make buckets, queues, table and notifications at a local endpoint (AWS_ENDPOINT_URL). Safe to repeat."""
    from botocore.exceptions import BotoCoreError, ClientError

    from worker.aws.bootstrap import bootstrap as make
    from worker.cli.terminal import print_json, stdout

    settings = settings_of()
    if settings.aws_endpoint_url is None:
        fail(
            "AWS_ENDPOINT_URL is not set: bootstrap is for local endpoints such as LocalStack "
            "(export AWS_ENDPOINT_URL=http://localhost:4566); in AWS, infra/ makes these with Terraform",
            WRONG_CALL,
        )
    made: list[str] = []
    try:
        for line in make(settings):
            made.append(line)
            if not as_json:
                stdout.print(line, markup=False)
    except (BotoCoreError, ClientError, OSError) as error:
        fail(f"{settings.aws_endpoint_url}: {error}\nmake up starts LocalStack; or correct AWS_ENDPOINT_URL")
    if as_json:
        print_json({"made": made})


def health(*, as_json: AsJson = False) -> None:
    """Check memory, sandbox, S3, SQS, DynamoDB and the network outside; exit 1 where something required is not well."""
    from worker.cli.health import show_health

    settings = settings_of()
    end_with(settings, show_health(settings, as_json=as_json))


def export_mysql(
    target: Annotated[str, typer.Argument(metavar="FILE.csv|s3://BUCKET/KEY", help="Where the manifest goes.")],
    *,
    query: Annotated[
        str | None, typer.Option(metavar="SQL", help="A SELECT whose columns are named as a manifest's.")
    ] = None,
    table: Annotated[str | None, typer.Option(metavar="NAME", help="Instead of a query: all of this table.")] = None,
    as_json: AsJson = False,
) -> None:
    """Export rows from MySQL (MYSQL_URL) as a manifest, streamed; gzipped where the target ends in .gz."""
    from worker.cli.export import export_mysql as export

    if (query is None) == (table is None):
        fail("say either --query SQL or --table NAME", WRONG_CALL)
    if target.startswith("s3://") and not all(target.removeprefix("s3://").partition("/")):
        fail(f"the target is {target}; it has to be a file or s3://BUCKET/KEY", WRONG_CALL)
    settings = settings_of("MYSQL_URL")
    select = query or "SELECT * FROM `{}`".format(str(table).replace("`", "``"))  # noqa: S608 -- quoted, and read only
    end_after(settings, lambda: export(settings, select, target, as_json=as_json))
