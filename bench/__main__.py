"""`python -m bench [--quick]`: measure, and write the tables and plots of docs/performance.md."""

import argparse
import os
import platform
import statistics
import time
from pathlib import Path

from bench import calls, compose, profile, report, whole
from bench.photos import CACHE, photos

LATENCIES = {"0 ms": (0.0, 0.0), "80 ± 40 ms": (80.0, 40.0)}


def main() -> None:
    """Measure what is asked for; a quick run tells its figures and writes no document."""
    arguments = argparse.ArgumentParser(prog="bench")
    arguments.add_argument("--quick", action="store_true", help="fewer ways and rounds; nothing is written to docs/")
    arguments.add_argument("--only", choices=["compose", "whole", "figures", "profile"], help="one part of it")
    asked = arguments.parse_args()
    began = time.monotonic()
    parts = {"compose": _compose, "whole": _whole, "figures": _figures, "profile": _profile}
    if asked.quick:
        del parts["figures"], parts["profile"]
    for name, part in parts.items():
        if asked.only in (None, name):
            print(f"\n{name}", flush=True)
            for mark, text in part(quick=asked.quick).items():
                print(f"\n{text}", flush=True)
                if not asked.quick:
                    report.put(mark, text)
    if not asked.quick and asked.only is None:
        report.put("machine", machine())
    print(f"\n{time.monotonic() - began:.0f} s")


def machine() -> str:
    """Say what it was measured on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    load = os.getloadavg()[1]
    return (
        f"Measured on {len(os.sched_getaffinity(0))} cores ({model}), Python "
        f"{platform.python_version()}, at a load of {load:.1f} at the end.\n"
        "Compare figures of one table with each other, and with nothing else."
    )


def _compose(*, quick: bool) -> dict[str, str]:
    found = photos()
    ways = compose.measured(found, quick=quick, rounds=3 if quick else 15)
    if not quick:
        report.plot("compose", report.compose_chart(ways))
        report.plot("formats", report.formats_chart(ways))
    tables = {"compose": report.compose_table(ways, found.source)}
    return tables if quick else tables | {"formats": report.formats_table(ways)}


def _whole(*, quick: bool) -> dict[str, str]:
    photos()
    rounds, images = (1, 420) if quick else (5, 2_100)
    latencies = {"80 ± 40 ms": (80.0, 40.0)} if quick else LATENCIES
    series = {name: whole.Series(title) for name, title in report.CONTENDERS.items()}
    for number in range(rounds):
        for latency, (mean, spread) in latencies.items():
            with whole.origin(mean, spread) as address:
                runs = {
                    "ours": lambda at=address: whole.ours(at, images)[0],
                    "old": lambda at=address: whole.old(at, 140),
                    "img2dataset": lambda at=address: whole.img2dataset(at, 350),
                    "floor": lambda at=address: whole.floor(at, 700),
                }
                for name in runs if number % 2 else reversed(runs):
                    run = runs[name]()
                    if run is not None:
                        series[name].runs.setdefault(latency, []).append(run)
    if not quick:
        report.plot("whole", report.whole_chart(series))
    return {"whole": report.whole_table(series, list(latencies))}


def _figures(*, quick: bool) -> dict[str, str]:
    del quick
    with whole.origin(80, 40) as address:
        _, lags = whole.ours(address, 700, probed=True)
    overheads = [whole.creator_overhead() for _ in range(5)]
    idle = whole.idle(20)
    rows = {
        "images a second with 1 core and with 2, which the origin uses as well (`process`)": (
            _speed_by_cores(),
            "1.9 times",
        ),
        "lag of the event loop at 80 ± 40 ms, all cores decoding: p50, p99, most": (
            ", ".join(f"{lags[len(lags) * part // 1000] * 1000:.1f}" for part in (500, 990, 999)) + " ms",
            "p99 under 20 ms",
        ),
        "CPU of a creator with one image of 72x128, and beyond that image; answers come at once (`front.py`)": (
            _overhead(overheads),
            "5 ms",
        ),
        "start to first receive: wall, CPU of all its processes": (
            f"{idle['started_after']:.2f} s, {idle['started_cpu']:.2f} s",
            "1.5 s",
        ),
        "CPU of an idle worker": (f"{idle['idle_share']:.2%} of a core", "0.5%"),
        "memory of an idle worker with its decoders (PSS)": (f"{idle['memory']:.0f} MB", ""),
    } | {
        f"{images} images at 80 ± 40 ms, the start included (`process`)": (f"{seconds:.1f} s", f"{limit} s")
        for (images, seconds), limit in zip(whole.old_figures().items(), (5, 15, 30), strict=True)
    }
    return {
        "figures": report.plain_table(("what", "measured", "target"), [(k, *v) for k, v in rows.items()]),
        "calls": calls.measured(),
    }


def _overhead(runs: list[tuple[whole.Run, float]]) -> str:
    each = statistics.median(run.each for run, _ in runs)
    beyond = statistics.median(rest for _, rest in runs)
    speed = statistics.median(run.images / run.wall for run, _ in runs)
    return f"{each:.1f} ms, {beyond:.1f} ms; {speed:.0f} creators a second"


def _speed_by_cores() -> str:
    """Tell images a second where worker and origin have one core and where they have two, without the start."""
    speeds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(10):
        cores = 1 + number % 2
        with whole.origin(cores=cores) as address:
            few, many = (whole.ours_on_this_machine(address, images, cores=cores) for images in (35, 2_135))
        speeds[cores].append(2_100 / (many.wall - few.wall))
    one, two = (statistics.median(found) for found in speeds.values())
    return (
        f"{one:.0f}, {two:.0f}: {report.times(speeds[2], speeds[1])}; "
        f"two processes that do nothing but decode: {compose.speed_of_two():.2f} times"
    )


def _profile(*, quick: bool) -> dict[str, str]:
    del quick
    return {"profile": profile.measured()}


if __name__ == "__main__":
    CACHE.mkdir(exist_ok=True)
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main()
