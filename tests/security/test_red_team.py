"""Code that runs in a decoder tries to get out, and what it could do is written down: see README.md beside this."""

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from structlog.testing import capture_logs

from tests.security.attacks import MARK
from tests.unit.pictures import encoded, photo
from tests.unit.rights import MAY_TRACE
from worker.decode import pool
from worker.decode.pool import DecodePool
from worker.errors import ImageError, ImageReason
from worker.images.cell import CellSpec, make_cell

SPEC = CellSpec(size=16, background=(255, 255, 255), min_side=10, max_pixels=50_000_000)
GOOD = encoded(Image.new("RGB", (20, 20), (1, 2, 3)), "PNG")
SECRET = "AKIAINTRUDERSGOAL"
EPERM = {"error": "EPERM"}


@pytest.fixture(autouse=True)
def intruder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "DECODER", "tests.security.intruder")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.setenv(name, SECRET)


@pytest.fixture
async def decodes() -> AsyncIterator[DecodePool]:
    async with DecodePool(1, memory_limit=400 << 20) as opened:
        yield opened


async def attack(decodes: DecodePool, *command: Any) -> Any:
    with pytest.raises(ImageError) as answer:
        await decodes.decode(MARK + json.dumps(command).encode(), SPEC)
    assert answer.value.reason is ImageReason.NOT_AN_IMAGE, answer.value
    return json.loads(str(answer.value))


async def fate(decodes: DecodePool, *command: Any) -> ImageReason:
    with pytest.raises(ImageError) as answer:
        await decodes.decode(MARK + json.dumps(command).encode(), SPEC)
    return answer.value.reason


async def test_the_environment_holds_no_credentials(decodes: DecodePool) -> None:
    found = await attack(decodes, "environment")
    assert set(found["got"]) - {"LC_CTYPE"} == set(pool._ENVIRONMENT)
    assert not [name for name in pool._ENVIRONMENT if not name.startswith(("PYTHONPATH", "LANG", "MALLOC_"))]
    assert SECRET not in json.dumps(found)


@pytest.mark.parametrize(
    "path",
    [
        "/proc/1/environ", "/proc/PPID/environ", "/proc/self/environ", "/proc/PPID/mem", "/proc/self/mem",
        "/proc/PPID/fd/0", "/proc/net/tcp", "/etc/passwd", "/etc/hostname", "/dev/shm", "/",
        str(Path.home() / ".aws/credentials"), ".", "/dev/null", "/dev/stdin", str(Path(__file__)),
    ],
)  # fmt: skip
async def test_no_file_can_be_read(decodes: DecodePool, path: str) -> None:
    assert await attack(decodes, "read", path) == EPERM


@pytest.mark.parametrize("path", ["/tmp/out", "/dev/shm/out", "/proc/self/oom_score_adj", "/dev/tty"])
async def test_no_file_can_be_written(decodes: DecodePool, path: str) -> None:
    assert await attack(decodes, "write", path) == EPERM
    assert await attack(decodes, "list", "/tmp") == EPERM


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW])
async def test_no_socket_can_be_made_so_the_credentials_endpoint_sees_no_packet(
    decodes: DecodePool, family: int, kind: int
) -> None:
    assert await attack(decodes, "connect", int(family), int(kind)) == EPERM


@pytest.mark.parametrize("way", ["fork", "exec", "spawn"])
async def test_no_process_can_be_started(decodes: DecodePool, way: str) -> None:
    assert await attack(decodes, way) == EPERM


async def test_no_thread_can_be_started(decodes: DecodePool) -> None:
    assert "can't start new thread" in (await attack(decodes, "thread"))["error"]


@pytest.mark.parametrize(
    "way", ["kill the parent", "kill everybody", "memory file", "executable memory", "make memory executable"]
)
async def test_nobody_can_be_signalled_and_no_memory_be_executed(decodes: DecodePool, way: str) -> None:
    assert await attack(decodes, way) == EPERM


async def test_every_other_system_call_of_the_kernel_is_refused(decodes: DecodePool) -> None:
    """Among them ptrace, process_vm_readv, pidfd_getfd, bpf, io_uring, keyctl, userfaultfd, mount, unshare."""
    assert await attack(decodes, "every call") == {"got": []}


@pytest.mark.parametrize(
    "kind", [resource.RLIMIT_AS, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE]
)
async def test_no_limit_can_be_raised(decodes: DecodePool, kind: int) -> None:
    assert "error" in await attack(decodes, "raise a limit", kind)


def test_a_decoder_cannot_be_dumped_or_looked_into_and_gains_no_rights() -> None:
    """Asked before the sandbox is sealed: nobody can ask after that."""
    ask = (
        "import ctypes; from worker import sandbox; sandbox.limit(memory=1 << 30); "
        "print(*(ctypes.CDLL(None).prctl(option, 0, 0, 0, 0) for option in (3, 39)))"  # GET_DUMPABLE, GET_NO_NEW_PRIVS
    )
    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["0", "1"]


async def test_memory_ends_at_its_limit_and_the_process_goes_on(decodes: DecodePool) -> None:
    found = await attack(decodes, "fill memory")
    assert found["got"] < 400
    assert len((await decodes.decode(GOOD, SPEC)).pixels) == 16 * 16 * 3


async def test_only_connection_and_shared_memory_are_open_and_what_is_printed_is_lost(decodes: DecodePool) -> None:
    assert len((await attack(decodes, "descriptors"))["got"]) <= 6
    await attack(decodes, "print")
    (child,) = (one for one in psutil.Process().children() if "tests.security.intruder" in one.cmdline())
    if MAY_TRACE:
        assert {str(Path(f"/proc/{child.pid}/fd/{number}").readlink()) for number in range(3)} == {os.devnull}  # noqa: ASYNC240 -- procfs does not block


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("crash", ImageReason.DECODER_CRASHED),
        ("leave", ImageReason.DECODER_CRASHED),
        ("burn", ImageReason.DECODE_TIMEOUT),
    ],
)
async def test_a_process_that_dies_or_hangs_costs_one_image_and_those_in_flight_are_not_affected(
    way: str, reason: ImageReason
) -> None:
    async with DecodePool(2, decode_timeout=1) as decodes:
        good = [asyncio.create_task(decodes.decode(GOOD, SPEC)) for _ in range(50)]
        assert await fate(decodes, way) is reason
        good += [asyncio.create_task(decodes.decode(GOOD, SPEC)) for _ in range(50)]
        assert all(len(cell.pixels) == 16 * 16 * 3 for cell in await asyncio.gather(*good))


async def test_cpu_seconds_end_an_image_where_the_clock_does_not_and_do_not_add_up_over_images() -> None:
    async with DecodePool(1, decode_timeout=60, cpu_seconds=1) as decodes:
        large = encoded(photo(3_000, 3_000), "PNG", compress_level=1)
        for _ in range(8):  # more than two CPU seconds together
            await decodes.decode(large, SPEC)
        with pytest.raises(ImageError, match="CPU seconds") as ended:  # and not: longer than 60 s
            await decodes.decode(MARK + json.dumps(["burn"]).encode(), SPEC)
        assert ended.value.reason is ImageReason.DECODE_TIMEOUT
        assert len((await decodes.decode(GOOD, SPEC)).pixels) == 16 * 16 * 3


async def test_what_keeps_the_decoders_in_is_told_once_at_the_start() -> None:
    with capture_logs() as lines:
        async with DecodePool(3) as decodes:
            await decodes.decode(GOOD, SPEC)
    entered = [line for line in lines if line["event"] == "sandbox.entered"]
    assert len(entered) == 1
    assert set(entered[0]) == {
        "event", "log_level", "no_new_privs", "seccomp", "user_namespace", "network_namespace", "landlock",
    }  # fmt: skip
    assert entered[0]["seccomp"] is True
    assert entered[0]["log_level"] == "info"


async def test_a_kernel_without_the_filter_is_worth_a_warning() -> None:
    with capture_logs() as lines:
        pool._log_sandbox({"seccomp": False, "landlock": 0})
    assert lines[0]["log_level"] == "warning"


async def test_decoding_needs_nothing_that_the_sandbox_refuses(decodes: DecodePool) -> None:
    for options in ({"format": "JPEG", "progressive": True}, {"format": "WEBP"}, {"format": "PNG"}, {"format": "GIF"}):
        kind = str(options.pop("format"))
        data = encoded(photo(640, 480), kind, **options)
        assert await decodes.decode(data, SPEC) == make_cell(data, SPEC)
