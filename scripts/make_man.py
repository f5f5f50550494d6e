"""Write the man pages of `collage` and of each command, from the help texts: `make man`, `man build/man/collage.1`."""

import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import typer
from click_man.man import ManPage
from typer.core import TyperGroup, TyperOption

from worker import __version__
from worker.cli.app import app

BUILD = Path(__file__).resolve().parent.parent / "build" / "man"


def pages() -> Iterator[tuple[str, str]]:
    """Give the file name and the text of each page."""
    yield from _pages("collage", typer.main.get_command(app), None)


def _pages(
    name: str, command: typer.core.TyperCommand | TyperGroup, parent: typer.Context | None
) -> Iterator[tuple[str, str]]:
    context = typer.Context(command, info_name=name, parent=parent, **command.context_settings)
    inner = command.commands if isinstance(command, TyperGroup) else {}
    # click-man finds nothing in Typer's commands, whose classes are not click's; its pages are filled here.
    page = ManPage(context.command_path)
    page.version = __version__
    page.short_help = command.get_short_help_str(200)
    page.description = cleandoc(f"{command.help or ''}\n\n{command.epilog or ''}".replace("\b", ""))
    page.synopsis = " ".join(command.collect_usage_pieces(context))
    records = [each.get_help_record(context) for each in command.get_params(context) if isinstance(each, TyperOption)]
    page.options = [record for record in records if record]
    page.commands = [(each, found.get_short_help_str(200)) for each, found in inner.items()]
    yield f"{context.command_path.replace(' ', '-')}.1", str(page)
    for each, found in inner.items():
        yield from _pages(each, found, context)


def main(folder: Path) -> None:
    """Write all pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"{folder / name} written")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else BUILD)
