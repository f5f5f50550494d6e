"""The system calls that a decoder may make, as a program for the kernel's seccomp filter. Pure.

An allow-list: whatever is not on it fails with EPERM, so that a library which only asks gets an answer, and code that
an image brought along can neither open a file nor a socket, start a process or a thread, or signal anybody. Numbers
are those of the kernel's tables (arch/x86/entry/syscalls/syscall_64.tbl, and include/uapi/asm-generic/unistd.h for
aarch64); the program is classic BPF over `struct seccomp_data` (https://docs.kernel.org/userspace-api/seccomp_filter.html).
"""

import struct
from dataclasses import dataclass

PROT_EXEC = 4
RLIMIT_CPU = 0

ALLOW = 0x7FFF_0000
EPERM = 0x0005_0001  # SECCOMP_RET_ERRNO with EPERM
KILL = 0x8000_0000  # the process, with SIGSYS

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL, _AT_LEAST, _ANY_BIT = 0x15, 0x35, 0x45  # BPF_JMP | BPF_JEQ, BPF_JGE, BPF_JSET, all with BPF_K
_RETURN = 0x06

_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x4000_0000  # x86-64's second table of calls has its numbers from here on

Instruction = tuple[int, int, int, int]
"""Operation, where to jump if it holds and if not (instructions to skip), and its constant."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One architecture: its AUDIT_ARCH_* value, and the numbers of its system calls."""

    audit: int
    seccomp: int
    plain: dict[str, int]
    """What is allowed whatever the arguments."""
    mapping: dict[str, int]
    """What is allowed unless its third argument asks for executable memory."""
    prlimit: int
    """What is allowed for the process's own CPU seconds: the limit starts anew with each image."""


MACHINES = {
    "x86_64": Machine(
        audit=0xC000_003E,
        seccomp=317,
        plain={
            "read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "munmap": 11, "brk": 12, "rt_sigaction": 13,
            "rt_sigprocmask": 14, "rt_sigreturn": 15, "sched_yield": 24, "mremap": 25, "madvise": 28, "exit": 60,
            "futex": 202, "restart_syscall": 219, "clock_gettime": 228, "exit_group": 231, "getrandom": 318,
        },
        mapping={"mmap": 9, "mprotect": 10},
        prlimit=302,
    ),
    "aarch64": Machine(
        audit=0xC000_00B7,
        seccomp=277,
        plain={
            "read": 63, "write": 64, "close": 57, "fstat": 80, "lseek": 62, "munmap": 215, "brk": 214,
            "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "sched_yield": 124, "mremap": 216,
            "madvise": 233, "exit": 93, "futex": 98, "restart_syscall": 128, "clock_gettime": 113, "exit_group": 94,
            "getrandom": 278,
        },
        mapping={"mmap": 222, "mprotect": 226},
        prlimit=261,
    ),
}  # fmt: skip


def program(machine: Machine) -> list[Instruction]:
    """Return the filter. Calls of another architecture, numbered by another table, end the process."""
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine.audit),
        _returns(KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        _returns(KILL),
        *(step for number in machine.plain.values() for step in ((_EQUAL, 0, 1, number), _returns(ALLOW))),
        *(step for number in machine.mapping.values() for step in _without_bits(number, argument=2, bits=PROT_EXEC)),
        *_own_cpu_limit(machine.prlimit),
        _returns(EPERM),
    ]


def packed(instructions: list[Instruction]) -> bytes:
    """Return the program as an array of `struct sock_filter`."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _returns(action: int) -> Instruction:
    return (_RETURN, 0, 0, action)


def _without_bits(number: int, *, argument: int, bits: int) -> list[Instruction]:
    """Allow the call unless one of the bits, which lie in the argument's lower half, is set."""
    return [
        (_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT + 8 * argument),
        (_ANY_BIT, 0, 1, bits),
        _returns(EPERM),
        _returns(ALLOW),
    ]


def _own_cpu_limit(number: int) -> list[Instruction]:
    """Allow `prlimit64(0, RLIMIT_CPU, ...)`. The kernel reads 32 bits of both arguments, as the filter does."""
    return [
        (_EQUAL, 0, 5, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 0, 3, 0),
        (_LOAD, 0, 0, _FIRST_ARGUMENT + 8),
        (_EQUAL, 0, 1, RLIMIT_CPU),
        _returns(ALLOW),
    ]
