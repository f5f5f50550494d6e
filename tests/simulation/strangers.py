"""What else is asked for: new uploads under an old key, late events, twins, forgeries, manifests out of reach."""

import json
import random
from functools import cache
from itertools import count

from tests.simulation.orders import CONFIG, INPUT, Order, event_of, manifest_of, uploaded
from tests.simulation.s3 import Buckets
from worker.jobs.messages import explicit_of
from worker.keys import HASH_DIGITS, batch_digest, batch_id
from worker.model import InlineManifest, Job, S3Manifest

FORGED_ETAG = "0123456789abcdef0123456789abcdef"


def new_upload(chance: random.Random, old: Order, number: int, buckets: Buckets, *, versioned: bool) -> Order:
    """Put another manifest under the key of an order; returns what is asked for with it."""
    text, creators, rejects = manifest_of(chance, number, flaky=False)
    order = uploaded(old.key, text.encode(), True, chance.choice([1, 2]), buckets, versioned=versioned)
    order.creators, order.rejects = creators, rejects
    old.replaced = not versioned
    return order


def out_of_reach(chance: random.Random, number: int, buckets: Buckets, *, versioned: bool) -> Order:
    """Return an order whose manifest is in Glacier, or is not the worker's to read."""
    is_archived = chance.random() < 0.5
    key = f"{chance.choice(['csv-files', 'manual-uploads'])}/out_of_reach_{number}.csv"
    body = b"creator,url\n"
    order = uploaded(key, body, key.startswith("csv-files"), 1, buckets, versioned=versioned)
    (buckets.archived if is_archived else buckets.forbidden).add(key)
    if not order.from_event:  # what may not be looked at has no version
        order.job = Job(S3Manifest(INPUT, key), "", CONFIG, from_event=False)
        order.id = batch_id(order.job)
    order.fails = "manifest_archived" if is_archived else "manifest_forbidden"
    return order


def twins(chance: random.Random, number: int) -> list[Order]:
    """Return two inline orders whose ids share their eight digits."""
    found = []
    texts = [manifest_of(chance, number + which, flaky=False) for which in range(2)]
    for (text, creators, rejects), prefix in zip(texts, _prefixes(texts[0][0], texts[1][0]), strict=True):
        message = {"processing_type": "csv_inline", "csv_data": text, "output_prefix": prefix}
        job = _inline(text, prefix)
        found.append(Order(batch_id(job), "", creators, [json.dumps(message)], rejects=rejects, job=job))
    return found


@cache
def _prefixes(first: str, second: str) -> tuple[str, str]:
    """Find two output prefixes with which two texts share the digits of their ids: a birthday's worth of tries."""
    known: dict[str, str] = {}
    for number in count():
        for text in (first, second):
            prefix = f"t{number}{'ab'[text is second]}/"
            digits = batch_digest(_inline(text, prefix))[:HASH_DIGITS]
            if text is first:
                known[digits] = prefix
            elif digits in known:
                return known[digits], prefix
    raise AssertionError


def _inline(text: str, prefix: str) -> Job:
    return Job(InlineManifest(text), prefix, CONFIG, from_event=False, explicit=explicit_of(prefix, None))


def other_settings(chance: random.Random, old: Order) -> Order:
    """Return an order for the same manifest with settings of its own."""
    assert old.job is not None
    config = {"quality": chance.randint(10, 60)}
    message = {"processing_type": "csv_s3", "s3_bucket": INPUT, "s3_key": old.key, "processing_config": config}
    job = Job(old.job.manifest, "", CONFIG.model_copy(update=config), False, explicit_of(None, config))
    old.shares_links = True
    return Order(
        batch_id(job),
        old.key,
        dict(old.creators),
        [json.dumps(message)],
        False,
        old.body,
        rejects=old.rejects,
        job=job,
        shares_links=True,
    )


def forgeries(chance: random.Random, orders: list[Order], number: int) -> tuple[list[str], set[str]]:
    """Return some messages that strangers send, and the ids of the batches that may come of them."""
    texts, may_come = [], set[str]()
    for _ in range(number):
        victim = chance.choice(orders)
        kind = chance.choice(["chunk", "chunk", "event", "surrogate", "error"])
        if kind == "chunk":
            told = {"processing_type": "batch_chunk", "batch_id": victim.id, "chunk": chance.choice([1, 2, 3, 9, 999])}
            texts.append(json.dumps(told))
        elif kind == "event" and victim.from_event:
            manifest = S3Manifest(INPUT, victim.key, "v999999", FORGED_ETAG)
            may_come.add(batch_id(Job(manifest, "", CONFIG, from_event=True)))
            may_come.add(batch_id(Job(S3Manifest(INPUT, victim.key, None, FORGED_ETAG), "", CONFIG, from_event=True)))
            texts.append(event_of(victim.key, chance.choice(["v999999", None]), FORGED_ETAG))
        elif kind == "surrogate":
            texts.append(event_of("csv-files/lone \ud800.csv", None, FORGED_ETAG))
        else:
            texts.append(event_of(f"archived/failed/{victim.key}.error.json", None, FORGED_ETAG))
    return texts, may_come
