"""Write docs/images.md: every image of tests/cases, with what Chromium shows and what the worker shows.

Needs Chromium (Debian: apt-get install chromium), which nothing else here needs.
"""

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tests.cases import chromium  # noqa: E402 - found from the line above
from tests.cases.images_runner import SPEC, expectations, mean_difference, unpacked  # noqa: E402 - as above
from worker.errors import ImageError  # noqa: E402 - as above
from worker.images.cell import make_cell  # noqa: E402 - as above

FOLDERS = {
    "A small file for each kind": ROOT / "tests" / "cases" / "images",
    "Files as they were met": ROOT / "tests" / "cases" / "reported",
}
TARGET = ROOT / "docs" / "images.md"
ALIKE = 3.0
"""Mean difference, in levels of 255, up to which two cells show the same: decoders round, and chroma is enlarged."""

INTRODUCTION = """# Images: what browsers show, and what we show

What a browser shows upright and whole is used, and looks as there; what is not whole is refused. Each file below stands
for a kind that people have; `python -m tests.cases.make_images` makes those of the first table. `make test` compares
each cell with its reference. This page is written by `python scripts/list_images.py`, and the reference is Chromium
{version}.

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
- **A JPEG without its end marker.** Chromium waits for more, and leaves the last row of blocks white. All pixels are
  there: we show them.
- **Arithmetic coding.** Chromium shows it where its libjpeg can, as Debian's; other browsers do not.
- **HEIC.** Chromium has no decoder for it.
- **Alpha of AVIF.** Chromium reads the alpha of the files that this encoder writes as if it had video's range. The
  files say that it has not, and we follow them.
- **High dynamic range.** See [heif.md](decisions/heif.md). [conversion.md](decisions/conversion.md) tells of profiles.
"""


def main() -> None:
    """Write the page."""
    tables = "".join(f"\n## {title}\n\n{_table(folder)}" for title, folder in FOLDERS.items())
    TARGET.write_text(INTRODUCTION.format(version=chromium.version()) + tables + NOTES)
    sys.stdout.write("images.md written\n")


def _table(folder: Path) -> str:
    expected = expectations(folder)
    bodies = {name: unpacked((folder / name).read_bytes(), each.get("headers", {})) for name, each in expected.items()}
    shown = chromium.shown(bodies)
    lines = ["| file | Chromium | the worker | difference |", "|---|---|---|---|"]
    for name, body in bodies.items():
        browser = shown[name]
        seen = "broken" if browser is None else f"{browser.width} x {browser.height}"
        lines.append(f"| `{name}` | {seen} | {' | '.join(_ours(body, browser))} |")
    return "\n".join(lines) + "\n"


def _ours(body: bytes, browser: Image.Image | None) -> tuple[str, str]:
    """Return what the worker makes of a file, and how far that is from what the browser shows."""
    try:
        cell = make_cell(body, SPEC)
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
