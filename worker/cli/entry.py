"""What every command begins and ends with: the settings, and failures as texts and exit codes."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, Never, TypeVar

import typer

from worker.cli.options import FAILED, INTERRUPTED, WRONG_CALL
from worker.cli.terminal import stderr
from worker.errors import SettingsError, TerminalError, WorkerError
from worker.model import ProcessingConfig
from worker.settings import Settings, load

T = TypeVar("T")


def settings_of(*required: str) -> Settings:
    """Read the environment; `required` are the variables that the command cannot do without."""
    try:
        return load(required=required)
    except SettingsError as error:
        fail(f"the settings are wrong:\n{error}", WRONG_CALL)


def asked_of(sets: list[str] | None) -> dict[str, Any]:
    """Read KEY=VALUE pairs; a value that is JSON is taken as such, anything else as text."""
    found: dict[str, Any] = {}
    for pair in sets or []:
        key, equals, value = pair.partition("=")
        if not equals:
            fail(f"--set takes KEY=VALUE, for example --set rows=3; got {pair!r}", WRONG_CALL)
        try:
            found[key.strip()] = json.loads(value)
        except ValueError:
            found[key.strip()] = value
    return found


def config_from(settings: Settings, given: dict[str, Any]) -> ProcessingConfig:
    """Return the whole of what a job asks for, checked as the worker checks it."""
    from worker.jobs.messages import config_of

    return allowed(lambda: config_of(given, settings.default_config))


def allowed(check: Callable[[], T]) -> T:
    """Ask what the worker would ask: what it would refuse is a wrong call."""
    try:
        return check()
    except TerminalError as error:
        fail(str(error), WRONG_CALL)


def end_with(settings: Settings, work: Coroutine[Any, Any, int]) -> Never:
    """Do the work of a command, and end with its exit code; a failure is told with what mends it."""
    end_after(settings, lambda: asyncio.run(work))


def end_after(settings: Settings, work: Callable[[], int]) -> Never:
    """Do work that blocks, and end with its exit code."""
    from worker.cli.remedies import remedy_of

    try:
        raise typer.Exit(work())
    except SettingsError as error:
        fail(f"the settings are wrong:\n{error}", WRONG_CALL)
    except WorkerError as error:
        remedy = remedy_of(error, settings)
        fail(f"{error.reason}: {error}" + (f"\n{remedy}" if remedy else ""))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def fail(text: str, code: int = FAILED) -> Never:
    """End the command with a text on stderr."""
    stderr.print(text, markup=False)
    raise typer.Exit(code)
