"""What commands show: results on stdout, everything else on stderr."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from worker.cli.pace import Pace, progress_text
from worker.masks import visible

WIDE = 72
"""Columns of a terminal from which on a bar is drawn beside the figures."""


class SafeConsole(Console):
    """A terminal that no text can drive: names of manifests and quotes of messages are strangers'."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as Rich does, with control characters written out."""
        super().print(*(visible(each) if isinstance(each, str) else each for each in objects), **options)

    def on_broken_pipe(self) -> None:
        """Say no more where nobody reads any more (`collage list | head -1`); the work and its exit code stand."""
        self.quiet = True
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 -- its descriptor is what counts
            os.dup2(nowhere.fileno(), (sys.stderr if self.stderr else sys.stdout).fileno())


stdout = SafeConsole(highlight=False, soft_wrap=True)
stderr = SafeConsole(stderr=True, highlight=False, soft_wrap=True)


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document for programs, on one line."""
    stdout.print(json.dumps(document, ensure_ascii=False, default=str), markup=False)


class CreatorsBar:
    """A progress bar that counts creators, with the pace and the time that is left."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def show(self, state: str, counts: Mapping[str, Any], pace: Pace | None) -> None:
        """Show how far it has come; the figures that count most stay where the terminal is narrow."""
        done = counts.get("creators_completed", 0) + counts.get("creators_failed", 0)
        room = self._bar.console.width - (30 if self._bar.console.width >= WIDE else 0)
        self._bar.update(
            self._task,
            total=counts.get("creators_total") or None,
            completed=done,
            line=visible(progress_text(state, counts, pace, room)),
        )

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(text, markup=False)


@contextmanager
def creators_bar(waiting: str = "queued") -> Iterator[CreatorsBar]:
    """Show a progress bar that counts creators while the body runs."""
    text = TextColumn("{task.fields[line]}", markup=False)
    columns = (text, BarColumn(26)) if stderr.width >= WIDE else (text,)
    with Progress(*columns, console=stderr) as bar:
        yield CreatorsBar(bar, bar.add_task("", total=None, line=waiting))


def source_line(source: Mapping[str, Any]) -> str:
    """Tell in a line how a manifest was read."""
    told = [source["format"], source["encoding"], source["delimiter"] and f"delimiter {source['delimiter']!r}"]
    told += [f"creators from {source['creator_column']!r}" if source["creator_column"] else "one group of all rows"]
    told += [f"covers from {source['url_column']!r}"]
    told += [f"{count} {kind} repaired" for kind, count in source["repairs"].items()]
    told += [f"{count} {kind.replace('_', ' ')} skipped" for kind, count in source["skipped"].items() if count]
    return ", ".join(part for part in told if part)


def counts_table(counts: Mapping[str, Any], title: str) -> Table:
    """Return a table of a batch's counts and its failures by reason."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    done = counts.get("creators_completed", 0) + counts.get("creators_failed", 0)
    table.add_row("creators", f"{done} of {counts.get('creators_total', 0)}")
    table.add_row("  with a collage", str(counts.get("creators_completed", 0)))
    table.add_row("  without", str(counts.get("creators_failed", 0)))
    if waiting := counts.get("creators_waiting", 0):
        table.add_row("  done, waiting for others of their part", str(waiting))
    if duplicates := counts.get("duplicates", 0):
        table.add_row("repeats left out", str(duplicates))
    table.add_row("collages", str(counts.get("collages_written", 0)))
    table.add_row("images used", str(counts.get("images_processed", 0)))
    table.add_row("images not usable", str(counts.get("images_failed", 0)))
    for reason, count in sorted(dict(counts.get("errors", {})).items(), key=lambda item: (-item[1], item[0])):
        table.add_row(f"  {reason}", str(count), style="dim")
    table.add_row("lines rejected", str(counts.get("rejects_total", 0)))
    return table
