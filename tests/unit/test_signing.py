"""Signatures: AWS's own example, and for any request what botocore's own signer makes of it."""

import string
from datetime import UTC, datetime
from typing import Any

import botocore.auth
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from worker.aws.signing import QuickS3SigV4Auth, QuickSigV4Auth

BOTH = [(SigV4Auth, QuickSigV4Auth), (S3SigV4Auth, QuickS3SigV4Auth)]

# What clients send, what must not be signed, and what is only nearly that.
NAMES = st.sampled_from([
    "Content-Type", "x-amz-meta-creator", "X-AMZ-META-CREATOR", "Cache-Control", "If-None-Match", "Host", "Range",
    "Date", "User-Agent", "Expect", "Transfer-Encoding", "X-Amzn-Trace-Id", "x-amzn-trace-ids", "Authorization",
    "x-amz-target", "X-Amz-Date", "X-Amz-Content-SHA256", "X-Amz-Security-Token", "content-md5",
]) | st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=20)  # fmt: skip
VALUES = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" \t"), max_size=30)
HOSTS = ["s3.us-east-1.amazonaws.com", "bucket.S3.amazonaws.com", "localhost", "127.0.0.1", "[::1]"]
PORTS = ["", ":80", ":443", ":4566"]
PATHS = ["", "/", "/bucket/a%20b/c.jpg", "/a//b/../c", "/?list-type=2&prefix=a%2Fb&prefix=&delimiter", "?x=1"]
BODY_IN_HEADER = {
    "has_streaming_input": True,
    "checksum": {"request_algorithm": {"in": "header", "name": "content-md5"}},
}
CONTEXTS = [
    {},
    {"payload_signing_enabled": False},
    {"checksum": {"request_algorithm": {"in": "trailer"}}},
    BODY_IN_HEADER,
]

REQUESTS = st.fixed_dictionaries({
    "method": st.sampled_from(["GET", "PUT", "post"]),
    "url": st.builds("{}://{}{}{}".format, *map(st.sampled_from, (["http", "https"], HOSTS, PORTS, PATHS))),
    "data": st.none() | st.just("") | st.binary(max_size=40),
    "params": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
})  # fmt: skip


def signed(
    signer: type[SigV4Auth], request: AWSRequest, now: datetime, secret: str, token: str | None
) -> list[tuple[str, str]]:
    """Sign as of `now`; returns the request's headers in order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: now)
        signer(ReadOnlyCredentials("AKIAIOSFODNN7EXAMPLE", secret, token), "s3", "us-east-1").add_auth(request)
    return list(request.headers.raw_items())


def test_awss_own_example() -> None:
    """Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, the first example."""
    request = AWSRequest(
        method="GET", url="https://examplebucket.s3.amazonaws.com/test.txt", headers={"Range": "bytes=0-9"}
    )
    headers = signed(
        QuickS3SigV4Auth,
        request,
        datetime(2013, 5, 24, tzinfo=UTC),
        secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        token=None,
    )
    assert dict(headers)["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


@pytest.mark.parametrize(("theirs", "ours"), BOTH)
@given(
    asked=REQUESTS,
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=12),
    context=st.sampled_from(CONTEXTS),
    now=st.sampled_from([datetime(2025, 1, day, 23, 59, 59, tzinfo=UTC) for day in (1, 2)]),
    secret=st.sampled_from(["secret", "another/secret+"]),
    token=st.sampled_from([None, "token/=="]),
)
def test_any_request_is_signed_as_botocore_does(
    theirs: type[SigV4Auth],
    ours: type[SigV4Auth],
    asked: dict[str, Any],
    headers: list[tuple[str, str]],
    context: dict[str, Any],
    now: datetime,
    secret: str,
    token: str | None,
) -> None:
    def request() -> AWSRequest:
        made = AWSRequest(**asked)
        for name, value in headers:
            made.headers[name] = value  # a name that is there already is there twice then
        made.context.update(context)
        return made

    assert signed(ours, request(), now, secret, token) == signed(theirs, request(), now, secret, token)
