"""The ways to a collage side by side: CPU time, interleaved, and likeness to full decoding."""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from bench import environments
from bench.photos import CACHE, HERE, Photos
from tests.unit.ssim import luma, ssim

CELL = 200
OLD = "old, stock"
CODEC = "floor: what the codec takes for the same parts, and nothing else"
SIMD_KINDS = ("jpeg", "progressive", "webp", "png")
"""What Pillow-SIMD opens."""


@dataclass(slots=True)
class Way:
    """One way: what it is called, which function of `ways.py` it is, in which environment, and what came of it."""

    title: str
    name: str
    python: Path | None
    kind: str = "jpeg"
    extra: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    likeness: list[float] = field(default_factory=list)
    child: "subprocess.Popen[str] | None" = None

    def start(self) -> None:
        """Start its process, and wait until it has loaded the photographs."""
        folder = CACHE / "photos" / self.kind
        script = [str(HERE / "sharp.mjs")] if self.name == "sharp" else [str(HERE / "ways.py"), self.name]
        self.child = subprocess.Popen(
            [str(self.python), *script, str(folder)],
            env=environments.plain() | {"PYTHONPATH": str(HERE.parent)} | self.extra,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def ask(self, line: str) -> float:
        """Have it do something, and return what it tells."""
        assert self.child is not None
        assert self.child.stdin is not None
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Let its process end."""
        if self.child is not None:
            assert self.child.stdin is not None
            self.child.stdin.close()
            self.child.wait()

    def _answer(self) -> float:
        assert self.child is not None
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.title} ended without an answer")
        answer = json.loads(line)
        return answer if isinstance(answer, float) else 0.0


def ways(kinds: Iterable[str], *, quick: bool) -> list[Way]:
    """Return what can be measured here, with these kinds of files beside baseline JPEG."""
    stock = environments.environment("stock", environments.STOCK)
    ours, as_decoder = environments.OURS, environments.of_decoders()
    found = [
        Way(OLD, "old", stock),
        Way("old, on Pillow-SIMD", "old", ours),
        Way("stock Pillow, `draft` at 1 times the cover size", "draft", stock),
        Way("Pillow-SIMD, `draft` at 1 times", "draft", ours),
        Way("**this worker**", "ours", ours, extra=dict(as_decoder)),
        Way("this worker without its C code (`draft` at 4/3)", "ours", ours, extra=as_decoder | {"PLAIN": "1"}),
        Way("floor: C, what the cell shows, averaged", "floor-part", ours),
        Way("floor: Huffman decoding down to the crop's lower edge", "floor-edge", ours),
    ]
    if not quick:
        found += _others(stock)
    for kind in () if quick else kinds:
        found += _of_format(kind, stock)
    if program := environments.floor():
        for way in found:
            way.extra |= {"FLOOR": str(program)}
    return [way for way in found if way.python and ("floor" not in way.name or program)]


def _of_format(kind: str, stock: Path | None) -> list[Way]:
    """Return the ways for other files than baseline JPEG; those that cannot read them are left out at their start."""
    newest = environments.environment("newest", environments.NEWEST)
    vips = environments.environment("vips", environments.VIPS)
    sharp = environments.sharp()
    return [
        Way(OLD, "old", stock, kind),
        Way("**this worker**", "ours", environments.OURS, kind, environments.of_decoders()),
        *([Way(CODEC, "floor-codec", environments.OURS, kind, environments.of_decoders())] if kind != "png" else []),
        Way("old, on Pillow-SIMD", "old", environments.OURS, kind),
        Way("old, on Pillow 13", "old", newest, kind),
        Way("pyvips", "pyvips", vips, kind, {"VIPS_CONCURRENCY": "1"}),
        Way("sharp", "sharp", sharp and Path(shutil.which("node") or ""), kind, {"SHARP": str(sharp)}),
    ]


def _others(stock: Path | None) -> list[Way]:
    """Return the ways that are measured to be left out, or to place ours."""
    ours = environments.OURS
    found = [
        Way("stock Pillow, `draft`, `optimize`", "draft-optimized", stock),
        Way("Pillow-SIMD, `draft` at 2 times", "draft-2", ours),
        Way("Pillow-SIMD, `draft` at 1 times, 4:4:4 out", "draft-444", ours),
        Way("Pillow-SIMD, `draft` at 1 times, progressive out", "draft-progressive", ours),
        Way("stock Pillow 13, `draft` at 1 times", "draft", environments.environment("newest", environments.NEWEST)),
        Way("pyvips", "pyvips", environments.environment("vips", environments.VIPS), extra={"VIPS_CONCURRENCY": "1"}),
        Way("OpenCV, reduced by 2, area", "opencv", environments.environment("img2dataset", environments.IMG2DATASET)),
        Way("floor: C, whole images, averaged", "floor-whole", ours),
        Way("floor: Huffman decoding alone", "floor-entropy", ours),
    ]
    if folder := environments.beside():
        path = {"PYTHONPATH": f"{HERE.parent}{os.pathsep}{folder}"}
        found.append(Way("simplejpeg + Pillow-SIMD", "simplejpeg", ours, extra=path))
        if library := environments.turbojpeg():
            found.append(Way("PyTurboJPEG + Pillow-SIMD", "turbojpeg", ours, extra=path | {"TURBOJPEG": str(library)}))
    return found


def measured(photos: Photos, *, quick: bool, rounds: int) -> list[Way]:
    """Run all ways, one collage each in turn, for so many rounds; those of the other formats in every third."""
    found = ways((kind for kind in photos.files if kind != "jpeg"), quick=quick)
    try:
        for way in list(found):
            try:
                way.start()
            except (OSError, RuntimeError) as error:
                print(f"left out for {way.kind}: {error}")
                found.remove(way)
        for way in found:
            _compare(way, photos, _whole_cells(found, way.kind))
        for number in range(rounds):
            for way in found if number % 2 else reversed(found):
                if way.kind == "jpeg" or number % 3 == 0:
                    way.seconds.append(way.ask("go"))
    finally:
        for way in found:
            way.end()
    return found


def speed_of_two(rounds: int = 9) -> float:
    """Return how many times faster two processes make collages than one: what the machine allows, the median.

    Each has a core to itself.
    """
    pair = [Way("", "ours", environments.OURS, extra=environments.of_decoders()) for _ in range(2)]
    try:
        for way, core in zip(pair, sorted(os.sched_getaffinity(0)), strict=False):
            way.start()
            assert way.child is not None
            os.sched_setaffinity(way.child.pid, {core})
        found = []
        for number in range(rounds):
            alone, together = _seconds([pair[number % 2]]), _seconds(pair)
            found.append(2 * alone / together)
    finally:
        for way in pair:
            way.end()
    return statistics.median(found)


def _seconds(ways: list[Way], collages: int = 10) -> float:
    """Return the seconds by the clock in which each of the ways makes so many collages, at the same time."""
    began = time.monotonic()
    with ThreadPoolExecutor(len(ways)) as threads:
        list(threads.map(lambda way: [way.ask("go") for _ in range(collages)], ways))
    return time.monotonic() - began


def _cells_of(way: Way) -> "np.typing.NDArray[np.uint8]":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells"
        way.ask(f"cells {path}")
        return np.fromfile(path, np.uint8).reshape(-1, CELL * CELL * 3)


def _compare(way: Way, photos: Photos, whole: Way | None) -> None:
    """Hold each of its cells against full decoding and LANCZOS; `whole` does that with what Pillow-SIMD cannot open."""
    if way.name.startswith("floor"):
        return
    if way.kind in SIMD_KINDS:
        wanted = [reference(file) for file in photos.files[way.kind]]
    elif whole is not None:
        wanted = [luma(cell.tobytes(), (CELL, CELL)) for cell in _cells_of(whole)]
    else:
        return
    way.likeness = [
        ssim(luma(cell.tobytes(), (CELL, CELL)), like) for cell, like in zip(_cells_of(way), wanted, strict=True)
    ]


def _whole_cells(found: list[Way], kind: str) -> Way | None:
    return next((way for way in found if way.kind == kind and way.title == OLD), None)


_references: dict[Path, "np.typing.NDArray[np.float64]"] = {}


def reference(path: Path) -> "np.typing.NDArray[np.float64]":
    """Return the luma of the cell as the old system made it: everything decoded, scaled, then cropped."""
    if path not in _references:
        with Image.open(path) as picture:
            width, height = picture.size
            wide = (int(width * CELL / height), CELL) if width > height else (CELL, int(height * CELL / width))
            left, top = (wide[0] - CELL) // 2, (wide[1] - CELL) // 2
            scaled = picture.convert("RGB").resize(wide, Image.Resampling.LANCZOS)
        cell = scaled.crop((left, top, left + CELL, top + CELL))
        _references[path] = luma(cell.tobytes(), (CELL, CELL))
    return _references[path]


def ratio(way: Way, base: Way) -> tuple[float, float, float]:
    """Return the median of the ratios round by round, and their quartiles."""
    same_rounds = base.seconds[:: len(base.seconds) // len(way.seconds)]
    ratios = sorted(mine / theirs for mine, theirs in zip(way.seconds, same_rounds, strict=True))
    first, middle, last = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, first, last
