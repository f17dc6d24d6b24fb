"""Restricts the system calls of the agent and its children more than the engine's own filter.

The defaults of engines differ. Docker before 23.0 lets a container open AF_VSOCK, which network namespaces do not
isolate (on a virtual machine, ``network: none`` would not be none). Docker before 25.0 allows io_uring, which bypasses
such filters. This filter allows only the socket families that jobs need. It rejects calls of a foreign architecture,
because it cannot read their arguments. It needs no capability, because no-new-privileges is set.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct

#: Machine → AUDIT_ARCH_…, and the numbers of socket and socketpair (linux/audit.h, asm/unistd.h).
ARCHITECTURES = {"x86_64": (0xC000003E, 41, 53), "aarch64": (0xC00000B7, 198, 199)}

FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)

#: io_uring_setup, _enter, _register: the same numbers on all architectures.
IO_URING = (425, 426, 427)

#: Call numbers from here on belong to the x32 ABI of x86_64.
X32 = 0x40000000

LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # classic BPF, linux/bpf_common.h
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data (little endian)
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2


def narrow() -> None:
    """Install the filter for this process and its children. Raises OSError if the kernel rejects it."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        raise OSError(errno.ENOTSUP, f"no seccomp filter is known for {machine}")
    code = program(*ARCHITECTURES[machine])
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel rejects the seccomp filter")


def program(architecture: int, *sockets: int) -> bytes:
    """Return the filter program: instructions of (code, jump if true, jump if false, constant)."""

    def refuse(error: int) -> tuple[int, int, int, int]:
        return (RETURN, 0, 0, ERRNO | error)

    lines = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, architecture), refuse(errno.ENOSYS), (LOAD, 0, 0, NUMBER)]
    lines += [(AT_LEAST, 0, 1, X32), refuse(errno.ENOSYS)]
    for number in IO_URING:
        lines += [(EQUAL, 0, 1, number), refuse(errno.ENOSYS)]
    to_families = [(EQUAL, len(sockets) - index, 0, number) for index, number in enumerate(sockets)]
    lines += [*to_families, (RETURN, 0, 0, ALLOW), (LOAD, 0, 0, FIRST_ARGUMENT)]
    lines += [(EQUAL, len(FAMILIES) - index, 0, int(family)) for index, family in enumerate(FAMILIES)]
    lines += [refuse(errno.EAFNOSUPPORT), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("HBBI", *line) for line in lines)
