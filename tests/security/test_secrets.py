"""Signatures and keys: a batch whose signed links fail in every way, and a search for them in all that comes of it."""

# ruff: noqa: E501 -- a case on one line reads as a table

import asyncio
import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.emulator import aws_at, emulator
from tests.integration.places import Place, make_place
from tests.integration.processes import Worker
from tests.integration.waiting import until
from tests.security.hostile_origin import WAYS, HostileOrigin

SIGNATURE = "S1GNATURE%2Fthat%2Bnobody-may.see"
MARK = "S1GNATURE"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATHATNOBODYMAYSEE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI+that/nobodymaysee"}
SECRETS = (MARK, *KEYS.values())
SIGNED = f"x-expires=4102444800&x-signature={SIGNATURE}&X-Amz-Security-Token={SIGNATURE}&X-Amz-Credential={SIGNATURE}"


@contextmanager
def origin_in_a_thread() -> Iterator[str]:
    """Run the hostile origin beside a test that is not asynchronous; give its address."""
    loop, origin = asyncio.new_event_loop(), HostileOrigin()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(origin.__aenter__(), loop).result(5)
    try:
        yield origin.base
    finally:
        asyncio.run_coroutine_threadsafe(origin.__aexit__(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with emulator() as endpoint, aws_at(endpoint) as aws, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield make_place(aws)


def signed(base: str, slow: str) -> Iterator[tuple[str, str]]:
    """Links that fail in every way, one creator for each so that none hides another."""
    for way, (_, _, reason) in WAYS.items():
        yield f"creator {way}", f"{slow if reason == 'timeout' else base}/{way}?{SIGNED}"
    yield "creator good", f"{base}/good/1.png?{SIGNED}"
    yield "creator expired", f"{base}/good/1.png?x-expires=1&x-signature={SIGNATURE}"
    yield "creator user", f"http://user:{MARK}@127.0.0.1/a.png?{SIGNED}"
    yield "creator unknown host", f"http://no-such-host.invalid/a.png?{SIGNED}"
    yield "creator refused", f"http://127.0.0.1:1/a.png?{SIGNED}"
    yield "creator number", f"http://2130706433/a.png?{SIGNED}"
    yield "creator private", f"http://169.254.170.2/v2/credentials?{SIGNED}"
    yield "creator scheme", f"ftp://h/a.png?{SIGNED}"
    yield "creator space", f"http://h/a b.png?{SIGNED}"
    yield "creator fragment", f"http://h:99999/a.png?{SIGNED}#{MARK}"


def messages(base: str) -> Iterator[str]:
    """Messages that cannot be understood, with signed links in them."""
    link = f"{base}/a.png?{SIGNED}"
    yield f'{{"csv_data": "ann,{link}'
    yield json.dumps({"processing_type": link})
    yield json.dumps({link: 1})
    yield json.dumps({"processing_type": "csv_inline", "csv_data": f"ann,{link}\nbob,{link}\n"})
    yield json.dumps({"processing_type": "csv_inline", "csv_data": f"creator,url\nann,\nbob,x?{SIGNED}\n"})
    yield json.dumps(
        {
            "processing_type": "csv_inline",
            "csv_data": "creator,url\nann,x",
            "processing_config": {"url_column": f"u?{SIGNED}"},
        }
    )
    yield json.dumps({"processing_type": "csv_s3", "s3_key": "a", "processing_config": {"background": f"u?{SIGNED}"}})
    yield json.dumps(
        {"processing_type": "csv_s3", "s3_key": "missing.csv", "processing_config": {"rows": f"u?{SIGNED}"}}
    )


def without_links(body: bytes) -> str:
    """Leave out what results hold by design: the links as they were given."""
    rows = [json.loads(line) for line in gzip.decompress(body).splitlines()]
    return json.dumps([{name: value for name, value in row.items() if name != "url"} for row in rows])


def test_no_signature_and_no_key_is_in_anything_that_a_batch_leaves_behind(place: Place) -> None:
    with origin_in_a_thread() as base, origin_in_a_thread() as slow:
        manifest = "creator_name,cover_url\n" + "".join(f'{name},"{url}"\n' for name, url in signed(base, slow))
        environment = place.env(
            **KEYS, LOG_LEVEL="debug", DEFAULT_TIMEOUT="1", DEFAULT_MAX_RETRIES="1", RETRY_MAX_DELAY="0.2"
        )
        with Worker(environment, check=False) as worker:
            worker.ready()
            place.send_job(manifest)
            bodies = [place.send(body) for body in messages(base)]
            place.put("csv-files/headless-x.csv", f"ann,{base}/a?{SIGNED}\n")
            place.send(
                json.dumps(
                    {"Records": [{"eventSource": "aws:s3", "eventVersion": "2.1", "eventName": "ObjectCreated:Put",
                                  "s3": {"bucket": {"name": place.input}, "object": {"key": "csv-files/headless-x.csv"}}}]}
                )
            )  # fmt: skip
            until(lambda: place.dead_count() >= len(bodies) + 1, "the dead letters", within=60)
            worker.until_logged("batch.completed", within=60)
            letters = [place.dead_letter(body) for body in bodies]
            worker.stop()
            told = {"log": worker.stderr, "metrics": worker.stdout}
    told["table"] = json.dumps(place.aws.dynamodb.scan(TableName=place.table)["Items"])
    told["dead letters"] = json.dumps([letter.attributes for letter in letters])
    for key in place.listed():
        body = place.read(key)
        told[key] = without_links(body) if "/metadata/" in key else body.decode("latin-1")
    for key in place.listed(place.input, "archived/"):
        if key.endswith(".error.json"):
            told[key] = place.read(key, place.input).decode()
    assert any(key.endswith(".html") for key in told)
    assert any(key.endswith(".error.json") for key in told)
    assert len(told["log"]) > 5_000
    found = [
        (where, text[max(0, text.index(secret) - 120) : text.index(secret) + 20])
        for where, text in told.items()
        for secret in SECRETS
        if secret in text
    ]
    assert found == []


def test_presigned_links_are_in_nothing_that_nobody_asked_for(place: Place) -> None:
    for key in place.listed():
        assert b"X-Amz-Signature=" not in place.read(key)  # the report's script knows the name alone


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "crash",
    [
        "raise ValueError(link)",
        "import threading; t = threading.Thread(target=int, args=(link,)); t.start(); t.join()",
        "type('X', (), {'__del__': lambda self: int(link)})()",
        "import asyncio; asyncio.run(asyncio.wait_for(asyncio.to_thread(int, link), 5))",
        "import warnings; warnings.warn(link)",
        "import logging; logging.getLogger('botocore').warning('%s', link)",
    ],
)
def test_no_signature_is_in_what_a_crash_prints(crash: str, form: str) -> None:
    code = f"from worker.logs import configure\nconfigure('info', {form!r})\nlink = 'http://h/?a=1&x-signature=' + 'S1GNA' + 'TURE'\n"
    done = subprocess.run([sys.executable, "-c", code + crash], capture_output=True, text=True, check=False, timeout=60)
    assert "x-signature=***" in done.stderr
    assert MARK not in done.stderr + done.stdout
