"""What code that an image brought along would try, once it runs in a decoder. Each attack tells what it got.

Written as an intruder would: with what is loaded already, because nothing can be imported any more.
"""

import ctypes
import errno
import json
import os
import platform
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from worker.sandbox_filter import MACHINES

MARK = b"ATTACK "
CREDENTIALS = ("169.254.170.2", 80)
# x86-64's uretprobe and uprobe: the kernel lets them past every filter since 6.14, and ends whoever calls them without
# having been probed.
UNFILTERED = {335, 336}
LAST_CALL = 470  # beyond the newest system call of the kernels there are

AUDITED = {"open", "import", "socket.__new__", "os.listdir", "subprocess.Popen", "ctypes.dlopen"}

_seen: list[str] = []
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p


def performed(data: bytes) -> str:
    """Run the attack that the bytes name, and return JSON: what it `got`, or the `error` that stopped it."""
    name, *arguments = json.loads(data.removeprefix(MARK))
    try:
        return json.dumps({"got": ATTACKS[name](*arguments)})
    except OSError as error:
        return json.dumps({"error": errno.errorcode.get(error.errno or 0, str(error))})
    except Exception as error:  # noqa: BLE001 -- an attack may fail in any way
        return json.dumps({"error": f"{type(error).__name__}: {error}"[:200]})


def watch() -> None:
    """Note what is opened, imported or started from here on; Python tells before it asks the kernel."""
    sys.addaudithook(lambda event, arguments: _seen.append(f"{event} {arguments[:1]}") if event in AUDITED else None)


def _told() -> list[str]:
    told, _seen[:] = list(_seen), []
    return told


def call(number: int, *arguments: int) -> int:
    """Make a system call; raises OSError."""
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    if result == -1:
        raise OSError(ctypes.get_errno(), "system call")
    return int(result)


def _environment() -> dict[str, str]:
    return dict(os.environ)


def _read(path: str) -> str:
    descriptor = os.open(path.replace("PPID", str(os.getppid())), os.O_RDONLY)
    return os.read(descriptor, 1_000).decode(errors="replace")


def _write(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT)


def _connect(family: int, kind: int) -> str:
    with socket.socket(family, kind) as made:
        made.connect(CREDENTIALS if family == socket.AF_INET else "/var/run/docker.sock")
    return "connected"


def _thread() -> str:
    threading.Thread(target=print).start()
    return "started"


def _fill_memory() -> int:
    """Take memory until there is none; returns how many MB there were."""
    held = []
    try:
        while True:
            held.append(bytes(1) * (16 << 20))
    except MemoryError:
        return 16 * len(held)


def _crash() -> None:
    ctypes.string_at(0)


def _burn() -> None:
    while True:
        pass


def _executable_memory() -> str:
    found = _libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0))  # rwx, private and anonymous
    if found == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    return "mapped"


def _make_executable() -> str:
    page = _libc.mmap(None, ctypes.c_size_t(4096), 3, 0x22, -1, ctypes.c_long(0))
    if _libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(4096), 5) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    return "made executable"


def _raise_limit(kind: int) -> str:
    import resource  # noqa: PLC0415 -- it is loaded

    resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return "raised"


def _print_log_line() -> int:
    return os.write(2, b'{"event": "forged"}\n') + os.write(1, b'{"event": "forged"}\n')


def _open_descriptors() -> list[int]:
    return [number for number in range(64) if _is_open(number)]


def _is_open(number: int) -> bool:
    try:
        os.lseek(number, 0, os.SEEK_CUR)  # what it says of a socket is not EBADF; fstat is not allowed
    except OSError as error:
        return error.errno != errno.EBADF
    return True


def _every_call() -> list[int]:
    """Make every system call that is not allowed, with zeros; returns those that were not refused."""
    machine = MACHINES[platform.machine()]
    allowed = {*machine.plain.values(), *machine.mapping.values(), *UNFILTERED}
    try:
        os.open("/", os.O_RDONLY)
    except PermissionError:
        return [number for number in range(LAST_CALL) if number not in allowed and not _refused(number)]
    raise RuntimeError("the sandbox is open: some of the calls would do harm")


def _refused(number: int) -> bool:
    try:
        call(number, 0, 0, 0, 0, 0, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return number == MACHINES[platform.machine()].prlimit  # with zeros it is the call that is allowed


ATTACKS: dict[str, Callable[..., Any]] = {
    "environment": _environment,
    "read": _read,
    "write": _write,
    "list": os.listdir,
    "connect": _connect,
    "fork": os.fork,
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "thread": _thread,
    "kill the parent": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "kill everybody": lambda: os.kill(-1, 0),
    "memory file": lambda: os.memfd_create("x"),
    "executable memory": _executable_memory,
    "make memory executable": _make_executable,
    "raise a limit": _raise_limit,
    "fill memory": _fill_memory,
    "crash": _crash,
    "burn": _burn,
    "leave": lambda: os._exit(0),
    "print": _print_log_line,
    "descriptors": _open_descriptors,
    "every call": _every_call,
    "seen": _told,
    "modules": lambda: [name for name in sys.modules if name.startswith("PIL.")],
}
