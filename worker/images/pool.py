"""Decoder processes, and the way of an image through them.

Each process has a socket of its own to the parent and works on one image at a time, so that a process that dies,
hangs or answers nonsense costs that image only: it is killed, and another takes its place when the next one is needed.
"""

import asyncio
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from worker.errors import ImageError, ImageReason
from worker.images import decoder
from worker.images.cell import Cell, CellSpec
from worker.images.decoder import ANSWER, REQUEST, Status
from worker.images.sniff import ALLOWED_FORMATS

START_TIMEOUT = 20.0
"""Seconds for a process to import Pillow, on a machine that has much else to do."""

START_TRIES = 3
MAX_MESSAGE_BYTES = 4096

_PACKAGE_ROOT = str(Path(__file__).parents[2])
_ENVIRONMENT = {"PYTHONPATH": _PACKAGE_ROOT, "LANG": "C.UTF-8"}
"""All that a decoder is told: no credentials, no proxies, no settings."""


class DecoderBroken(RuntimeError):
    """Decoder processes do not start, for example because Pillow was built without a library; no image can be used."""


class _BadAnswer(Exception):
    """The connection ended early, or an answer is none that a sound decoder gives."""


class DecodePool:
    """Turns images into cells in `children` processes, for as long as the context lasts.

    An image may take `decode_timeout` seconds, and `memory_limit` bytes of address space with all of Python and Pillow.
    """

    def __init__(self, children: int, decode_timeout: float = 20.0, memory_limit: int = 2 << 30) -> None:
        self._count = children
        self._decode_timeout = decode_timeout
        self._memory_limit = memory_limit
        self._idle: asyncio.Queue[_Child] = asyncio.Queue()
        self._children: set[_Child] = set()
        self._open = False

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.TaskGroup() as starts:
                tasks = [starts.create_task(self._started()) for _ in range(self._count)]
        except BaseException as failure:  # noqa: BLE001 -- raised again below
            await self._end_all()
            raise failure.exceptions[0] if isinstance(failure, BaseExceptionGroup) else failure from None
        for task in tasks:
            self._idle.put_nowait(task.result())
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
                child = await _Child.spawned(self._memory_limit)
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

    @classmethod
    async def spawned(cls, memory_limit: int) -> Self:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        command = (sys.executable, "-P", "-B", "-m", decoder.__name__, str(memory_limit))
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
            self.end()
            raise ImageError(ImageReason.DECODER_CRASHED, f"the decoder process was lost: {error}") from error
        except BaseException:
            self.end()  # half an exchange is left in the socket
            raise

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
        await loop.sock_sendall(self.connection, header)
        await loop.sock_sendall(self.connection, data)
        pixel_bytes = spec.size * spec.size * 3
        status, label, width, height, body = await self._receive(max(pixel_bytes, MAX_MESSAGE_BYTES))
        if status is Status.REFUSED and label in set(ImageReason):
            raise ImageError(ImageReason(label), body[:MAX_MESSAGE_BYTES].decode(errors="replace"))
        if status is not Status.CELL or len(body) != pixel_bytes or label not in ALLOWED_FORMATS:
            raise _BadAnswer(f"it answered {status!r} {label!r} with {len(body)} bytes")
        return Cell(body, width, height, label)

    async def _receive(self, most: int) -> tuple[Status, str, int, int, bytes]:
        number, label, width, height, length = ANSWER.unpack(await self._receive_exactly(ANSWER.size))
        if number not in set(Status) or length > most:
            raise _BadAnswer(f"it answered status {number} with {length} bytes")
        body = await self._receive_exactly(length)
        return Status(number), label.rstrip(b"\0").decode("ascii", "replace"), width, height, body

    async def _receive_exactly(self, length: int) -> bytes:
        loop = asyncio.get_running_loop()
        buffer = memoryview(bytearray(length))
        received = 0
        while received < length:
            count = await loop.sock_recv_into(self.connection, buffer[received:])
            if count == 0:
                raise _BadAnswer("it closed the connection")
            received += count
        return bytes(buffer)
