"""AWS on this machine: a moto server in a process of its own, where AWS_ENDPOINT_URL names no other emulator."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

REGION = "us-east-1"
KEY = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
# An emulator that the environment names may check who asks: then its key is named there, too.
_named = {name: os.environ[name] for name in KEY if os.environ.get("AWS_ENDPOINT_URL") and os.environ.get(name)}
CREDENTIALS = dict.fromkeys(KEY, "testing") | _named | {"AWS_DEFAULT_REGION": REGION}
SERVER = """
import functools, sys, threading
from moto.dynamodb.models import DynamoDBBackend
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer

def one_at_a_time(method, lock=threading.RLock()):
    # moto's conditional writes are not atomic; those of AWS are
    @functools.wraps(method)
    def locked(*given, **named):
        with lock:
            return method(*given, **named)
    return locked

for name in ("get_item", "put_item", "update_item", "delete_item", "transact_write_items", "query", "scan"):
    setattr(DynamoDBBackend, name, one_at_a_time(getattr(DynamoDBBackend, name)))
S3Response.put_object = one_at_a_time(S3Response.put_object)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()  # until whoever started it is gone
"""


@dataclass(frozen=True, slots=True)
class Aws:
    """The tests' own view of AWS, past the worker's code."""

    endpoint: str
    s3: "S3Client"
    sqs: "SQSClient"
    dynamodb: "DynamoDBClient"


@contextmanager
def emulator() -> Iterator[str]:
    """Give the address of an emulator: the one that the environment names, or a moto server that ends with the body."""
    given = os.environ.get("AWS_ENDPOINT_URL")
    if given:
        yield given
        return
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


@contextmanager
def aws_at(endpoint: str) -> Iterator[Aws]:
    """Open plain boto3 clients."""
    options: dict[str, Any] = {
        "endpoint_url": endpoint,
        "region_name": REGION,
        "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        "config": Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=30, max_pool_connections=20),
    }
    client = partial(boto3.session.Session().client, **options)
    aws = Aws(endpoint, client("s3"), client("sqs"), client("dynamodb"))
    try:
        yield aws
    finally:
        for each in (aws.s3, aws.sqs, aws.dynamodb):
            each.close()
