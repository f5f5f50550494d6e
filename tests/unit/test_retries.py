"""Further tries: after which failures, how many, and after how long a wait."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.unit.byte_origin import (
    NOW,
    POLICY,
    Origin,
    failure,
    fetch,
    reply,
)
from worker.download.fetch import Fetcher
from worker.download.policy import FetchPolicy
from worker.errors import ImageError, ImageReason
from worker.limiter import Limiter

pytestmark = pytest.mark.usefixtures("only_loopback")


@pytest.mark.parametrize("max_retries", [0, 1, 4])
async def test_a_failing_origin_sees_one_request_and_the_retries_asked_for(origin: Origin, max_retries: int) -> None:
    origin.answers = [b""]
    await failure(origin.url(), max_retries=max_retries)
    assert len(origin.heads) == 1 + max_retries


async def delay_after(origin: Origin, answer: bytes, policy: FetchPolicy) -> float:
    """Fetch until the first wait, give up there, and return how long it would have been."""
    origin.answers = [answer]
    slots = Limiter(1)
    async with Fetcher(policy, clock=lambda: NOW) as fetcher:
        with capture_logs() as logs:
            task = asyncio.create_task(fetcher.fetch(origin.url(), timeout=5, max_retries=1, slots=slots))
            async with asyncio.timeout(5):
                while not logs:
                    await asyncio.sleep(0)
            assert (slots.in_use, fetcher.slots.in_use) == (0, 0), "a slot is held while nothing is done with it"
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert len(origin.heads) == 1
    return float(logs[0]["delay"])


@pytest.mark.parametrize(
    ("header", "delay"),
    [
        ("7", 7.0),
        ("Sun, 19 Jan 2025 12:00:30 GMT", 30.0),
        ("31536000", 60.0),
        ("Mon, 19 Jan 2026 12:00:00 GMT", 60.0),
        ("0", 0.0),
        ("soon", 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_says_when_to_come_back_is_listened_to_within_bounds(
    origin: Origin, status: int, header: str, delay: float
) -> None:
    policy = replace(POLICY, max_delay=60.0)
    assert await delay_after(origin, reply(status, f"Retry-After: {header}"), policy) == delay


async def test_without_a_hint_the_wait_is_jittered_between_zero_and_the_backoff(origin: Origin) -> None:
    policy = replace(POLICY, backoff_factor=0.0005, max_delay=0.002)
    most = [0.0005, 0.001, *[0.002] * 8]
    origin.answers = [reply(500)]
    with capture_logs() as logs:
        await failure(origin.url(), policy, max_retries=10)
    delays = [line["delay"] for line in logs]
    assert all(0 <= delay <= bound for delay, bound in zip(delays, most, strict=True))
    assert len(set(delays)) == 10, "no two wait alike, so that many do not come back together"


async def test_retries_are_logged_without_the_signature(origin: Origin) -> None:
    origin.answers = [reply(500, "Connection: close"), b"", reply()]
    with capture_logs() as logs:
        await fetch(origin.url("/a?x-signature=s3cret"), max_retries=3)
    shown = origin.url("/a?x-signature=***")
    assert logs == [
        {
            "event": "image.fetch_retried",
            "log_level": "info",
            "attempt": n,
            "delay": 0.0,
            "reason": reason,
            "url": shown,
        }
        for n, reason in ((1, "server_error"), (2, "connect"))
    ]


async def test_a_link_that_expires_between_two_tries_is_not_asked_for_again(origin: Origin) -> None:
    origin.answers = [reply(503)]
    times = iter([NOW, NOW, NOW + 2])
    async with Fetcher(POLICY, clock=lambda: next(times)) as fetcher:
        url = origin.url(f"/a?x-expires={NOW + 1:.0f}")
        with pytest.raises(ImageError) as raised:
            await fetcher.fetch(url, timeout=5, max_retries=3, slots=Limiter(1))
    assert raised.value.reason is ImageReason.EXPIRED
    assert len(origin.heads) == 1


async def test_a_kept_connection_that_died_is_replaced_at_the_cost_of_no_try(origin: Origin) -> None:
    origin.answers = [reply(), b"", reply()]
    async with Fetcher(POLICY) as fetcher:
        for _ in range(2):
            fetched = await fetcher.fetch(origin.url(), timeout=5, max_retries=0, slots=Limiter(1))
            assert fetched.attempts == 1
    assert (len(origin.heads), origin.connections) == (3, 2)
