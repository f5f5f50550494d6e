"""Signed links in a report: each collage has its own, and what is the same in all stands there once."""

import json
import re
from dataclasses import replace
from urllib.parse import quote

import pytest

from tests.unit.test_page import block, page_of
from tests.unit.test_summary import ANN
from worker.jobs.report.links import with_links

UNTIL = 1_700_000_000.0


def opened(page: str) -> list[str]:
    """Return the links as the page's script puts them together."""
    links, found = block(page, 'id="links"'), list[str]()
    for creator in block(page, 'class="creators"'):
        for relative in creator[3]:
            told = links["signed"][len(found)]
            number, _, signature = told.partition(":")
            whole = (
                f"{links['base']}{relative}?{links['queries'][int(number)]}{signature}" if number.isdigit() else told
            )
            found.append(whole)
    return found


@pytest.mark.parametrize("prefix", ["", "p/", "x/y-"])
async def test_each_collage_has_a_link_of_its_own(prefix: str) -> None:
    keys = tuple(f"{prefix}collages/by-creator/%E7/collage{name}.jpg" for name in ("", "_p2", " </script>"))
    page = page_of([replace(ANN, collage_keys=keys)], prefix=prefix)
    asked: list[str] = []

    async def signed(key: str) -> str:
        asked.append(key)
        return f"https://b.s3.amazonaws.com/{quote(key)}?X-Amz-Date={len(asked) // 2}&X-Amz-Signature=s{len(asked)}"

    found = await with_links(page, f"{prefix}results/processing-summaries/b.html", signed, UNTIL)
    assert tuple(asked) == keys
    assert opened(found) == [
        f"https://b.s3.amazonaws.com/{quote(key)}?X-Amz-Date={number // 2}&X-Amz-Signature=s{number}"
        for number, key in enumerate(keys, start=1)
    ]
    assert len(block(found, 'id="links"')["queries"]) == 2
    assert block(found, 'id="links"')["until"] == "2023-11-14T22:13:20Z"
    assert len(re.findall("</script>", found)) == len(re.findall("</script>", page))


async def test_a_link_that_is_signed_otherwise_is_kept_as_it_is() -> None:
    async def signed(key: str) -> str:
        return f"https://other.example/{len(key)}?Signature=abc&Expires=1"

    found = await with_links(page_of([ANN]), "results/processing-summaries/b.html", signed, UNTIL)
    assert opened(found) == [f"https://other.example/{len(key)}?Signature=abc&Expires=1" for key in ANN.collage_keys]


async def test_a_page_without_collages_has_no_links() -> None:
    async def signed(key: str) -> str:
        raise AssertionError(key)

    found = await with_links(page_of([]), "results/processing-summaries/b.html", signed, UNTIL)
    assert json.loads(re.findall('id="links">(.*?)</script>', found)[0])["signed"] == []
