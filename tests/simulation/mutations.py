"""Breaks the worker in many ways, one at a time, and counts the seeds until the simulation notices.

`python -m tests.simulation.mutations` works on copies under the temporary directory.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.simulation.faults import FAULTS, Mutation

ROOT = Path(__file__).resolve().parents[2]

RULES: dict[str, tuple[str, str, str]] = {
    "the message is deleted before its copy is sent": (
        "worker/service/fate.py",
        r"( +)await self\._queue\.send_copy\(",
        r"\1await self._queue.delete(self._message)\n\1await self._queue.send_copy(",
    ),
    "the message is deleted before its dead letter is sent": (
        "worker/service/fate.py",
        r"( +)await self\._queue\.send_dead_letter\(",
        r"\1await self._queue.delete(self._message)\n\1await self._queue.send_dead_letter(",
    ),
    "a creator is finished without a look at the fence": (
        "worker/aws/creators.py",
        r"(record,\n +.*)#status = :processing AND fence <= :fence\)",
        r"\1#status = :processing AND (fence = :fence OR attribute_exists(fence)))",
    ),
    "a creator is begun without a look at the fence": (
        "worker/aws/creators.py",
        r"#status = :processing AND fence <= :fence\)",
        r"#status = :processing AND (fence <= :fence OR attribute_exists(fence)))",
    ),
    "whoever takes over does not ask what was done before": (
        "worker/jobs/chunk.py",
        r"first = record\.takes == 1 and known\.takes == 1",
        r"first = True",
    ),
    "a take-over does not raise the fence": (
        "worker/aws/batch_records.py",
        r"fence = if_not_exists\(fence, :above\) \+ :one",
        r"fence = if_not_exists(fence, :one)",
    ),
    "a lease can be taken while it is held": (
        "worker/aws/batch_records.py",
        r"return seen\.lease_expires < now",
        r"return True",
    ),
    "the batch is finished before all of its chunks are done": (
        "worker/jobs/finish.py",
        r"and record\.chunks_done >= record\.chunks_total",
        r"and record.chunks_done >= record.chunks_total - 1",
    ),
    "a chunk is counted whoever closes it": (
        "worker/aws/batches.py",
        r'HELD,\n(\s+\{\n\s+":done": BatchState.COMPLETED,\n\s+":zero": 0,\n\s+\*\*held_values)',
        r'f"({HELD}) OR attribute_exists(fence)",\n\1',
    ),
    "the messages are noted as sent before they are": (
        "worker/jobs/batch.py",
        r"( +)await chunk_files\.send\(batch\.id, range\(sent \+ 1, written \+ 1\)\)\n",
        (
            r"\1await self._ledger.note_sent(batch.lease, chunks=written)\n"
            r"\1await chunk_files.send(batch.id, range(sent + 1, written + 1))\n"
        ),
    ),
    "the chunk is closed before its result is written": (
        "worker/jobs/chunk.py",
        (
            r"( +)await self\._chunk_files\.write_result\(batch\.id, chunk\.number, done\.records\)\n"
            r"( +failpoint\(.*\)\n)((?:.*\n)*?)( +failpoint\(\"chunk\.completed\"\))"
        ),
        r"\3\4\n\1await self._chunk_files.write_result(batch.id, chunk.number, done.records)",
    ),
    "the batch is closed before its manifest is archived": (
        "worker/jobs/finish.py",
        r"( +)dropped = batch\.job\.dropped\n(.*await self\._still_there\(dropped\)\) is not None:)",
        r"\1await self._ledger.complete(batch)\n\1dropped = batch.job.dropped\n\2",
    ),
    "the summary is noted before it is written": (
        "worker/jobs/finish.py",
        r"( +)await self\._results\.put_document\(report_key\(key\)",
        (
            r"\1await self._ledger.note_summary(batch.lease, summary_key=key, counts=tally.counts())\n"
            r"\1await self._results.put_document(report_key(key)"
        ),
    ),
    "an interruption costs an attempt": (
        "worker/jobs/outcomes.py",
        r"error\.reason, str\(error\), costs_attempt=False, delay=error\.delay,",
        r"error.reason, str(error),",
    ),
    "a collage overwrites what is there": (
        "worker/aws/s3.py",
        r'\{"IfNoneMatch": "\*"\} if only_new else \{\}',
        r"{}",
    ),
    "a lost answer to a take is not recognised": (
        "worker/aws/batches.py",
        r"if seen\.owner == owner and seen\.lease_expires == now \+ lease_seconds:",
        r"if False:",
    ),
    "work that makes progress is given up": (
        "worker/aws/batches.py",
        r"SET attempts = :zero, updated_at = :stamp, #ttl = :ttl\", \{\":zero\": 0\}",
        r'SET updated_at = :stamp, #ttl = :ttl", {}',
    ),
    "a batch that failed meanwhile is finished": (
        "worker/jobs/finish.py",
        r", as_of=NEVER\)",
        r")",
    ),
    "a part's records are written before it": (
        "worker/jobs/part_work.py",
        r"( +)if body and not await self\._results\.put_part\(part\.key, body\):",
        r"\1await self._record(batch, records)\n\1if body and not await self._results.put_part(part.key, body):",
    ),
    "a creator is done once more without a look at the pages that are there": (
        "worker/jobs/creator.py",
        r"looked = not batch\.first",
        r"looked = False",
    ),
    "the lease is not given back": (
        "worker/jobs/leasing.py",
        r"await self\._ledger\.release\(lease\)",
        r"return",
    ),
}


MUTATIONS: dict[str, Mutation] = {name: Mutation(*rule) for name, rule in RULES.items()} | FAULTS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="to try at most for each")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="those with this in their name")
    parser.add_argument("--faults", action="store_true", help="the faults of earlier workers alone")
    parser.add_argument("--tests", action="store_true", help="see the tests go red as well")
    asked = parser.parse_args()
    names = [name for name in (FAULTS if asked.faults else MUTATIONS) if asked.only in name]
    with ThreadPoolExecutor(asked.jobs) as pool:
        found = pool.map(lambda name: _looked_for(MUTATIONS[name], asked.seeds, tests=asked.tests), names)
        for name, result in zip(names, found, strict=True):
            print(f"{name}: {result}", flush=True)
    return 0


def _looked_for(mutation: Mutation, most: int, *, tests: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        for each in ("worker", "tests", "samples"):
            shutil.copytree(ROOT / each, Path(folder) / each, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        for file, pattern, replacement in (mutation[:3], *mutation.more):
            path = Path(folder) / file
            text, times = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), count=1)
            if not times:
                return "the code has changed: this mutation no longer applies"
            path.write_text(text, encoding="utf-8")
        told = [_seeds_until_found(folder, mutation, most)] if mutation.simulated else []
        told += [_tests_go_red(folder, mutation)] if tests and mutation.tests else []
        return "; ".join(told) or "the simulation knows nothing of it: see it with --tests"


def _ran(folder: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": folder},
        capture_output=True,
        text=True,
        check=False,
    )


def _tests_go_red(folder: str, mutation: Mutation) -> str:
    ended = _ran(folder, "pytest", "-q", "-p", "no:cacheprovider", *[f"tests/{name}" for name in mutation.tests])
    red = [line.removeprefix("FAILED tests/") for line in ended.stdout.splitlines() if line.startswith("FAILED ")]
    return f"{len(red)} red: {red[0].partition(' - ')[0][:150]}" if red else f"NO TEST IS RED: {ended.stdout[-300:]}"


def _seeds_until_found(folder: str, mutation: Mutation, most: int) -> str:
    only = ["--only", mutation.only] if mutation.only else []
    ended = _ran(folder, "tests.simulation.run", "--seeds", f"0-{most}", "--first", *only)
    lines = [line for line in ended.stdout.splitlines() if line.startswith("seed ")]
    seed = re.match(r"seed (\d+): (?:\[[\d.]+\] )?(.*)", lines[0]) if lines else None
    if seed:
        return f"{int(seed[1]) + 1} seeds: {seed[2][:150]}"
    return f"not found in {most} seeds" if ended.returncode == 0 else ended.stderr[-300:]


if __name__ == "__main__":
    sys.exit(main())
