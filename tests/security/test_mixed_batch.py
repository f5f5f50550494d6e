"""A thousand hostile rows among a thousand good ones: every good image, a reason for every bad one, flat memory.

`python -m tests.security.test_mixed_batch [ROUNDS]` measures what the hostile ones cost: README.md has figures.
"""

# ruff: noqa: ASYNC240, E501 -- a test has nothing else to do, and its figures are worth a look (pytest -s)

import asyncio
import csv
import gzip
import json
import os
import resource
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

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
    """Of the batch alone: what a process takes to start and to end is the same with and without hostile rows."""
    cpu_seconds: float
    """Of the worker and its decoders, all told."""
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
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker", "process", str(manifest), "-o", str(output),
        env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    watch = asyncio.create_task(most_resident(process.pid))
    _, stderr = await asyncio.wait_for(process.communicate(), 120)
    watch.cancel()
    most = await watch
    assert process.returncode == 0, stderr.decode()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    summary = json.loads(next(output.rglob("processing-summaries/*.json")).read_text())
    images = [
        json.loads(line)
        for path in sorted(output.rglob("metadata/*/part-*.jsonl.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    return Told(
        summary["durations"]["batch_seconds"],
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        most,
        images,
        stderr.decode(),
    )


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


async def alone_and_mixed(folder: Path) -> tuple[Told, Told, int]:
    """Run the good rows alone, and with a hostile one behind each; returns the port of the good ones' server as well."""
    async with origins() as (good, quick, slow):
        bad = hostile_urls(quick, slow)
        alone: list[tuple[str, str]] = []
        mixed: list[tuple[str, str]] = []
        for number in range(CREATORS * EACH):
            row = (f"creator {number % CREATORS}", f"{good.base}/photo/{number}.jpg")
            alone.append(row)
            mixed += [row, (row[0], next(bad))]
        first = await run(write(folder / "good.csv", alone), folder / "good")
        second = await run(write(folder / "mixed.csv", mixed), folder / "mixed")
    return first, second, good.port


async def test_hostile_rows_cost_no_good_image_and_little_time(tmp_path: Path) -> None:
    first, second, port = await alone_and_mixed(tmp_path)
    sound = [image for image in second.images if f":{port}/photo/" in str(image["url"])]
    rest = [image for image in second.images if image not in sound]
    assert len(first.images) == len(sound) == len(rest) == CREATORS * EACH
    assert {image["outcome"] for image in (*first.images, *sound)} == {"used"}
    reasons = Counter(str(image.get("reason")) for image in rest)
    assert set(reasons) <= {reason.value for reason in ImageReason}, reasons
    assert {"timeout", "too_large", "too_many_pixels", "address_refused", "bad_url", "truncated"} <= set(reasons)
    print(f"{told(first)} alone, {told(second)} mixed; {dict(reasons)}")
    assert second.most_bytes < first.most_bytes + (150 << 20), "a decoder may hold one large picture, and no more"
    assert second.cpu_seconds < 2 * first.cpu_seconds
    # By the clock other work on the machine counts, too, and the time-outs of the rows that hang are 2 s of it.
    assert second.seconds < 2 * first.seconds + 10, (
        "a thousand time-outs one after the other would be a thousand seconds"
    )
    assert "Traceback" not in second.stderr


def told(run: Told) -> str:
    return f"{run.seconds:.1f} s, {run.cpu_seconds:.1f} CPU s, {run.most_bytes >> 20} MB"


async def measure(rounds: int) -> None:
    """Print each round, and the medians of what mixed costs of alone."""
    ratios: list[tuple[float, float]] = []
    for _ in range(rounds):
        with TemporaryDirectory() as folder:
            first, second, _ = await alone_and_mixed(Path(folder))
        print(f"alone {told(first)}; mixed {told(second)}", flush=True)
        ratios.append((second.seconds / first.seconds, second.cpu_seconds / first.cpu_seconds))
    by_clock, by_cpu = (median(each) for each in zip(*ratios, strict=True))
    print(
        f"median of {rounds}: {by_clock:.2f} times as long, {by_cpu:.2f} times the CPU; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
