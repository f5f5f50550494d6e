"""What a process that reads hostile bytes gives up, for good.

First come limits, then, when all code is loaded, every door is closed.

Nothing here needs a capability. Limits, `no_new_privs` and the seccomp filter have to hold wherever the worker runs;
namespaces and Landlock are taken where the kernel and the container allow them, and the start log says which they are.
Linux only. docs/decisions/sandbox.md tells what works where, and what it costs.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import time
from contextlib import suppress

from worker.sandbox_filter import MACHINES, packed, program

MAX_OPEN_FILES = 32

NOT_CONFINED = (
    "REQUIRE_SANDBOX: it is true, and seccomp cannot confine the processes that read pictures here: the kernel, the "
    "container's seccomp profile or the kind of processor does not allow it. Run where it is allowed (x86_64 or "
    "aarch64, Linux 3.17 or newer, Docker's default profile or Fargate), or set REQUIRE_SANDBOX=false on a machine "
    "where no picture comes from a stranger"
)
"""Why a worker does not start, and what to do."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x1000_0000, 0x4000_0000, 0x0800_0000
_SECCOMP_SET_MODE_FILTER = 1
# Kernels before 5.16 answer a filter by switching speculation off for the process, at a few percent of its speed. What
# that guards against is one part of a process spying on another; this process has no secrets of its own.
_SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_VERSION = 1
# Kinds of access to files by the Landlock ABI that brought the last of them, newest first.
_LANDLOCK_FILES = ((5, (1 << 16) - 1), (3, (1 << 15) - 1), (2, (1 << 14) - 1), (1, (1 << 13) - 1))
_LANDLOCK_TCP, _LANDLOCK_SCOPES = 0b11, 0b11  # bind and connect, since 4; abstract sockets and signals, since 6

_libc = ctypes.CDLL(None, use_errno=True)


def limit(*, memory: int) -> None:
    """Give up what decoding never needs; to be called before any other code is loaded. `memory` is in bytes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they reach the whole group, but the parent alone decides
    _die_first()  # first, because the file belongs to root as soon as the process cannot be dumped
    # Without core dumps: a limit of 0 does not bind the kernel where it pipes them to a program.
    for option, value in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_DUMPABLE, 0), (_PR_SET_PDEATHSIG, signal.SIGKILL)):
        _prctl(option, value)
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_AS, memory),
    ):
        _, hard = resource.getrlimit(kind)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))


def seal() -> dict[str, bool | int]:
    """Close the process in, and tell what by; nothing can be opened, started or imported from here on.

    `landlock` is the version of its interface, 0 where there is none. What is not there is left out; without the
    filter, which Linux has had since 3.17, the limits and the empty environment are all there is.
    """
    namespaces = _unshared()
    landlock = _landlocked()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the kernel forgets it when a process takes on other rights
    return {"no_new_privs": True, **namespaces, "landlock": landlock, "seccomp": _filtered()}


def hide_memory() -> None:
    """Let no other process of this user read the calling one: its memory, environment and descriptors.

    For the worker itself, which holds credentials. Root with CAP_SYS_PTRACE may still look, and debuggers need it.
    The kernel makes no core dumps of such a process. Programs that it starts are not concerned.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def grant_cpu(seconds: int) -> None:
    """Allow so many further seconds of CPU, after which the kernel ends the process (SIGXCPU)."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + seconds, resource.RLIM_INFINITY))


def _die_first() -> None:
    """Ask the kernel to end this process before its parent when the container's memory runs out."""
    with suppress(OSError):  # it is a wish
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(descriptor, b"1000")
        finally:
            os.close(descriptor)


def _unshared() -> dict[str, bool]:
    """Leave the network and System V's shared memory behind; root may without a user namespace, others need one."""
    both = _CLONE_NEWNET | _CLONE_NEWIPC
    user = _libc.unshare(_CLONE_NEWUSER | both) == 0
    return {"user_namespace": user, "network_namespace": user or _libc.unshare(both) == 0}


def _landlocked() -> int:
    """Refuse every access to files, TCP and other processes' sockets and signals, as far as the kernel knows how."""
    version = _libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return 0
    files = next(access for since, access in _LANDLOCK_FILES if version >= since)
    rules = struct.pack("=QQQ", files, _LANDLOCK_TCP if version >= 4 else 0, _LANDLOCK_SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    descriptor = _libc.syscall(_LANDLOCK_CREATE_RULESET, rules, ctypes.c_size_t(size), 0)
    if descriptor < 0:
        return 0
    try:
        return version if _libc.syscall(_LANDLOCK_RESTRICT_SELF, descriptor, 0) == 0 else 0
    finally:
        os.close(descriptor)


def _filtered() -> bool:
    machine = MACHINES.get(platform.machine())
    if machine is None:
        return False
    code = packed(program(machine))
    held = ctypes.create_string_buffer(code, len(code))
    pointer = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(held)))
    flags = _SECCOMP_FILTER_FLAG_SPEC_ALLOW
    return any(_libc.syscall(machine.seccomp, _SECCOMP_SET_MODE_FILTER, asked, pointer) == 0 for asked in (flags, 0))


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
