"""Writes a report: one HTML page, from templates that escape, safe whatever names and texts are in it.

The page loads nothing: its policy allows its own style, its own script and pictures that it holds itself. What grows
with the batch lies in blocks of JSON that the script reads when it needs them.
"""

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, BinaryIO
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from worker import __version__
from worker.errors import ImageReason
from worker.jobs.part_lines import read_creator
from worker.jobs.reasons import MEANING
from worker.jobs.report import charts
from worker.jobs.report.blocks import BLOCK, LONGEST_NAME, LONGEST_TEXT, Blocks, in_script, shown
from worker.jobs.report.charts import plots
from worker.keys import from_iso
from worker.masks import without_signatures
from worker.model import CreatorRecord

LANGUAGES = ("en", "zh")
SCRIPTS = ("words.js", "creators.js", "failures.js")

_POLICY = "default-src 'none'; script-src {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class Group:
    """The failures of one reason. `share` is in percent of the most frequent one's count."""

    reason: str
    count: int
    share: float
    meaning: str
    is_rejects: bool


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of the tables at the page's end. A name that is code has no translation."""

    name: str
    value: object
    is_code: bool = False


def write_report(file: BinaryIO, top: Mapping[str, Any], blocks: Blocks) -> None:
    """Write the page. `top` is what `worker.jobs.summary.summary_top` returns."""
    texts = _environment().get_template("page.html").generate(**_told(top, blocks))
    file.writelines(text.encode("utf-8", "backslashreplace") for text in texts)


def rebuilt(summary: Mapping[str, Any]) -> bytes:
    """Return the page that a summary alone can give: without previews, failed rows and plots."""
    with Blocks() as blocks, io.BytesIO() as file:
        for line in summary["creators"]:
            add_creator(blocks, read_creator(json.dumps(line).encode()), summary["settings"]["output_prefix"])
        write_report(file, summary, blocks)
        return file.getvalue()


def add_creator(blocks: Blocks, record: CreatorRecord, prefix: str) -> None:
    """Take a creator of a batch with this output prefix into a page."""
    folder = prefix[: prefix.rfind("/") + 1]  # a prefix may end in the middle of a name
    blocks.add(record, [quote(key.removeprefix(folder), safe="/~") for key in record.collage_keys])


def _told(top: Mapping[str, Any], blocks: Blocks) -> dict[str, Any]:
    style, script = (Markup(text) for text in _style_and_script())  # noqa: S704 -- our own files
    failures = {why: n for why, n in top["failures_by_reason"].items() if why != ImageReason.DUPLICATE and n}
    drawn = plots(blocks.timeline)
    return {
        "version": __version__,
        "policy": _POLICY.format(_hash_of(script), _hash_of(style)),
        "style": style,
        "script": script,
        "top": {**top, "batch_id": _text(top["batch_id"])},
        "warnings": [_text(warning) for warning in top.get("warnings", ())],
        "name": _text(top["source_csv"] or top["batch_id"], LONGEST_NAME),
        "tiles": _tiles(top["counts"], sum(failures.values())),
        "failures": _groups(failures, is_rejects=False),
        "rejects": _groups(top["rejects"].get("by_reason", {}), is_rejects=True),
        "duplicates": blocks.duplicates,
        "has_rows": blocks.rows or top["rejects"]["listed"],
        "left_out": max(0, top["counts"]["creators_completed"] + top["counts"]["creators_failed"] - blocks.creators),
        "rows_left_out": max(0, sum(failures.values()) - blocks.rows),
        "files": _files(top),
        "made": _made(top),
        "plots": drawn,
        "batch": Markup(in_script(_batch(top, drawn.span_seconds))),  # noqa: S704 -- safe in a script element
        "words": Markup(in_script(_words_of(top))),  # noqa: S704 -- as above
        "heads": Markup(blocks.heads()),  # noqa: S704 -- as above
        "blocks": blocks,
    }


def _batch(top: Mapping[str, Any], span_seconds: int) -> dict[str, Any]:
    """Return what the script is told of the batch."""
    by_reason: dict[str, list[tuple[str, int, str, str]]] = {}
    for reject in top["rejects"]["listed"]:
        row = ("", reject["line"], "", _text(reject["detail"], LONGEST_TEXT))
        by_reason.setdefault(_text(reject["reason"]), []).append(row)
    return {
        "id": _text(top["batch_id"]),
        "base": "../../",
        "block": BLOCK,
        "creators": top["counts"]["creators_total"],
        "span": span_seconds,
        "seconds": top["durations"]["batch_seconds"],
        "rejects": list(by_reason.items()),
    }


def _tiles(counts: Mapping[str, int], failed: int) -> Sequence[tuple[str, int, str]]:
    return (
        ("collages", counts["collages_written"], ""),
        ("creators_total", counts["creators_total"], ""),
        ("without_collage", counts["creators_failed"], "bad"),
        ("images_used", counts["images_processed"], ""),
        ("images_failed", failed, "bad"),
        ("lines_rejected", counts["rejects_total"], "bad"),
    )


def _groups(counts: Mapping[str, int], *, is_rejects: bool) -> list[Group]:
    most = max(counts.values(), default=1)
    return [
        Group(_text(reason), count, round(100 * count / most, 1), MEANING.get(reason, ""), is_rejects)
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _files(top: Mapping[str, Any]) -> dict[str, str]:
    """Name the files that hold all that a page may have no room for."""
    prefix, batch_id = top["settings"]["output_prefix"], top["batch_id"]
    return {
        "summary": _text(f"{prefix}results/processing-summaries/{batch_id}.json"),
        "creators": _text(f"{prefix}results/metadata/{batch_id}/creators.jsonl.gz"),
        "rows": _text(f"{prefix}results/metadata/{batch_id}/part-….jsonl.gz"),
    }


def _made(top: Mapping[str, Any]) -> list[tuple[str, list[Fact]]]:
    """Return the tables at the page's end: how the manifest was read, the settings, durations, files."""
    found = [
        ("manifest", _source(top.get("source") or {}, top["counts"]["rows_total"])),
        ("settings", _settings(top["settings"])),
        ("durations", _durations(top)),
        ("files", [Fact(f"file_{name}", _code(key)) for name, key in _files(top).items()]),
    ]
    return [(title, facts) for title, facts in found if facts]


def _source(source: Mapping[str, Any], rows: int) -> list[Fact]:
    told = [Fact("rows_total", _number(rows))]
    read = [name for name in ("format", "encoding", "creator_column", "url_column") if source.get(name)]
    told += [Fact(name, _as_no_formula(_text(source[name], LONGEST_NAME))) for name in read]
    if source.get("delimiter"):
        told.append(Fact("delimiter", _code(repr(source["delimiter"]))))
    for name in ("repairs", "skipped"):
        counted = {kind: count for kind, count in source.get(name, {}).items() if count}
        if counted:
            kinds = (f"{_text(kind).replace('_', ' ')} {count:,}" for kind, count in counted.items())
            told.append(Fact(name, _as_no_formula(", ".join(kinds))))
    return told


def _settings(settings: Mapping[str, Any]) -> list[Fact]:
    config = settings.get("processing_config", {})
    told = {"output_prefix": settings["output_prefix"], **config}
    return [
        Fact(name, _as_no_formula(_text(without_signatures(str(value)), LONGEST_NAME)), is_code=True)
        for name, value in told.items()
        if value not in {None, ""}
    ]


def _durations(top: Mapping[str, Any]) -> list[Fact]:
    told = [Fact(name, _seconds(value)) for name, value in top["durations"].items() if value]
    return [*told, Fact("finished", _moment(top["finished_at"]))] if top.get("finished_at") else told


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("worker.jobs.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.globals |= {
        "t": _phrase,
        "en": _words()["en"],
        "number": _number,
        "seconds": _seconds,
        "moment": _moment,
        "clock": lambda at: Markup('<span data-clock="{}"></span>').format(at),
        "reason_group": lambda group: Markup(environment.get_template("group.html").render(group=group)),  # noqa: S704 -- escaped there
        "chart_width": charts.WIDTH,
        "chart_height": charts.HEIGHT,
        "chart_left": charts.LEFT,
    }
    return environment


@cache
def _words() -> dict[str, dict[str, str]]:
    return {language: json.loads(_template(f"words.{language}.json")) for language in LANGUAGES}


def _words_of(top: Mapping[str, Any]) -> dict[str, Any]:
    """Return the page's words in each language, and what the reasons that it names mean."""
    chinese = json.loads(_template("reasons.zh.json"))
    named = {*top["failures_by_reason"], *top["rejects"].get("by_reason", {})}
    reasons = {
        why: {"en": MEANING[why], "zh": chinese.get(why, MEANING[why])} for why in sorted(named) if why in MEANING
    }
    return {**_words(), "reasons": reasons}


@cache
def _style_and_script() -> tuple[str, str]:
    return _template("style.css"), "".join(map(_template, SCRIPTS))


def _template(name: str) -> str:
    return (files("worker.jobs.report") / "templates" / name).read_text(encoding="utf-8")


def _hash_of(text: str) -> str:
    """Return the source by which a policy allows just this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _phrase(key: str) -> Markup:
    """Return a phrase in English, marked so that the script can put the reader's language in its place."""
    return Markup('<span data-t="{}">{}</span>').format(key, _words()["en"][key])


def _number(value: float) -> Markup:
    return Markup('<span data-n="{}">{}</span>').format(value, f"{value:,}")


def _seconds(value: float) -> Markup:
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    told = f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{value:.3g} s"
    return Markup('<span data-seconds="{}">{}</span>').format(round(value, 3), told)


def _moment(iso: str) -> Markup:
    told = f"{from_iso(iso):%Y-%m-%d %H:%M} UTC"
    return Markup('<time datetime="{}">{}</time>').format(iso, told)


def _code(value: object) -> Markup:
    return Markup("<code>{}</code>").format(value)


def _text(value: object, longest: int = 1_000) -> str:
    return shown(str(value), longest)


_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def _as_no_formula(text: str) -> str:
    """Put quotes around what a spreadsheet that opens the page would take for a formula."""
    return f"“{text}”" if text.lstrip()[:1] in _FORMULA else text
