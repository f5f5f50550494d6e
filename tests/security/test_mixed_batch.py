"""A thousand hostile rows among a thousand good ones: every good image, a reason for every bad one, flat memory."""

# ruff: noqa: ASYNC240 -- a test has nothing else to do, and its figures are worth a look (pytest -s)

import asyncio
import csv
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import psutil

from tests.security import corpus
from tests.security.hostile_origin import WAYS, HostileOrigin
from worker.errors import ImageReason

CREATORS, EACH = 100, 10
SLOW = [name for name, (_, _, reason) in WAYS.items() if reason == "timeout"]
QUICK = [name for name, (_, _, reason) in WAYS.items() if reason not in ("timeout", None, "any")]
BAD_URLS = (
    "http://2130706433/a.png", "https://user:pass@cdn.example/a.png", "http://127.1/a.png", "http://h\\@evil.example/",
    "http://[::ffff:169.254.170.2]/v2/credentials", "http://169.254.169.254/latest/meta-data/", "http://0x7f.1/a",
    "http://[64:ff9b::a9fe:a9fe]/", "https://[fe80::1]/a.png", "http://127.0.0.1:1/refused.png", "http://no-such-host.invalid/a",
    "https://cdn.example/a.png?x-expires=1",
)  # fmt: skip


@dataclass
class Told:
    """What one run came to."""

    seconds: float
    most_bytes: int
    images: list[dict[str, object]]
    stderr: str


@asynccontextmanager
async def origins() -> AsyncIterator[tuple[HostileOrigin, HostileOrigin, HostileOrigin]]:
    files = {
        f"{family}-{number}": data
        for family, cases in corpus.FAMILIES.items()
        for number, (name, (data, expected)) in enumerate(cases())
        if corpus.CELL not in expected
    }
    async with AsyncExitStack() as stack:
        good, quick, slow = [await stack.enter_async_context(HostileOrigin()) for _ in range(3)]
        quick.files = files
        yield good, quick, slow


def hostile_urls(quick: HostileOrigin, slow: HostileOrigin) -> Iterator[str]:
    ways = [f"{quick.base}/{name}" for name in QUICK] + [f"{slow.base}/{name}" for name in SLOW]
    files = [f"{quick.base}/file/{name}" for name in quick.files]
    for number, url in enumerate(cycle([*ways, *files, *BAD_URLS])):
        yield f"{url}?{number}" if "?" not in url else f"{url}&{number}"


async def run(manifest: Path, output: Path) -> Told:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS")},
        "ALLOW_PRIVATE_ADDRESSES": "true",
        "DEFAULT_TIMEOUT": "1",
        "DEFAULT_MAX_RETRIES": "1",
        "DEFAULT_MAX_WORKERS": "32",
        "RETRY_BACKOFF_FACTOR": "0.05",
        "RETRY_MAX_DELAY": "0.2",
        "DECODE_PROCESSES": "2",
        "LOG_FORMAT": "json",
    }
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker", "process", str(manifest), "-o", str(output),
        env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    watch = asyncio.create_task(most_resident(process.pid))
    _, stderr = await asyncio.wait_for(process.communicate(), 120)
    watch.cancel()
    most = await watch
    assert process.returncode == 0, stderr.decode()
    images = [
        {"creator": document["creator"], **image}
        for path in sorted(output.rglob("metadata/*/*.json"))
        for document in [json.loads(path.read_text())]
        for image in document["images"]
    ]
    return Told(time.monotonic() - began, most, images, stderr.decode())


async def most_resident(pid: int) -> int:
    """Return the most memory that the process and its decoders held, when cancelled."""
    most, own = 0, psutil.Process(pid)
    try:
        while True:
            with suppress(psutil.NoSuchProcess):
                most = max(most, sum(one.memory_info().rss for one in (own, *own.children())))
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        return most


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("creator_name", "cover_url"), *rows])
    return path


async def test_hostile_rows_cost_no_good_image_and_little_time(tmp_path: Path) -> None:
    async with origins() as (good, quick, slow):
        bad = hostile_urls(quick, slow)
        alone: list[tuple[str, str]] = []
        mixed: list[tuple[str, str]] = []
        for number in range(CREATORS * EACH):
            row = (f"creator {number % CREATORS}", f"{good.base}/good/{number}.png")
            alone.append(row)
            mixed += [row, (row[0], next(bad))]
        first = await run(write(tmp_path / "good.csv", alone), tmp_path / "good")
        second = await run(write(tmp_path / "mixed.csv", mixed), tmp_path / "mixed")
    sound = [image for image in second.images if f":{good.port}/good/" in str(image["url"])]
    rest = [image for image in second.images if image not in sound]
    assert len(first.images) == len(sound) == len(rest) == CREATORS * EACH
    assert {image["outcome"] for image in (*first.images, *sound)} == {"used"}
    reasons = Counter(str(image.get("reason")) for image in rest)
    assert set(reasons) <= {reason.value for reason in ImageReason}, reasons
    assert {"timeout", "too_large", "too_many_pixels", "address_refused", "bad_url", "truncated"} <= set(reasons)
    print(f"good alone {first.seconds:.1f} s, {first.most_bytes >> 20} MB;", end=" ")
    print(f"mixed {second.seconds:.1f} s, {second.most_bytes >> 20} MB; {dict(reasons)}")
    assert second.most_bytes < first.most_bytes + (150 << 20), "a decoder may hold one large picture, and no more"
    assert second.seconds < 60, "a thousand time-outs one after the other would be a thousand seconds"
    assert "Traceback" not in second.stderr
