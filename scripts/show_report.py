"""Takes the pictures of the report that the documents show: light, dark, phone, Chinese. Needs Chromium.

python scripts/show_report.py
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402 -- found by the line above

from tests.browser.browser import DESKTOP, PHONE, missing, open_browser  # noqa: E402
from tests.browser.pages import report_of  # noqa: E402

PICTURES = {
    "report-light.webp": ("en-US", DESKTOP, False),
    "report-dark.webp": ("en-US", DESKTOP, True),
    "report-phone.webp": ("en-US", PHONE, False),
    "report-chinese.webp": ("zh-CN", DESKTOP, False),
}


def main() -> int:
    """Take each picture; returns the exit code."""
    if lacking := missing():
        print(lacking)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "report.html", Path(folder) / "shot.png"
        page.write_bytes(report_of(400, names=()).page)
        for name, (language, size, dark) in PICTURES.items():
            with open_browser(language=language) as browser:
                browser.show(page.as_uri(), size=size, dark=dark)
                browser.screenshot(shot)
            with Image.open(shot) as picture:
                picture.convert("RGB").save(ROOT / "docs/images" / name, quality=70)
            print(f"docs/images/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
