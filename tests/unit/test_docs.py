"""The documentation says what the code says."""

import json
import re
import runpy
from pathlib import Path

import pytest

from tests.security import mutations
from worker.errors import CreatorReason, ImageReason, JobReason, RejectReason
from worker.jobs import reasons
from worker.model import ProcessingConfig
from worker.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if not name.startswith("ecs_")])
def test_the_readme_lists_every_setting(name: str) -> None:
    assert f"`{name.upper()}`" in README


@pytest.mark.parametrize("name", ProcessingConfig.model_fields)
def test_the_readme_lists_every_key_of_processing_config(name: str) -> None:
    assert f"`{name}`" in README


def test_the_readme_names_no_setting_that_there_is_not() -> None:
    section = README[README.index("## Settings") : README.index("## Further")]
    named = set(re.findall(r"`([A-Z][A-Z0-9_]{3,})`", section))
    assert named <= {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        (ImageReason, reasons.IMAGES),
        (CreatorReason, reasons.CREATORS),
        (RejectReason, reasons.REJECTS),
        (JobReason, reasons.JOBS),
    ],
)
def test_every_reason_code_is_explained(reasons: type, told: dict[str, str]) -> None:
    assert set(told) == set(reasons)


def test_the_page_of_reason_codes_is_up_to_date() -> None:
    written = (ROOT / "docs/reasons.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(ROOT / "scripts/list_reasons.py"))["page"]() == written


def test_the_page_of_manifests_lists_every_name_of_a_column() -> None:
    written = (ROOT / "docs/manifest.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(ROOT / "scripts/list_columns.py"))["page"](written) == written


def test_the_page_of_images_lists_every_kind_that_is_tried() -> None:
    page = (ROOT / "docs/images.md").read_text(encoding="utf-8")
    expected = json.loads((ROOT / "tests/cases/images/expected.json").read_text(encoding="utf-8"))
    assert re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE) == list(expected)


def test_the_page_of_security_tests_lists_every_guard_that_is_taken_out() -> None:
    page = (ROOT / "tests/security/README.md").read_text(encoding="utf-8").splitlines()
    assert mutations.rows() == page[page.index("| guard taken out | red |") + 2 :]


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]), ids=lambda page: page.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
