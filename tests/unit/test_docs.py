"""The documentation says what the code says."""

import json
import re
from pathlib import Path

import pytest
import reference
import yaml

from tests.security import mutations
from worker import __version__
from worker.errors import CreatorReason, ImageReason, JobReason, RejectReason
from worker.jobs import reasons

ROOT = Path(__file__).resolve().parents[2]
ROOMS = sorted(path.parent.name for path in (ROOT / "worker").glob("*/__init__.py"))
NOT_TOLD = {"inline", "list", "processing", "queue", "retryable", "succeeded", "terminal", "usable", "work", "parsed"}
"""Words that every reader knows, and the outcomes, which have a table of their own."""


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


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_reference_says_what_the_code_says(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert reference.PAGES[name]() == written, "run `make reference`, and commit what it writes"


def test_the_page_of_images_lists_every_kind_that_is_tried() -> None:
    page = (ROOT / "docs/images.md").read_text(encoding="utf-8")
    expected = [ROOT / "tests" / "cases" / folder / "expected.json" for folder in ("images", "reported")]
    names = [name for path in expected for name in json.loads(path.read_text(encoding="utf-8"))]
    assert re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE) == names


def test_the_page_of_security_tests_lists_every_guard_that_is_taken_out() -> None:
    page = (ROOT / "tests/security/README.md").read_text(encoding="utf-8").splitlines()
    assert mutations.rows() == page[page.index("| guard taken out | red |") + 2 :]


def walks() -> list[str]:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    return page[page.index("<!-- walks -->") : page.index("<!-- /walks -->")].split("**")[1:]


def test_the_walks_of_the_architecture_lead_through_functions_that_are_there() -> None:
    lines = re.findall(r"^\d+\. .*$", "".join(walks()), re.MULTILINE)
    hops = [re.findall(r"`([^`]+)`", line) for line in lines]
    sources = {file: (ROOT / "worker" / file).read_text(encoding="utf-8") for file, *_ in hops}
    names = [(file, name) for file, *found in hops for name in found if name.isidentifier()]
    assert names
    assert [name for name in names if not re.search(rf"def {name[1]}\b", sources[name[0]])] == []


def test_the_walks_of_the_architecture_are_as_long_as_they_say() -> None:
    for title, text in zip(walks()[::2], walks()[1::2], strict=True):
        files = re.findall(r"^\d+\. `([^`]+)`", text, re.MULTILINE)
        assert f"{len(set(files))} files, {len(files)} hops" in title


def test_every_noun_of_a_class_of_the_jobs_has_its_line_in_the_glossary() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    defined = " ".join(re.findall(r"\*\*([^*]+)\*\*", page[page.index("## Words") :])).lower()
    modules = [ROOT / "worker/model.py", *(ROOT / "worker/jobs").glob("*.py")]
    names = {
        name for path in modules for name in re.findall(r"^class ([A-Z]\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    nouns = {noun.lower().rstrip("s") for name in names for noun in re.findall(r"[A-Z][a-z]+", name)}
    assert {noun for noun in nouns if noun.removesuffix("e") not in defined} <= NOT_TOLD


def test_a_page_that_says_that_nothing_is_lost_names_the_test_that_shows_it() -> None:
    pages = [page for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if page.name != "reasons.md"]
    told = [text for page in pages for text in page.read_text(encoding="utf-8").split("\n\n")]
    promises = [
        text for text in told if re.search(r"(nothing|none|no work) is\s+lost|loses\s+nothing", text, re.IGNORECASE)
    ]
    assert promises
    assert [text for text in promises if "test" not in text] == []


@pytest.mark.parametrize("page", ["docs", "docs/decisions", "."])
def test_what_the_pages_name_is_there(page: str) -> None:
    """Modules of the worker, and tests: a sentence that promises something names the test that shows it."""
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    for path in sorted((ROOT / page).glob("*.md")):
        text = path.read_text(encoding="utf-8")
        modules = set(re.findall(rf"`(?:worker/)?((?:{'|'.join(ROOMS)})/\w+\.(?:py|c))\b", text))
        assert {name for name in modules if not (ROOT / "worker" / name).exists()} == set(), path.name
        named = set(re.findall(r"`(test_\w+)`", text))
        assert {name for name in named if f"def {name}(" not in tests} == set(), path.name


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]), ids=lambda page: page.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def listed_in(nav: object) -> set[str]:
    """Return the pages in a navigation; a folder in it stands for all its pages."""
    if isinstance(nav, str):
        folder = ROOT / "docs" / nav
        return {f"{nav}/{path.name}" for path in folder.glob("*.md")} if folder.is_dir() else {nav}
    entries = nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else []
    return {page for entry in entries for page in listed_in(entry)}


def test_the_site_shows_every_page() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    shown = {page for page in listed_in(nav) if not page.startswith("project/")}
    assert pages == shown, "add the page to nav in mkdocs.yml"


def test_the_page_of_dead_letters_names_reasons_that_jobs_end_with() -> None:
    page = (ROOT / "docs/how-to/dead-letters.md").read_text(encoding="utf-8")
    table = page[page.index("| `error_code`") : page.index("[Reasons]")].strip().splitlines()[2:]
    named = {code for row in table for code in re.findall(r"`([^`]+)`", row.split("|")[1])}
    assert named
    assert named <= set(JobReason)


def test_the_changelog_has_a_section_for_the_version() -> None:
    assert f"## [{__version__}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
