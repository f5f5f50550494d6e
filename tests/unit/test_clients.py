"""The AWS clients as they are set up; what they do is tested against an emulator."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiobotocore.utils import AioContainerMetadataFetcher
from aiohttp import ThreadedResolver, web
from aiohttp.test_utils import TestServer
from botocore.awsrequest import AWSPreparedRequest

from worker.aws import clients as clients_module
from worker.aws.clients import SENT_AT_ONCE, open_clients
from worker.aws.s3 import S3
from worker.errors import JobReason, SettingsError, Unavailable


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.parametrize(
    ("bucket", "endpoint", "where"),
    [
        ("a-bucket", None, "https://a-bucket.s3.eu-central-1.amazonaws.com/k%20%C3%A9.jpg"),
        ("a.bucket", None, "https://s3.eu-central-1.amazonaws.com/a.bucket/k%20%C3%A9.jpg"),  # no certificate has it
        ("a-bucket", "http://localhost:4566", "http://localhost:4566/a-bucket/k%20%C3%A9.jpg"),
    ],
)
async def test_a_link_to_an_object_is_one_that_every_region_takes(
    bucket: str, endpoint: str | None, where: str
) -> None:
    async with open_clients(region="eu-central-1", endpoint_url=endpoint) as clients:
        link = await S3(clients.s3).presigned(bucket, "k \u00e9.jpg", 60)
    assert link.partition("?")[0] == where
    asked = parse_qs(urlsplit(link).query)
    assert asked["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert asked["X-Amz-Expires"] == ["60"]
    assert "/eu-central-1/s3/" in asked["X-Amz-Credential"][0]


async def test_the_hosts_of_aws_are_looked_up_apart_from_names_of_strangers() -> None:
    async with open_clients(region="eu-central-1", endpoint_url=None) as clients:
        for client in (clients.s3, clients.sqs, clients.dynamodb):
            config: Any = client.meta.config
            assert isinstance(config.connector_args["resolver"], ThreadedResolver)


async def test_s3_is_not_asked_before_a_body_whether_it_may_be_sent() -> None:
    async with open_clients(region="eu-central-1", endpoint_url=None) as clients:
        meta = clients.s3.meta
        call: dict[str, Any] = {"headers": {}, "body": io.BytesIO(b"a page"), "url_path": "", "query_string": {}}
        put = meta.service_model.operation_model("PutObject")
        await meta.events.emit("before-call.s3.PutObject", model=put, params=call, request_signer=None, context={})
    assert "Expect" not in call["headers"]


# --- the endpoint that gives a task its credentials -----------------------------------------------------------------


class CredentialsEndpoint:
    """It fails as often as it is told to, then gives credentials."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked = 0

    async def answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        if self.asked <= self.failures:
            return web.Response(status=500, text="the agent is still busy")
        expiry = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        given = {"AccessKeyId": "ASIATASK", "SecretAccessKey": "s", "Token": "t", "Expiration": expiry}
        return web.json_response(given)


@asynccontextmanager
async def credentials_endpoint(failures: int) -> AsyncIterator[CredentialsEndpoint]:
    endpoint = CredentialsEndpoint(failures)
    app = web.Application()
    app.router.add_get("/task", endpoint.answer)
    async with TestServer(app) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("AWS_ACCESS_KEY_ID")
            patch.delenv("AWS_SECRET_ACCESS_KEY")
            patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
            patch.setenv("AWS_CONFIG_FILE", "/nowhere")
            patch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", str(server.make_url("/task")))
            patch.setattr(AioContainerMetadataFetcher, "SLEEP_TIME", 0)
            yield endpoint


async def test_an_endpoint_for_credentials_that_fails_at_first_is_asked_again() -> None:
    async with (
        credentials_endpoint(failures=4) as endpoint,
        open_clients(region="eu-central-1", endpoint_url=None) as aws,
    ):
        link = await S3(aws.s3).presigned("a-bucket", "k", 60)
    assert "ASIATASK" in link
    assert endpoint.asked == 5, "the SDK asks three times, and we once more"


async def test_an_endpoint_for_credentials_that_never_answers_is_no_fault_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients_module, "CREDENTIALS_PATIENCE", 0.0)
    async with credentials_endpoint(failures=1_000):
        with pytest.raises(Unavailable, match="credentials") as failure:
            async with open_clients(region="eu-central-1", endpoint_url=None):
                pytest.fail("there are no credentials")
    assert failure.value.reason is JobReason.AWS_CREDENTIALS


async def test_a_profile_whose_program_gives_no_credentials_is_a_fault_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    (tmp_path / "config").write_text("[default]\ncredential_process = false\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(SettingsError, match="custom-process"):
        async with open_clients(region="eu-central-1", endpoint_url=None):
            pytest.fail("there are no credentials")


# --- bodies ---------------------------------------------------------------------------------------------------------


class SentError(Exception):
    """In place of sending."""


@pytest.mark.parametrize("endpoint", [None, "http://localhost:4566"])
@pytest.mark.parametrize(
    ("body", "checksum"),
    [
        (b"123456789", b"y/Q5Jg=="),  # 0xCBF43926, by which implementations are checked
        (b"", b"AAAAAA=="),
        (b"123456789" * 200_000, b"H2M1tQ=="),
    ],
    ids=["short", "empty", "large"],
)
async def test_a_body_is_sent_in_one_piece_behind_its_checksum(
    endpoint: str | None, body: bytes, checksum: bytes
) -> None:
    sent: list[Any] = []

    def send(request: AWSPreparedRequest, **_: Any) -> None:
        sent.append(request)
        raise SentError

    async with open_clients(region="eu-central-1", endpoint_url=endpoint) as clients:
        clients.s3.meta.events.register("before-send.s3.PutObject", send)
        with pytest.raises(SentError):
            await clients.s3.put_object(Bucket="a-bucket", Key="k", Body=body)
    (request,) = sent
    headers: dict[str, Any] = {name.lower(): value for name, value in request.headers.items()}
    assert (request.body.read() if len(body) > SENT_AT_ONCE else request.body or b"") == body
    assert headers["content-length"] == str(len(body))
    assert headers["x-amz-checksum-crc32"] == checksum
    assert headers["x-amz-sdk-checksum-algorithm"] == b"CRC32"
    assert headers["x-amz-content-sha256"] == b"UNSIGNED-PAYLOAD"
    assert b"x-amz-checksum-crc32;" in headers["authorization"]
    assert not {"content-encoding", "transfer-encoding", "x-amz-trailer", "expect"} & set(headers)
