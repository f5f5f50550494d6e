"""Decoder processes, and how an image passes through one of them.

Each process has its own socket and its own shared memory, and works on one image at a time. A process that dies, hangs
or gives a wrong answer costs that image only: it is killed, and another one is started when it is needed.
"""

import asyncio
import json
import math
import mmap
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import structlog

from worker.decode.child import ANSWER, REQUEST, Status
from worker.decode.shared_memory import free_beyond_kept, new_shared_memory
from worker.errors import DecoderBroken, ImageError, ImageReason, SettingsError
from worker.images.cell import Cell, CellSpec
from worker.images.sniff import ALLOWED_FORMATS
from worker.sandbox import NOT_CONFINED

START_TIMEOUT = 20.0
"""Seconds that a process may take to import Pillow, on a busy machine."""

START_TRIES = 3

TOLD_EVERY = 30.0
"""Seconds between two records of what confines the decoders: an alarm looks at each minute."""

DECODER = "worker.decode.child"
MAX_CELL_BYTES = 2_000 * 2_000 * 3
"""Bytes of the largest cell that a job may ask for."""
MAX_TEXT_BYTES = 4096

EXIT_GRACE_SECONDS = 0.2
"""Seconds that a process has to exit after its connection ended, before it is killed."""

_PACKAGE_ROOT = str(Path(__file__).parents[2])
_ENVIRONMENT = {
    "PYTHONPATH": _PACKAGE_ROOT,
    "LANG": "C.UTF-8",
    # glibc keeps up to so many bytes for the next photograph, instead of asking for fresh pages for each
    "MALLOC_MMAP_THRESHOLD_": str(2 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
}
"""The whole environment of a decoder: no credentials, no proxies, no settings."""

_STATUSES = frozenset(Status)
_REASONS = frozenset(ImageReason)

_log = structlog.get_logger()


class _BadAnswer(Exception):
    """The connection ended early, or the answer is not one that a correct decoder gives."""


class DecodePool:
    """Turns images into cells in `children` processes, as long as the context lasts.

    An image may take `decode_timeout` seconds, `cpu_seconds` of CPU time (default: the same number), and `memory_limit`
    bytes of address space, Python and Pillow included. `largest` is the size, in bytes, of the largest image that is
    ever passed. Processes that seccomp does not confine are refused with `SettingsError`, unless `require_sandbox` is
    False. `record_metric` is called every `TOLD_EVERY` seconds with what confines them.
    """

    def __init__(
        self,
        children: int,
        decode_timeout: float = 20.0,
        memory_limit: int = 2 << 30,
        cpu_seconds: int | None = None,
        largest: int = 20 << 20,
        *,
        require_sandbox: bool = True,
        record_metric: Callable[[str, float], None] = lambda _name, _value: None,
    ) -> None:
        self._require_sandbox = require_sandbox
        self._record_metric = record_metric
        self._count = children
        self._limits = (memory_limit, cpu_seconds or math.ceil(decode_timeout), max(largest, MAX_CELL_BYTES))
        self._decode_timeout = decode_timeout
        self._idle: asyncio.Queue[_Child] = asyncio.Queue()
        self._children: set[_Child] = set()
        self._open = False
        self.sandbox: dict[str, Any] = {}
        """What confines the processes, as they reported at their start."""

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.TaskGroup() as starts:
                tasks = [starts.create_task(self._started()) for _ in range(self._count)]
        except BaseException as failure:  # noqa: BLE001 -- raised again below
            await self._end_all()
            raise failure.exceptions[0] if isinstance(failure, BaseExceptionGroup) else failure from None
        for task in tasks:
            self._idle.put_nowait(task.result())
        _log_sandbox(self.sandbox)
        self._telling = asyncio.create_task(self._tell_confinement())
        self._open = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._open = False
        self._telling.cancel()
        for child in self._children:
            child.kill()
        for _ in range(self._count):  # a busy one is returned as soon as its socket is closed
            (await self._idle.get()).end()
        await self._end_all()

    async def decode(self, data: bytes, spec: CellSpec) -> Cell:
        """Return the cell of one image, after waiting for a free process.

        Raises `ImageError` as `make_cell` does, and with `decoder_crashed` or `decode_timeout`; `DecoderBroken` when
        no process can be started. A cancelled call ends its process.
        """
        self._check_open()
        child = await self._idle.get()
        try:
            self._check_open()
            if not child.is_waiting():
                child = await self._started()
            return await child.decode(data, spec, self._decode_timeout)
        finally:
            self._idle.put_nowait(child)

    def _check_open(self) -> None:
        if not self._open:
            raise RuntimeError("the decode pool is not open: decode within `async with`")

    async def _started(self) -> "_Child":
        """Start a process. Give up after some tries: a fault of the installation would repeat in every process."""
        self._children = {child for child in self._children if child.process.returncode is None}
        failure = ""
        for _ in range(START_TRIES):
            try:
                child = await _Child.spawned(*self._limits)
                self._children.add(child)
                await child.be_ready()
            except (OSError, _BadAnswer) as error:
                failure = repr(error)
            else:
                self._judge(child)
                return child
        raise DecoderBroken(f"no decoder process starts, after {START_TRIES} tries; the last one: {failure}")

    def _judge(self, child: "_Child") -> None:
        """Note what confines a new process, and refuse one that seccomp does not confine where it has to."""
        self.sandbox = child.sandbox
        if self._require_sandbox and not child.sandbox.get("seccomp"):
            child.end()
            raise SettingsError(NOT_CONFINED)

    async def _tell_confinement(self) -> None:
        """Record what confines the newest process: 1 for each guard that holds, 0 for one that does not."""
        record = self._record_metric
        while True:
            record("SandboxSeccomp", float(bool(self.sandbox.get("seccomp"))))
            record("SandboxNamespaces", float(bool(self.sandbox.get("network_namespace"))))
            record("SandboxLandlock", float(bool(self.sandbox.get("landlock"))))
            await asyncio.sleep(TOLD_EVERY)

    async def _end_all(self) -> None:
        for child in self._children:
            child.end()
        await asyncio.gather(*(child.process.wait() for child in self._children))
        self._children.clear()


class _Child:
    """One decoder process, with its socket and shared memory. After anything but a correct answer it is killed."""

    def __init__(self, process: asyncio.subprocess.Process, connection: socket.socket, shared: mmap.mmap) -> None:
        self.process = process
        self.sandbox: dict[str, Any] = {}
        self._connection = connection
        self._shared = shared
        self._received = bytearray()
        self._is_connected = True
        self._arrival: asyncio.Future[None] | None = None
        self._killed = False
        # Once for all answers: adding and removing a reader for each would cost more than copying the data.
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection, self._receive)

    @classmethod
    async def spawned(cls, memory_limit: int, cpu_seconds: int, shared_bytes: int) -> Self:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        command = (sys.executable, "-P", "-B", "-m", DECODER, str(memory_limit), str(cpu_seconds))
        try:
            with theirs, new_shared_memory(shared_bytes) as (shared, descriptor):
                # From the loop's own thread: a decoder gets its parent-death signal when the thread that started it
                # ends.
                process = await asyncio.create_subprocess_exec(
                    *command,
                    str(descriptor),
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    pass_fds=(descriptor,),
                    env=_ENVIRONMENT,
                )
        except BaseException:
            ours.close()
            raise
        return cls(process, ours, shared)

    async def be_ready(self) -> None:
        """Wait until the process has imported Pillow; end it if that fails or takes longer than `START_TIMEOUT`."""
        try:
            async with asyncio.timeout(START_TIMEOUT):
                status, _, _, _, length = await self._answer()
                text = await self._text(length)
        except BaseException:
            self.end()
            raise
        if status is not Status.READY:
            self.end()
            raise _BadAnswer(f"it answered {status!r}: {text}")
        self.sandbox = json.loads(text)

    async def decode(self, data: bytes, spec: CellSpec, timeout: float) -> Cell:  # noqa: ASYNC109 -- part of the rule
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(data, spec)
        except ImageError:
            raise
        except TimeoutError:
            self.end()
            raise ImageError(
                ImageReason.DECODE_TIMEOUT, f"decoding took longer than the {timeout:g} s allowed"
            ) from None
        except (OSError, _BadAnswer) as error:
            raise await self._lost(error) from error
        except BaseException:
            self.end()  # the rest of an answer may be left in the socket
            raise

    async def _lost(self, error: Exception) -> ImageError:
        """End the process, and return why it failed: the kernel may have ended it for its CPU seconds."""
        self._hang_up()
        try:
            async with asyncio.timeout(EXIT_GRACE_SECONDS):
                await self.process.wait()
        except TimeoutError:
            pass
        finally:
            self.kill()
        code = await self.process.wait()
        if code == -signal.SIGXCPU:
            return ImageError(ImageReason.DECODE_TIMEOUT, "decoding took more CPU seconds than allowed")
        fate = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return ImageError(ImageReason.DECODER_CRASHED, f"the decoder process was lost ({fate}): {error}")

    def is_waiting(self) -> bool:
        """Tell whether the process is alive and silent, as it should be between two images."""
        if self._connection.fileno() < 0:
            return False
        self._receive()  # the loop may not have read yet
        if self._is_connected and not self._received:
            return True
        self.end()
        return False

    def kill(self) -> None:
        """Kill the process; a pending exchange then sees its socket closed."""
        if not self._killed:  # a second time, asyncio would lose the exit status and warn
            self._killed = True
            with suppress(ProcessLookupError):
                self.process.kill()

    def end(self) -> None:
        """Kill the process, and close its socket and its shared memory; no exchange may be pending."""
        self.kill()
        self._hang_up()

    def _hang_up(self) -> None:
        if self._connection.fileno() >= 0:
            self._loop.remove_reader(self._connection)
            self._connection.close()
            self._shared.close()

    async def _exchange(self, data: bytes, spec: CellSpec) -> Cell:
        pixel_bytes = spec.size * spec.size * 3
        used = max(len(data), pixel_bytes)
        if used > len(self._shared):
            raise ValueError(f"{used:,} bytes do not fit into the shared memory of {len(self._shared):,}")
        self._shared[: len(data)] = data
        request = REQUEST.pack(spec.size, spec.min_side, spec.keep_side, spec.max_pixels, len(data), *spec.background)
        self._connection.sendall(request)  # a few bytes: the socket's buffer always has space for them
        status, label, width, height, length = await self._answer()
        if status is Status.REFUSED and label in _REASONS:
            text = await self._text(length)
            free_beyond_kept(self._shared, used)
            raise ImageError(ImageReason(label), text)
        if status is not Status.CELL or length != pixel_bytes or label not in ALLOWED_FORMATS or self._received:
            raise _BadAnswer(f"it answered {status!r} {label!r} with {length} bytes")
        pixels = self._shared[:pixel_bytes]
        free_beyond_kept(self._shared, used)
        return Cell(pixels, width, height, label)

    async def _answer(self) -> tuple[Status, str, int, int, int]:
        number, label, width, height, length = ANSWER.unpack(await self._read(ANSWER.size))
        if number not in _STATUSES:
            raise _BadAnswer(f"it answered status {number}")
        return Status(number), label.rstrip(b"\0").decode("ascii", "replace"), width, height, length

    async def _text(self, length: int) -> str:
        """Return the text that follows an answer; nothing may follow the text."""
        if length > MAX_TEXT_BYTES:
            raise _BadAnswer(f"it answered with a text of {length} bytes")
        text = await self._read(length)
        if self._received:
            raise _BadAnswer("it sent more than its answer")
        return text.decode(errors="replace")

    async def _read(self, count: int) -> bytes:
        """Return the next `count` bytes from the process."""
        while len(self._received) < count:
            if not self._is_connected:
                raise _BadAnswer("it closed the connection")
            self._arrival = self._loop.create_future()
            await self._arrival
        said = bytes(self._received[:count])
        del self._received[:count]
        return said

    def _receive(self) -> None:
        """Read what has arrived, but stop at more than a correct process would send."""
        try:
            said = self._connection.recv(MAX_TEXT_BYTES)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        self._received += said
        if not said or len(self._received) > ANSWER.size + MAX_TEXT_BYTES:
            self._is_connected = False
            self._loop.remove_reader(self._connection)
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)


def _log_sandbox(levels: dict[str, Any]) -> None:
    """Log once what confines the decoders; warn where the kernel has no filter."""
    tell = _log.info if levels.get("seccomp") else _log.warning
    tell("sandbox.entered", **levels)
