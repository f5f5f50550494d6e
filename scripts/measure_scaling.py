"""Count what a split batch asks of AWS, and how many creators a second more workers do. Both go into docs/scale.md.

    python scripts/measure_scaling.py [--only calls|workers] [--dry-run]

AWS is moto, in one process, and the origin answers after 80 ms with a picture that costs next to nothing to decode.
Calls are counted at a proxy between two workers and moto, in a run that nothing disturbs.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image
from scale_cost import PRICES
from scale_report import DOCS, table, written

from bench.whole import Worker, manifest, origin
from tests.crash.scenarios import whole_batches
from tests.integration.emulator import CREDENTIALS, SERVER, aws_at
from tests.integration.faulty import Faulty
from tests.integration.places import Place, make_place
from tests.integration.processes import environment
from tests.integration.waiting import until

KEPT = "from werkzeug.serving import WSGIRequestHandler as each; each.protocol_version = 'HTTP/1.1'\n"
"""As it is, moto speaks HTTP/1.0, and every call would pay for a connection, which it does not in AWS."""

TICK = os.sysconf("SC_CLK_TCK")
LATENCY = 80.0
COVERS = 5
WORKERS = (1, 2, 4, 8)
WITHIN = 180.0


@contextmanager
def moto() -> Iterator[tuple[str, int]]:
    """Run a moto server; gives its address and process id."""
    command = [sys.executable, "-c", KEPT + SERVER]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as server:
        port = server.stdout.readline() if server.stdout else ""
        try:
            yield f"http://127.0.0.1:{int(port)}", server.pid
        finally:
            server.kill()


@contextmanager
def crew(place: Place, count: int, **env: object) -> Iterator[list[Worker]]:
    """Run so many workers."""
    with ExitStack() as stack:
        folders = [stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(count)]
        workers = [Worker(environment(place.env(**env)), Path(folder)) for folder in folders]
        for worker in workers:
            stack.callback(worker.end)
        yield workers


def drop(place: Place, address: str, creators: int) -> None:
    """Drop a manifest; moto notifies the queue, as S3 would."""
    place.put("csv-files/covers.csv", manifest(address, range(creators), per=COVERS))


def picture(folder: str) -> Path:
    """Write the origin's pictures."""
    for number in range(COVERS):
        Image.new("RGB", (72, 128), "teal").save(Path(folder, f"{number:02}.jpg"))
    return Path(folder)


# --- calls ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Row:
    """One kind of call: how many there were, and what they cost in dollars."""

    calls: int = 0
    dollars: float = 0.0


@dataclass(slots=True)
class Bill:
    """Every call by service and kind. Units as DynamoDB counts them for items of up to 1 KB."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    _statuses: dict[str, str] = field(default_factory=dict)

    def add(self, label: str) -> None:
        """Put a call on the bill."""
        head, _, body = label.partition("\n")
        service, _, operation = head.partition(".")
        price = {"dynamodb": self._dynamodb, "s3": self._s3, "sqs": self._sqs}[service]
        kind, dollars = price(operation, body)
        row = self.rows.setdefault((service, kind), Row())
        row.calls += 1
        row.dollars += dollars

    def _dynamodb(self, operation: str, body: str) -> tuple[str, float]:
        asked = json.loads(body)
        write, read = PRICES["dynamodb_million_writes"] / 1e6, PRICES["dynamodb_million_reads"] / 1e6
        if operation == "BatchGetItem":
            items = sum(len(each["Keys"]) for each in asked["RequestItems"].values())
            whole = any(each.get("ConsistentRead") for each in asked["RequestItems"].values())
            return f"{operation}, creators", items * read * (1 if whole else 0.5)
        if operation == "TransactWriteItems":
            return f"{operation}, a chunk and its batch", 2 * len(asked["TransactItems"]) * write
        item = asked.get("Item") or asked["Key"]
        whose = _whose(item)
        if operation == "GetItem":
            return f"{operation}, {whose}", read
        if whose != "creators":
            return f"{operation}, {whose}", write
        if "status" not in item:
            return f"{operation}, the list of batches", write
        status = asked["Item"]["status"]["S"]
        before = self._statuses.get(item["creator_name"]["S"], status)
        self._statuses[item["creator_name"]["S"]] = status
        # The table, the index by batch, and the one by status, from which an old key is taken where it changes.
        return f"{operation}, creators, `{status}`", (3 if before == status else 4) * write

    def _s3(self, operation: str, _body: str) -> tuple[str, float]:
        method, _, path = operation.partition(" ")
        places = (
            r"collages|part-|creators\.jsonl|processing-summaries|/chunks/|/results/\d|plan\.json|archived|csv-files"
        )
        found = re.search(places, path)
        price = {"PUT": PRICES["s3_thousand_puts"], "DELETE": 0.0}.get(method, PRICES["s3_thousand_gets"])
        return f"{method} {found[0].strip('/-0123456789') if found else 'others'}", price / 1000

    def _sqs(self, operation: str, _body: str) -> tuple[str, float]:
        return operation, PRICES["sqs_million_requests"] / 1e6


def _whose(item: dict[str, Any]) -> str:
    if not item["creator_name"]["S"].startswith(" batch "):
        return "creators"
    return "the batch" if item["processing_date"]["S"] == "batch" else "chunks"


class Counting(Faulty):
    """A proxy that puts every call on a bill."""

    def __init__(self, upstream: str) -> None:
        self.labels: list[str] = []
        super().__init__(upstream)

    def meets(self, label: str) -> None:
        """Note a call; nothing goes wrong with it."""
        self.labels.append(label)


def calls(creators: int = 500) -> str:
    """Return the table of calls for a split batch."""
    with tempfile.TemporaryDirectory() as folder, origin(LATENCY, 0, picture(folder)) as address, moto() as (aws, _):
        proxy = Counting(aws)
        with aws_at(aws) as clients:
            place = make_place(clients)
            env = {"AWS_ENDPOINT_URL": proxy.endpoint, "WAIT_TIME_SECONDS": 20, "DECODE_PROCESSES": 1}
            with crew(place, 2, **env):
                drop(place, address, creators)
                until(lambda: _closed(place), "the batch's end", within=WITHIN, every=0.5)
                place.until_empty(within=300)
                bill = Bill()
                for label in proxy.labels:
                    bill.add(label)
        proxy.close()
    return calls_table(bill, creators)


def _closed(place: Place) -> bool:
    return any(batch["state"] == "completed" for batch in whole_batches(place).values())


def calls_table(bill: Bill, creators: int) -> str:
    """Return the bill in Markdown, dearest first; what is under a cent is put together."""
    rows, small, sums = [], Row(), Counter[str]()
    for (service, kind), row in sorted(bill.rows.items(), key=lambda at: -at[1].dollars):
        sums["calls"] += row.calls
        sums[service] += row.calls
        million = row.dollars / creators * 1e6
        if million < 0.01:
            small.calls += row.calls
            small.dollars += row.dollars
        else:
            rows.append([_name(service), kind, *_cells(row, creators)])
    rows.append(["", "all others, each under a cent", *_cells(small, creators)])
    for service in ("dynamodb", "s3", "sqs"):
        whole = Row(sums[service], sum(row.dollars for (whose, _), row in bill.rows.items() if whose == service))
        rows.append([f"**{_name(service)}**", "", *_cells(whole, creators)])
    whole = Row(sums["calls"], sum(row.dollars for row in bill.rows.values()))
    rows.append(["**all**", "", *_cells(whole, creators)])
    head = ["service", "call", "calls", "for each creator", "dollars for a million creators"]
    return f"{creators} creators in chunks of 50, two workers.\n\n" + table(head, rows)


def _name(service: str) -> str:
    return {"dynamodb": "DynamoDB", "s3": "S3", "sqs": "SQS"}[service]


def _cells(row: Row, creators: int) -> list[str]:
    return [f"{row.calls:,}", f"{row.calls / creators:.3f}", f"{row.dollars / creators * 1e6:.2f}"]


# --- workers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pace:
    """What so many workers did, and the CPU seconds that each creator took of workers, moto and origin."""

    workers: int
    creators_a_second: float
    cpu: float
    moto: float
    busy: float
    """Cores that were busy with all of it."""


def pace(count: int, creators: int, downloads: int) -> Pace:
    """Measure the middle of a batch: from a tenth of the creators done to four fifths."""
    with tempfile.TemporaryDirectory() as folder, origin(LATENCY, 0, picture(folder)) as address, moto() as (aws, pid):
        with aws_at(aws) as clients:
            place = make_place(clients)
            env = {"CHUNK_CREATORS": 5, "MAX_CONCURRENT_JOBS": 2, "DECODE_PROCESSES": 1}
            env["MAX_CONCURRENT_DOWNLOADS"] = downloads
            with crew(place, count, **env) as workers:

                def done() -> int:
                    return sum(worker.finished() for worker in workers)

                def spent() -> tuple[float, float, float]:
                    return time.monotonic(), sum(worker.cpu() for worker in workers), _cpu(pid)

                drop(place, address, creators)
                first = _when(done, creators // 10)
                begun = spent()
                last = _when(done, creators * 4 // 5)
                ended = spent()
        seconds, cpu, moto_cpu = (after - before for before, after in zip(begun, ended, strict=True))
        some = last - first
        return Pace(count, some / seconds, cpu / some, moto_cpu / some, (cpu + moto_cpu) / seconds)


def _when(done: Callable[[], int], at_least: int) -> int:
    return until(lambda: (found := done()) >= at_least and found, f"{at_least} creators", within=WITHIN, every=0.1)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:13]) / TICK


def workers(each: int = 25) -> str:
    """Return the table of workers and creators a second."""
    rows = []
    for downloads in (1, 64):
        paces: list[Pace] = []
        for count in WORKERS:
            paces.append(pace(count, max(2, count) * each, downloads))
            rows.append(_pace_cells(downloads, paces[-1], paces[0]))
            print(rows[-1], flush=True)
    head = ["downloads at a time", "workers", "creators a second", "to one worker", "CPU ms a creator, workers"]
    load = f"{len(os.sched_getaffinity(0))} cores, at a load of {os.getloadavg()[2]:.0f}: others were at work as well."
    about = f"Creators of {COVERS} covers, an origin of {LATENCY:.0f} ms, moto in one process; {load}"
    return about + "\n\n" + table([*head, "moto", "cores busy"], rows)


def _pace_cells(downloads: int, found: Pace, one: Pace) -> Sequence[str]:
    return [
        str(downloads),
        str(found.workers),
        f"{found.creators_a_second:.1f}",
        f"{found.creators_a_second / one.creators_a_second:.2f}",
        f"{found.cpu * 1000:.0f}",
        f"{found.moto * 1000:.0f}",
        f"{found.busy:.2f}",
    ]


def main() -> int:
    """Measure what is asked for, and write it into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["calls", "workers"], help="one of the two")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    options = parser.parse_args()
    os.environ.update(CREDENTIALS)
    for name in (options.only,) if options.only else ("calls", "workers"):
        part = {"calls": calls, "workers": workers}[name]()
        print(part, end="\n\n", flush=True)
        if not options.dry_run:
            document = DOCS / "scale.md"
            document.write_text(written(document.read_text(encoding="utf-8"), {name: part}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
