"""The summary as a page for people: one HTML file without scripts, safe whatever names and texts are in it."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any
from urllib.parse import quote

from worker.jobs.reasons import MEANING
from worker.masks import visible

SHOWN = 500
"""Creators and rejects that are listed; the summary has them all."""

_POLICY = "default-src 'none'; img-src *; style-src 'unsafe-inline'"

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")

_STYLE = """
:root { color-scheme: light dark; --line: #8883; --soft: #8881; --bad: #c0392b; --dim: #777 }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 2rem 1.5rem 4rem }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 1.05rem; margin: 2.5rem 0 .8rem }
.dim { color: var(--dim) } .bad { color: var(--bad) }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem; margin-top: 1.4rem }
.tile { background: var(--soft); border-radius: .6rem; padding: .8rem 1rem }
.tile b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums }
table { border-collapse: collapse; width: 100% }
td, th { border-bottom: 1px solid var(--line); padding: .4rem .8rem .4rem 0; text-align: left; vertical-align: top }
td.n { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; width: 1% }
td.wide { overflow-wrap: anywhere }
code { font-size: .9em } .bar { background: var(--bad); border-radius: .2rem; height: .55rem; min-width: 2px }
.cards { align-items: start; display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)) }
.card { border: 1px solid var(--line); border-radius: .6rem; overflow: hidden }
.card img { background: var(--soft); display: block; max-height: 24rem; object-fit: contain; width: 100% }
.card p { margin: 0; padding: .6rem .9rem; overflow-wrap: anywhere }
"""


def report(summary: Mapping[str, Any]) -> str:
    """Return a batch's summary as an HTML page. Links to collages are relative to the summary's own key.

    Of the creators, `SHOWN` with a collage and as many without are enough: the counts tell of the others.
    """
    counts = summary["counts"]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>{_text(summary['batch_id'])}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{_text(summary['source_csv'] or summary['batch_id'])}</h1>",
            _subtitle(summary),
            _warnings(summary.get("warnings", ())),
            _tiles(
                [
                    ("collages", counts["collages_written"]),
                    ("creators", counts["creators_total"]),
                    ("without a collage", counts["creators_failed"]),
                    ("images used", counts["images_processed"]),
                    ("images not usable", counts["images_failed"]),
                    ("lines rejected", counts["rejects_total"]),
                ]
            ),
            _gallery(summary),
            _reasons("Why images were not usable", summary["failures_by_reason"]),
            _failed(summary["creators"], counts["creators_failed"]),
            _rejects(summary["rejects"]),
            _source(summary.get("source", {})),
            "</body></html>",
        ]
    )


def _subtitle(summary: Mapping[str, Any]) -> str:
    return (
        f'<div class="dim">batch <code>{_text(summary["batch_id"])}</code>, {_text(summary["status"])}, '
        f"started {_text(summary['started_at'])}, took {_seconds(summary['durations']['batch_seconds'])}</div>"
    )


def _warnings(warnings: Iterable[str]) -> str:
    return "".join(f'<p class="bad">{_text(warning)}</p>' for warning in warnings)


def _source(source: Mapping[str, Any]) -> str:
    """Tell how the manifest was read."""
    if not source:
        return ""
    told = {
        "format": source["format"],
        "encoding": source["encoding"],
        "delimiter": source["delimiter"] and repr(source["delimiter"]),
        "creator column": source["creator_column"],
        "URL column": source["url_column"],
        "repaired": ", ".join(f"{kind} {count:,}" for kind, count in source["repairs"].items()),
        "skipped": ", ".join(f"{kind.replace('_', ' ')} {n:,}" for kind, n in source["skipped"].items() if n),
    }
    rows = "".join(f'<tr><td class="n">{name}</td><td>{_text(told[name])}</td></tr>' for name in told if told[name])
    return f"<h2>How the manifest was read</h2><table>{rows}</table>"


def _tiles(tiles: Iterable[tuple[str, int]]) -> str:
    inner = "".join(f'<div class="tile"><b>{count:,}</b>{_text(name)}</div>' for name, count in tiles)
    return f'<div class="tiles">{inner}</div>'


def _gallery(summary: Mapping[str, Any]) -> str:
    prefix = summary["settings"]["output_prefix"]
    folder = prefix[: prefix.rfind("/") + 1]  # a prefix may end in the middle of a name
    done = [creator for creator in summary["creators"] if creator["collages"]]
    total = summary["counts"]["creators_completed"]
    cards = "".join(_card(creator, folder) for creator in done[:SHOWN])
    return f'<h2>Collages</h2><div class="cards">{cards}</div>{_more(total)}' if done else ""


def _card(creator: Mapping[str, Any], folder: str) -> str:
    link = "../../" + quote(str(creator["collages"][0]).removeprefix(folder))
    told = f"{creator['images_processed']} image" + ("s" if creator["images_processed"] != 1 else "")
    told += f", {len(creator['collages'])} pages" if len(creator["collages"]) > 1 else ""
    told += f", {creator['mode']} mode" if creator["mode"] != "normal" else ""
    bad = f' <span class="bad">{creator["error_count"]} not usable</span>' if creator["error_count"] else ""
    return (
        f'<div class="card"><a href="{_text(link)}"><img src="{_text(link)}" alt="" loading="lazy"></a>'
        f'<p><b>{_text(creator["creator"])}</b><br><span class="dim">{_text(told)}</span>{bad}</p></div>'
    )


def _reasons(title: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    most = max(counts.values())
    rows = "".join(
        f'<tr><td class="n">{count:,}</td><td><code>{_text(reason)}</code>'
        f'<div class="bar" style="width:{100 * count / most:.1f}%"></div></td>'
        f'<td class="dim">{_text(MEANING.get(reason, ""))}</td></tr>'
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
    return f"<h2>{_text(title)}</h2><table>{rows}</table>"


def _failed(creators: Iterable[Mapping[str, Any]], total: int) -> str:
    failed = [creator for creator in creators if not creator["collages"]]
    rows = "".join(
        f'<tr><td class="wide">{_name(creator["creator"])}</td><td class="dim">'
        + _text(", ".join(f"{count} {reason}" for reason, count in creator["errors"].items()))
        + "</td></tr>"
        for creator in failed[:SHOWN]
    )
    return f"<h2>Creators without a collage</h2><table>{rows}</table>{_more(total)}" if failed else ""


def _rejects(rejects: Mapping[str, Any]) -> str:
    if not rejects["total"]:
        return ""
    rows = "".join(
        f'<tr><td class="n">line {reject["line"]:,}</td><td><code>{_text(reject["reason"])}</code></td>'
        f'<td class="dim wide">{_text(reject["detail"])}</td></tr>'
        for reject in rejects["listed"][:SHOWN]
    )
    return f"<h2>Lines that could not be used</h2><table>{rows}</table>{_more(rejects['total'])}"


def _more(count: int) -> str:
    return f'<p class="dim">and {count - SHOWN:,} more, in the summary</p>' if count > SHOWN else ""


def _seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _text(value: object) -> str:
    """Escape for text and quoted attributes; what has no encoding, or turns the text around it, becomes visible."""
    return escape(visible(str(value)).encode("utf-8", "backslashreplace").decode("utf-8"), quote=True)


def _name(value: object) -> str:
    """Show a name in a table's cell; a spreadsheet that opens the page must not take it for a formula."""
    text = str(value)
    return _text(f"“{text}”" if text.lstrip()[:1] in _FORMULA else text)
