"""The documents in Chinese have what those in English have: the same headings, commands and tables."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = [ROOT / "docs/index.md", *(ROOT / "docs/tutorial").glob("*.md"), *(ROOT / "docs/how-to").glob("*.md")]
PAIRS = [(ROOT / "README.md", ROOT / "README.zh-CN.md")] + [
    (page, ROOT / "docs/zh" / page.relative_to(ROOT / "docs")) for page in ENGLISH
]
BOTH = pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=[page.stem for page, _ in PAIRS])
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def blocks(page: Path) -> list[list[str]]:
    """Return the blocks of code, without the comments behind commands."""
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [
        [re.sub(r"\s+# .*", "", line).strip() for line in text.splitlines()] for language, text in found if language
    ]


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def tables(page: Path) -> list[tuple[int, int]]:
    """Return the size of each table: columns and lines."""
    found = re.findall(r"(?:^\|.*\|\n)+", prose(page) + "\n", re.MULTILINE)
    return [(text.splitlines()[1].count("|") - 1, len(text.splitlines())) for text in found]


@BOTH
def test_a_page_in_chinese_has_the_same_headings(english: Path, chinese: Path) -> None:
    levels = [re.findall(r"^(#+) ", prose(page), re.MULTILINE) for page in (english, chinese)]
    assert levels[0] == levels[1]
    titles = re.findall(r"^#+ (.*)$", prose(chinese), re.MULTILINE)
    assert [title for title in titles if not CHINESE.search(title)] == []


@BOTH
def test_a_page_in_chinese_has_the_same_commands(english: Path, chinese: Path) -> None:
    assert blocks(english) == blocks(chinese)


@BOTH
def test_a_page_in_chinese_has_the_same_tables(english: Path, chinese: Path) -> None:
    assert tables(english) == tables(chinese)


@BOTH
def test_a_page_in_chinese_names_the_same_settings_keys_and_files(english: Path, chinese: Path) -> None:
    named = [set(re.findall(r"`([^`\n]+)`", prose(page))) for page in (english, chinese)]
    assert {name for name in named[0] ^ named[1] if not CHINESE.search(name)} == set()


@BOTH
def test_a_page_in_chinese_has_the_same_links(english: Path, chinese: Path) -> None:
    found = [re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")) for page in (english, chinese)]
    names = [sorted(Path(link).name for link in links if not link.startswith("http")) for links in found]
    apart = {"README.zh-CN.md", "README.md", "index.md"}
    assert [name for name in names[0] if name not in apart] == [name for name in names[1] if name not in apart]


def test_every_page_of_the_tutorial_and_the_how_tos_is_in_chinese_and_no_other() -> None:
    there = set((ROOT / "docs/zh").rglob("*.md"))
    assert there == {chinese for _, chinese in PAIRS if chinese.name != "README.zh-CN.md"}


@pytest.mark.parametrize("page", [chinese for _, chinese in PAIRS], ids=lambda page: page.stem)
def test_sentences_in_chinese_have_chinese_punctuation(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", prose(page))
    assert re.findall(r".{0,6}(?:[\u4e00-\u9fff][,;:(]|[,;)][\u4e00-\u9fff]).{0,6}", text) == []
