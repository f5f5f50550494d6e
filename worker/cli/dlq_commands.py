"""The commands about the dead-letter queue."""

from typing import Annotated

import typer

from worker.cli.entry import end_with, settings_of
from worker.cli.options import AsJson, DryRun, Most, Yes

app = typer.Typer(
    help="Look at the dead-letter queue, send back what is in it, or take it away.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _codes(beginning: str) -> list[str]:
    from worker.cli.letters import CAUSES

    return sorted(cause for cause in CAUSES if cause.startswith(beginning))


Causes = Annotated[
    list[str] | None,
    typer.Option(
        "--cause",
        metavar="CODE",
        help="Only those with this error_code; repeatable.",
        autocompletion=_codes,
    ),
]
OfBatch = Annotated[
    str | None,
    typer.Option("--batch", metavar="BATCH_ID", help="Only those of this batch, by its id or a beginning of it."),
]


@app.command("list")
def dlq_list(*, as_json: AsJson = False, limit: Most = 1_000) -> None:
    """Tell what is in the dead-letter queue and why. The messages stay there."""
    from worker.cli.dlq_list import list_dead_letters

    settings = settings_of()
    end_with(settings, list_dead_letters(settings, as_json=as_json, limit=limit))


@app.command("show")
def dlq_show(
    message_id: Annotated[
        str, typer.Argument(metavar="MESSAGE_ID", help="As `dlq list` prints it, or a beginning of it.")
    ],
    *,
    as_json: AsJson = False,
    limit: Most = 1_000,
) -> None:
    """Tell one message's story: why it is there, what it asks for, how its batch stands, what to do."""
    from worker.cli.dlq_show import show_dead_letter

    settings = settings_of()
    end_with(settings, show_dead_letter(settings, message_id, as_json=as_json, limit=limit))


@app.command("redrive")
def dlq_redrive(
    *,
    causes: Causes = None,
    batch: OfBatch = None,
    dry_run: DryRun = False,
    canary: Annotated[
        bool,
        typer.Option(
            "--canary/--no-canary",
            help="Of each cause send one first, and the rest when that one has not failed again.",
        ),
    ] = True,
    canary_wait: Annotated[
        float, typer.Option(min=1, max=3_600, metavar="SECONDS", help="How long a canary's end is waited for.")
    ] = 120,
    as_json: AsJson = False,
    limit: Most = 1_000,
) -> None:
    """Send messages back to the queue, by cause or by batch; without either, all. See --dry-run first."""
    from worker.cli.dlq_redrive import redrive
    from worker.cli.letters import Wanted

    settings = settings_of("SQS_QUEUE_URL")
    wanted = Wanted(frozenset(causes or ()), batch, limit)
    work = redrive(settings, wanted, dry_run=dry_run, canary_wait=canary_wait if canary else 0.0, as_json=as_json)
    end_with(settings, work)


@app.command("delete")
def dlq_delete(
    message_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MESSAGE_ID]...", help="As `dlq list` prints them, or beginnings of them."),
    ] = None,
    *,
    causes: Causes = None,
    batch: OfBatch = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    limit: Most = 1_000,
) -> None:
    """Take messages away for good, by id, by cause or by batch, after asking. --json prints them whole, to be kept."""
    from worker.cli.dlq_delete import delete
    from worker.cli.letters import Wanted

    settings = settings_of()
    wanted = Wanted(frozenset(causes or ()), batch, limit, tuple(message_ids or ()))
    end_with(settings, delete(settings, wanted, dry_run=dry_run, yes=yes, as_json=as_json))
