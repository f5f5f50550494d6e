"""`python -m bench.soak [IMAGES]`: is memory still the same after a million images? Counted, not waited for.

One batch, with the default settings but 64 downloads. Most of its images are 72x128 px, so that there can be many; the
photographs of every twentieth creator have their full size. The table goes into docs/performance.md.
"""

import argparse
import tempfile
import time
from pathlib import Path

from bench import report, whole
from bench.photos import CACHE, photos, tiny

KEY = "manual-uploads/soak.csv"
ROWS = 10
PHOTOGRAPHS_EVERY = 20
CONFIG = {"rows": 5, "cols": 7, "cell_size": 64, "max_workers": 64}
DEADLINE = 4 * 3600


def main() -> None:
    """Run one large batch, note memory ten times on its way, and write the table."""
    arguments = argparse.ArgumentParser(prog="bench.soak")
    arguments.add_argument("images", type=int, nargs="?", default=1_000_000)
    creators = arguments.parse_args().images // whole.PER_CREATOR
    photos()
    with (
        whole.origin(folder=CACHE / "photos" / "jpeg") as large,
        whole.origin(folder=tiny()) as small,
        whole.emulator(fronted=True) as environment,
        tempfile.TemporaryDirectory() as folder,
    ):
        worker = whole.Worker(environment | {"WAIT_TIME_SECONDS": "2"}, Path(folder))
        try:
            covers = whole.manifest(lambda number: small if number % PHOTOGRAPHS_EVERY else large, range(creators))
            whole.put_manifest(environment, KEY, covers)
            whole.send_job(environment, KEY, **CONFIG)
            rows = _watched(worker, creators)
        finally:
            worker.end()
    table = report.plain_table(("images done", "the worker and its decoders", "most of the worker so far"), rows)
    print(table)
    report.put("soak", table)


def _watched(worker: whole.Worker, creators: int) -> list[tuple[str, str, str]]:
    """Return a row for each tenth of the creators."""
    rows, began = [], time.monotonic()
    for step in range(1, ROWS + 1):
        while (done := worker.finished()) < creators * step // ROWS:
            if worker.process.poll() is not None or time.monotonic() - began > DEADLINE:
                raise RuntimeError(f"the worker did {done:,} of {creators:,} creators")
            time.sleep(1)
        row = (f"{done * whole.PER_CREATOR:,}", f"{worker.memory():.0f} MB", f"{worker.peak():.0f} MB")
        print(*row, f"{time.monotonic() - began:.0f} s", flush=True)
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
