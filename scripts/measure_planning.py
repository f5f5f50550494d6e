"""Measure how long a manifest takes from bytes to creator groups, and what memory and disk it needs.

    python scripts/measure_planning.py --rows 1000000 --creators 100000

Writes a manifest with rows in random order to TMPDIR, plans it in one thread, and prints one line of JSON. `spill_mb`
is the most that temporary files held, `peak_rss_mb` the most memory the process ever had.
"""

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from worker.manifest.grouping import Grouping
from worker.manifest.manifest import open_manifest

MB = 1_000_000
LOOK_EVERY = 10_000


def write_manifest(file: BinaryIO, rows: int, creators: int, seed: int) -> None:
    """Write `rows` lines of random creators with signed URLs of about 175 characters."""
    rng = random.Random(seed)  # noqa: S311 -- a repeatable input, no secret
    file.write(b"creator_name,cover_url\n")
    for _ in range(rows):
        url = (
            f"https://p16-sign-va.tiktokcdn.com/obj/tos-maliva-p-0068/{rng.getrandbits(128):032x}_1737280000"
            f"?x-expires=1737302400&x-signature={rng.getrandbits(160):040x}%3D"
        )
        file.write(f"creator_{rng.randrange(creators):08d},{url}\n".encode())
    file.flush()


def spilled_bytes(but: BinaryIO) -> int:
    """Bytes in the deleted files that this process still holds open: SQLite's, which deletes them as it opens them."""
    total = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            deleted = str(entry.readlink()).endswith("(deleted)")
            total += entry.stat().st_size if deleted and int(entry.name) != but.fileno() else 0
        except OSError:
            continue  # the descriptor that listed the folder is gone by now
    return total


def plan(file: BinaryIO, max_rows: int) -> Iterator[dict[str, float]]:
    """Plan the manifest; yields seconds and spilled bytes after each step, and now and then between."""
    started = time.perf_counter()
    manifest = open_manifest(file)
    yield {"open_seconds": time.perf_counter() - started}
    with Grouping() as grouping:
        for batch in manifest.blocks():
            grouping.add(batch)
        yield {"read_seconds": time.perf_counter() - started, "spill": spilled_bytes(file)}
        for index, _ in enumerate(grouping.groups(max_rows=max_rows)):
            if index % LOOK_EVERY == 0:
                yield {"spill": spilled_bytes(file)}
        yield {
            "seconds": time.perf_counter() - started,
            "rows": grouping.rows,
            "creators": grouping.creators,
            "left_out": grouping.left_out,
        }


def main() -> None:
    """Write, plan, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--creators", type=int, default=100_000)
    parser.add_argument("--max-rows", type=int, default=1_000, help="rows kept of one creator (default: 1000)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    found: dict[str, float] = {}
    spill = 0.0
    with tempfile.TemporaryFile() as file:
        write_manifest(file, arguments.rows, arguments.creators, arguments.seed)
        size = os.fstat(file.fileno()).st_size
        cpu = time.process_time()
        for step in plan(file, arguments.max_rows):
            spill = max(spill, step.pop("spill", 0))
            found |= step
        cpu = time.process_time() - cpu
    million = arguments.rows / 1_000_000
    print(
        json.dumps(
            {
                **{key: round(value, 2) for key, value in found.items()},
                "seconds_per_million_rows": round(found["seconds"] / million, 2),
                "cpu_seconds_per_million_rows": round(cpu / million, 2),
                "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB),
                "manifest_mb": round(size / MB),
                "spill_mb": round(spill / MB),
            }
        )
    )


if __name__ == "__main__":
    main()
