"""What commands show: results on stdout, everything else on stderr."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from worker.masks import visible


class SafeConsole(Console):
    """A terminal that no text can drive: names of manifests and quotes of messages are strangers'."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as Rich does, with control characters written out."""
        super().print(*(visible(each) if isinstance(each, str) else each for each in objects), **options)


stdout = SafeConsole(highlight=False, soft_wrap=True)
stderr = SafeConsole(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def creators_bar() -> Iterator[tuple[Progress, TaskID]]:
    """Show a progress bar that counts creators."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("creators"),
        TextColumn("[dim]{task.fields[more]}"),
        TimeElapsedColumn(),
        console=stderr,
    ) as bar:
        yield bar, bar.add_task("queued", total=None, more="")


def images_line(counts: Mapping[str, Any]) -> str:
    """Tell images in a few words, for beside a bar."""
    failed = counts.get("images_failed", 0)
    return f"{counts.get('images_processed', 0)} images" + (f", {failed} failed" if failed else "")


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
    table.add_row("collages", str(counts.get("collages_written", 0)))
    table.add_row("images used", str(counts.get("images_processed", 0)))
    table.add_row("images not usable", str(counts.get("images_failed", 0)))
    for reason, count in sorted(dict(counts.get("errors", {})).items(), key=lambda item: (-item[1], item[0])):
        table.add_row(f"  {reason}", str(count), style="dim")
    table.add_row("lines rejected", str(counts.get("rejects_total", 0)))
    return table
