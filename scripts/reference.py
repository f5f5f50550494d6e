"""Write the reference: settings, commands, messages, metrics, reasons, columns, from the code that has them.

`docs/reference/` and the tables of docs/manifest.md are this program's; `make reference` runs it, and a test compares.
"""

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal, get_args, get_origin

import list_columns
import list_reasons
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.cli import get_docs_for_click

from worker.aws.emf import DECLARED
from worker.cli.app import app
from worker.jobs.job_messages import MODELS, json_schema
from worker.model import ProcessingConfig, allowed_range
from worker.settings import Settings

DOCS = Path(__file__).resolve().parent.parent / "docs"
FROM = "<!-- Made from the code by `make reference`. -->\n\n"

SETTINGS = """\
From the environment, read once at the start. Every bad one is reported, with what is allowed, and the process ends
with exit code 2. The settings in force are logged at the start; passwords in URLs are masked.
"""
MESSAGES = """\
The body of a message is one JSON object. [job.schema.json](job.schema.json) is its JSON Schema, made from the same
models: check a message with it before you send it. Besides, the worker understands S3's own events, directly, through
SNS or EventBridge: an object that is put under `csv-files/` of the input bucket starts a batch.
"""
CONFIG = """
## processing_config

Also in the metadata `config` of an object that is put under `csv-files/`, and as `--set KEY=VALUE` of the commands. An
unknown key or a value out of range is refused with an error that names the key, what it got and what is allowed.

"""
COMMANDS = "`collage` is `.venv/bin/collage`, and the same as `python -m worker`.\n"
METRICS = """\
Lines on stdout in CloudWatch's Embedded Metric Format, in the namespace `METRICS_NAMESPACE`. The only dimension is
`Service` (`SERVICE_NAME`).

| metric | unit | |
|---|---|---|
"""
COLUMNS = "| {} | default | allowed | |\n|---|---|---|---|\n"


def settings_page() -> str:
    """Return the page of settings, in the groups and the order of the class."""
    told = _documented(Settings)
    parts = ["# Settings\n\n", FROM, SETTINGS]
    for title, names in _groups(Settings):
        rows = "".join(_row(name.upper(), Settings.model_fields[name], told[name]) for name in names)
        parts += [f"\n## {title}\n\n", COLUMNS.format("variable"), rows]
    return "".join(parts)


def messages_page() -> str:
    """Return the page of the messages that start a batch."""
    parts = ["# Messages\n\n", FROM, MESSAGES]
    for kind, model in MODELS.items():
        parts += [f"\n## {kind}\n\n", COLUMNS.format("key"), _keys(model)]
    return "".join([*parts, CONFIG, COLUMNS.format("key"), _keys(ProcessingConfig)])


def schema_page() -> str:
    """Return the JSON Schema of the messages, each property with its description."""
    schema = json_schema()
    for model in (*MODELS.values(), ProcessingConfig):
        for name, told in _documented(model).items():
            schema["$defs"][model.__name__]["properties"][name]["description"] = told
    return json.dumps(schema, indent=2) + "\n"


def commands_page() -> str:
    """Return the page of commands, by their own help."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="collage", **command.context_settings)
    text = get_docs_for_click(obj=command, ctx=context, name="collage")
    text = re.sub(r"\x08\n(.*\n)((?:  .*\n)+)", r"\1\n```\n\2```\n", text)  # lines that stay as they are
    _, _, below = text.partition("\n")
    listed = r"\*\*Commands\*\*:\n\n(?:\* .*\n)+\n"  # cut short by typer, and each has its heading below
    return f"# Commands\n\n{FROM}{COMMANDS}{re.sub(listed, '', below).rstrip()}\n"


def metrics_page() -> str:
    """Return the page of metrics."""
    rows = "".join(f"| `{name}` | {unit} | {told} |\n" for name, (unit, told) in DECLARED.items())
    return f"# Metrics\n\n{FROM}{METRICS}{rows}"


PAGES: Mapping[str, Callable[[], str]] = {
    "reference/settings.md": settings_page,
    "reference/commands.md": commands_page,
    "reference/messages.md": messages_page,
    "reference/job.schema.json": schema_page,
    "reference/metrics.md": metrics_page,
    "reasons.md": list_reasons.page,
    "manifest.md": lambda: list_columns.page((DOCS / "manifest.md").read_text(encoding="utf-8")),
}
"""The pages under docs/ that the code writes."""


def _keys(model: type[BaseModel]) -> str:
    told = _documented(model)
    return "".join(_row(name, field, told[name]) for name, field in model.model_fields.items())


def _groups(model: type[BaseModel]) -> list[tuple[str, list[str]]]:
    """Return the fields in the groups that the comments of the class make."""
    groups: list[tuple[str, list[str]]] = []
    for line in inspect.getsource(model).splitlines():
        if title := re.fullmatch(r"    # (\w.*)", line):
            groups.append((title[1][0].upper() + title[1][1:], []))
        elif (name := re.match(r"    (\w+): ", line)) and name[1] in model.model_fields:
            groups[-1][1].append(name[1])
    return [group for group in groups if group[1]]


def _documented(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring under each field of a model and of what it inherits from."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls.__module__.startswith("worker."):
            (node,) = ast.parse(dedent(inspect.getsource(cls))).body
            found |= _docstrings(node)
    return {name: found[name] for name in model.model_fields}


def _docstrings(node: ast.stmt) -> dict[str, str]:
    body = getattr(node, "body", [])
    return {
        field.target.id: " ".join(told.value.value.split())
        for field, told in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(told, ast.Expr) and isinstance(told.value, ast.Constant)
    }


def _row(name: str, field: FieldInfo, told: str) -> str:
    cells = (f"`{name}`", _default(field), _allowed(field), told)
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value in ("", ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return "`" + ",".join(str(each) for each in value) + "`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if kind is bool:
        return "`true`, `false`"
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    return (allowed_range(field) or "").removeprefix("be ")


def main() -> None:
    """Write the pages."""
    (DOCS / "reference").mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        sys.stdout.write(f"docs/{name} written\n")


if __name__ == "__main__":
    main()
