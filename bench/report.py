"""Tables and plots for docs/performance.md, which holds their places between markers."""

import re
import statistics
from collections.abc import Iterable, Sequence

from bench.compose import OLD, Way, ratio
from bench.photos import HERE
from bench.svg import Bar, chart
from bench.whole import Run, Series

DOCUMENT = HERE.parent / "docs" / "performance.md"
PLOTS = HERE.parent / "docs" / "performance"

CONTENDERS = {
    "ours": "**this worker**, from S3 to S3",
    "old": "the old way: requests, 8 threads, stock Pillow, `optimize`",
    "img2dataset": "img2dataset 1.47, 2 processes of 32 threads (no collages)",
    "floor": "floor: aiohttp fetching and dropping + whole images in C",
}


def put(mark: str, text: str) -> None:
    """Write `text` into the document between its markers."""
    document = DOCUMENT.read_text(encoding="utf-8")
    place = re.compile(rf"(<!-- bench:{mark} -->\n).*?(<!-- /bench:{mark} -->)", re.DOTALL)
    if place.search(document) is None:
        raise ValueError(f"{DOCUMENT} has no place for {mark}")
    DOCUMENT.write_text(place.sub(lambda found: f"{found[1]}{text.rstrip()}\n{found[2]}", document), encoding="utf-8")


def plot(name: str, svg: str) -> None:
    """Write a plot beside the document."""
    PLOTS.mkdir(exist_ok=True)
    (PLOTS / f"{name}.svg").write_text(svg, encoding="utf-8")


def plain_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def compose_table(ways: list[Way], source: str) -> str:
    """Return the ways from the cheapest to the dearest, as ratios to the old one."""
    base = next(way for way in ways if way.title == OLD and way.kind == "jpeg")
    rows = []
    for way in sorted((way for way in ways if way.kind == "jpeg"), key=lambda way: ratio(way, base)[0]):
        middle, low, high = ratio(way, base)
        rows.append((way.title, f"{middle:.3f}", f"{low:.3f} to {high:.3f}", *_likeness(way)))
    seconds = statistics.median(base.seconds)
    return (
        f"35 photographs, {source}.\n1.000 is {seconds:.2f} s of CPU, the median of {len(base.seconds)} rounds.\n\n"
        + (plain_table(("way", "CPU", "half of the rounds", "SSIM mean", "worst cell"), rows))
    )


NAMES = {"progressive": "progressive JPEG", "webp": "WebP", "png": "PNG", "avif": "AVIF", "heic": "HEIC"}


def formats_table(ways: list[Way]) -> str:
    """Return the ways for files other than baseline JPEG: how many times the old way costs more with the same files."""
    rows = [
        (NAMES[way.kind], way.title, f"{middle:.2f}", f"{low:.2f} to {high:.2f}", *_likeness(way))
        for way, (middle, low, high) in _by_format(ways)
    ]
    return plain_table(("files", "way", "the old way costs", "half of the rounds", "SSIM mean", "worst cell"), rows)


def formats_chart(ways: list[Way]) -> str:
    """Return the plot of the same."""
    bars = [
        Bar(f"{NAMES[way.kind]}: {re.sub('[*]|: what.*', '', way.title)}", *found, _kind_of(way.title))
        for way, found in _by_format(ways)
    ]
    return chart("How many times the old way costs", "CPU of a collage of 35 photographs, by files and way", bars)


def _kind_of(title: str) -> str:
    return "floor" if title.startswith("floor") else "ours" if "**" in title else "other"


def _by_format(ways: list[Way]) -> list[tuple[Way, tuple[float, float, float]]]:
    """Return each way but the old one, with how many times that costs, the cheapest first in each format."""
    found = []
    for kind in NAMES:
        old = next((way for way in ways if way.kind == kind and way.title == OLD), None)
        if old is not None:
            these = [(way, ratio(old, way)) for way in ways if way.kind == kind and way is not old]
            found += sorted(these, key=lambda each: -each[1][0])
    return found


def _likeness(way: Way) -> tuple[str, str]:
    if not way.likeness:
        return "", ""
    return f"{statistics.mean(way.likeness):.4f}", f"{min(way.likeness):.4f}"


def compose_chart(ways: list[Way]) -> str:
    """Return the plot of the ways for baseline JPEG."""
    base = next(way for way in ways if way.title == OLD and way.kind == "jpeg")
    found = sorted((way for way in ways if way.kind == "jpeg"), key=lambda way: ratio(way, base)[0])
    bars = [Bar(re.sub(r"[*`]", "", way.title), *ratio(way, base), _kind_of(way.title)) for way in found]
    return chart("CPU time of a collage of 35 photographs", "baseline JPEG; the old way = 1", bars, digits=3, line=0.12)


def whole_table(series: dict[str, Series], latencies: list[str]) -> str:
    """Return CPU for each image, images a second and peak memory by latency."""
    rows = []
    for latency in latencies:
        for name, found in series.items():
            if latency in found.runs:
                rows.append((latency, found.title, *_whole_cells(found, series["ours"], latency, name)))
    head = ("origin", "way", "CPU ms an image", "of all runs", "to ours", "images a second", "peak memory")
    return plain_table(head, rows)


def _whole_cells(found: Series, ours: Series, latency: str, name: str) -> Sequence[str]:
    each, our_each = ([run.each for run in way.runs[latency]] for way in (found, ours))
    peak = max(run.peak for run in found.runs[latency])
    return (
        f"{found.median(latency):.2f}",
        f"{min(each):.2f} to {max(each):.2f}",
        "" if name == "ours" else times(each, our_each),
        f"{found.median(latency, _speed):.0f}",
        f"{peak:.0f} MB" if peak else "",
    )


def times(these: list[float], those: list[float]) -> str:
    """Tell the median of the ratios round by round, and their range: rounds differ more than what is in one."""
    ratios = sorted(this / that for this, that in zip(these, those, strict=True))
    return f"{statistics.median(ratios):.2f} times ({ratios[0]:.1f} to {ratios[-1]:.1f})"


def _speed(run: Run) -> float:
    return run.images / run.wall


def whole_chart(series: dict[str, Series]) -> str:
    """Return the plot of CPU for each image."""
    bars = []
    for latency in series["ours"].runs:
        for name, found in series.items():
            if latency in found.runs:
                each = [run.each for run in found.runs[latency]]
                title = re.sub(r"[*`]|:.*| \(.*|,.*", "", found.title) + f", {latency}"
                kind = name if name in ("ours", "floor") else "other"
                bars.append(Bar(title, statistics.median(each), min(each), max(each), kind))
    return chart("CPU milliseconds for each image, from URL to collage", "median and range of all runs", bars)
