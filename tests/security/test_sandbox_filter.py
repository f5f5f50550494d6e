"""The filter as a program, run by an interpreter of classic BPF: what it says to every call, on both architectures."""

# ruff: noqa: E501 -- a table of calls

import struct

import pytest

from worker.sandbox_filter import ALLOW, EPERM, KILL, MACHINES, PROT_EXEC, Machine, packed, program

X86, ARM = MACHINES["x86_64"], MACHINES["aarch64"]
NEVER = {
    "x86_64": {"open": 2, "openat": 257, "openat2": 437, "socket": 41, "connect": 42, "sendto": 44, "clone": 56, "fork": 57,
               "vfork": 58, "execve": 59, "execveat": 322, "clone3": 435, "kill": 62, "tgkill": 234, "ptrace": 101,
               "process_vm_readv": 310, "pidfd_open": 434, "pidfd_getfd": 438, "unshare": 272, "setns": 308, "mount": 165,
               "memfd_create": 319, "bpf": 321, "io_uring_setup": 425, "userfaultfd": 323, "prctl": 157, "setrlimit": 160,
               "keyctl": 250, "perf_event_open": 298, "ioctl": 16, "dup": 32, "recvmsg": 47, "shmget": 29},
    "aarch64": {"openat": 56, "openat2": 437, "socket": 198, "connect": 203, "sendto": 206, "clone": 220, "execve": 221,
                "execveat": 281, "clone3": 435, "kill": 129, "tgkill": 131, "ptrace": 117, "process_vm_readv": 270,
                "pidfd_open": 434, "pidfd_getfd": 438, "unshare": 97, "setns": 268, "mount": 40, "memfd_create": 279,
                "bpf": 280, "io_uring_setup": 425, "userfaultfd": 282, "prctl": 167, "setrlimit": 164, "keyctl": 219,
                "perf_event_open": 241, "ioctl": 29, "dup": 23, "recvmsg": 212, "shmget": 194},
}  # fmt: skip


def verdict(machine: Machine, number: int, *arguments: int, audit: int | None = None) -> int:
    """Run the packed program over `struct seccomp_data`."""
    seen = struct.pack(
        "<iIQ6Q", number, audit if audit is not None else machine.audit, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6]
    )
    code = list(struct.iter_unpack("=HBBI", packed(program(machine))))
    at = accumulator = 0
    while True:
        operation, if_true, if_false, constant = code[at]
        at += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", seen, constant)[0]
        elif operation == 0x06:
            return constant
        else:
            holds = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: bool(accumulator & constant)}
            at += if_true if holds[operation] else if_false


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_what_a_decode_needs_is_allowed_and_nothing_else_is(machine: Machine) -> None:
    allowed = {number for number in range(600) if verdict(machine, number, 0, 0, 0) == ALLOW}
    assert allowed == {*machine.plain.values(), *machine.mapping.values(), machine.prlimit}
    assert {verdict(machine, number) for number in range(600)} == {ALLOW, EPERM}


@pytest.mark.parametrize(("name", "number"), [(name, call) for name in NEVER for call in NEVER[name].items()], ids=str)
def test_the_calls_of_an_intruder_are_refused(name: str, number: tuple[str, int]) -> None:
    assert verdict(MACHINES[name], number[1], 1, 2, 3) == EPERM


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_the_calls_of_another_table_end_the_process(machine: Machine) -> None:
    other = ARM if machine is X86 else X86
    assert verdict(machine, machine.plain["read"], audit=other.audit) == KILL
    assert verdict(machine, 3, audit=0x4000_0003) == KILL  # i386
    assert verdict(machine, 0x4000_0000) == KILL  # x32
    assert verdict(machine, -1) == KILL


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_memory_is_never_executable(machine: Machine) -> None:
    for number in machine.mapping.values():
        for protection in range(8):
            assert verdict(machine, number, 0, 4096, protection) == (EPERM if protection & PROT_EXEC else ALLOW)


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_only_the_own_cpu_limit_can_be_set(machine: Machine) -> None:
    for pid, kind in ((0, 0), (1, 0), (0, 7), (0, 9), (4242, 9)):
        assert verdict(machine, machine.prlimit, pid, kind) == (ALLOW if (pid, kind) == (0, 0) else EPERM)


def test_every_jump_stays_within_the_program() -> None:
    for machine in MACHINES.values():
        code = program(machine)
        assert len(code) < 4_096
        for index, (_, if_true, if_false, _) in enumerate(code):
            assert index + 1 + max(if_true, if_false) < len(code) or code[index][0] == 0x06
        assert code[-1][0] == 0x06
