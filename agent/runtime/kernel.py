"""The kernel as the agent sees it: a process of the job's user that runs python steps one after the other.

What comes from it is data: it may have been made to say anything, by a job that is the same user.
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

#: Bytes of one line that it may send: a result with all parts that it can have; and of what is read at once.
LINE, BLOCK = 8 * 2**20, 1 << 16

#: Seconds until a kernel must have read what it is told.
SEND_SECONDS = 10.0

#: Seconds that one which is to end may take: what its threads and its exit have to do may take a while, as far as the
#: job's limit goes, but for the least.
EXIT_SECONDS, LEAST_EXIT_SECONDS = 60.0, 2.0

#: Processes that a step may have go on.
SPARED = 2

#: What is printed last where that was not enough.
CUT_OFF = "\n[… the kernel was killed: what was left to do at its end took longer than {:.0f} s …]\n"


class Broken(Exception):
    """The kernel has not kept to what was agreed; a sentence that says how."""


@dataclass
class CellResult:
    """A figure, a table, a value: something that a step has shown. The parts say the same in different ways."""

    data: dict[messages.ResultKind, str]
    file: str  # of a picture, in the workspace
    display: str  # where it takes the place of an earlier one of this name


@dataclass
class Viewed:
    """A cell that a viewer has run, and what came of it."""

    source: str
    printed: str
    results: list[dict[messages.ResultKind, str]]
    error: list[str]


@dataclass
class Ended:
    """How a step ended, as the kernel says it."""

    code: int
    error: list[str]  # the exception's name and its message, or nothing
    spared: list[int]  # processes of its libraries that are to go on


@dataclass
class Kernel:
    """One kernel, from its first step to its end. Raises what ``Processes.start`` raises when it is made.

    What it prints goes to ``output`` until the processes are told to hush it, and again when they are told to listen.
    """

    processes: Processes
    output: StepOutput
    viewed: Callable[[Viewed], None]  # called with each cell that a viewer has run
    process: Popen[bytes] = field(init=False)
    number: int = field(init=False, default=0)  # of the step that ran last
    begun: bool = field(init=False, default=False)  # the kernel has begun with it

    def __post_init__(self) -> None:
        self._socket, its = socket.socketpair()
        with its:
            bounds = (
                messages.RESULT_TEXT,
                messages.RESULT_PICTURE,
                messages.RESULTS_CELL - 1000,
            )  # which leaves room for a note
            command = [*COMMAND, *(str(number) for number in (its.fileno(), *bounds))]
            self.process = self.processes.start(command, "", self.output, pass_fds=(its.fileno(),))
        self._socket.settimeout(SEND_SECONDS)
        self._received = bytearray()
        self._ended: Ended | None = None
        self._broken: Broken | None = None
        self._show: Callable[[CellResult], None] = lambda result: None
        self.processes.watch(self._socket.fileno(), self._hear)

    def run(self, number: int, source: str, show: Callable[[CellResult], None], deadline: float) -> Ended | None:
        """Run a step; ``show`` is called with each result, in order with what is printed.

        None where the deadline came before its end, or the kernel's own process ended: its exit code is the step's.
        Raises Broken.
        """
        self.number, self._show, self.begun = number, show, False
        self._ended = self._broken = None
        self._send({"run": number, "source": source})
        self.processes.wait(self.process, deadline, lambda: bool(self._ended or self._broken))
        for _ in range(LINE // BLOCK):  # what it has said before it ended; a child of its may go on without end
            if self._ended or self._broken or not self._receive():
                break
        if self._broken:
            raise self._broken
        return self._ended

    def leave(self, output: StepOutput, deadline: float) -> None:
        """Have it end as a script ends, with all that is to be done and said then; after a while it is killed.

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
        """Kill it, if it lives, and let go of it."""
        self.process.kill()
        self.process.wait()
        self.processes.close(self.process)
        self.processes.forget(self._socket.fileno())
        self._socket.close()

    def _send(self, content: dict[str, Any]) -> None:
        try:
            self._socket.sendall(json.dumps(content).encode() + b"\n")
        except TimeoutError:
            raise Broken(f"it did not listen for {SEND_SECONDS:g} s") from None
        except OSError:
            pass  # it has ended: its exit code says how

    def _hear(self) -> None:
        self._receive()

    def _receive(self) -> bool:
        """Take what it has sent; False where that is nothing."""
        if not select.select([self._socket], [], [], 0)[0]:
            return False
        try:
            data = self._socket.recv(BLOCK)
        except ConnectionResetError:
            data = b""
        if not data:  # its end of the socket is closed: it ends, or a step has closed it
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
            self._broken = Broken("it sent more than a result can have")
        return True

    def _take(self, line: bytes) -> None:
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            raise Broken("it sent what is no message") from None
        if not isinstance(told, dict):
            raise Broken("it sent what is no message")
        if "ended" in told:
            code = told["ended"]
            if not isinstance(code, int) or not 0 <= code <= 255:
                raise Broken("it sent an exit code that is none")
            spared = told.get("spared")
            pids = [pid for pid in spared if isinstance(pid, int)][:SPARED] if isinstance(spared, list) else []
            self._ended = Ended(code, _error(told), pids)
        elif "begun" in told:
            self.begun = True
        elif isinstance(viewer := told.get("viewer"), dict):
            self.viewed(viewed_of(viewer))
        else:
            self.processes.drain(self.process)  # what was printed before comes before
            self._show(result_of(told))
            self._send({"heard": True})


def result_of(told: Mapping[str, Any]) -> CellResult:
    """A result as it may go on: of what a kernel has sent, that which has a known kind and its size."""
    file = told.get("file")
    found = file if isinstance(file, str) and messages.PICTURE_FILE.fullmatch(file) else ""
    return CellResult(_data(told.get("result")), found, _text(told.get("id"), messages.DISPLAY_NAME))


def viewed_of(told: Mapping[str, Any]) -> Viewed:
    """A viewer's cell as it may go on."""
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
    """A text that can be sent: without halves of surrogate pairs."""
    return value[:most].encode("utf-8", "replace").decode() if isinstance(value, str) else ""
