"""Measures the lag of a worker's event loop from within, where BENCH_LAG names a file for it."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

STEP = 0.005


async def _measure(lags: list[float]) -> None:
    while True:
        due = time.perf_counter() + STEP
        await asyncio.sleep(STEP)
        lags.append(time.perf_counter() - due)


def _probed(run: Any, path: str) -> Any:
    async def with_probe(work: Any, lags: list[float]) -> Any:
        probe = asyncio.create_task(_measure(lags))
        try:
            return await work
        finally:
            probe.cancel()
            Path(path).write_text(json.dumps(lags), encoding="utf-8")

    return lambda self, work, **options: run(self, with_probe(work, []), **options)


if found := os.environ.get("BENCH_LAG"):
    asyncio.Runner.run = _probed(asyncio.Runner.run, found)  # type: ignore[method-assign]
