"""Answers clients' requests for workspace files while the job runs."""

from __future__ import annotations

import http.client
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from agent.link.client import Link, Refused
from agent.runtime.processes import WORKSPACE, Processes, Stopped, end, memory_left
from protocol import messages

COMMAND = [sys.executable, "-I", "-m", "agent.children.read_workspace"]

#: Bytes per read.
BLOCK = 64 * 1024

#: Minimum free memory of the container in bytes, so that a file request does not exhaust it.
MEMORY_BYTES = 32 * 2**20

#: Maximum bytes buffered for the first line. Beyond it, data is passed on unbuffered.
LINE_BYTES = 8 * 2**20

#: Seconds until a killed child is retried. The end of a step kills all processes, including readers.
AGAIN_SECONDS = 0.05


class FileRequestHandler:
    """A queue of file requests and the threads that answer them. They start before the first step, see Processes.

    The child's output is passed on unchecked. It is untrusted, because the job has the same user.
    """

    def __init__(self, link: Link, processes: Processes, order: messages.Order) -> None:
        self._link, self._processes, self._order = link, processes, order
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        for number in range(messages.LOOKS):
            threading.Thread(target=self._answer_all, name=f"looks-{number}", daemon=True).start()

    def put(self, look: dict[str, Any]) -> None:
        """Queue a ``messages.Look``. Returns at once."""
        self._waiting.put(look)

    def _answer_all(self) -> None:
        while True:
            look = self._waiting.get()
            chunks = self._answer(look)
            try:
                self._link.upload(f"/looks/{look['id']}", chunks, "application/octet-stream")
            except (OSError, http.client.HTTPException, Refused):
                pass  # the client has disconnected, or asks again
            finally:
                chunks.close()

    def _answer(self, look: dict[str, Any]) -> Generator[bytes, None, None]:
        """Yield the answer: the child's output, or the reason why there is none."""
        request = {"root": WORKSPACE, "outputs": self._order.outputs, "look": look, "most": messages.LIVE_FILE_BYTES}
        text = json.dumps({**request, "secrets": self._order.secrets}) + "\n"
        begun = time.monotonic()
        while True:
            if memory_left() < MEMORY_BYTES:
                yield _none("failed", "its container has no memory left for it (limits.memory)")
                return
            try:
                child = self._processes.start_look(COMMAND, text)
            except Stopped:
                yield _none("ended", "The job ends.")
                return
            except OSError as error:
                yield _none("failed", f"its container has no process left for it (limits.processes: {error.strerror})")
                return
            try:
                line, whole = b"", False
                for block in _read(child, begun + messages.LOOK_BEGIN_SECONDS, begun + messages.LOOK_SECONDS):
                    line = block if whole else line + block
                    whole = whole or b"\n" in block or len(line) > LINE_BYTES
                    if whole:
                        yield line
                if whole:
                    return
            finally:
                end(child)
            if child.returncode != -signal.SIGKILL or time.monotonic() > begun + messages.LOOK_BEGIN_SECONDS / 2:
                yield _none("failed", "its reader process was killed before it could answer")
                return
            time.sleep(AGAIN_SECONDS)


def _read(child: subprocess.Popen[bytes], begin: float, over: float) -> Generator[bytes, None, None]:
    """Read a child's output until it ends or its time is over (``time.monotonic``)."""
    assert child.stdout  # noqa: S101 - a pipe
    fd, deadline = child.stdout.fileno(), begin
    while select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(fd, BLOCK)
        if not data:
            with suppress(subprocess.TimeoutExpired):
                child.wait(1)
            return
        yield data
        deadline = over if b"\n" in data else deadline


def _none(kind: str, detail: str) -> bytes:
    return json.dumps({"kind": kind, "detail": detail}).encode() + b"\n"
