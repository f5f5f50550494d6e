"""Bar charts as SVG, without a library."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, ROW, LEFT, RIGHT, TOP = 900, 26, 400, 90, 58
INK, MUTED, OURS, OTHER, FLOOR = "#1f2328", "#59636e", "#0a7d4f", "#8c96a3", "#c9d1d9"


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its name, how long it is, where its whisker begins and ends, and whether it is ours or a floor."""

    name: str
    value: float
    low: float
    high: float
    kind: str = "other"


def chart(title: str, subtitle: str, bars: Sequence[Bar], *, digits: int = 2, line: float | None = None) -> str:
    """Return a chart of horizontal bars; `line` marks a target."""
    scale = (WIDTH - LEFT - RIGHT) / max(bar.high for bar in bars)
    height = TOP + ROW * len(bars) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' font-family="system-ui, sans-serif" font-size="13" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="24" font-size="16" font-weight="600" fill="{INK}">{escape(title)}</text>',
        f'<text x="16" y="43" fill="{MUTED}">{escape(subtitle)}</text>',
    ]
    if line is not None:
        x = LEFT + line * scale
        parts.append(f'<path d="M{x:.1f} {TOP - 4}V{height - 12}" stroke="#b35900" stroke-dasharray="4 3"/>')
        parts.append(f'<text x="{x + 4:.1f}" y="{height - 3}" font-size="11" fill="#b35900">target {line:g}</text>')
    for number, bar in enumerate(bars):
        parts += _bar(bar, TOP + number * ROW, scale, digits)
    return "\n".join([*parts, "</svg>", ""])


def _bar(bar: Bar, y: float, scale: float, digits: int) -> list[str]:
    colour = {"ours": OURS, "floor": FLOOR}.get(bar.kind, OTHER)
    weight = ' font-weight="600"' if bar.kind == "ours" else ""
    middle = y + ROW / 2
    low, high = LEFT + bar.low * scale, LEFT + bar.high * scale
    return [
        f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end" fill="{INK}"{weight}>{escape(bar.name)}</text>',
        f'<rect x="{LEFT}" y="{y + 4}" width="{bar.value * scale:.1f}" height="{ROW - 8}" rx="2" fill="{colour}"/>',
        f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="{INK}" stroke-width="1.2"/>',
        f'<text x="{max(high, LEFT + bar.value * scale) + 6:.1f}" y="{middle + 4}" fill="{INK}"{weight}'
        ' stroke="#ffffff" stroke-width="3" paint-order="stroke">'
        f"{bar.value:.{digits}f}</text>",
    ]
