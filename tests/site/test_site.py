"""The site as `make site` has built it: read from the disk, in both languages, with no call to another server."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SITE = Path(__file__).resolve().parents[2] / "build/site"
PAGES = sorted(SITE.rglob("*.html"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def test_the_site_is_built() -> None:
    assert {"index.html", "zh/index.html", "reference/settings.html", "project/security.html"} <= {
        str(page.relative_to(SITE)) for page in PAGES
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(SITE)))
def test_a_page_loads_nothing_from_another_server(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    loaded = re.findall(r"<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=\"?((?:https?:)?//[^\s\">]+)", text)
    assert loaded == []


def test_pages_say_which_language_they_are_in() -> None:
    said = {str(page.relative_to(SITE)): re.search(r'<html lang="(\w+)"', page.read_text("utf-8")) for page in PAGES}
    assert {
        name: found[1] for name, found in said.items() if found and (found[1] == "zh") != name.startswith("zh/")
    } == {}


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; on Debian: apt-get install chromium")
@pytest.mark.parametrize(
    ("page", "words", "found"),
    [
        ("index.html", "redrive", "how-to/dead-letters.html"),
        ("index.html", "REFERER", "reference/settings.html"),
        ("zh/index.html", "死信队列", "zh/how-to/dead-letters.html"),
    ],
)
def test_the_search_finds_pages_that_were_opened_from_the_disk(
    page: str, words: str, found: str, tmp_path: Path
) -> None:
    shown = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
         "--enable-logging=stderr", "--virtual-time-budget=30000", "--dump-dom", f"{(SITE / page).as_uri()}?q={words}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    links = re.findall(r'<a href="([^"]*)" class="md-search-result__link"', shown.stdout)
    assert any(link.startswith((SITE / found).as_uri()) for link in links), links
    assert [line for line in shown.stderr.splitlines() if ":CONSOLE:" in line] == []
