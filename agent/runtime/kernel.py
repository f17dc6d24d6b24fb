"""The agent's view of the kernel: a process of the job's user that runs python steps one after the other.

Its messages are untrusted data, because the job has the same user and may forge them.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

from agent.runtime.output import StepOutput
from agent.runtime.processes import Processes
from protocol import messages

COMMAND = ["/opt/venv/bin/python", "-P", str(Path(__file__).parents[1] / "children/ipython_kernel.py")]

#: Maximum bytes of a line from the kernel (a result with all its parts), and bytes per read.
LINE, BLOCK = 8 * 2**20, 1 << 16

#: Seconds in which the kernel must read a message.
SEND_SECONDS = 10.0

#: Seconds for the kernel's regular exit, which its threads and exit handlers may need. The job's limit shortens it down
#: to the minimum.
EXIT_SECONDS, LEAST_EXIT_SECONDS = 60.0, 2.0

#: Maximum processes that a step may keep running.
SPARED = 2

#: Printed if that time was too short.
CUT_OFF = "\n[… the kernel was killed: what was left to do at its end took longer than {:.0f} s …]\n"


class Broken(Exception):
    """The kernel violated the protocol. The message says how."""


@dataclass
class CellResult:
    """A figure, a table or a value that a step showed, in one or more representations."""

    data: dict[messages.ResultKind, str]
    file: str  # path of a picture or page in the workspace
    display: str  # set if it replaces an earlier result of this name


@dataclass
class Viewed:
    """A cell that a viewer ran, with its results."""

    source: str
    printed: str
    results: list[dict[messages.ResultKind, str]]
    error: list[str]


@dataclass
class Ended:
    """The end of a step, as the kernel reports it."""

    code: int
    error: list[str]  # the exception's name and its message, or empty
    spared: list[int]  # processes of its libraries that must survive


@dataclass
class Kernel:
    """A kernel from its first step to its end. The constructor raises what ``Processes.start`` raises.

    Its output goes to ``output``, except between ``hush`` and ``listen`` of the processes.
    """

    processes: Processes
    output: StepOutput
    viewed: Callable[[Viewed], None]  # called with each cell that a viewer ran
    process: Popen[bytes] = field(init=False)
    number: int = field(init=False, default=0)  # of the last started step
    begun: bool = field(init=False, default=False)  # the kernel has started it

    def __post_init__(self) -> None:
        self._socket, its = socket.socketpair()
        with its:
            bounds = (
                messages.RESULT_TEXT,
                messages.RESULT_PICTURE,
                messages.RESULTS_CELL - 1000,
            )  # leaves room for a note
            command = [*COMMAND, *(str(number) for number in (its.fileno(), *bounds))]
            self.process = self.processes.start(command, "", self.output, pass_fds=(its.fileno(),))
        self._socket.settimeout(SEND_SECONDS)
        self._received = bytearray()
        self._ended: Ended | None = None
        self._broken: Broken | None = None
        self._show: Callable[[CellResult], None] = lambda result: None
        self.processes.watch(self._socket.fileno(), self._hear)

    def run(self, number: int, source: str, show: Callable[[CellResult], None], deadline: float) -> Ended | None:
        """Run a step. ``show`` is called with each result, in order with the printed output.

        Returns None if the deadline came first or the kernel's process ended; then its exit code is the step's. Raises
        Broken.
        """
        self.number, self._show, self.begun = number, show, False
        self._ended = self._broken = None
        self._send({"run": number, "source": source})
        self.processes.wait(self.process, deadline, lambda: bool(self._ended or self._broken))
        for _ in range(LINE // BLOCK):  # its last messages; a child of it may keep the pipe open
            if self._ended or self._broken or not self._receive():
                break
        if self._broken:
            raise self._broken
        return self._ended

    def leave(self, output: StepOutput, deadline: float) -> None:
        """Let the kernel exit as a script does, with its output and exit handlers. After a time it is killed.

        ``deadline`` is the job's (``time.monotonic``).
        """
        now = time.monotonic()
        seconds = min(EXIT_SECONDS, max(LEAST_EXIT_SECONDS, deadline - now))
        self.processes.listen(self.process, output)
        with suppress(Broken):
            self._send({"exit": True})
            if not self.processes.wait(self.process, now + seconds):
                output.feed(CUT_OFF.format(seconds).encode())
        self.end()

    def end(self) -> None:
        """Kill the kernel if it lives, and release it."""
        self.process.kill()
        self.process.wait()
        self.processes.close(self.process)
        self.processes.forget(self._socket.fileno())
        self._socket.close()

    def _send(self, content: dict[str, Any]) -> None:
        try:
            self._socket.sendall(json.dumps(content).encode() + b"\n")
        except TimeoutError:
            raise Broken(f"it read no message for {SEND_SECONDS:g} s") from None
        except OSError:
            pass  # it ended, and its exit code says why

    def _hear(self) -> None:
        self._receive()

    def _receive(self) -> bool:
        """Read the kernel's messages. Returns False if there are none."""
        if not select.select([self._socket], [], [], 0)[0]:
            return False
        try:
            data = self._socket.recv(BLOCK)
        except ConnectionResetError:
            data = b""
        if not data:  # its end of the socket is closed: it is exiting, or a step closed it
            self.processes.forget(self._socket.fileno())
            return False
        self._received += data
        while not self._broken and (end := self._received.find(b"\n")) >= 0:
            line = bytes(self._received[:end])
            del self._received[: end + 1]
            try:
                self._take(line)
            except Broken as broken:
                self._broken = broken
        if len(self._received) > LINE:
            self._broken = Broken("it sent a message that is too long")
        return True

    def _take(self, line: bytes) -> None:
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            raise Broken("it sent an invalid message") from None
        if not isinstance(told, dict):
            raise Broken("it sent an invalid message")
        if "ended" in told:
            code = told["ended"]
            if not isinstance(code, int) or not 0 <= code <= 255:
                raise Broken("it sent an invalid exit code")
            spared = told.get("spared")
            pids = [pid for pid in spared if isinstance(pid, int)][:SPARED] if isinstance(spared, list) else []
            self._ended = Ended(code, _error(told), pids)
        elif "begun" in told:
            self.begun = True
        elif isinstance(viewer := told.get("viewer"), dict):
            self.viewed(viewed_of(viewer))
        else:
            self.processes.drain(self.process)  # earlier output must come first
            self._show(result_of(told))
            self._send({"heard": True})


def result_of(told: Mapping[str, Any]) -> CellResult:
    """Return the valid part of a kernel's result: known kinds within their size limits."""
    file = told.get("file")
    found = file if isinstance(file, str) and messages.FIGURE_FILE.fullmatch(file) else ""
    return CellResult(_data(told.get("result")), found, _text(told.get("id"), messages.DISPLAY_NAME))


def viewed_of(told: Mapping[str, Any]) -> Viewed:
    """Return the valid part of a viewer's cell."""
    sent = told.get("results")
    results, left = list[dict[messages.ResultKind, str]](), messages.RESULTS_CELL
    for one in sent[: messages.RESULTS_VIEWER] if isinstance(sent, list) else []:
        data = _data(one)
        left -= sum(len(part) for part in data.values())
        if left >= 0:
            results.append(data)
    source, printed = (_text(told.get(name), messages.RESULT_TEXT) for name in ("source", "printed"))
    return Viewed(source, printed, results, _error(told))


def _error(told: Mapping[str, Any]) -> list[str]:
    error = told.get("error")
    if not isinstance(error, list) or len(error) != 2:
        return []
    return [_text(part, messages.ERROR_CHARACTERS) for part in error]


def _data(sent: object) -> dict[messages.ResultKind, str]:
    data: dict[messages.ResultKind, str] = {}
    left = messages.RESULT_TEXTS
    for kind in messages.RESULT_KINDS:
        part = sent.get(kind) if isinstance(sent, dict) else None
        if not isinstance(part, str) or len(part) > messages.most_of(kind):
            continue
        if kind in messages.PICTURES:
            if part and len(part) % 4 == 0 and messages.BASE64.fullmatch(part):
                data[kind] = part
        elif len(part) <= left:
            data[kind] = _text(part, len(part))
            left -= len(part)
    return data


def _text(value: object, most: int) -> str:
    """Return a text without lone surrogates, so that it can be sent."""
    return value[:most].encode("utf-8", "replace").decode() if isinstance(value, str) else ""
