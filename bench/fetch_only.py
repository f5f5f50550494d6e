"""What fetching alone costs: aiohttp, 64 at a time, every body read and dropped. `python fetch_only.py URLS`."""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

import aiohttp


async def main(urls: list[str]) -> None:
    """Fetch them all, and tell the CPU seconds."""
    waiting = iter(urls)

    async def fetch() -> None:
        for url in waiting:
            async with session.get(url) as answer:
                while await answer.content.readany():
                    pass

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
        before, began = spent(), time.monotonic()
        await asyncio.gather(*(fetch() for _ in range(64)))
        print(json.dumps({"cpu": spent() - before, "wall": time.monotonic() - began}))


def spent() -> float:
    """Return the CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_text().split()))
