"""The report's page: what stands in it, in every language, and where its links lead."""

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest

from tests.unit.fakes import NOON, batch_of, job
from tests.unit.test_summary import ANN, BOB, REJECTS, tally_of, written
from worker.extract import Extract, FailedRow
from worker.jobs.reasons import MEANING
from worker.jobs.report.blocks import Blocks
from worker.jobs.report.page import LANGUAGES, add_creator, rebuilt, write_report
from worker.jobs.summary import Tally, summary_top
from worker.model import CreatorRecord, CreatorStatus

TEMPLATES = files("worker.jobs.report") / "templates"


def top_of(records: list[CreatorRecord], *, prefix: str = "", status: str = "completed") -> dict[str, Any]:
    batch = batch_of(job(prefix=prefix))
    return summary_top(batch, tally_of(records), REJECTS, finished_at=NOON, worked=1.0, status=status)


def page_of(records: list[CreatorRecord], **how: Any) -> str:
    with Blocks() as blocks, io.BytesIO() as file:
        for record in records:
            add_creator(blocks, record, how.get("prefix", ""))
        write_report(file, top_of(records, **how), blocks)
        return file.getvalue().decode()


def block(page: str, beginning: str) -> Any:
    """Return a block of JSON, found by how its element begins."""
    found = re.search(rf'<script type="application/json" {beginning}>(.*?)</script>', page)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize(
    ("prefix", "link"),
    [("", "collages/ann"), ("p/", "collages/ann"), ("p/q-", "q-collages/ann"), ("q", "qcollages/ann")],
)
def test_links_lead_from_the_reports_key_to_the_collages(prefix: str, link: str) -> None:
    ann = replace(ANN, collage_keys=(f"{prefix}collages/ann/a b%20.jpg",))
    page = page_of([ann], prefix=prefix)
    assert block(page, 'id="batch"')["base"] == "../../"
    assert block(page, 'class="creators"')[0][3] == [f"{link}/a%20b%2520.jpg"]


def test_a_page_tells_how_the_manifest_was_read_and_what_the_failures_have_in_common() -> None:
    tally = Tally(columns={"creator": "creator <1>", "url": "url", "likelier": "thumbnail"})
    tally.add(CreatorRecord("ann", CreatorStatus.FAILED, errors={"not_an_image": 60}))
    found = written(summary_top(batch_of(job()), tally, REJECTS, finished_at=NOON, worked=1.0, status="completed"), [])
    assert [text for text in found["warnings"] if "thumbnail" in text] == found["warnings"] != []
    page = rebuilt(found).decode()
    for text in ("thumbnail", "creator &lt;1&gt;", "cover_url", "html escapes 4", "repeated headers 1", "&#39;;&#39;"):
        assert text in page


def test_a_duplicate_is_no_failure() -> None:
    page = page_of([replace(ANN, errors={"expired": 2, "duplicate": 7}), replace(BOB, duplicates=3)])
    assert [told[2] for told in block(page, 'class="creators"')] == [{"expired": 2}, {"expired": 1, "not_found": 3}]
    assert "<code>duplicate</code>" not in page
    assert 'no failure):</span> <span data-n="10">10</span>' in page
    assert '<span data-t="images_failed">images not usable</span></dt><dd><span data-n="6">6</span>' in page


def test_failed_rows_come_with_their_links_less_the_signatures() -> None:
    row = FailedRow(
        7, "https://cdn.example/a.jpg?x-expires=1&x-signature=abcdef", "expired", "signature=abcdef ran out"
    )
    page = page_of([replace(ANN, extract=Extract(NOON.timestamp(), (0.4,), (row,)))])
    assert block(page, 'class="rows" data-reason="expired"') == [
        ["ann", 7, "https://cdn.example/a.jpg?x-expires=1&x-signature=***", "signature=*** ran out"]
    ]
    assert "abcdef" not in page


def test_the_policy_allows_the_pages_own_script_and_style_and_no_other() -> None:
    page = page_of([ANN])
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page)
    assert style
    assert script
    assert policy
    for text in (style[1], script[1]):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"sha256-{digest}" in policy[1].replace("&#39;", "'").replace("&#43;", "+")
    assert "http" not in re.sub(r'"https?"|https\?|/\^https', "", script[1] + style[1])


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "running"])
def test_each_state_of_a_batch_has_its_words(status: str) -> None:
    assert f'<span data-t="state_{status}">' in page_of([ANN], status=status)


def words(language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((TEMPLATES / f"words.{language}.json").read_text(encoding="utf-8"))
    return found


def test_every_phrase_is_there_in_every_language_with_its_places_for_values() -> None:
    english = words("en")
    for language in LANGUAGES:
        told = words(language)
        missing = {key for key in english if key not in told and not key.endswith("_one")}
        assert not missing
        assert set(told) <= set(english)
        for key, text in told.items():
            assert text.count("{}") == english[key].count("{}"), key


def test_every_phrase_that_is_used_is_there() -> None:
    texts = [path.read_text(encoding="utf-8") for path in TEMPLATES.iterdir() if path.suffix in {".html", ".js"}]
    used = re.findall(
        r'\bt\("(\w+)"\)|\bwords\.(\w+)|\ben\.(\w+)|data-label="(\w+)"|heading\("(\w+)"\)', "".join(texts)
    )
    named = {name for found in used for name in found if name and name not in {"js", "json"}}
    assert len(named) > 40
    assert named <= set(words("en")) | {"reasons"}


def test_every_reason_is_explained_in_chinese() -> None:
    chinese = json.loads((TEMPLATES / "reasons.zh.json").read_text(encoding="utf-8"))
    assert set(chinese) == set(MEANING)
    assert all(text.endswith("。") for text in chinese.values())


def test_a_page_can_be_rebuilt_from_the_summary_alone() -> None:
    page = rebuilt(written(top_of([ANN, BOB]), [ANN, BOB])).decode()
    assert [told[0] for told in block(page, 'class="creators"')] == ["ann", "bob"]


def test_a_summary_of_an_earlier_version_can_be_shown() -> None:
    summary = written(top_of([ANN]), [ANN])
    for key in ("source", "warnings", "finished_at"):
        del summary[key]
    assert "ann" in rebuilt(summary).decode()
