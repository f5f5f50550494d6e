"""What mkdocs asks while it builds the site (mkdocs.yml).

Pages of the repository that are outside docs/ become pages of the site, under project/. Links are written as they work
in the repository, and changed here to where the site has their targets; a link to a file that is no page, such as a
program, becomes its text. Pages under zh/ get the theme in Chinese.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = {
    "SECURITY.md": "project/security.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "infra/README.md": "project/infra.md",
    "tests/README.md": "project/tests.md",
    "README.md": "index.md",
    "README.zh-CN.md": "zh/index.md",
}
"""Pages by their path in the repository: where the site has them. The last two are not copied: docs/ has its own."""

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")

_ITEM = re.compile(r"(?:[-*]|\d+\.) +")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are outside docs/, and every decision to the navigation."""
    for source, uri in OUTSIDE.items():
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    decisions = sorted(file.src_uri for file in files if file.src_uri.startswith("decisions/"))
    _replaced(config.nav, "decisions", ["decisions/README.md", *(uri for uri in decisions if "README" not in uri)])
    return files


def on_page_markdown(markdown: str, page: Any, files: Any, **_: Any) -> str:
    """Lead every link to where the site has its target."""
    source = next((name for name, uri in OUTSIDE.items() if uri == page.file.src_uri), f"docs/{page.file.src_uri}")
    if (ROOT / "docs" / page.file.src_uri).exists():
        source = f"docs/{page.file.src_uri}"

    def led(found: re.Match[str]) -> str:
        image, text, link, anchor = found.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        uri = OUTSIDE.get(target) or target.removeprefix("docs/")
        if (ROOT / target / "README.md").exists():
            uri = f"{uri}/README.md"
        if files.get_file_from_path(uri) is not None:
            from_here = posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")
            return f"{image}[{text}]({from_here}{anchor or ''})"
        return text if (ROOT / target).exists() else found[0]

    return _spaced(_LINK.sub(led, markdown))


def on_page_context(context: Any, page: Any, config: Any, **_: Any) -> Any:
    """Give pages in Chinese the theme in Chinese."""
    config.theme["language"] = "zh" if page.file.src_uri.startswith("zh/") else "en"
    return context


def _spaced(markdown: str) -> str:
    """Write lists as Python-Markdown wants them: an empty line before the first item, and four spaces inside of one."""
    lines: list[str] = []
    fenced, marker = False, 0
    for line in markdown.splitlines():
        item = None if fenced else _ITEM.match(line)
        if item and not marker and lines and lines[-1]:
            lines.append("")
        if item:
            marker = len(item[0])
        elif line and not line.startswith(" ") and not fenced and not (lines and lines[-1]):
            marker = 0
        inside = marker and not item and line.startswith(" " * marker)
        lines.append(" " * (4 - marker) + line if inside and marker < 4 else line)
        fenced ^= line.lstrip().startswith("```")
    return "\n".join(lines)


def _replaced(nav: list[Any], name: str, pages: list[str]) -> None:
    """Put a list of pages in the place of a name in the navigation."""
    for entry in nav:
        for title, inside in entry.items():
            if inside == name:
                entry[title] = pages
            elif isinstance(inside, list) and all(isinstance(each, dict) for each in inside):
                _replaced(inside, name, pages)
