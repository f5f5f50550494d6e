"""A flame graph of the whole worker under load, by py-spy, and a table of what its samples are spent on."""

import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench import environments, flame, report, whole

CREATORS = 80

# What a sample is counted as: the first row that fits the frame nearest to its leaf that any row fits.
PARTS = (
    ("decoding and resizing, in the decoder processes", ("make_cell",)),
    ("handing images to the decoders: their side", ("worker/decode/child.py",)),
    ("composing: pasting, and the JPEG encoder", ("worker/images/collage.py",)),
    ("calls to S3, SQS and DynamoDB: aiobotocore and the HTTP below it", ("botocore/", "worker/aws/")),
    ("fetching: aiohttp, redirects, limits, retries", ("worker/images/", "aiohttp/client.py", "tenacity/")),
    ("handing images to the decoders: the worker's side", ("worker/decode/pool.py",)),
    ("hashing the files", ("worker/images/fingerprint.py",)),
    ("logs and metrics", ("structlog/", "worker/logs.py", "worker/aws/emf.py")),
    ("the job: covers, records, metadata", ("worker/jobs/",)),
)
_NARROW_FIRST = sorted(PARTS, key=lambda part: -max(len(word) for word in part[1]))
REST = "the event loop, sockets and all else"


def measured() -> str:
    """Profile a run, draw its flame graph, and return the table."""
    python = environments.environment("pyspy", environments.PY_SPY)
    if python is None:
        return "py-spy could not be installed.\n"
    with tempfile.TemporaryDirectory() as folder:
        lines = _weighed(*_recorded(python.with_name("py-spy"), Path(folder)))
    report.plot(
        "flame",
        flame.flame(
            lines,
            "The whole worker under load: its own process and its decoders",
            f"py-spy, {CREATORS * whole.PER_CREATOR:,} images; samples that wait are left out. "
            "Green: ours, orange: Pillow, blue: aiohttp and botocore",
        ),
    )
    counts: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        counts[part_of(stack)] += int(count)
    total = sum(counts.values())
    return report.plain_table(("part", "CPU"), [(part, f"{n / total:.0%}") for part, n in counts.most_common()])


def _weighed(lines: list[str], cpu: tuple[float, float]) -> list[str]:
    """Give the samples of the worker and of its decoders the weight of the CPU seconds that each side took.

    py-spy sees threads that could run, whether they do or wait for a core; the kernel knows what they got.
    """
    sides: tuple[list[str], list[str]] = ([], [])
    for line in lines:
        sides[line.startswith("worker;decoder")].append(line)
    weighed = []
    for side, seconds in zip(sides, cpu, strict=True):
        counts = [int(line.rpartition(" ")[2]) for line in side]
        weight = 1000 * whole.TICK * seconds / sum(counts)
        weighed += [f"{line.rpartition(' ')[0]} {count * weight:.0f}" for line, count in zip(side, counts, strict=True)]
    return weighed


def _recorded(spy: Path, folder: Path) -> tuple[list[str], tuple[float, float]]:
    """Return the folded stacks of a worker at work and of its decoders, and the CPU seconds of both."""
    stacks = folder / "stacks"
    with whole.origin() as address, whole.emulator() as environment:
        worker = whole.Worker(environment | {"WAIT_TIME_SECONDS": "2"}, folder)
        try:
            keys = whole.put_manifests(environment, address, CREATORS)
            command = [str(spy), "record", "--rate", "200", "--format", "raw", "--subprocesses", "--full-filenames"]
            command += ["--pid", str(worker.process.pid), "--output", str(stacks)]
            recording = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(1)
            before = worker.shares()
            whole.watched(worker, environment, keys, CREATORS)
            cpu = tuple(after - first for after, first in zip(worker.shares(), before, strict=True))
            recording.send_signal(signal.SIGINT)
            recording.wait()
        finally:
            worker.end()
    lines = [line for line in map(_tidy, stacks.read_text(encoding="utf-8").splitlines()) if not _waits(line)]
    return lines, (cpu[0], cpu[1])


def _tidy(line: str) -> str:
    """Shorten a stack: paths from the package on, and without the frames that only lead to the program."""
    line = re.sub(r"\([^()]*/(?:site-packages|lib/python[\d.]+|(?=worker/))/?", "(", line)
    line = re.sub(r"process \d+:\"([^\"]*)\"", lambda found: "decoder" if "decoder" in found[1] else "worker", line)
    stack, _, count = line.rpartition(" ")
    kept = [frame for frame in stack.split(";") if not re.search(r"\(<frozen|typer/|<string>|_bootstrap", frame)]
    return ";".join(re.sub(r":\d+\)", ")", frame) for frame in kept) + f" {count}"


def _waits(line: str) -> bool:
    leaf = line.rpartition(" ")[0].rpartition(";")[2]
    return bool(re.search(r"(^|\.)(select|wait|_wait|readinto|_worker|_serve|poll|_do_waitpid) ", leaf))


def part_of(stack: str) -> str:
    """Say what a sample is spent on, judged from its leaf to its root."""
    if "make_cell" in stack:
        return PARTS[0][0]
    for frame in reversed(stack.split(";")):
        for part, words in _NARROW_FIRST:
            if any(word in frame for word in words):
                return part
    return REST
