"""Breaks the worker in many ways, one at a time, and counts the seeds until the simulation notices.

`python -m tests.simulation.mutations` works on copies under the temporary directory.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

MUTATIONS: dict[str, tuple[str, str, str]] = {
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
        r"#status = :processing AND fence = :fence\)",
        r"#status = :processing AND (fence = :fence OR attribute_exists(fence)))",
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
        "worker/aws/batches.py",
        r"fence = if_not_exists\(fence, :above\) \+ :one",
        r"fence = if_not_exists(fence, :one)",
    ),
    "a lease can be taken while it is held": (
        "worker/aws/batches.py",
        r"OR \(#state = :running AND lease_expires < :now\)",
        r"OR (#state = :running AND (lease_expires < :now OR attribute_exists(fence)))",
    ),
    "the batch is finished before all of its chunks are done": (
        "worker/jobs/finish.py",
        r"and record\.chunks_done >= record\.chunks_total",
        r"and record.chunks_done >= record.chunks_total - 1",
    ),
    "a chunk is counted whoever closes it": (
        "worker/aws/batches.py",
        r'"lease_owner = :me AND fence = :fence AND #state = :running",\n(\s+)\{',
        r'"(lease_owner = :me AND fence = :fence) OR attribute_exists(fence) OR #state = :running",\n\1{',
    ),
    "the messages are noted as sent before they are": (
        "worker/jobs/batch.py",
        r"( +)await self\._chunks\.send\(batch\.id, first, last\)\n",
        (
            r"\1await self._ledger.note_sent(batch, chunks=last, lease=self._lease_seconds)\n"
            r"\1await self._chunks.send(batch.id, first, last)\n"
        ),
    ),
    "the chunk is closed before its part is written": (
        "worker/jobs/chunk.py",
        r"( +)await self\._chunks\.write_part\(",
        (
            r"\1await self._ledger.complete_chunk(batch, counts=done.tally.sums(), errors=done.tally.errors)\n"
            r"\1await self._chunks.write_part("
        ),
    ),
    "the batch is closed before its manifest is archived": (
        "worker/jobs/finish.py",
        r"( +)dropped = batch\.job\.dropped\n(.*await self\._still_there\(dropped\)\) is not None:)",
        r"\1await self._ledger.complete(batch)\n\1dropped = batch.job.dropped\n\2",
    ),
    "the summary is noted before it is written": (
        "worker/jobs/finish.py",
        r"( +)await self\._write_report\(batch, document\)\n",
        (
            r"\1await self._ledger.note_summary(\n\1    batch,\n"
            r"\1    summary_key=summary_key(batch.job.output_prefix, batch.id),\n"
            r"\1    counts=done.tally.counts(),\n\1)\n"
            r"\1await self._write_report(batch, document)\n"
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
        r"return record, done or \(.*\)\n",
        r"return record, done\n",
    ),
    "a split batch that fails does not archive its manifest": (
        "worker/jobs/finish.py",
        r"error, record\.dropped, there\)",
        r"error, record.dropped, None)",
    ),
    "a batch that failed meanwhile is finished": (
        "worker/jobs/finish.py",
        r', as_of=NEVER\n( +)\)\n( +)failpoint\("finish\.taken"\)',
        r'\n\1)\n\2failpoint("finish.taken")',
    ),
    "the lease is not given back": (
        "worker/jobs/leasing.py",
        r"await ledger\.release\(batch\)",
        r"return",
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="to try at most for each")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="those with this in their name")
    asked = parser.parse_args()
    names = [name for name in MUTATIONS if asked.only in name]
    with ThreadPoolExecutor(asked.jobs) as pool:
        found = pool.map(lambda name: _seeds_until_found(name, asked.seeds), names)
        for name, result in zip(names, found, strict=True):
            print(f"{name}: {result}", flush=True)
    return 0


def _seeds_until_found(name: str, most: int) -> str:
    file, pattern, replacement = MUTATIONS[name]
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        for each in ("worker", "tests/simulation"):
            shutil.copytree(ROOT / each, Path(folder) / each, ignore=shutil.ignore_patterns("__pycache__"))
        path = Path(folder) / file
        text, times = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), count=1)
        if not times:
            return "the code has changed: this mutation no longer applies"
        path.write_text(text, encoding="utf-8")
        ended = subprocess.run(
            [sys.executable, "-m", "tests.simulation.run", "--seeds", f"0-{most}", "--first"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = ended.stdout.splitlines()
        seed = re.match(r"seed (\d+): (?:\[[\d.]+\] )?(.*)", lines[0]) if lines else None
        if seed:
            return f"{int(seed[1]) + 1} seeds: {seed[2][:150]}"
        return f"not found in {most} seeds" if ended.returncode == 0 else ended.stderr[-300:]


if __name__ == "__main__":
    sys.exit(main())
