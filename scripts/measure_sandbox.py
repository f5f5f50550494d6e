"""What the sandbox costs: CPU seconds and time for the sample photos in the decode pool, and in threads.

`python scripts/measure_sandbox.py [ROUNDS]`. Threads and pool take turns, so that what else the machine does hits both
alike; the CPU seconds of the pool are those of its processes and of this one, which serves them.
"""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from worker.decode.pool import DecodePool
from worker.images.cell import CellSpec, make_cell

PHOTOS = sorted(path for path in (Path(__file__).parents[1] / "samples" / "photos").iterdir() if path.is_file())
SPEC = CellSpec(size=200, background=(255, 255, 255), min_side=50, max_pixels=50_000_000)
CORES = len(os.sched_getaffinity(0))
REPEATS = 4
EXTRA = int(os.environ.get("EXTRA", "0"))


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and its decoders so far."""
    own = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (own, *own.children()))


async def timed(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return CPU seconds and seconds that the work takes."""
    cpu, clock = cpu_seconds(), time.perf_counter()
    await work()
    return cpu_seconds() - cpu, time.perf_counter() - clock


async def main(rounds: int) -> None:
    """Measure, and print the medians."""
    files = [path.read_bytes() for path in PHOTOS] * REPEATS
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(CORES) as threads:
        async with DecodePool(CORES + EXTRA) as pool:

            async def in_threads() -> object:
                return await asyncio.gather(*(loop.run_in_executor(threads, make_cell, data, SPEC) for data in files))

            async def in_pool() -> object:
                return await asyncio.gather(*(pool.decode(data, SPEC) for data in files))

            found: dict[str, list[tuple[float, float]]] = {"threads": [], "pool": []}
            await in_threads()
            await in_pool()
            for _ in range(rounds):
                for name, work in (("threads", in_threads), ("pool", in_pool)):
                    found[name].append(await timed(work))
    cpu = {name: statistics.median(pair[0] for pair in pairs) for name, pairs in found.items()}
    clock = {name: statistics.median(pair[1] for pair in pairs) for name, pairs in found.items()}
    for name in found:
        print(
            f"{name:8} {1000 * cpu[name] / len(files):6.3f} ms of CPU an image,",
            f"{len(files) / clock[name]:7.1f} images/s",
        )
    print(f"the pool takes {100 * (cpu['pool'] / cpu['threads'] - 1):+.1f}% CPU,", end=" ")
    print(f"and gives {100 * (clock['threads'] / clock['pool'] - 1):+.1f}% throughput")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9))
