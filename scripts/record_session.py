#!/usr/bin/env python3
"""Record a session in the demo's shell as docs/images/session.svg: commands as typed, and what they say.

Runs itself as the shell of `scripts/demo.py --shell`, so that what is recorded is what a person sees there.
"""

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).resolve().parent.parent
TARGET = HERE / "docs/images/session.svg"
COMMANDS = (
    "samples/with-photos collage process samples/first.csv -o first-output --set cols=3",
    "collage list",
    "collage status s3_covers",
)
COLUMNS = 118


def main() -> int:
    """Start the demo with this program as its shell, or be that shell."""
    if "COLLAGE_DEMO" in os.environ:
        TARGET.write_text(svg_of(typed()), encoding="utf-8")
        return 0
    return subprocess.run(
        [sys.executable, "scripts/demo.py", "--shell"], cwd=HERE, env={**os.environ, "SHELL": __file__}, check=False
    ).returncode


def typed() -> str:
    """Run each command; returns what a terminal would show."""
    parts = []
    for command in COMMANDS:
        ended = subprocess.run(
            shlex.split(command),
            cwd=HERE,
            env={**os.environ, "COLUMNS": str(COLUMNS)},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        parts.append(f"\x1b[1;36m$ {command}\x1b[0m\n{ended.stdout.strip()}\n")
    return "\n".join(parts)


def svg_of(text: str) -> str:
    """Draw a terminal's text. No font is fetched: the reader's own is used."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text))
    drawn = re.sub(r"@font-face \{[^}]*\}|<!--.*?-->", "", console.export_svg(title="make demo-shell"))
    return drawn.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace").replace(
        "Fira Code", "monospace"
    )


if __name__ == "__main__":
    sys.exit(main())
