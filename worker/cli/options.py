"""The options and arguments that several commands share."""

from typing import Annotated

import typer

from worker.model import ProcessingConfig, allowed_range

DONE, FAILED, WRONG_CALL, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: it is done; it failed, or nothing was made; the call or the settings are wrong; Ctrl-C."""

_TAKES = {
    "background": "a colour, such as white or #222222",
    "format": "jpeg, png or webp",
    "creator_column": "a column's name",
    "url_column": "a column's name",
    "encoding": "an encoding's name, such as gb18030",
    "group_by_creator": "true or false",
}
"""What the keys take that have no range of numbers."""


def keys_told() -> str:
    """Tell every key of processing_config, what it takes, and what it is unless it is set: a line for each."""
    lines = ["Keys of --set, and what each is unless it, or the setting DEFAULT_ of its name, is set:"]
    for name, field in ProcessingConfig.model_fields.items():
        takes = _TAKES.get(name) or (allowed_range(field) or "").removeprefix("be ")
        unset = "found in the file" if field.default is None else str(field.default).lower()
        lines.append(f"  {name:<23} {takes} ({unset})")
    return "\b\n" + "\n".join(lines)


BatchId = Annotated[
    str,
    typer.Argument(
        metavar="BATCH_ID",
        help="The batch's id as `submit` and `list` print it, an unambiguous beginning of it, or its manifest's "
        "s3:// URI (its newest batch).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Tell it as JSON on stdout, for programs.")]
Wait = Annotated[bool, typer.Option("--wait", help="Follow the batch with a progress bar. Ctrl-C leaves it running.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Most = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="The most messages that are looked at.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A key of processing_config, such as rows=3; repeatable. The keys stand below.",
    ),
]
