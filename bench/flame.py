"""A flame graph as a still SVG, out of folded stacks (`frame;frame;frame count`)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

WIDTH, ROW, TOP, NARROWEST = 1200, 17, 56, 1.5


@dataclass(slots=True)
class Frame:
    """One frame: its samples and those it called."""

    count: int = 0
    called: "dict[str, Frame]" = field(default_factory=dict)


def flame(lines: Iterable[str], title: str, subtitle: str) -> str:
    """Return the graph; a frame is as wide as its share of the samples, and stands on its caller."""
    root = Frame()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        frame = root
        root.count += int(count)
        for name in stack.split(";"):
            frame = frame.called.setdefault(name, Frame())
            frame.count += int(count)
    height = TOP + ROW * _depth(root, WIDTH / root.count) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' font-family="ui-monospace, monospace" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="22" font-size="15" font-weight="600" fill="#1f2328">{escape(title)}</text>',
        f'<text x="10" y="41" fill="#59636e">{escape(subtitle)}</text>',
    ]
    _draw(parts, root, 0.0, 0, WIDTH / root.count, root.count)
    return "\n".join([*parts, "</svg>", ""])


def _depth(frame: Frame, scale: float) -> int:
    shown = [below for below in frame.called.values() if below.count * scale >= NARROWEST]
    return max((1 + _depth(below, scale) for below in shown), default=0)


def _draw(parts: list[str], frame: Frame, x: float, depth: int, scale: float, total: int) -> None:
    for name, below in sorted(frame.called.items(), key=lambda item: -item[1].count):
        wide = below.count * scale
        if wide >= NARROWEST:
            y = TOP + depth * ROW
            parts.append(
                f'<g><title>{escape(name)}: {below.count / total:.1%}</title><rect x="{x:.1f}" y="{y}"'
                f' width="{wide:.1f}" height="{ROW - 1}" fill="{_colour(name)}"/>'
            )
            letters = int((wide - 6) / 6.7)
            if letters >= 4:
                text = name if len(name) <= letters else name[: letters - 1] + "…"
                parts.append(f'<text x="{x + 3:.1f}" y="{y + 12}" fill="#1f2328">{escape(text)}</text>')
            parts.append("</g>")
            _draw(parts, below, x, depth + 1, scale, total)
        x += wide


def _colour(name: str) -> str:
    """Colour by whose code it is."""
    if "worker/" in name:
        return "#8fd3b0"
    if "PIL/" in name:
        return "#f2c48d"
    if "botocore/" in name or "aiohttp/" in name:
        return "#a9c7f0"
    return "#dfe3e8"
