"""Signs the links of a report that was fetched as a file, one by one: collages lie in a bucket that is not public."""

import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from urllib.parse import unquote

from worker.jobs.report.blocks import in_script
from worker.keys import iso

_CREATORS = re.compile(r'<script type="application/json" class="creators">(.*?)</script>')
_LINKS = re.compile(r'(<script type="application/json" id="links">).*?(</script>)')
_PAGES = 3
"""The place of a creator's pages in its array."""

_SIGNATURE = "X-Amz-Signature="


async def with_links(page: str, key: str, signed: Callable[[str], Awaitable[str]], until: float) -> str:
    """Put signed links to all collages into a report. `key` is the report's own, `until` when they end (epoch seconds).

    Links of one moment differ in their signature only, so that the rest stands in the page once.
    """
    folder = "".join(f"{part}/" for part in key.split("/")[:-3])
    queries: dict[str, int] = {}
    base, told = "", list[str]()
    for block in _CREATORS.findall(page):
        for creator in json.loads(block):
            for relative in creator[_PAGES]:
                link = await signed(folder + unquote(relative))
                address, _, query = link.partition("?")
                shared, found, signature = query.partition(_SIGNATURE)
                base = base or address.removesuffix(relative)
                if found and address == base + relative:
                    told.append(f"{queries.setdefault(shared + found, len(queries))}:{signature}")
                else:
                    told.append(link)
    ends = iso(datetime.fromtimestamp(until, UTC))
    links = in_script({"until": ends, "base": base, "queries": list(queries), "signed": told})
    return _LINKS.sub(lambda match: match[1] + links + match[2], page, count=1)
