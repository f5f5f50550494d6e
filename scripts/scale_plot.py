"""Plots without a plotting library: tasks and backlog over time, one panel for each run, as SVG."""

from collections.abc import Sequence

WIDTH, PANEL, LEFT, RIGHT, TOP, BOTTOM = 860, 190, 60, 70, 34, 30
TASKS, BACKLOG = "#1f6feb", "#d9822b"


def panels(runs: dict[str, tuple[Sequence[int], Sequence[int]]]) -> str:
    """Return an SVG with a panel for each run: tasks (left scale) and backlog (right scale) by the minute."""
    height = PANEL * len(runs)
    body = [_panel(title, *series, number * PANEL) for number, (title, series) in enumerate(runs.items())]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#ffffff"/>'
    )
    return head + "".join(body) + "</svg>\n"


def _panel(title: str, tasks: Sequence[int], backlog: Sequence[int], top: int) -> str:
    low = top + PANEL - BOTTOM
    high = top + TOP
    minutes = max(1, len(tasks) - 1)
    parts = [
        f'<text x="{LEFT}" y="{top + 20}" font-weight="bold">{title}</text>',
        f'<rect x="{LEFT}" y="{high}" width="{WIDTH - LEFT - RIGHT}" height="{low - high}" fill="none" stroke="#ccc"/>',
        _line(backlog, max(1, *backlog), minutes, high, low, BACKLOG),
        _line(tasks, max(1, *tasks), minutes, high, low, TASKS),
        f'<text x="{LEFT - 6}" y="{high + 10}" text-anchor="end" fill="{TASKS}">{max(tasks)} tasks</text>',
        f'<text x="{WIDTH - RIGHT + 4}" y="{high + 10}" fill="{BACKLOG}">{max(backlog):,}</text>',
        f'<text x="{WIDTH - RIGHT + 4}" y="{high + 24}" fill="{BACKLOG}">messages</text>',
    ]
    step = next(each for each in (0.25, 0.5, 1, 2, 6, 12) if minutes / 60 / each <= 10)
    hour = 0.0
    while hour * 60 <= minutes:
        x = LEFT + (WIDTH - LEFT - RIGHT) * hour * 60 / minutes
        parts.append(f'<line x1="{x:.1f}" y1="{low}" x2="{x:.1f}" y2="{low + 4}" stroke="#888888"/>')
        parts.append(f'<text x="{x:.1f}" y="{low + 18}" text-anchor="middle" fill="#555555">{hour:g} h</text>')
        hour += step
    return "".join(parts)


def _line(values: Sequence[int], top: int, minutes: int, high: int, low: int, colour: str) -> str:
    points = " ".join(
        f"{LEFT + (WIDTH - LEFT - RIGHT) * minute / minutes:.1f},{low - (low - high) * value / top:.1f}"
        for minute, value in enumerate(values)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
