"""What is asked for in a run: manifests, the messages for them, and what has to come of them."""

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.s3 import Buckets
from worker.jobs.messages import explicit_of
from worker.keys import MORE_HASH_DIGITS, batch_id
from worker.model import InlineManifest, Job, ProcessingConfig, S3Manifest

INPUT, OUTPUT, TEMP = "tiktok-image-input", "tiktok-image-output", "tiktok-image-temp"
CONFIG = ProcessingConfig(rows=1, cols=2, max_images_per_creator=3, cell_size=16, max_workers=4, quality=75)
NAMES = [f"creator {letter}" for letter in "abcdefghijklmnopqrst"]


@dataclass
class Order:
    """One batch that is asked for. `creators` gives each creator's images that can be used; None: it depends."""

    id: str
    key: str
    creators: dict[str, int | None]
    messages: list[str]
    from_event: bool = False
    body: bytes = b""
    fails: str | None = None
    """The reason with which it has to fail as a whole."""
    cancelled: bool = False
    again: bool = False
    """It was asked for again after it had been cancelled, and has to be done."""
    lost: bool = False
    """A file of it was taken out of the temp bucket: it may fail for that."""
    rejects: int = 0
    job: Job | None = None
    """What is asked for, as the worker reads it."""
    killers: set[str] = field(default_factory=set)
    """Creators that end their worker each time."""
    too_large: set[str] = field(default_factory=set)
    """Creators whose record is more than an item may hold."""
    replaced: bool = False
    """A newer upload took the manifest's place, where the bucket keeps no versions: it may fail, or never be known."""
    shares_links: bool = False
    """Another batch asks for the same links."""

    @property
    def rows(self) -> set[tuple[str, str]]:
        """The creator and the URL of each row that can be used."""
        manifest = self.job.manifest if self.job else None
        text = manifest.text if isinstance(manifest, InlineManifest) else self.body.decode()
        found = {(name, url) for name, _, url in (line.partition(",") for line in text.splitlines()[1:])}
        return {(name, url) for name, url in found if name and not self.fails}

    @property
    def longer_id(self) -> str:
        """The id that it has where another batch has taken the short one."""
        assert self.job is not None
        return batch_id(self.job, MORE_HASH_DIGITS)


def draw(rng: random.Random, buckets: Buckets, *, versioned: bool, flaky: bool) -> list[Order]:
    """Draw what is asked for, and put the manifests where they belong."""
    orders: list[Order] = []
    for number in range(rng.choice([1, 1, 2, 2, 3, 4])):
        draw_one = rng.choices([_good, _without_columns, _missing], [12, 1, 1])[0]
        orders.append(draw_one(rng, number, buckets, versioned=versioned, flaky=flaky))
    return orders


def _good(rng: random.Random, number: int, buckets: Buckets, *, versioned: bool, flaky: bool) -> Order:
    text, creators, rejects = manifest_of(rng, number, flaky=flaky)
    times = rng.choice([1, 1, 1, 2, 3])
    kind = rng.choice(["event", "event", "job", "inline"])
    if kind == "inline":
        message = {"processing_type": "csv_inline", "csv_data": text, "output_prefix": f"in{number}/"}
        prefix = f"in{number}/"
        job = Job(InlineManifest(text), prefix, CONFIG, from_event=False, explicit=explicit_of(prefix, None))
        return Order(batch_id(job), "", creators, [json.dumps(message)] * times, rejects=rejects, job=job)
    order = _of_file(number, text.encode(), kind == "event", times, buckets, versioned=versioned)
    order.creators, order.rejects = creators, rejects
    return order


def _without_columns(rng: random.Random, number: int, buckets: Buckets, *, versioned: bool, flaky: bool) -> Order:
    order = _of_file(number, b"this,that\n1,2\n", rng.random() < 0.6, rng.choice([1, 2]), buckets, versioned=versioned)
    order.fails = "manifest_columns"
    return order


def _missing(rng: random.Random, number: int, buckets: Buckets, *, versioned: bool, flaky: bool) -> Order:
    key = f"manual-uploads/missing_{number}.csv"
    job = Job(S3Manifest(INPUT, key), "", CONFIG, from_event=False)
    return Order(batch_id(job), key, {}, [_job_message(key)], fails="manifest_missing", job=job)


def _of_file(number: int, body: bytes, from_event: bool, times: int, buckets: Buckets, *, versioned: bool) -> Order:
    key = f"{'csv-files' if from_event else 'manual-uploads'}/covers_{number}.csv"
    return uploaded(key, body, from_event, times, buckets, versioned=versioned)


def uploaded(key: str, body: bytes, from_event: bool, times: int, buckets: Buckets, *, versioned: bool) -> Order:
    """Put a manifest where it belongs, and return what is asked for with it."""
    buckets.put_object(None, Bucket=INPUT, Key=key, Body=body)
    there = buckets.newest(INPUT, key)
    assert there is not None
    version, etag = there.version if versioned else None, there.etag.strip('"')
    job = Job(S3Manifest(INPUT, key, version, etag), "", CONFIG, from_event)
    message = event_of(key, version, etag) if from_event else _job_message(key)
    return Order(batch_id(job), key, {}, [message] * times, from_event, body, job=job)


def manifest_of(rng: random.Random, number: int, *, flaky: bool) -> tuple[str, dict[str, int | None], int]:
    """Write a manifest. A URL's last word says what comes of it."""
    lines, usable = [], dict[str, int | None]()
    names = rng.sample(NAMES, rng.choice([1, 2, 3, 4, 7, 10, 14]))
    for name in names:
        kinds = [rng.choice(["good", "good", "good", "gone", "bad", "same"]) for _ in range(rng.choice([1, 1, 2, 4]))]
        if flaky and rng.random() < 0.5:
            kinds[-1] = "flaky"
        lines += [f"{name},https://origin/{number}/{name}/{row}/{kind}" for row, kind in enumerate(kinds)]
        counts = Counter(kinds)
        found = counts["good"] + bool(counts["same"])
        usable[name] = None if counts["flaky"] else min(found, CONFIG.max_images_per_creator)
    rejects = rng.choice([0, 0, 1, 3])
    lines += [",https://origin/nobody"] * rejects
    rng.shuffle(lines)
    return "\n".join(["creator,url", *lines, ""]), usable, rejects


def _job_message(key: str) -> str:
    return json.dumps({"processing_type": "csv_s3", "s3_bucket": INPUT, "s3_key": key})


def event_of(key: str, version: str | None, etag: str) -> str:
    found: dict[str, Any] = {"key": key, "eTag": etag, **({"versionId": version} if version else {})}
    record = {
        "eventSource": "aws:s3",
        "eventVersion": "2.1",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": INPUT}, "object": found},
    }
    return json.dumps({"Records": [record]})
