"""What the browser tests share: Chromium, reports of three sizes, a bucket, and the rules of accessibility."""

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.browser.browser import Browser, missing, open_browser
from tests.browser.pages import Made, report_of
from tests.integration.emulator import Aws, aws_at, emulator

AXE = "axe-core@4.14.1"
AXE_FOLDER = Path(__file__).parents[2] / "build/axe-core"
SIZES = (6, 1_500, 10_000)


@pytest.fixture(scope="session")
def needs_chromium() -> None:
    if lacking := missing():
        pytest.skip(lacking)


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def browser(needs_chromium: None, downloads: Path) -> Iterator[Browser]:
    with open_browser(folder=downloads) as found:
        yield found


@pytest.fixture(scope="session")
def chinese_browser(needs_chromium: None) -> Iterator[Browser]:
    with open_browser(language="zh-CN") as found:
        yield found


@cache
def made(creators: int) -> Made:
    return report_of(creators)


@pytest.fixture(params=SIZES)
def report(request: pytest.FixtureRequest) -> Made:
    """A report of each size."""
    return made(request.param)


@pytest.fixture
def address(report: Made, tmp_path: Path) -> str:
    """Where that report lies on disk."""
    return on_disk(report, tmp_path)


def on_disk(report: Made, folder: Path) -> str:
    path = folder / "report.html"
    path.write_bytes(report.page)
    return path.as_uri()


@pytest.fixture(scope="session")
def aws() -> Iterator[Aws]:
    with emulator() as endpoint, aws_at(endpoint) as found:
        yield found


@pytest.fixture(scope="session")
def axe() -> str:
    """The script that checks a page's accessibility, from the npm registry."""
    script = AXE_FOLDER / "node_modules/axe-core/axe.min.js"
    if not script.exists():
        if shutil.which("npm") is None:
            pytest.skip("no npm here to fetch axe-core with; on Debian: apt-get install npm")
        command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(AXE_FOLDER), AXE]
        AXE_FOLDER.mkdir(parents=True, exist_ok=True)
        fetched = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        if fetched.returncode:
            pytest.skip(f"axe-core could not be fetched: {fetched.stderr.strip()[-300:]}")
    return script.read_text(encoding="utf-8")
