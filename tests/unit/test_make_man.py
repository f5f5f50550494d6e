"""The man pages are made from the help texts, one for each command."""

import make_man
import pytest
import typer

from worker.cli.app import app

PAGES = dict(make_man.pages())


def test_every_command_has_a_page() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    expected = {f"collage-{name}.1" for name in commands} | {"collage.1"}
    expected |= {f"collage-dlq-{name}.1" for name in commands["dlq"].commands}
    assert set(PAGES) == expected


@pytest.mark.parametrize("name", PAGES)
def test_a_page_tells_what_the_command_does_and_its_options(name: str) -> None:
    assert PAGES[name].startswith(".TH ")
    for part in (".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS", r"\-\-help"):
        assert part in PAGES[name]


def test_the_keys_of_set_stand_in_the_page_of_submit() -> None:
    assert "cell_size" in PAGES["collage-submit.1"]
    assert r"\-\-canary" in PAGES["collage-dlq-redrive.1"]
