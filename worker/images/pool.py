"""Decoder processes, and the way of an image through them.

Each process has a socket of its own to the parent and works on one image at a time, so that a process that dies,
hangs or answers nonsense costs that image only: it is killed, and another takes its place when the next one is needed.
"""

import asyncio
import json
import math
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import structlog

from worker.errors import ImageError, ImageReason
from worker.images import decoder
from worker.images.cell import Cell, CellSpec
from worker.images.decoder import ANSWER, REQUEST, Status
from worker.images.sniff import ALLOWED_FORMATS

START_TIMEOUT = 20.0
"""Seconds for a process to import Pillow, on a machine that has much else to do."""

START_TRIES = 3
DECODER = decoder.__name__
MAX_MESSAGE_BYTES = 4096

LAST_BREATH = 0.2
"""Seconds that a process whose connection has ended gets to end as well, before it is killed."""

SEND_BUFFER = 1 << 20
"""Bytes; the kernel grants what it grants. A photo or a cell that fits wakes the other side once."""

_PACKAGE_ROOT = str(Path(__file__).parents[2])
_ENVIRONMENT = {
    "PYTHONPATH": _PACKAGE_ROOT,
    "LANG": "C.UTF-8",
    # glibc keeps up to so many bytes for the next photograph, instead of asking for fresh pages for each
    "MALLOC_MMAP_THRESHOLD_": str(2 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
}
"""All that a decoder is told: no credentials, no proxies, no settings."""


_STATUSES = frozenset(Status)
_REASONS = frozenset(ImageReason)

_log = structlog.get_logger()


class DecoderBroken(RuntimeError):
    """Decoder processes do not start, for example because Pillow was built without a library; no image can be used."""


class _BadAnswer(Exception):
    """The connection ended early, or an answer is none that a sound decoder gives."""


class DecodePool:
    """Turns images into cells in `children` processes, for as long as the context lasts.

    An image may take `decode_timeout` seconds by the clock and `cpu_seconds` of a processor (as many, unless told), and
    `memory_limit` bytes of address space with all of Python and Pillow.
    """

    def __init__(
        self,
        children: int,
        decode_timeout: float = 20.0,
        memory_limit: int = 2 << 30,
        cpu_seconds: int | None = None,
    ) -> None:
        self._count = children
        self._limits = (memory_limit, cpu_seconds or math.ceil(decode_timeout))
        self._decode_timeout = decode_timeout
        self._idle: asyncio.Queue[_Child] = asyncio.Queue()
        self._children: set[_Child] = set()
        self._open = False
        self.sandbox: dict[str, Any] = {}
        """What keeps the processes in, as they told at their start."""

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.TaskGroup() as starts:
                tasks = [starts.create_task(self._started()) for _ in range(self._count)]
        except BaseException as failure:  # noqa: BLE001 -- raised again below
            await self._end_all()
            raise failure.exceptions[0] if isinstance(failure, BaseExceptionGroup) else failure from None
        for task in tasks:
            self._idle.put_nowait(task.result())
            self.sandbox = task.result().sandbox
        _log_sandbox(self.sandbox)
        self._open = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._open = False
        for child in self._children:
            child.kill()
        for _ in range(self._count):  # one that works comes back as soon as its socket ends
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
        """Start a process; what is wrong with the installation shows in every one, so give up after a few."""
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
                return child
        raise DecoderBroken(f"no decoder process starts, after {START_TRIES} tries; the last one: {failure}")

    async def _end_all(self) -> None:
        for child in self._children:
            child.end()
        await asyncio.gather(*(child.process.wait() for child in self._children))
        self._children.clear()


@dataclass(frozen=True, slots=True, eq=False)
class _Child:
    """One decoder process and the socket to it. After anything but a sound answer it is killed, never used again."""

    process: asyncio.subprocess.Process
    connection: socket.socket
    sandbox: dict[str, Any] = field(default_factory=dict)
    buffer: bytearray = field(default_factory=bytearray)
    """Where answers arrive; kept, because fresh memory costs more than what is copied into it."""

    @classmethod
    async def spawned(cls, memory_limit: int, cpu_seconds: int) -> Self:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        command = (sys.executable, "-P", "-B", "-m", DECODER, str(memory_limit), str(cpu_seconds))
        try:
            # from the loop's own thread: the signal that a decoder gets at its parent's death comes when the thread
            # that started it ends
            process = await asyncio.create_subprocess_exec(
                *command, stdin=theirs.fileno(), stdout=theirs.fileno(), env=_ENVIRONMENT
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, ours)

    async def be_ready(self) -> None:
        """Wait until the process has Pillow; end it if that fails or takes longer than `START_TIMEOUT`."""
        try:
            async with asyncio.timeout(START_TIMEOUT):
                status, _, _, _, body = await self._receive(MAX_MESSAGE_BYTES)
        except BaseException:
            self.end()
            raise
        if status is not Status.READY:
            self.end()
            raise _BadAnswer(f"it answered {status!r}: {body.decode(errors='replace')}")
        self.sandbox.update(json.loads(body))

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
            self.end()  # half an exchange is left in the socket
            raise

    async def _lost(self, error: Exception) -> ImageError:
        """End the process, and tell what became of it: the kernel may have done so for its CPU seconds."""
        self.connection.close()
        try:
            async with asyncio.timeout(LAST_BREATH):
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
        """Tell whether the process lives and has nothing to say, as it should between two images."""
        if self.connection.fileno() < 0:
            return False
        try:
            self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        self.end()
        return False

    def kill(self) -> None:
        """End the process; whoever talks to it finds the socket at its end."""
        with suppress(ProcessLookupError):
            self.process.kill()

    def end(self) -> None:
        """End the process and its socket, which nobody may be waiting for."""
        self.kill()
        self.connection.close()

    async def _exchange(self, data: bytes, spec: CellSpec) -> Cell:
        loop = asyncio.get_running_loop()
        header = REQUEST.pack(spec.size, spec.min_side, spec.keep_side, spec.max_pixels, len(data), *spec.background)
        sent = self.connection.sendmsg((header, data))  # a photo goes at once, as a rule
        if sent < len(header) + len(data):
            rest = memoryview(data)[sent - len(header) :] if sent >= len(header) else header[sent:] + data
            await loop.sock_sendall(self.connection, rest)
        pixel_bytes = spec.size * spec.size * 3
        status, label, width, height, body = await self._receive(max(pixel_bytes, MAX_MESSAGE_BYTES))
        if status is Status.REFUSED and label in _REASONS:
            raise ImageError(ImageReason(label), body[:MAX_MESSAGE_BYTES].decode(errors="replace"))
        if status is not Status.CELL or len(body) != pixel_bytes or label not in ALLOWED_FORMATS:
            raise _BadAnswer(f"it answered {status!r} {label!r} with {len(body)} bytes")
        return Cell(body, width, height, label)

    async def _receive(self, most: int) -> tuple[Status, str, int, int, bytes]:
        """Receive one answer of at most `most` bytes, which has to be the last thing that the process says."""
        if len(self.buffer) < ANSWER.size + most:
            self.buffer.extend(bytes(ANSWER.size + most - len(self.buffer)))
        with memoryview(self.buffer) as buffer:
            received = await self._receive_into(buffer, 0, ANSWER.size)
            number, label, width, height, length = ANSWER.unpack_from(buffer)
            if number not in _STATUSES or length > most:
                raise _BadAnswer(f"it answered status {number} with {length} bytes")
            end = ANSWER.size + length
            if await self._receive_into(buffer, received, end) > end:
                raise _BadAnswer("it went on after its answer")
            body = bytes(buffer[ANSWER.size : end])
        return Status(number), label.rstrip(b"\0").decode("ascii", "replace"), width, height, body

    async def _receive_into(self, buffer: memoryview, received: int, wanted: int) -> int:
        """Receive until `wanted` bytes are in the buffer, where `received` are already; returns how many there are."""
        loop = asyncio.get_running_loop()
        while received < wanted:
            count = await loop.sock_recv_into(self.connection, buffer[received:])
            if count == 0:
                raise _BadAnswer("it closed the connection")
            received += count
        return received


def _log_sandbox(levels: dict[str, Any]) -> None:
    """Tell once what the decoders are kept in by; a kernel without the filter is worth a warning."""
    tell = _log.info if levels.get("seccomp") else _log.warning
    tell("sandbox.entered", **levels)
