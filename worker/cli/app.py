"""The command line. Commands import what they need when they are called, so that each starts quickly."""

import io
import os
import sys
from typing import Annotated

import typer

from worker import __version__
from worker.cli import batch_commands, dlq_commands, job_commands, machine_commands

app = typer.Typer(
    name="collage",
    help="Makes one grid collage for each creator of a manifest of cover images.",
    epilog="Exit codes: 0 done; 1 it failed, or nothing was made; 2 the call or the settings are wrong; 130 Ctrl-C. "
    "Results go to stdout, everything else to stderr.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

job_commands.register(app)
batch_commands.register(app)
app.add_typer(dlq_commands.app, name="dlq")
machine_commands.register(app)


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
    try:
        app()
    finally:
        _close_stdout()


def _close_stdout() -> None:
    """Write out what is left; where nobody reads it any more (`| head`), that is nobody's failure."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 -- its descriptor is what counts
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
