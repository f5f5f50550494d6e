"""Write docs/images.md: every kind of image in tests/cases/images, with what Chromium shows and what the worker shows.

Needs Chromium (Debian: apt-get install chromium), which nothing else here needs.
"""

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tests.cases import chromium  # noqa: E402 - found from the line above
from tests.cases.images_runner import SPEC, cell_of, expectations, mean_difference  # noqa: E402 - as above
from worker.errors import ImageError  # noqa: E402 - as above

FOLDER = ROOT / "tests" / "cases" / "images"
TARGET = ROOT / "docs" / "images.md"
ALIKE = 3.0
"""Mean difference, in levels of 255, up to which two cells show the same: decoders round, and chroma is enlarged."""

INTRODUCTION = """# Images: what browsers show, and what we show

What a browser shows upright and whole is used, and looks as there; what is not whole is refused. Each file below stands
for a kind that people have; `python -m tests.cases.make_images` makes them, and `make test` compares each cell with its
reference. This page is written by `python scripts/list_images.py`, with Chromium {version} as the reference.

**Chromium**: what it draws over white, cut and scaled as a cell; *broken* where it shows nothing. **Difference**: the
mean over all channels of the cell, in levels of 255. Where the two differ, the reason stands below the table.
"""

NOTES = """
## Where we differ, and why

- **Cut within the shown part.** Browsers show what is there, and grey, white or nothing below. A collage has no use for
  half a cover: it is refused with `truncated`, whatever end marker was put behind the cut. So is a progressive JPEG of
  which scans are missing, and one whose codes stand for nothing. [How that is told](decisions/wholeness.md).
- **WebP.** Chromium draws nothing of a file that is cut, also where the rows that are shown, or the first frame, are
  all there; we use them. It leaves out the EXIF orientation of a WebP, and of no other format; we apply it in all.
- **Arithmetic coding.** Chromium shows it where its libjpeg can, as Debian's; other browsers do not.
- **HEIC.** Chromium has no decoder for it.
- **Alpha of AVIF.** Chromium reads the alpha of the files that this encoder writes as if it had video's range. The
  files say that it has not, and we follow them.
- **CMYK, high dynamic range.** See [conversion.md](decisions/conversion.md) and [heif.md](decisions/heif.md).
"""


def main() -> None:
    """Write the page."""
    expected = expectations(FOLDER)
    shown = chromium.shown({name: (FOLDER / name).read_bytes() for name in expected})
    lines = ["| file | Chromium | the worker | difference |", "|---|---|---|---|"]
    for name in expected:
        browser = shown[name]
        seen = "broken" if browser is None else f"{browser.width} x {browser.height}"
        lines.append(f"| `{name}` | {seen} | {' | '.join(_ours(name, browser))} |")
    TARGET.write_text(INTRODUCTION.format(version=chromium.version()) + "\n" + "\n".join(lines) + "\n" + NOTES)
    sys.stdout.write("images.md written\n")


def _ours(name: str, browser: Image.Image | None) -> tuple[str, str]:
    """Return what the worker makes of a file, and how far that is from what the browser shows."""
    try:
        cell = cell_of((FOLDER / name).read_bytes(), expectations(FOLDER)[name].get("headers", {}))
    except ImageError as refusal:
        return f"`{refusal.reason}`", ""
    size = f"{cell.width} x {cell.height}"
    if browser is None:
        return size, ""
    difference = mean_difference(cell.pixels, _cut(browser))
    return size, f"{difference:.1f}" if difference <= ALIKE else f"**{difference:.1f}**"


def _cut(picture: Image.Image) -> Image.Image:
    width, height, cell = *picture.size, SPEC.size
    scaled = (width * cell // height, cell) if width > height else (cell, height * cell // width)
    left, top = (scaled[0] - cell) // 2, (scaled[1] - cell) // 2
    return picture.resize(scaled, Image.Resampling.LANCZOS).crop((left, top, left + cell, top + cell))


if __name__ == "__main__":
    main()
