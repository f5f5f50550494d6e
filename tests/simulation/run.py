"""`python -m tests.simulation.run --seeds 0-1000`, or `--seed 7 --trace` to see all of one run."""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.misfortunes import PRESETS
from tests.simulation.world import Ran, simulate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", default="0-1000", help="from-to, the last one left out")
    parser.add_argument("--only", choices=sorted(PRESETS), help="every seed with this misfortune, and with no other")
    parser.add_argument("--trace", action="store_true", help="tell every call of a single seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--first", action="store_true", help="stop at the first seed that fails")
    asked = parser.parse_args()
    if asked.seed is not None:
        ran = simulated(asked.seed, asked.only)
        print(ran.told() if asked.trace or ran.broken else f"seed {asked.seed}: all holds")
        return bool(ran.broken)
    first, _, last = asked.seeds.partition("-")
    return _many(range(int(first), int(last)), asked.jobs, asked.only, first=asked.first)


def simulated(seed: int, only: str | None) -> Ran:
    """Run a seed with the misfortunes that it draws, or with one kind alone."""
    return simulate(seed, PRESETS[only](random.Random(f"{seed} {only}")) if only else None)


def _many(seeds: range, jobs: int, only: str | None, *, first: bool) -> int:
    started, failed, sums = time.perf_counter(), 0, Counter[str]()
    for ran in _results(seeds, jobs, only):
        sums.update(_sums(ran))
        if ran.broken:
            failed += 1
            print(f"seed {ran.seed}: {ran.broken[0][:300]}", flush=True)
            if first:
                break
    seconds = time.perf_counter() - started
    done = sums["seeds"]
    print(f"{done} seeds in {seconds:.1f} s ({done / seconds:.1f} a second), {failed} failed; {dict(sums)}")
    return bool(failed)


def _results(seeds: range, jobs: int, only: str | None) -> Iterator[Ran]:
    slim = partial(_slim, only)
    if jobs == 1:
        yield from map(slim, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(slim, seeds, chunksize=20)


def _slim(only: str | None, seed: int) -> Ran:
    ran = simulated(seed, only)
    ran.trace.clear()
    return ran


def _sums(ran: Ran) -> dict[str, float]:
    told = {"seeds": 1, "calls": ran.calls, "steps": ran.steps, "virtual hours": ran.seconds / 3600}
    told |= {"workers": ran.lives, "redrives": ran.redrives, "replaced reasons": ran.replaced_reasons}
    return told | ran.hits | {f"stale {name}": count for name, count in ran.stale.items()}


if __name__ == "__main__":
    sys.exit(main())
