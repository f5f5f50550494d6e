"""Hostile servers: each try ends in time, with the right code, without more than its share of memory or slots."""

# ruff: noqa: PT017 -- that an error is raised is not what is asserted

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.security.hostile_origin import ANY, GOOD, WAYS, HostileOrigin, reply
from tests.unit.certificates import self_signed
from worker.download.body_budget import SMALL_BODY_BYTES
from worker.download.fetch import Fetcher
from worker.download.host_names import REMEMBERED_SECONDS
from worker.download.policy import FetchPolicy
from worker.errors import ImageError, ImageReason
from worker.images.sniff import could_be_image
from worker.limiter import Limiter

SECONDS = 1.0
CAP = 1_000_000
POLICY = FetchPolicy(
    max_bytes=CAP,
    user_agent="collage-tests",
    allow_private=True,
    backoff_factor=0.0,
    max_delay=0.05,
    connections=16,
)
# told by the decoder, not by the fetcher
BY_ITS_BYTES = {"truncated-image", "bomb", "svg", "too-long"}


@pytest.fixture
async def origin() -> AsyncIterator[HostileOrigin]:
    async with HostileOrigin() as started:
        yield started


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with Fetcher(POLICY) as opened:
        yield opened


async def outcome(fetcher: Fetcher, url: str, *, retries: int = 0, slots: Limiter | None = None) -> str | None:
    try:
        await fetcher.fetch(url, timeout=SECONDS, max_retries=retries, slots=slots or Limiter(16))
    except ImageError as error:
        assert error.reason in set(ImageReason)
        return error.reason.value
    return None


async def test_every_way_to_answer_badly_ends_in_time_with_its_code(origin: HostileOrigin) -> None:
    at_a_time = asyncio.Semaphore(8)  # they share this process with the server, and some of them keep it busy

    async def one(name: str) -> None:
        # a fetcher each: a time-out of one way must not spare another
        async with at_a_time, Fetcher(POLICY, could_be_image=could_be_image) as fetcher:
            began = time.monotonic()
            found = await outcome(fetcher, f"{origin.base}/{name}")
            seconds = time.monotonic() - began
        expected = WAYS[name][2]
        if expected != ANY and name not in BY_ITS_BYTES:
            assert found == expected, name
        assert seconds < SECONDS + 4, f"{name} took {seconds:.1f} s"

    async with asyncio.TaskGroup() as group:
        for name in WAYS:
            group.create_task(one(name))


async def test_an_answer_cut_at_any_byte_is_told_and_leaves_nothing_behind(
    origin: HostileOrigin, fetcher: Fetcher
) -> None:
    whole = reply()
    found = await asyncio.gather(*(outcome(fetcher, f"{origin.base}/cut/{length}") for length in range(len(whole))))
    assert set(found) <= {"connect", "truncated", "server_error"}
    head = len(whole) - len(GOOD)
    assert set(found[head:]) == {"truncated"}
    assert await outcome(fetcher, f"{origin.base}/good/1.png") is None
    assert fetcher.slots.in_use == 0


async def test_an_endless_body_is_left_at_the_cap(origin: HostileOrigin, fetcher: Fetcher) -> None:
    import tracemalloc  # noqa: PLC0415 -- only here

    tracemalloc.start()
    for _ in range(5):
        assert await outcome(fetcher, f"{origin.base}/endless-chunks") == "too_large"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * CAP  # both ends are in this process, with their buffers


async def test_no_cookie_is_sent_back_nor_anything_that_tells_of_us(origin: HostileOrigin, fetcher: Fetcher) -> None:
    for _ in range(2):
        assert await outcome(fetcher, f"{origin.base}/cookies") is None
    names = {line.partition(b":")[0].lower() for head in origin.heads for line in head.split(b"\r\n")[1:] if line}
    assert names == {b"host", b"accept", b"accept-encoding", b"user-agent"}


async def test_few_large_bodies_of_one_job_and_host_are_held_at_a_time(origin: HostileOrigin) -> None:
    origin.files = {"large": bytes(SMALL_BODY_BYTES + 100_000)}
    job, at_a_time = Limiter(16), 3
    async with Fetcher(replace(POLICY, max_bytes=4 * SMALL_BODY_BYTES)) as fetcher:
        fetches = [
            asyncio.create_task(fetcher.fetch(f"{origin.base}/file/large", timeout=20, max_retries=0, slots=job))
            for _ in range(at_a_time + 3)
        ]
        for held in range(at_a_time, len(fetches) + 1):
            while sum(fetch.done() for fetch in fetches) < held:
                await asyncio.wait(
                    [fetch for fetch in fetches if not fetch.done()], return_when=asyncio.FIRST_COMPLETED
                )
            done = [fetch for fetch in fetches if fetch.done()]
            assert len(done) == held, "one more comes for each that is let go, and none before"
            done[held - at_a_time].result().release()


async def test_a_server_that_asks_to_wait_for_a_year_is_asked_again_when_we_see_fit(
    origin: HostileOrigin, fetcher: Fetcher
) -> None:
    began = time.monotonic()
    assert await outcome(fetcher, f"{origin.base}/rate-limited", retries=3) == "rate_limited"
    assert origin.asked["/rate-limited"] == 4
    assert time.monotonic() - began < 3


async def test_a_bad_host_slows_only_itself() -> None:
    """Fifty tries hang at one host, and a good one is served through the same slots meanwhile."""
    async with HostileOrigin() as bad, HostileOrigin() as good, Fetcher(POLICY) as fetcher:
        job = Limiter(16)
        stuck = [asyncio.create_task(outcome(fetcher, f"{bad.base}/silent", slots=job)) for _ in range(50)]
        await asyncio.sleep(0.2)
        began = time.monotonic()
        found = await asyncio.gather(
            *(outcome(fetcher, f"{good.base}/good/{number}.png", slots=job) for number in range(100))
        )
        assert found == [None] * 100
        assert time.monotonic() - began < SECONDS * 0.75, "no try had to wait for one that hung"
        assert bad.most_open <= 12
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


async def test_a_thousand_images_of_a_dead_host_do_not_take_a_thousand_time_outs(origin: HostileOrigin) -> None:
    async with Fetcher(POLICY) as fetcher:

        async def quick(number: int) -> str:
            try:
                await fetcher.fetch(f"{origin.base}/silent?{number}", timeout=0.1, max_retries=1, slots=Limiter(16))
            except ImageError as error:
                return error.reason.value
            return "a picture"

        began = time.monotonic()
        found = await asyncio.gather(*(quick(number) for number in range(1_000)))
        assert set(found) == {"timeout"}
        assert time.monotonic() - began < 20
        assert origin.asked.get("/silent", 0) < 50


async def test_a_redirect_leads_to_no_host_that_is_not_allowed(origin: HostileOrigin) -> None:
    async with Fetcher(replace(POLICY, allowed_hosts=("*.tiktokcdn.com", "127.0.0.1"))) as fetcher:
        assert await outcome(fetcher, f"{origin.base}/good/1.png") is None
        assert await outcome(fetcher, "http://evil.example/a.png") == "address_refused"
        assert await outcome(fetcher, f"http://localhost:{origin.port}/good/1.png") == "address_refused"
        assert await outcome(fetcher, f"{origin.base}/to-credentials") == "address_refused"
    assert list(origin.asked) == ["/good/1.png", "/to-credentials"]


class Rebinding(AbstractResolver):
    """Answers with an address that may be asked, and from the second time on with one that may not."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> list[ResolveResult]:
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        return [ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("second", ["169.254.170.2", "169.254.169.254", "0.0.0.0", "224.0.0.1", "100.64.0.1"])
async def test_a_name_that_is_bound_anew_between_two_tries_is_judged_anew(origin: HostileOrigin, second: str) -> None:
    now = [0.0]
    async with Fetcher(POLICY, resolver=Rebinding("127.0.0.1", second), seconds=lambda: now[0]) as fetcher:
        url = f"http://rebinding.example:{origin.port}/reset"
        assert await outcome(fetcher, url) == "connect"
        now[0] += REMEMBERED_SECONDS
        assert await outcome(fetcher, url) == "address_refused"
        assert len(origin.asked) == 1


NOW = datetime.now(UTC)
CERTIFICATES = {
    "of nobody that is trusted": ("cdn.example", NOW - timedelta(days=1), NOW + timedelta(days=1), False),
    "expired": ("cdn.example", NOW - timedelta(days=9), NOW - timedelta(days=1), True),
    "not valid yet": ("cdn.example", NOW + timedelta(days=1), NOW + timedelta(days=9), True),
    "of another host": ("other.example", NOW - timedelta(days=1), NOW + timedelta(days=1), True),
}


@pytest.mark.parametrize("name", CERTIFICATES)
async def test_no_picture_comes_over_a_certificate(name: str, tmp_path: Path) -> None:
    host, since, until, trusted = CERTIFICATES[name]
    pem = self_signed(tmp_path, host, since, until)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = await asyncio.start_server(_never, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    trust = ssl.create_default_context(cafile=pem) if trusted else None
    async with Fetcher(POLICY, resolver=Rebinding("127.0.0.1"), tls=trust) as fetcher:
        assert await outcome(fetcher, f"https://cdn.example:{port}/a.png", retries=2) == "tls"
    server.close()


async def _never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(reply())
    writer.close()


class Silent(AbstractResolver):
    """Knows one name, and never answers for any other."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> list[ResolveResult]:
        if host != "good.example":
            self.asked.add(host)
            await asyncio.Event().wait()
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


async def test_three_hundred_dead_names_of_one_job_delay_no_other_and_none_of_its_good_ones(
    origin: HostileOrigin,
) -> None:
    resolver, job = Silent(), Limiter(16)
    async with Fetcher(POLICY, resolver=resolver) as fetcher:
        dead = [
            asyncio.create_task(outcome(fetcher, f"http://dead-{number}.example/a.png", slots=job))
            for number in range(300)
        ]
        async with asyncio.timeout(5):
            while not resolver.asked:
                await asyncio.sleep(0)
        began = time.monotonic()
        for slots in (Limiter(16), job):
            await fetcher.fetch(
                f"http://127.0.0.1:{origin.port}/good/1.png", timeout=SECONDS, max_retries=0, slots=slots
            )
        await fetcher.fetch(
            f"http://good.example:{origin.port}/good/1.png", timeout=SECONDS, max_retries=0, slots=Limiter(16)
        )
        assert time.monotonic() - began < SECONDS
        assert (job.in_use, fetcher.slots.in_use) == (0, 0), "who waits for a name holds no slot"
        began = time.monotonic()
        for task in dead:
            task.cancel()
        await asyncio.wait(dead)
        assert time.monotonic() - began < SECONDS


async def test_a_job_with_many_silent_hosts_leaves_slots_to_the_others(origin: HostileOrigin) -> None:
    async with Fetcher(POLICY, resolver=Rebinding("127.0.0.1")) as fetcher:
        job = Limiter(256)
        stuck = [
            asyncio.create_task(
                fetcher.fetch(
                    f"http://silent-{number}.example:{origin.port}/silent", timeout=60, max_retries=0, slots=job
                )
            )
            for number in range(40)
        ]
        async with asyncio.timeout(10):
            while origin.open < 12:
                await asyncio.sleep(0)
            for number in range(20):
                await fetcher.fetch(
                    f"{origin.base}/good/{number}.png", timeout=SECONDS, max_retries=0, slots=Limiter(1)
                )
        assert origin.open <= 16
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


async def test_large_bodies_that_one_job_holds_for_long_delay_no_other_job() -> None:
    async with (
        HostileOrigin() as slow,
        HostileOrigin() as good,
        Fetcher(replace(POLICY, max_bytes=4 * SMALL_BODY_BYTES, connections=64)) as fetcher,
    ):
        slow.files = good.files = {"large": bytes(SMALL_BODY_BYTES + 100_000)}
        job = Limiter(16)
        held = [
            asyncio.create_task(fetcher.fetch(f"{slow.base}/file/large", timeout=20, max_retries=0, slots=job))
            for _ in range(16)
        ]
        await asyncio.wait(held, return_when=asyncio.FIRST_COMPLETED)
        async with asyncio.timeout(10):
            for _ in range(3):  # as many other jobs as a worker has by default
                await fetcher.fetch(f"{good.base}/file/large", timeout=5, max_retries=0, slots=Limiter(16))
        assert not all(task.done() for task in held)
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
