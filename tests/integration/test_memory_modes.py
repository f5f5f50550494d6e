"""Creators that are done although memory is short."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from tests.integration.emulator import REGION
from tests.integration.pictures import Origin, manifest, token
from tests.integration.places import Place
from tests.integration.processes import Worker
from worker.aws.clients import Clients
from worker.aws.s3 import S3
from worker.aws.state_table import StateTable
from worker.aws.stores import S3Results
from worker.images.collage import compose_with_preview
from worker.jobs.creator import CreatorWork
from worker.jobs.gate import Gate, Memory, Thresholds
from worker.limiter import Limiter
from worker.model import Batch, CreatorGroup, InlineManifest, Job, Mode, ProcessingConfig, Row
from worker.service.assembly import image_ports, shape_of
from worker.service.share import own_share
from worker.settings import Settings


def test_above_the_critical_threshold_creators_are_done_in_safe_mode(place: Place, origin: Origin) -> None:
    name = token()
    rows = [(name, url) for url in origin.photos(25, name)]
    config = {"cell_size": 32}
    with Worker(place.env(MEMORY_WARNING_THRESHOLD=0.01, MEMORY_CRITICAL_THRESHOLD=0.02)) as worker:
        place.send_job(manifest(rows), name, processing_config=config)
        batch_id, _ = place.batch(name, within=60)
        assert worker.logged("memory.stayed_critical")
    (record,) = place.records(batch_id).values()
    assert record["status"] == "completed"
    assert record["metadata"]["mode"] == "safe"
    assert record["images_processed"] == 20
    assert origin.asked(f"/copy/{name}/") == 20


@pytest.mark.parametrize(
    ("memory", "mode", "images"), [(10.0, Mode.NORMAL, 22), (91.0, Mode.SAFE, 20), (97.0, Mode.MINIMAL, 10)]
)
@pytest.mark.asyncio(loop_scope="session")
async def test_the_mode_that_memory_allows_is_in_the_record_and_holds_the_images_down(
    clients: Clients,
    shared_place: Place,
    origin: Origin,
    memory: float,
    mode: Mode,
    images: int,
) -> None:
    name = token()
    settings = Settings(allow_private_addresses=True, decode_processes=1, aws_default_region=REGION)
    gate = Gate(8, Thresholds(80, 90), lambda: Memory(memory, None), patience=0.0)
    results = S3Results(S3(clients.s3), bucket=shared_place.output, temp_bucket="none", only_new=True, debug=False)
    ledger = StateTable(clients.dynamodb, shared_place.table, ttl_days=1)
    job = Job(InlineManifest(""), "", ProcessingConfig(cell_size=32), from_event=False)
    batch = Batch(f"s3_{name}-12345678", job, datetime.now(UTC), "me", 1, "m-1", "rows.csv")
    urls = await asyncio.to_thread(origin.photos, 22, name)
    group = CreatorGroup(name, tuple(Row(line, url) for line, url in enumerate(urls, start=2)))
    async with (
        image_ports(settings, await own_share(None), record_metric=lambda _name, _value: None) as images_from,
        gate.admitted() as admitted,
    ):
        creators = CreatorWork(
            fetcher=images_from.fetcher,
            decoder=images_from.decoder,
            composer=images_from.composer,
            compose=compose_with_preview,
            results=results,
            ledger=ledger,
            rules=shape_of(settings, "me").rules,
            record_metric=lambda _name, _value: None,
            clock=time.time,
        )
        assert admitted is mode
        record = (await creators.run(batch, group, admitted, Limiter(8))).record
        await ledger.finish_creators(batch, [record])
    assert (record.mode, record.images_processed) == (mode, images)
    assert shared_place.records(batch.id)[name]["metadata"]["mode"] == mode
