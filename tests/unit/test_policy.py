"""Which URLs may be asked at all."""

from dataclasses import replace

import pytest

from tests.unit.byte_origin import NOW, POLICY
from worker.download.urls import parse_image_url
from worker.errors import ImageError, ImageReason

OUTSIDE = replace(POLICY, allow_private=False)
PICKY = replace(OUTSIDE, allowed_hosts=("cdn.example", "*.tiktok.example"))


@pytest.mark.parametrize(
    ("url", "policy"),
    [
        ("http://any.example/", OUTSIDE),
        ("https://any.example/", OUTSIDE),
        (f"https://any.example/?x-expires={NOW:.0f}", OUTSIDE),
        ("http://any.example:8080/", POLICY),
        ("http://any.example:8080/", replace(OUTSIDE, allowed_ports=frozenset({8080}))),
        ("https://cdn.example/", PICKY),
        ("https://a.b.tiktok.example/", PICKY),
    ],
)
def test_what_may_be_asked(url: str, policy: object) -> None:
    assert isinstance(policy, type(POLICY))
    policy.check(parse_image_url(url), NOW)


@pytest.mark.parametrize(
    ("url", "reason", "told"),
    [
        (f"https://cdn.example/?x-expires={NOW - 1:.0f}&x-signature=s3cret", ImageReason.EXPIRED, "get a fresh one"),
        ("https://evil.example/", ImageReason.ADDRESS_REFUSED, "allowed: cdn.example, *.tiktok.example"),
        ("https://cdn.example:8443/", ImageReason.ADDRESS_REFUSED, "allowed: 80, 443"),
    ],
)
def test_what_may_not_be_asked_and_why(url: str, reason: ImageReason, told: str) -> None:
    with pytest.raises(ImageError) as raised:
        PICKY.check(parse_image_url(url), NOW)
    assert raised.value.reason is reason
    assert not raised.value.transient
    assert told in str(raised.value)
    assert "s3cret" not in str(raised.value)
