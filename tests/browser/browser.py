"""Chromium as a person's browser: what it shows, what it says on its console, and what it asks the network for."""

import base64
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
)
PHONE, DESKTOP = (375, 667), (1280, 900)


def missing() -> str | None:
    """Say what a machine lacks to drive Chromium; None where nothing is."""
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"no {' and no '.join(lacking)}; on Debian: apt-get install chromium chromium-driver" if lacking else None


class Browser:
    """One window."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def show(self, address: str, *, size: tuple[int, int] = DESKTOP, dark: bool = False) -> None:
        """Open a page in a window of so many CSS pixels."""
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.driver.get(address)

    def run(self, script: str, *arguments: object) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def one(self, selector: str) -> WebElement:
        """Return the first element that a selector finds."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """Return all of them."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Return their texts, as they are in the document."""
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map(one => one.textContent)", selector
        )
        return found

    def console(self) -> list[str]:
        """Return what the console has told since the page was opened, or since the last look."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since the page was opened, or since the last look.

        Without those that the page's own policy refused: the console tells of them.
        """
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        refused = {
            event["params"]["requestId"]
            for event in events
            if event["method"] == "Network.loadingFailed" and event["params"].get("blockedReason") == "csp"
        }
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        asked = [one["request"]["url"] for one in sent if one["requestId"] not in refused]
        return [address for address in asked if not address.startswith("data:")]

    def screenshot(self, path: Path, *, height: int | None = None) -> None:
        """Save what the window shows as a PNG, or so many pixels from the page's top."""
        asked: dict[str, Any] = {"format": "png"}
        if height is not None:
            clip = {"x": 0, "y": 0, "width": self.run("return innerWidth"), "height": height, "scale": 1}
            asked |= {"clip": clip, "captureBeyondViewport": True}
        found = self.driver.execute_cdp_cmd("Page.captureScreenshot", asked)
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def open_browser(*, language: str = "en-US", folder: Path | None = None) -> Iterator[Browser]:
    """Start Chromium with an empty profile; downloads go to `folder`."""
    options = ChromeOptions()
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        for flag in (*FLAGS, f"--lang={language}", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.binary_location = shutil.which("chromium") or ""
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        wanted: dict[str, Any] = {"intl.accept_languages": language}
        if folder is not None:
            wanted["download.default_directory"] = str(folder)
        options.add_experimental_option("prefs", wanted)
        driver = Chrome(options=options, service=ChromeService(shutil.which("chromedriver")))
        try:
            driver.get("about:blank")  # the page of a new tab asks for much
            yield Browser(driver)
        finally:
            driver.quit()
