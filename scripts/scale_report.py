#!/usr/bin/env python
"""Simulate scaling, reckon the cost, and write both into docs/scale.md and docs/scale.svg.

    python scripts/scale_report.py [--check]

The tables stand between `<!-- name -->` and `<!-- /name -->`; the text around them is people's. With `--check` nothing
is written: exit 1 where the document does not say what the scripts say.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import scale_cost as cost
from scale_plot import panels
from scale_policy import Policy
from scale_simulation import HOUR, Outcome, Simulation, World, scenarios

DOCS = Path(__file__).resolve().parent.parent / "docs"
NAMES = {
    "steady": "steady: 5,000 creators every 10 minutes for 8 hours",
    "burst": "burst: two manifests of 500,000 creators at once",
    "nightly": "nightly: three manifests of 30,000 creators at 02:00, two nights",
    "poison": "poison: 20,000 creators, then 2,000 every 10 minutes, with 750 messages that always fail",
}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def simulated() -> dict[str, Outcome]:
    """Run every pattern."""
    return {name: Simulation(arrivals, Policy(), World()).run() for name, arrivals in scenarios().items()}


def duration(seconds: float) -> str:
    """Write seconds as people do."""
    return f"{seconds / HOUR:.1f} h" if seconds >= 2 * HOUR else f"{seconds / 60:.0f} min"


def last_begin(arrivals: list[tuple[float, int, int]]) -> float:
    """Return when the last stretch of manifests began: those that came less than six hours after one another."""
    times = sorted(at for at, *_ in arrivals)
    return max(at for before, at in zip([-24 * HOUR, *times], times, strict=False) if at - before >= 6 * HOUR)


def runs_table(runs: dict[str, Outcome]) -> str:
    """Return what came of each pattern."""
    rows = []
    for name, run in runs.items():
        hours = sum(run.task_hours.values())
        rows.append(
            [
                NAMES[name],
                duration(run.drained_at - last_begin(scenarios()[name])),
                duration(run.oldest),
                str(run.peak),
                f"{hours:.1f} ({100 * run.idle_hours / hours:.0f}%)",
                f"{run.interrupted} / {run.crashed}",
                f"{run.handed_back:.0f} / {run.redone:.0f}",
                f"{run.scaled_in_busy} / {abs(run.lost):.0f}",
            ]
        )
    head = ["pattern", "all done after", "longest wait", "most tasks", "task hours (idle)", "Spot ends / crashes"]
    return table([*head, "creators handed back / redone", "busy tasks scaled in / creators lost"], rows)


def hours_of_a_million(burst: Outcome, spot: float) -> dict[str, float]:
    """Return the burst's task hours with this share of them on Spot."""
    hours = sum(burst.task_hours.values()) * 1_000_000 / burst.creators
    return {"on demand": hours * (1 - spot), "spot": hours * spot}


def cost_table(runs: dict[str, Outcome]) -> str:
    """Return dollars for a million collages, item by item, on demand, mixed and on Spot."""
    ways = [cost.of_a_million(hours_of_a_million(runs["burst"], spot)) for spot in (0.0, 0.8, 1.0)]
    rows = [[item, *(f"{way[item]:.2f}" for way in ways)] for item in ways[0]]
    rows.append(["**all in**", *(f"**{sum(way.values()):.2f}**" for way in ways)])
    for name, counts in (
        ("if every creator were shown as `processing` first", cost.Counts(shown_share=1.0)),
        ("if a part held one creator", cost.Counts(part_creators=1)),
    ):
        other = [cost.of_a_million(hours_of_a_million(runs["burst"], spot), counts) for spot in (0.0, 0.8, 1.0)]
        rows.append([name, *(f"{sum(each.values()):.2f}" for each in other)])
    return table(["dollars for a million collages", "Fargate", "80% Spot (default)", "Fargate Spot"], rows)


def peers_table(runs: dict[str, Outcome]) -> str:
    """Return the other ways, and what stands besides."""
    usual = sum(cost.of_a_million(hours_of_a_million(runs["burst"], 0.8)).values())
    before = cost.of_the_lambda()
    rows = [
        ["this service, default capacity", f"{usual:.2f}"],
        [
            "the Lambda it replaces (3,008 MB, 23.5 s each), compute alone",
            f"{before:,.2f} ({before / usual:.0f} times)",
        ],
        ["this service behind a NAT gateway: added for its bytes", f"{cost.through_nat():.2f}"],
        ["… and on their way to that gateway from other zones", f"{cost.across_zones():.2f}"],
        ["a month with nothing to do (key, alarms)", f"{sum(cost.a_month_at_rest().values()):.2f}"],
        ["acknowledgements of downloads, from the fewest to the most", _acknowledgements()],
        ["custom metrics, in a month in which a task always runs", f"{cost.custom_metrics_a_month():.2f}"],
        ["keeping a million collages in S3 Standard, each month", f"{cost.kept_a_month():.2f}"],
        ["keeping a million creators' records, until they end after 30 days", f"{cost.records_kept():.2f}"],
    ]
    return table(["way", "dollars"], rows)


def _acknowledgements() -> str:
    counts = cost.Counts()
    shares = (counts.acknowledged_share_low, counts.acknowledged_share_high)
    return " to ".join(f"{cost.acknowledgements(counts, share):.2f}" for share in shares)


def sources_table() -> str:
    """Return every number that the cost is reckoned from, with where it is from."""
    counts = asdict(cost.Counts())
    rows = [[f"`{name}`", f"{value:,}", cost.SOURCES[name]] for name, value in counts.items()]
    return table(["number", "value", "from"], rows)


def choices_table() -> str:
    """Return what each acceptable latency costs: task hours of each pattern, and how long messages waited."""
    rows = []
    for minutes in (4, 8, 15, 30):
        policy = replace(Policy(), acceptable_latency_seconds=60.0 * minutes)
        row = [f"{minutes} min" + (" (default)" if policy == Policy() else ""), str(policy.messages_per_task)]
        for arrivals in scenarios().values():
            run = Simulation(arrivals, policy, World()).run()
            hours = sum(run.task_hours.values())
            row.append(f"{hours:.0f} h, {100 * run.idle_hours / hours:.0f}% idle, waits {duration(run.oldest)}")
        rows.append(row)
    return table(["acceptable latency", "messages for each task", *scenarios()], rows)


def written(text: str, parts: dict[str, str]) -> str:
    """Put the parts into the document."""
    for name, part in parts.items():
        text, found = re.subn(
            rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)",
            lambda at, part=part: at[1] + part + at[2],
            text,
            flags=re.DOTALL,
        )
        if not found:
            raise SystemExit(f"docs/scale.md has no <!-- {name} -->")
    return text


def main() -> int:
    """Write, or check, the document."""
    runs = simulated()
    parts = {
        "runs": runs_table(runs),
        "cost": cost_table(runs),
        "peers": peers_table(runs),
        "choices": choices_table(),
        "sources": sources_table(),
    }
    before = (DOCS / "scale.md").read_text(encoding="utf-8")
    after = written(before, parts)
    plot = panels({NAMES[name]: (run.tasks, run.backlog) for name, run in runs.items()})
    if "--check" in sys.argv:
        same = before == after and (DOCS / "scale.svg").read_text(encoding="utf-8") == plot
        print("docs/scale.md is current" if same else "docs/scale.md is out of date: make scale")
        return 0 if same else 1
    (DOCS / "scale.md").write_text(after, encoding="utf-8")
    (DOCS / "scale.svg").write_text(plot, encoding="utf-8")
    print(parts["runs"], parts["cost"], parts["peers"], sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
