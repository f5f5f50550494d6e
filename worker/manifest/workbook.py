"""An XLSX workbook, read by a process of its own that can be ended at any moment. All of it blocks."""

import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from worker.errors import Interrupted, JobReason, RetryableError, TerminalError
from worker.manifest.bytes import not_csv
from worker.manifest.workbook_child import LENGTH

MAX_ANSWER = 64 << 20
"""Bytes of one answer; a sound process stays far below."""

POLL_SECONDS = 0.25
"""Seconds between two looks whether the worker stops."""

END_SECONDS = 5.0
"""Seconds that a process has to exit after its connection ended, before it is killed."""

_PACKAGE_ROOT = str(Path(__file__).parents[2])


@dataclass(frozen=True, slots=True)
class Reader:
    """The process that reads a workbook: the module that it runs, what it is told, and what it may take."""

    module: str = "worker.manifest.workbook_child"
    environment: Mapping[str, str] = field(default_factory=lambda: {"PYTHONPATH": _PACKAGE_ROOT, "LANG": "C.UTF-8"})
    """All that it is told: no credentials, no proxies, no settings."""
    memory: int = 1 << 30
    """Bytes of address space, with Python and the library: a million rows of two columns take 650 MB."""
    cpu_seconds: int = 120
    """Of a processor, for all of a workbook; a million rows of two columns take 5."""
    answer_seconds: float = 600.0
    """By the clock, for one answer: a processor that has much else to do is no fault of a workbook's."""


READER = Reader()

_AS_CSV = "remove what is empty below and beside the table, or save the sheet as CSV"


class Workbook:
    """A workbook that is open as long as the context lasts. `sheets` has the names of its visible sheets.

    Nobody else reads `file` meanwhile; `is_stopped` is asked while an answer is waited for. Entering, and all methods,
    raise `TerminalError`, `manifest_not_csv` for what is no workbook or a damaged one and `manifest_too_large` for what
    needs too much memory or time; `RetryableError` where the process is ended from outside; `Interrupted` once stopped.
    """

    def __init__(self, file: BinaryIO, is_stopped: Callable[[], bool], reader: Reader = READER) -> None:
        self._file = file
        self._reader = reader
        self._is_stopped = is_stopped
        self._stack = ExitStack()
        self.sheets: Sequence[str] = ()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            file = stack.enter_context(_on_disk(self._file))
            if file.seek(0, io.SEEK_END) > self._reader.memory // 2:
                raise _too_large(f"it has more than {self._reader.memory >> 21} MiB")
            descriptor = file.fileno()
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            ours.settimeout(POLL_SECONDS)
            self._socket = ours
            limits = [str(self._reader.memory), str(self._reader.cpu_seconds)]
            command = [sys.executable, "-P", "-B", "-m", self._reader.module, *limits, str(descriptor)]
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 -- our own module
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(descriptor,),
                    env=self._reader.environment,
                )
            stack.callback(self._end)
            self.sheets = _texts(self._answer().get("sheets"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def first_rows(self, sheet: int) -> list[tuple[int, Sequence[str]]]:
        """Return the first filled rows of a sheet: their numbers, from 1, and the texts of their cells."""
        self._ask({"sheet": sheet})
        return [(_number(number), _texts(cells)) for number, cells in _rows(self._answer(), 2)]

    def rows(
        self, sheet: int, columns: Sequence[int], *, width: int, below: int
    ) -> Iterator[tuple[int, Sequence[str], int]]:
        """Give the filled rows below one: their numbers, and the texts of these columns.

        The third is the index of another cell (of the first `width`) that is filled where these are not; else -1.
        """
        self._ask({"sheet": sheet, "columns": columns, "width": width, "below": below})
        while rows := _rows(self._answer(), 3):
            for number, cells, other in rows:
                if len(texts := _texts(cells)) != len(columns) or not -1 <= _number(other) < width:
                    raise _bad_answer()
                yield _number(number), texts, other

    def _ask(self, request: dict[str, Any]) -> None:
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise self._lost() from error

    def _answer(self) -> dict[str, Any]:
        """Return the next answer, which a process may have written that hostile bytes have taken over."""
        until = time.monotonic() + self._reader.answer_seconds
        try:
            (length,) = LENGTH.unpack(self._receive(LENGTH.size, until))
            text = self._receive(length, until) if length <= MAX_ANSWER else b""
        except (OSError, EOFError) as error:
            raise self._lost() from error
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise _bad_answer()
        if "refused" in answer:
            raise not_csv(str(answer["refused"])[:500])
        if "too_large" in answer:
            raise _too_large(f"it takes more than the {self._reader.memory >> 20} MiB of memory that are allowed")
        return answer

    def _receive(self, count: int, until: float) -> bytes:
        found = bytearray()
        while len(found) < count:
            if self._is_stopped():
                raise Interrupted(JobReason.INTERRUPTED, "reading the workbook was interrupted")
            if time.monotonic() > until:
                raise _too_large(f"it takes longer than {self._reader.answer_seconds:g} s")
            with suppress(TimeoutError):
                some = self._socket.recv(min(count - len(found), 1 << 20))
                if not some:
                    raise EOFError
                found += some
        return bytes(found)

    def _lost(self) -> TerminalError | RetryableError:
        """Tell what became of a process that has closed the connection."""
        try:
            _, errors = self._process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            return _bad_answer()
        code = self._process.returncode
        if code == -signal.SIGKILL:
            return RetryableError(
                JobReason.INTERNAL_ERROR,
                "the process that reads the workbook was killed, most likely because the worker's memory ran out; give "
                "the worker more, or save the sheet as CSV",
            )
        if code == -signal.SIGXCPU:
            return _too_large(f"it takes more than the {self._reader.cpu_seconds} CPU seconds that are allowed")
        if b"memory allocation" in errors or b"MemoryError" in errors:
            return _too_large(f"it takes more than the {self._reader.memory >> 20} MiB of memory that are allowed")
        fate = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return not_csv(f"a workbook that ends the process which reads it ({fate}); save the sheet as CSV")

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()


def _on_disk(file: BinaryIO) -> BinaryIO:
    """Return a file with a descriptor: this one, at its beginning, or a copy. Closing it closes no file of others."""
    try:
        file.flush()
        return open(file.fileno(), "rb", closefd=False)
    except (AttributeError, io.UnsupportedOperation):
        copy = tempfile.TemporaryFile(prefix="workbook-")  # noqa: SIM115 -- the caller closes it
        file.seek(0)
        shutil.copyfileobj(file, copy)
        copy.flush()
        return copy


def _too_large(what: str) -> TerminalError:
    return TerminalError(JobReason.MANIFEST_TOO_LARGE, f"the workbook cannot be read: {what}; {_AS_CSV}")


def _bad_answer() -> TerminalError:
    return not_csv("a workbook that makes the process which reads it answer nonsense; save the sheet as CSV")


def _rows(answer: dict[str, Any], length: int) -> list[list[Any]]:
    rows = answer.get("rows")
    if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) != length for row in rows):
        raise _bad_answer()
    return rows


def _texts(cells: object) -> Sequence[str]:
    if not isinstance(cells, list) or any(type(cell) is not str for cell in cells):
        raise _bad_answer()
    return cells


def _number(value: object) -> int:
    if type(value) is not int:
        raise _bad_answer()
    return value
