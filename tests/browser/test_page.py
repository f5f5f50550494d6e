"""The report in a real browser: what a person can find in it, and what hostile names cannot do to it."""

import csv
import json
import time
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.browser.browser import DESKTOP, PHONE, Browser
from tests.browser.conftest import made, on_disk
from tests.browser.pages import SIGNATURE, Made, report_of
from tests.integration.emulator import Aws
from worker.jobs.report.blocks import LONGEST_NAME, shown

BYTES = 20_000_000
SCREENS = 20


def found(browser: Browser) -> int:
    """Return how many creators the page says it has found."""
    return int(browser.one("#found").text.split()[0].replace(",", ""))


def search(browser: Browser, text: str) -> None:
    browser.run("const box = arguments[0]; box.value = arguments[1]; box.dispatchEvent(new Event('input'))",
                browser.one("#search"), text)  # fmt: skip


def test_a_report_of_any_size_shows_all_its_creators_from_within_itself(
    browser: Browser, report: Made, address: str
) -> None:
    assert len(report.page) < BYTES
    browser.show(address)
    assert browser.console() == []
    assert browser.requests() == [address]
    assert found(browser) == len(report.names)
    pages, seen = 0, 0
    while True:
        seen += len(browser.all("#list .card"))
        pages += 1
        if not browser.one("#next").is_displayed() or not browser.one("#next").is_enabled():
            break
        browser.run("document.getElementById('next').click()")
    assert seen == len(report.names)
    assert browser.console() == []
    assert browser.requests() == []


def test_every_page_of_every_creator_can_be_reached(browser: Browser, tmp_path: Path) -> None:
    report = report_of(60)
    browser.show(on_disk(report, tmp_path))
    browser.one("#list .card").click()
    for name, pages in zip(report.names, report.pages, strict=True):
        assert len(browser.all("#creator .page a")) == pages, name
        widths = browser.run("return [...document.querySelectorAll('#creator .page img')].map(one => one.naturalWidth)")
        assert len(widths) == pages
        browser.run("document.getElementById('later').click()")
    assert not browser.one("#later").is_enabled()


def test_the_collages_of_a_report_on_disk_are_linked_beside_it(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "results/processing-summaries"
    folder.mkdir(parents=True)
    browser.show(on_disk(made(6), folder))
    browser.one("#list .card").click()
    link = browser.one("#creator .page a").get_attribute("href")
    assert link == (tmp_path / "collages/by-creator/0/collage_20250119_120000.jpg").as_uri()


@pytest.mark.parametrize("creators", [6, 1_500, 10_000])
def test_search_filter_and_sort_find_creators(browser: Browser, creators: int, tmp_path: Path) -> None:
    report = made(creators)
    browser.show(on_disk(report, tmp_path))
    wanted = shown(report.names[-1], LONGEST_NAME)
    search(browser, wanted.upper())
    assert found(browser) == 1
    search(browser, "no such creator")
    assert found(browser) == 0
    search(browser, "")
    filtered = Select(browser.one("#filter"))
    filtered.select_by_value("without_collage")
    assert found(browser) == sum(1 for pages in report.pages if not pages)
    filtered.select_by_value("all")
    Select(browser.one("#sort")).select_by_value("images")
    images = [int(text.split()[0].replace(",", "")) for text in browser.texts("#list .told > .dim")]
    assert images == sorted(images, reverse=True)
    Select(browser.one("#sort")).select_by_value("failures")
    failures = [int(text.split()[0]) for text in browser.texts("#list .told > .bad")]
    assert failures == sorted(failures, reverse=True)
    assert browser.console() == []


@pytest.mark.parametrize("creators", [1_500, 10_000])
def test_a_report_is_short_on_a_phone_and_nothing_sticks_out(browser: Browser, creators: int, tmp_path: Path) -> None:
    browser.show(on_disk(made(creators), tmp_path), size=PHONE)
    width, height = browser.run("return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert height <= SCREENS * PHONE[1]
    assert width == PHONE[0]


def test_hostile_names_do_nothing_but_stand_there(browser: Browser, tmp_path: Path) -> None:
    report = report_of(60)
    browser.show(on_disk(report, tmp_path))
    before = browser.run("return document.querySelectorAll('script').length")
    assert browser.driver.title == "covers.csv"
    browser.one("#list .card").click()
    for _ in report.names:
        heading = browser.one("#creator-name")
        assert heading.size["height"] < DESKTOP[1] / 2
        assert browser.run("return arguments[0].querySelectorAll('*').length", heading) == 1
        browser.run("document.getElementById('later').click()")
    assert browser.driver.title == "covers.csv"
    assert browser.run("return document.querySelectorAll('script').length") == before
    assert not {letter for text in browser.texts("body") for letter in text} & set("\u202e\u2066\x00\x1b")
    assert browser.console() == []
    heights = browser.run("return [...document.querySelectorAll('#list .name')].map(one => one.offsetHeight)")
    assert max(heights) < 50


def test_nothing_that_a_script_could_begin_may_run_beside_the_page_s_own(browser: Browser, tmp_path: Path) -> None:
    browser.show(on_disk(made(6), tmp_path))
    browser.run(
        "const added = document.createElement('script'); added.textContent = \"document.title = 'taken'\";"
        "document.body.append(added);"
        "const picture = new Image(); picture.src = 'http://127.0.0.1:9/x.png';"
        "document.body.append(picture);"
        "fetch('http://127.0.0.1:9/').catch(() => {});"
    )
    assert browser.driver.title == "covers.csv"
    refused = browser.console()
    assert len([text for text in refused if "Content Security Policy" in text]) >= 3, refused
    assert not [address for address in browser.requests() if address.startswith("http")]


def test_failures_are_grouped_and_can_be_taken_away(browser: Browser, downloads: Path, tmp_path: Path) -> None:
    report = report_of(300)
    browser.show(on_disk(report, tmp_path))
    assert SIGNATURE not in browser.driver.page_source
    for group in browser.all("details.reason summary"):
        group.click()
    WebDriverWait(browser.driver, 20).until(lambda _: len(browser.all("details.reason table")) == len(
        browser.all("details.reason")))  # fmt: skip
    told = sum(int(text.replace(",", "")) for text in browser.texts("details.reason:not([data-rejects]) .count"))
    assert told == report.failed
    assert "duplicate" not in browser.texts("details.reason code")
    browser.one("#take").click()
    file = downloads / "s3_covers-1f3a9c52.failures.csv"
    WebDriverWait(browser.driver, 20).until(lambda _: file.exists())
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == report.failed + 3, "the failed rows, and the rejected lines"
    assert {"reason", "creator", "line", "url", "message"} == set(rows[0])
    assert not [value for row in rows for value in row.values() if value.startswith(("=", "+", "-", "@"))]
    assert SIGNATURE not in file.read_text(encoding="utf-8")


def test_the_page_opens_through_one_presigned_link_and_says_how_long_that_works(
    browser: Browser, aws: Aws, report: Made
) -> None:
    aws.s3.create_bucket(Bucket=(bucket := f"reports-{len(report.names)}"))
    key = "results/processing-summaries/s3_covers-1f3a9c52.html"
    aws.s3.put_object(Bucket=bucket, Key=key, Body=report.page, ContentType="text/html; charset=utf-8")
    link = aws.s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=3600)
    browser.show(link)
    assert browser.console() == []
    assert browser.requests() == [link]
    assert found(browser) == len(report.names)
    note = browser.one("#link-note").text
    assert "works until" in note
    assert "collage download s3_covers-1f3a9c52" in note
    browser.one("#list .card").click()
    assert browser.all("#creator .page img"), "the pages are in it"
    assert not browser.all("#creator .page a"), "a link beside it would be refused"


def test_a_chinese_browser_gets_chinese_words_and_its_numbers(chinese_browser: Browser, tmp_path: Path) -> None:
    chinese_browser.show(on_disk(made(1_500), tmp_path))
    assert chinese_browser.run("return document.documentElement.lang") == "zh-CN"
    assert chinese_browser.one("#creators-title").text == "创作者"
    assert chinese_browser.one("#found").text == "1,500 位创作者"
    assert "年" in chinese_browser.one("time").text
    latin = [text for text in chinese_browser.texts("[data-t]") if text.isascii()]
    assert latin == []
    assert all("。" in text for text in chinese_browser.texts("[data-reason-text]"))
    chinese_browser.one("#language").click()
    assert chinese_browser.one("#creators-title").text == "Creators"
    assert chinese_browser.console() == []


def test_numbers_are_written_as_the_locale_does(needs_chromium: None, tmp_path: Path) -> None:
    from tests.browser.browser import open_browser  # noqa: PLC0415 -- a browser of its own

    with open_browser(language="de-DE") as german:
        german.show(on_disk(made(1_500), tmp_path))
        assert german.one("#found").text == "1.500 creators"
        assert german.run("return document.documentElement.lang") == "en"


def test_the_keyboard_suffices(browser: Browser, tmp_path: Path) -> None:
    browser.show(on_disk(made(1_500), tmp_path))
    keys = ActionChains(browser.driver)
    keys.send_keys(Keys.TAB).perform()
    assert browser.run("return document.activeElement.className") == "skip"
    browser.run("document.querySelector('#list .card').focus()")
    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    first = browser.one("#creator-name").text
    ActionChains(browser.driver).send_keys(Keys.ARROW_RIGHT).perform()
    assert browser.one("#creator-name").text != first
    ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
    assert not browser.one("#creator").is_displayed()
    assert browser.run("return document.activeElement.className") == "card", "one goes on where one was"


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_a_batch_that_did_not_come_to_its_end_is_shown_as_far_as_it_came(
    browser: Browser, status: str, tmp_path: Path
) -> None:
    browser.show(on_disk(report_of(30, status=status), tmp_path))
    assert browser.one(".state").text == status
    assert status in browser.one(".warning").text
    assert found(browser) == 30
    assert browser.console() == []


def test_a_batch_without_creators_is_no_broken_page(browser: Browser, tmp_path: Path) -> None:
    browser.show(on_disk(report_of(0, status="failed"), tmp_path))
    assert found(browser) == 0
    assert browser.console() == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nobody_is_kept_out(browser: Browser, axe: str, dark: bool, size: tuple[int, int], tmp_path: Path) -> None:
    browser.show(on_disk(made(1_500), tmp_path), size=size, dark=dark)
    for group in browser.all("details summary"):
        browser.run("arguments[0].click()", group)
    WebDriverWait(browser.driver, 20).until(lambda _: browser.all("details.reason table"))
    assert violations(browser, axe) == []
    browser.run("document.querySelector('#list .card').click()")
    assert violations(browser, axe) == []


def violations(browser: Browser, axe: str) -> list[str]:
    """Return what axe-core finds in the page, of whatever weight."""
    browser.run(f"{axe}\nwindow.axe = axe;")
    found = browser.driver.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(found => done("
        "JSON.stringify(found.violations.map(one => [one.impact, one.id, one.nodes.slice(0, 3).map(n => n.html)]))))"
    )
    told: list[Any] = json.loads(found)
    return [json.dumps(one, ensure_ascii=False) for one in told]


def test_ten_thousand_creators_are_there_at_once(browser: Browser, tmp_path: Path) -> None:
    address = on_disk(made(10_000), tmp_path)
    began = time.monotonic()
    browser.show(address)
    assert found(browser) == 10_000
    search(browser, "cats")
    assert 0 < found(browser) < 10_000
    assert time.monotonic() - began < 60, "a browser that is slow, but not one that hangs"
