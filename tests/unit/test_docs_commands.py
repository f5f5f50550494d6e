"""Every command that a document tells people to type is there, with the options that it names."""

import html
import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest
import typer

from worker.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "infra/README.md"]
CALLED = re.compile(r"(?:^|[\s/])(?:collage|python -m worker)((?: .*)?)$")


def typed(page: Path) -> Iterator[str]:
    """Give what follows `collage` in blocks of commands, and in code within sentences."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for block in re.findall(r"```(?:console|sh)\n(.*?)```", text, re.DOTALL):
        lines = [re.sub(r"\s# .*", "", line) for line in block.splitlines()]
        yield from (found[1] for line in lines for found in CALLED.finditer(line) if "/collage " in line or "$" in line)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for code in re.findall(r"`([^`\n]+)`", prose):
        if found := re.match(r"(?:\.venv/bin/)?(?:collage|python -m worker) (.*)", code):
            yield found[1]


def words_of(call: str) -> list[str]:
    """Return the words of a call, up to where a pipe or another command begins."""
    lexer = shlex.shlex(call.replace("…", ""), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    return list(takewhile(lambda word: not set(word) <= set("|&;<>"), lexer))


def unknown(call: str) -> list[str]:
    """Return what of a call is no command or no option of it."""
    command, words = typer.main.get_command(app), words_of(call)
    while words and isinstance(command, typer.core.TyperGroup) and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in command.commands:
            return [] if name.isupper() else [name]
        command = command.commands[name]
    known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    return [word for word in words if re.match(r"-{1,2}[a-z]", word) and word not in known | {"--help", "-h"}]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_is_there_with_its_options(page: Path) -> None:
    wrong = {call: missing for call in typed(page) if (missing := unknown(call))}
    assert wrong == {}


def test_the_commands_of_the_pages_are_found() -> None:
    called = {call.split()[0] for page in PAGES for call in typed(page) if call.split()}
    assert {"process", "submit", "list", "dlq", "export-mysql"} <= called


def test_the_recorded_session_shows_commands_that_are_there_and_asks_no_server_for_a_font() -> None:
    drawn = (ROOT / "docs/images/session.svg").read_text(encoding="utf-8")
    lines = html.unescape(re.sub(r"<[^>]+>", "", drawn.replace("</text>", "\n"))).replace("\xa0", " ").splitlines()
    shown = [line.partition("$ ")[2] for line in lines if "$ " in line]
    assert len(shown) >= 3
    assert [unknown(found[1]) for line in shown for found in CALLED.finditer(line)] == [[]] * len(shown)
    assert set(re.findall(r"https?://[^\s\"/]+", drawn)) == {"http://www.w3.org"}
