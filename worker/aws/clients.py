"""The AWS clients: one of each for the process."""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any
from zlib import crc32

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from aiobotocore.utils import AioContainerMetadataFetcher
from aiohttp import ThreadedResolver
from botocore.exceptions import BotoCoreError, CredentialRetrievalError
from botocore.handlers import add_expect_header, convert_body_to_file_like_object
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from worker import __version__
from worker.aws.calls import translated
from worker.aws.signing import sign_quickly
from worker.errors import Dependency, SettingsError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_sqs import SQSClient

CONNECTIONS = 32
"""Connections that each client keeps at the most."""

SENT_AT_ONCE = 1 << 20
"""Bytes of a body that aiohttp takes as they are; of more it warns, and has a file sent in pieces."""


CREDENTIALS_PATIENCE = 40.0
"""Seconds for which the task's credentials are asked for again at start. The image's health check waits as long."""

CREDENTIALS_TIMEOUT = 10
"""Seconds for one answer of the endpoint that gives a task its credentials; the SDK would wait for 2."""


@dataclass(frozen=True, slots=True)
class Clients:
    """One client for each service; each keeps its own connections."""

    s3: "S3Client"
    sqs: "SQSClient"
    dynamodb: "DynamoDBClient"


def client_config(connections: int = CONNECTIONS) -> AioConfig:
    """Return time-outs for every client. The longest read is ReceiveMessage's 20 s of waiting.

    The SDK tries nothing again; `worker.aws.calls` does, and says why.
    """
    return AioConfig(
        connect_timeout=5,
        read_timeout=30,
        max_pool_connections=connections,
        retries={"mode": "standard", "total_max_attempts": 1},
        user_agent=f"collage-worker/{__version__}",  # the SDK's own is put together anew for each call: 6% of its time
        parameter_validation=False,  # mypy has checked them; another 6%
        # aiohttp would take the resolver that the downloads use: AWS must not wait for names of strangers.
        connector_args={"resolver": ThreadedResolver()},
    )


@asynccontextmanager
async def open_clients(
    *, region: str, endpoint_url: str | None, connections: int = CONNECTIONS
) -> AsyncIterator[Clients]:
    """Open the clients; the SDK finds credentials as everywhere.

    Raises `SettingsError` where the SDK's own configuration cannot be used: its files, a profile, the region; and
    `Unavailable` where the endpoint that gives a task its credentials does not answer.
    """
    config = client_config(connections)
    options: dict[str, Any] = {"region_name": region, "endpoint_url": endpoint_url, "config": config}
    # Left to itself, the SDK makes links to objects with an old kind of signature and for a host of all regions, which
    # buckets made since 2020 do not take. Emulators rarely answer to bucket names as hosts.
    style = "path" if endpoint_url else "virtual"
    # Bodies are not signed, over http either: what they are told by is their checksum.
    s3 = {"addressing_style": style, "payload_signing_enabled": False}
    for_s3 = options | {"config": config.merge(AioConfig(signature_version="s3v4", s3=s3))}
    sign_quickly()
    async with AsyncExitStack() as stack:
        try:
            session = get_session()
            await _find_credentials(session)
            clients = Clients(
                await stack.enter_async_context(session.create_client("s3", **for_s3)),
                await stack.enter_async_context(session.create_client("sqs", **options)),
                await stack.enter_async_context(session.create_client("dynamodb", **options)),
            )
        except BotoCoreError as error:
            raise SettingsError(f"AWS: {error}") from error
        # The SDK asks S3 before each body whether it may send it: a round trip, and a tenth of a put's CPU.
        clients.s3.meta.events.unregister("before-call.s3", add_expect_header)
        # And makes a file of each body, which aiohttp then reads in a task of its own and sends behind the headers; and
        # over https, cuts it into pieces with a checksum behind them. Half of what a put costs.
        put = "before-parameter-build.s3.PutObject"
        clients.s3.meta.events.unregister(put, convert_body_to_file_like_object)
        clients.s3.meta.events.register_last(put, _body_with_checksum)
        yield clients


async def _find_credentials(session: AioSession) -> None:
    """Have the session find its credentials. A task's endpoint for them may be slow, or fail, when the task starts."""
    AioContainerMetadataFetcher.TIMEOUT_SECONDS = CREDENTIALS_TIMEOUT
    try:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_is_the_tasks_endpoint),
            wait=wait_random_exponential(multiplier=0.5, max=5),
            stop=stop_after_delay(CREDENTIALS_PATIENCE),
            reraise=True,
        ):
            with attempt:
                await session.get_credentials()
    except CredentialRetrievalError as error:
        if not _is_the_tasks_endpoint(error):
            raise
        raise translated(Dependency.S3, "asking for the task's credentials", error, None) from error


def _is_the_tasks_endpoint(error: BaseException) -> bool:
    return isinstance(error, CredentialRetrievalError) and error.kwargs.get("provider") == "container-role"


def checksum_of(body: bytes) -> str:
    """Return a body's CRC-32 as S3 takes it: base64 of four bytes, the highest first."""
    return b64encode(crc32(body).to_bytes(4)).decode()


def _body_with_checksum(params: dict[str, Any], **_: Any) -> None:
    """Name the checksum of a body before it, which S3 then takes no other for, and keeps with the object."""
    body = params.get("Body")
    if isinstance(body, bytes):
        params["ChecksumAlgorithm"] = "CRC32"  # a bucket with Object Lock takes no body without this name
        params["ChecksumCRC32"] = checksum_of(body)
        if len(body) > SENT_AT_ONCE:
            params["Body"] = BytesIO(body)
