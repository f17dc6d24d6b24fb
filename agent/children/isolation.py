"""Runs a function in a forked process with limits, so that a hostile file ends that process and nothing else.

Only the agent's children use it: they have the identity of the job's user already.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Limits of the process: its address space and its answer, in bytes.
MEMORY, ANSWER = 1 << 30, 1 << 20

#: The packages of the users' environment. The image makes both environments with the same Python.
USERS_PACKAGES = f"/opt/venv/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


class Lost(Exception):
    """The function returned nothing: it took too long or too much memory, or its process died."""


def apart(work: Callable[[], Any], seconds: float) -> Any:
    """Call ``work`` in a forked process and return its result, which JSON must be able to express. Raises Lost."""
    deadline = time.monotonic() + seconds
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _bound(resource.RLIMIT_AS, MEMORY)
            _bound(resource.RLIMIT_CPU, int(seconds) + 1)
            _bound(resource.RLIMIT_CORE, 0)
            answer = json.dumps(work()).encode()
            while answer:
                answer = answer[os.write(write, answer) :]
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write)
    answer = b""
    try:
        while select.select([read], [], [], max(0.0, deadline - time.monotonic()))[0]:
            block = os.read(read, 1 << 16)
            answer += block
            if not block or len(answer) > ANSWER:
                break
    finally:
        os.close(read)
        os.kill(pid, signal.SIGKILL)  # it has written its answer, or never will
        os.waitpid(pid, 0)
    try:
        return json.loads(answer)
    except ValueError:
        raise Lost from None


def _bound(limit: int, most: int) -> None:
    hard = resource.getrlimit(limit)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(limit, (most, most))


def offer_first() -> None:
    """Ask the kernel to kill this process first when the container runs out of memory."""
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
