"""Decoder processes: matching answers, and what becomes of an image when its process is lost."""

import asyncio
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.unit.pictures import encoded, photo, raw_png
from tests.unit.rights import MAY_TRACE
from worker import sandbox
from worker.decode import pool
from worker.decode.child import ANSWER, Status
from worker.decode.pool import DecodePool
from worker.decode.shared_memory import KEPT, free_beyond_kept, new_shared_memory
from worker.errors import DecoderBroken, ImageError, ImageReason, SettingsError
from worker.images.cell import Cell, CellSpec, make_cell

SPEC = CellSpec(size=16, background=(255, 255, 255), min_side=10, max_pixels=100_000_000)
COLOURS = [(shade, 255 - shade, shade // 2) for shade in range(200)]
FLAT = [encoded(Image.new("RGB", (20, 20), colour), "PNG") for colour in COLOURS]


def colour_of(cell: Cell) -> tuple[int, ...]:
    assert len(cell.pixels) == 16 * 16 * 3
    return tuple(cell.pixels[:3])


def decoders() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


async def begun(task: asyncio.Task[Cell]) -> asyncio.Task[Cell]:
    """Let a task send its request: it is so small that it suspends for the first time when it waits for the answer."""
    await asyncio.sleep(0)
    return task


@pytest.fixture
async def two() -> AsyncIterator[DecodePool]:
    async with DecodePool(2) as decodes:
        yield decodes


@pytest.fixture
async def one() -> AsyncIterator[DecodePool]:
    async with DecodePool(1) as decodes:
        yield decodes


async def test_200_decodes_at_once_over_2_processes_get_their_own_answers(two: DecodePool) -> None:
    cells = await asyncio.gather(*(two.decode(data, SPEC) for data in FLAT))
    assert [colour_of(cell) for cell in cells] == COLOURS
    assert len(decoders()) == 2


async def test_decoders_stand_back_for_whoever_hands_them_work(two: DecodePool) -> None:
    mine = psutil.Process().nice()
    assert [decoder.nice() for decoder in decoders()] == [min(mine + 10, 19)] * 2


async def test_a_process_makes_the_same_cell_as_a_call_would(one: DecodePool) -> None:
    data = encoded(photo(400, 700), "JPEG")
    spec = CellSpec(200, (1, 2, 3), 50, 50_000_000, keep_side=100)
    assert await one.decode(data, spec) == make_cell(data, spec)


async def test_an_image_larger_than_any_socket_buffer_passes(one: DecodePool) -> None:
    data = FLAT[7] + bytes(12_000_000)
    spec = CellSpec(2_000, (1, 2, 3), 10, 50_000_000, keep_side=2_000)
    cell = await one.decode(data, spec)
    assert cell.pixels == bytes(COLOURS[7]) * 2_000 * 2_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", ImageReason.NOT_AN_IMAGE),
        (os.urandom(50_000), ImageReason.NOT_AN_IMAGE),
        (FLAT[0][:50], ImageReason.TRUNCATED),
        (b"%PDF-1.4", ImageReason.UNSUPPORTED_FORMAT),
        (encoded(photo(9, 9), "PNG"), ImageReason.TOO_SMALL),
        (raw_png(20_000, 20_000, 8, 2, b""), ImageReason.TOO_MANY_PIXELS),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
async def test_a_refusal_comes_with_its_reason_and_costs_no_process(
    one: DecodePool, data: bytes, reason: ImageReason
) -> None:
    before = decoders()
    with pytest.raises(ImageError) as refusal:
        await one.decode(data, SPEC)
    assert refusal.value.reason is reason
    assert str(refusal.value)
    assert colour_of(await one.decode(FLAT[3], SPEC)) == COLOURS[3]
    assert decoders() == before


async def test_a_process_that_is_killed_costs_its_own_image_only(two: DecodePool) -> None:
    victim = decoders()[0]
    victim.send_signal(signal.SIGSTOP)
    tasks = [asyncio.create_task(two.decode(data, SPEC)) for data in FLAT[:12]]
    await begun(tasks[1])
    victim.kill()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    lost = [index for index, result in enumerate(results) if isinstance(result, BaseException)]
    assert len(lost) == 1
    error = results[lost[0]]
    assert isinstance(error, ImageError)
    assert error.reason is ImageReason.DECODER_CRASHED
    for index, result in enumerate(results):
        assert isinstance(result, Cell) == (index not in lost)
        assert index in lost or colour_of(result) == COLOURS[index]
    assert colour_of(await two.decode(FLAT[50], SPEC)) == COLOURS[50]


async def test_a_process_that_dies_between_images_costs_none(one: DecodePool) -> None:
    (victim,) = decoders()
    ended = os.pidfd_open(victim.pid)
    victim.kill()
    select.select([ended], [], [])
    os.close(ended)
    assert colour_of(await one.decode(FLAT[5], SPEC)) == COLOURS[5]


async def test_a_process_that_hangs_costs_its_own_image_and_is_replaced() -> None:
    async with DecodePool(1, decode_timeout=1) as decodes:
        (victim,) = decoders()
        victim.send_signal(signal.SIGSTOP)
        with pytest.raises(ImageError, match="longer than the 1 s allowed") as refusal:
            await decodes.decode(FLAT[0], SPEC)
        assert refusal.value.reason is ImageReason.DECODE_TIMEOUT
        assert colour_of(await decodes.decode(FLAT[1], SPEC)) == COLOURS[1]
        assert victim not in decoders()


async def test_waiting_for_a_free_process_does_not_count_as_decoding() -> None:
    async with DecodePool(1, decode_timeout=1) as decodes:
        (victim,) = decoders()
        victim.send_signal(signal.SIGSTOP)
        stuck = await begun(asyncio.create_task(decodes.decode(FLAT[0], SPEC)))
        waiting = asyncio.create_task(decodes.decode(FLAT[1], SPEC))
        with pytest.raises(ImageError):
            await stuck
        assert colour_of(await waiting) == COLOURS[1]


async def test_memory_that_runs_out_costs_the_image_and_not_the_process() -> None:
    async with DecodePool(1, memory_limit=150 << 20) as decodes:
        before = decoders()
        large = encoded(Image.new("RGB", (8_000, 8_000)), "PNG", compress_level=1)
        with pytest.raises(ImageError) as refusal:
            await decodes.decode(large, SPEC)
        assert refusal.value.reason is ImageReason.DECODE_MEMORY
        assert colour_of(await decodes.decode(FLAT[1], SPEC)) == COLOURS[1]
        assert decoders() == before


async def test_cancelled_decodes_leave_every_answer_with_its_own_request(two: DecodePool) -> None:
    for round_ in range(4):
        tasks = [asyncio.create_task(two.decode(data, SPEC)) for data in FLAT[:60]]
        for index in range(round_, 60, 3):
            await asyncio.wait([tasks[index // 2]], timeout=0)
            tasks[index].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for index, result in enumerate(results):
            assert isinstance(result, asyncio.CancelledError) or colour_of(result) == COLOURS[index]
    cells = await asyncio.gather(*(two.decode(data, SPEC) for data in FLAT))
    assert [colour_of(cell) for cell in cells] == COLOURS
    assert len([child for child in decoders() if child.status() != psutil.STATUS_ZOMBIE]) == 2


async def test_a_cancelled_decode_does_not_give_its_answer_to_the_next(one: DecodePool) -> None:
    (child,) = decoders()
    child.send_signal(signal.SIGSTOP)
    task = await begun(asyncio.create_task(one.decode(FLAT[0], SPEC)))
    task.cancel()
    child.send_signal(signal.SIGCONT)
    assert colour_of(await one.decode(FLAT[9], SPEC)) == COLOURS[9]
    with pytest.raises(asyncio.CancelledError):
        await task


PIXELS = 16 * 16 * 3


def talking_to(process: asyncio.subprocess.Process) -> tuple[pool._Child, socket.socket]:
    """Return a child whose answers come from the socket."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with new_shared_memory(1 << 20) as (shared, _):
        return pool._Child(process, ours, shared), theirs


@pytest.mark.parametrize(
    ("answer", "more_may_come"),
    [
        (b"", False),
        (b"Traceback (most recent call last)", False),
        (ANSWER.pack(Status.CELL, b"PNG", 20, 20, PIXELS)[:-1], False),
        (ANSWER.pack(Status.CELL, b"PNG", 20, 20, PIXELS - 1), True),
        (ANSWER.pack(Status.CELL, b"PNG", 20, 20, 100_000), True),
        (ANSWER.pack(Status.CELL, b"PNG", 20, 20, PIXELS) + b"!", True),
        (ANSWER.pack(Status.CELL, b"EVIL", 20, 20, PIXELS), True),
        (ANSWER.pack(Status.REFUSED, b"no such reason", 0, 0, 2) + b"no", True),
        (ANSWER.pack(Status.REFUSED, b"too_small", 0, 0, 2) + b"no!", True),
        (ANSWER.pack(Status.REFUSED, b"too_small", 0, 0, 1 << 30), True),
        (ANSWER.pack(Status.REFUSED, b"too_small", 0, 0, 2) + bytes(1 << 17), True),
        (ANSWER.pack(Status.READY, b"", 0, 0, 0), True),
        (ANSWER.pack(77, b"PNG", 20, 20, 0), True),
    ],
    ids=[
        "nothing",
        "print",
        "cut",
        "short",
        "too long",
        "more",
        "format",
        "reason",
        "more text",
        "long text",
        "flood",
        "status",
        "no status",
    ],
)
async def test_an_answer_that_makes_no_sense_ends_the_process(answer: bytes, more_may_come: bool) -> None:
    process = await asyncio.create_subprocess_exec("sleep", "60")
    child, theirs = talking_to(process)
    theirs.sendall(answer)
    if not more_may_come:
        theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(ImageError) as refusal:
        await child.decode(FLAT[0], SPEC, 5)
    assert refusal.value.reason is ImageReason.DECODER_CRASHED
    assert await process.wait() == -signal.SIGKILL
    assert not child.is_waiting()
    theirs.close()


async def test_what_a_large_image_took_is_given_back_after_it(one: DecodePool) -> None:
    await one.decode(FLAT[7] + b"x" * 12_000_000, SPEC)
    (child,) = one._children
    assert (child._shared[KEPT - 1], child._shared[KEPT]) == (ord("x"), 0)


async def test_more_than_the_shared_memory_holds_is_an_error_of_the_caller(one: DecodePool) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        await one.decode(bytes(21 << 20), SPEC)


def test_nobody_can_change_the_size_of_shared_memory() -> None:
    """Or whoever looks behind its new end would be killed by SIGBUS."""
    with new_shared_memory(1 << 20) as (_, descriptor):
        for size in (0, 1 << 21):
            with pytest.raises(PermissionError):
                os.ftruncate(descriptor, size)


def test_shared_memory_takes_memory_where_it_was_written_and_gives_back_what_is_beyond_what_it_keeps() -> None:
    with new_shared_memory(16 << 20) as (shared, descriptor):
        shared[: 8 << 20] = b"x" * (8 << 20)
        assert os.fstat(descriptor).st_blocks * 512 == 8 << 20
        free_beyond_kept(shared, 8 << 20)
        assert os.fstat(descriptor).st_blocks * 512 == KEPT
        assert (shared[KEPT - 1], shared[KEPT]) == (ord("x"), 0)


async def test_a_process_that_speaks_unasked_is_not_used_again() -> None:
    process = await asyncio.create_subprocess_exec("sleep", "60")
    child, theirs = talking_to(process)
    assert child.is_waiting()
    theirs.sendall(b"!")
    assert not child.is_waiting()
    assert await process.wait() == -signal.SIGKILL
    theirs.close()


# A process that cannot be dumped belongs to root, as far as /proc is concerned.
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may look at a decoder from outside")


@pytest.mark.skipif(
    not MAY_TRACE, reason="a container's root may not look; tests/security/test_red_team.py asks inside"
)
async def test_a_decoder_is_told_nothing_but_where_python_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/secret")
    async with DecodePool(1):
        (child,) = decoders()
        proc = Path("/proc") / str(child.pid)
        names = {line.split(b"=")[0] for line in (proc / "environ").read_bytes().split(b"\0") if line}
        assert names == {b"PYTHONPATH", b"LANG", b"MALLOC_MMAP_THRESHOLD_", b"MALLOC_TRIM_THRESHOLD_"}
        assert b"secret" not in (proc / "environ").read_bytes()


@AS_ROOT
async def test_a_decoder_is_confined() -> None:
    async with DecodePool(1, memory_limit=300 << 20):
        (child,) = decoders()
        assert "NoNewPrivs:\t1" in (Path("/proc") / str(child.pid) / "status").read_text()
        limits = [resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_AS]
        assert [child.rlimit(limit)[1] for limit in limits] == [0, 0, sandbox.MAX_OPEN_FILES, 300 << 20]
        # its standard streams and the two ends of its connection, none of them another decoder's
        assert child.num_fds() <= 6


async def test_decoders_that_seccomp_does_not_confine_are_refused_unless_that_was_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "DECODER", "tests.security.unconfined")
    with pytest.raises(SettingsError, match="REQUIRE_SANDBOX"):
        async with DecodePool(2):
            pass
    assert decoders() == []
    async with DecodePool(1, require_sandbox=False) as decodes:
        assert decodes.sandbox["seccomp"] is False
        assert colour_of(await decodes.decode(FLAT[8], SPEC)) == COLOURS[8]


@pytest.mark.parametrize(("decoder", "seccomp"), [("worker.decode.child", 1.0), ("tests.security.unconfined", 0.0)])
async def test_what_confines_the_decoders_is_told_again_and_again(
    monkeypatch: pytest.MonkeyPatch, decoder: str, seccomp: float
) -> None:
    """An alarm that looks at each minute needs a point in each."""
    assert pool.TOLD_EVERY < 60
    monkeypatch.setattr(pool, "DECODER", decoder)
    monkeypatch.setattr(pool, "TOLD_EVERY", 0.001)
    told: list[tuple[str, float]] = []
    enough = asyncio.Event()

    def record(name: str, value: float) -> None:
        told.append((name, value))
        if len(told) >= 9:
            enough.set()

    async with DecodePool(2, require_sandbox=False, record_metric=record) as decodes, asyncio.timeout(10):
        holds = {name: float(bool(level)) for name, level in decodes.sandbox.items()}
        await enough.wait()
    assert holds["seccomp"] == seccomp
    assert set(told) == {
        ("SandboxSeccomp", seccomp),
        ("SandboxNamespaces", holds["network_namespace"]),
        ("SandboxLandlock", holds["landlock"]),
    }
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_decoder_is_the_first_to_go_when_memory_runs_out(one: DecodePool) -> None:
    (child,) = decoders()
    assert (Path("/proc") / str(child.pid) / "oom_score_adj").read_text() == "1000\n"


async def test_a_decoder_leaves_it_to_its_parent_when_to_stop(one: DecodePool) -> None:
    before = decoders()
    for number in (signal.SIGINT, signal.SIGTERM):
        before[0].send_signal(number)
    assert colour_of(await one.decode(FLAT[8], SPEC)) == COLOURS[8]
    assert decoders() == before


async def test_closing_ends_every_process_even_one_at_work() -> None:
    async with DecodePool(2) as decodes:
        for child in decoders():
            child.send_signal(signal.SIGSTOP)  # or it may be done before it is ended
        tasks = [asyncio.create_task(decodes.decode(data, SPEC)) for data in FLAT[:6]]
        await begun(tasks[0])
    assert decoders() == []
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, (ImageError, RuntimeError)) for result in results)
    with pytest.raises(RuntimeError, match="not open"):
        await decodes.decode(FLAT[0], SPEC)


async def test_an_error_within_the_context_ends_every_process() -> None:
    with pytest.raises(ZeroDivisionError):
        async with DecodePool(2):
            raise ZeroDivisionError
    assert decoders() == []


@pytest.mark.parametrize("content", ["", "import sys; sys.exit(3)", "print('hello ' * 20); input()", "input()"])
async def test_a_broken_installation_is_reported_and_not_tried_for_ever(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "worker" / "images").mkdir(parents=True)
    (tmp_path / "worker" / "__init__.py").touch()
    (tmp_path / "worker" / "images" / "decoder.py").write_text(content)
    monkeypatch.setitem(pool._ENVIRONMENT, "PYTHONPATH", str(tmp_path))
    monkeypatch.setitem(pool._ENVIRONMENT, "PYTHONUNBUFFERED", "1")
    monkeypatch.setattr(pool, "START_TIMEOUT", 0.5)
    with pytest.raises(DecoderBroken, match="no decoder process starts, after 3 tries"):
        await DecodePool(2).__aenter__()
    assert decoders() == []


async def test_a_library_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "PIL").mkdir()
    (tmp_path / "PIL" / "__init__.py").write_text("raise ImportError('libjpeg.so.62: no such file')")
    path = pool._ENVIRONMENT["PYTHONPATH"]
    monkeypatch.setitem(pool._ENVIRONMENT, "PYTHONPATH", f"{tmp_path}:{path}")
    with pytest.raises(DecoderBroken, match=r"libjpeg\.so\.62"):
        await DecodePool(1).__aenter__()


@pytest.mark.parametrize("turns", [1, 2, 3, 4, 8, 16])
async def test_a_cancelled_start_leaves_no_process(turns: int) -> None:
    start = asyncio.create_task(DecodePool(2).__aenter__())
    for _ in range(turns):
        await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert decoders() == []


PARENT = """
import asyncio, psutil, sys
from worker.logs import configure
from worker.decode.pool import DecodePool

async def main():
    async with DecodePool(2):
        print(*(child.pid for child in psutil.Process().children()), flush=True)
        sys.stdin.readline()

configure()
asyncio.run(main())
"""


def test_decoders_die_with_a_parent_that_is_killed_even_when_they_hang() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        watched = [os.pidfd_open(pid) for pid in pids]
        os.kill(pids[0], signal.SIGSTOP)
        parent.kill()
    for ended in watched:
        assert select.select([ended], [], [], 20)[0]
        os.close(ended)
