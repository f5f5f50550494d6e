"""What a creator's calls to AWS cost, with the SDK as it comes and as the worker uses it: `python -m bench.calls`.

A server confirms each at once (`front.py`): over http as emulators do, and over https as AWS does.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiobotocore.session import get_session

from bench import environments, report, whole
from tests.unit.certificates import self_signed
from worker.aws.clients import Clients, open_clients
from worker.aws.s3 import S3
from worker.aws.state_table import StateTable
from worker.aws.stores import S3Results
from worker.model import Batch, CreatorRecord, CreatorStatus, InlineManifest, Job, ProcessingConfig

REGION = "us-east-1"
WAYS = ("sdk", "ours")
CALLS = 100


def measured(rounds: int = 3) -> str:
    """Return a table: CPU of each call in ms, for each way and scheme, interleaved."""
    found: dict[tuple[str, str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        now, day = datetime.now(UTC), timedelta(days=1)
        certificate = self_signed(Path(folder), "127.0.0.1", now - day, now + day)
        addresses = {
            scheme: f"{scheme}://127.0.0.1:{stack.enter_context(whole.front(certificate=shown))}"
            for scheme, shown in (("http", None), ("https", certificate))
        }
        environment = environments.plain() | {
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_CA_BUNDLE": str(certificate),
        }
        for number in range(rounds):
            for scheme, address in addresses.items():
                for way in WAYS if number % 2 else reversed(WAYS):
                    command = [sys.executable, "-m", "bench.calls", address, way]
                    told = subprocess.run(command, env=environment, cwd=whole.ROOT, check=True, capture_output=True)
                    for call, cost in json.loads(told.stdout).items():
                        found.setdefault((call, scheme, way), []).append(cost)
    return report.plain_table(
        ("CPU of a call", "http: the SDK", "ours", "ratio", "https: the SDK", "ours", "ratio"),
        [
            (call, *(cell for scheme in addresses for cell in _cells(*(found[call, scheme, way] for way in WAYS))))
            for call in dict.fromkeys(call for call, _, _ in found)
        ],
    )


def _cells(sdk: list[float], ours: list[float]) -> tuple[str, str, str]:
    ratio = statistics.median(after / before for before, after in zip(sdk, ours, strict=True))
    return f"{statistics.median(sdk):.2f} ms", f"{statistics.median(ours):.2f} ms", f"{ratio:.2f}"


async def _costs(endpoint: str, way: str) -> dict[str, float]:
    """Return the CPU of each call in ms."""
    opened = open_clients(region=REGION, endpoint_url=endpoint) if way == "ours" else _as_it_comes(endpoint)
    async with opened as clients:
        costs = {}
        for name, call in _calls(clients).items():
            for _ in range(CALLS // 4):
                await call()
            began = time.process_time()
            for _ in range(CALLS):
                await call()
            costs[name] = (time.process_time() - began) / CALLS * 1000
        return costs


def _calls(clients: Clients) -> dict[str, Callable[[], Awaitable[object]]]:
    results = S3Results(S3(clients.s3), bucket="tiktok-image-output", temp_bucket="none", only_new=True, debug=False)
    table = StateTable(clients.dynamodb, "tiktok-creator-processing-state", ttl_days=30)
    job = Job(InlineManifest(""), output_prefix="", config=ProcessingConfig(), from_event=False)
    batch = Batch("s3_covers-153d09a0", job, datetime.now(UTC), "owner", 1, "message", "covers.csv")
    key = "collages/by-creator/creator00001/collage_20260101_000000.jpg"
    record = CreatorRecord(
        "creator00001", CreatorStatus.COMPLETED, images_processed=35, collage_keys=(key,), content_hash="0" * 64
    )
    page, part = os.urandom(400_000), os.urandom(40_000)
    return {
        "its collage, 400 KB": lambda: results.put_collage(
            (key, "never"), page, batch_id=batch.id, creator=record.creator, images=35, content_type="image/jpeg"
        ),
        "a part of sixteen, 40 KB": lambda: results.put_part("results/metadata/b/part-000001-000001.jsonl.gz", part),
        "its record": lambda: table.finish_creators(batch, [record]),
    }


@asynccontextmanager
async def _as_it_comes(endpoint: str) -> AsyncIterator[Clients]:
    session = get_session()
    async with (
        session.create_client("s3", REGION, endpoint_url=endpoint) as s3,
        session.create_client("sqs", REGION, endpoint_url=endpoint) as sqs,
        session.create_client("dynamodb", REGION, endpoint_url=endpoint) as dynamodb,
    ):
        yield Clients(s3, sqs, dynamodb)


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(asyncio.run(_costs(*sys.argv[1:]))))
    else:
        print(measured())
