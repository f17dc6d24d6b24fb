"""Starts the services for viewers on the first request.

A display also starts when a program of a step connects to it. No service keeps a job from ending: the one ``kill``
before packing ends them all, and none starts afterwards.
"""

from __future__ import annotations

import os
import queue
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.link.client import Link, LinkLost, Refused
from agent.live import services
from agent.live.notebook_feed import NotebookFeed
from agent.live.transcript import Transcript
from agent.runtime.processes import FRONT, Processes, Stopped, memory_file, memory_left
from protocol import messages

#: Bytes per write to the terminal.
BLOCK = 4096

#: Seconds between checks of free memory while a notebook server runs, and the memory in bytes and processes that must
#: remain free for the job. An ended terminal restarts after the same time, when it is certain whether its display ended
#: too.
LOOK_SECONDS, MEMORY_BYTES, PROCESSES = 0.5, 24 * 2**20, 8

#: The container's processes and threads, and their limit: cgroup v2, then v1.
PIDS = (
    ("/sys/fs/cgroup/pids.current", "/sys/fs/cgroup/pids.max"),
    ("/sys/fs/cgroup/pids/pids.current", "/sys/fs/cgroup/pids/pids.max"),
)

#: Seconds to write a file.
SAVE_SECONDS = 5.0

#: A display that ended within this many seconds never worked, so waiting programs are disconnected.
WORKS_SECONDS = 1.0


class TooFew(Exception):
    """The job would have too few processes beside a service."""


@dataclass
class Front:
    """The proxy of one service."""

    process: subprocess.Popen[bytes]
    path: str  # its socket in the live folder
    until: float  # deadline to be ready (``time.monotonic``)
    ready: bool = False


class ViewerServices:
    """The services of one job. Its two threads start before the first step, see Processes.

    One thread starts and watches the services. The other reports to the orchestrator, so that a broken link does not
    delay programs that wait for a display.
    """

    def __init__(self, link: Link, processes: Processes, transcript: Transcript, session: NotebookFeed) -> None:
        self._link, self._processes, self._transcript, self._session = link, processes, transcript, session
        self._wanted: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[messages.Shown] = queue.SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._bell, selectors.EVENT_READ, self._heard)
        os.makedirs(os.path.dirname(services.DISPLAY_SOCKET), exist_ok=True)
        os.chmod(os.path.dirname(services.DISPLAY_SOCKET), 0o1777)  # noqa: S103 - a job may have screens of its own
        self._display = listen(services.DISPLAY_SOCKET)
        self._selector.register(self._display, selectors.EVENT_READ, self._start_screen_for_a_step)
        self._screen: subprocess.Popen[bytes] | None = None
        self._screen_began = 0.0
        self._terminal: subprocess.Popen[bytes] | None = None
        self._terminal_due = 0.0  # earliest restart of an ended terminal (``time.monotonic``)
        self._shown = 0  # the terminal's position in the transcript
        self._notebook: subprocess.Popen[bytes] | None = None
        self._told = 0  # lines of the session that the notebook has received
        self._line = b""  # the unsent part of the next line
        self._fronts: dict[messages.Service, Front] = {}
        transcript.on_change = session.on_change = self._ring
        threading.Thread(target=self._run, name="views", daemon=True).start()
        threading.Thread(target=self._send_reports, name="views-news", daemon=True).start()

    def want(self, view: dict[str, Any]) -> None:
        """Start a service as a ``messages.View`` asks. The orchestrator knows about it when this returns."""
        self._link.call("POST", "/views", messages.Shown(view["service"], "starting"))
        self._wanted.put(view)
        self._ring()

    def _ring(self) -> None:
        os.eventfd_write(self._bell, 1)

    # ── the thread that starts and watches ───────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(LOOK_SECONDS if self._notebook or self._fronts else None):
                if key.fd in self._selector.get_map():  # an earlier event may have ended it
                    key.data()
            if self._notebook and (memory_left() < MEMORY_BYTES or processes_left() < PROCESSES):
                self._notebook.kill()  # otherwise the job's step would be killed or fail
            if self._screen and not self._terminal and time.monotonic() > self._terminal_due:
                with suppress(Stopped, OSError):
                    self._start_terminal()  # a viewer closed its window
            for service, front in list(self._fronts.items()):
                if not front.ready and time.monotonic() > front.until:
                    self._end(service, f"It did not answer within {messages.SERVICE_SECONDS:g} s.")

    def _heard(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        with suppress(queue.Empty):
            while True:
                self._begin(self._wanted.get_nowait())
        self._feed_terminal()
        self._feed_notebook()

    def _begin(self, view: dict[str, Any]) -> None:
        service: messages.Service = view["service"]
        if front := self._fronts.get(service):
            if front.ready:
                self._report(service, "ready")
            return
        try:
            if service == "desktop":
                self._save_passwords(view)
                if not self._screen:
                    enough_processes("desktop")
                    self._start_screen()
            else:
                enough_processes("notebook")
                self._start_notebook()
            self._start_front(service)
        except Stopped:
            self._report(service, "ended")
        except MemoryError:
            self._end(service, "Its container has too little memory left for it (limits.memory).")
        except TooFew:
            self._end(service, "Its container has too few processes left for it (limits.processes).")
        except OSError as error:
            self._end(service, f"Its container has no process left for it (limits.processes: {error.strerror}).")

    def _save_passwords(self, view: dict[str, Any]) -> None:
        with memory_file(f"{view['control']}\n{view['watch']}\n") as text:
            saving = self._processes.start_service(services.SAVE_PASSWORDS, stdin=text)
        try:
            saving.wait(SAVE_SECONDS)
        except subprocess.TimeoutExpired:
            saving.kill()
            saving.wait()
        self._processes.forget_service(saving)

    def _start_screen_for_a_step(self) -> None:
        try:
            self._start_screen()
        except (Stopped, MemoryError, OSError):
            self._refuse_programs()

    def _start_screen(self) -> None:
        """Start a display, a window manager, and a terminal with the job's output as the lowest window."""
        enough_memory("desktop")
        nothing = subprocess.DEVNULL
        self._screen = self._start(services.SCREEN, self._screen_ended, stdin=self._display.fileno())
        self._screen_began = time.monotonic()
        self._selector.unregister(self._display)  # the X server listens there now
        self._start(services.WINDOW_MANAGER, lambda process: None, stdin=nothing)
        self._start_terminal()

    def _start_terminal(self) -> None:
        terminal = self._start(services.TERMINAL, self._terminal_ended, stdin=subprocess.PIPE)
        assert terminal.stdin  # noqa: S101 - a pipe
        os.set_blocking(terminal.stdin.fileno(), False)
        self._terminal, self._shown = terminal, 0
        self._feed_terminal()

    def _screen_ended(self, process: subprocess.Popen[bytes]) -> None:
        self._screen = None
        if time.monotonic() < self._screen_began + WORKS_SECONDS:
            self._refuse_programs()
        self._selector.register(self._display, selectors.EVENT_READ, self._start_screen_for_a_step)
        self._end("desktop")

    def _refuse_programs(self) -> None:
        """Disconnect programs that wait for the display, instead of letting them wait for ever."""
        with suppress(BlockingIOError):
            while True:
                self._display.accept()[0].close()

    def _feed_terminal(self) -> None:
        terminal = self._terminal
        if terminal is None or terminal.stdin is None:
            return
        fd = terminal.stdin.fileno()
        waits = fd in self._selector.get_map()
        try:
            while True:
                text, position = self._transcript.read(self._shown, BLOCK)
                if not text:
                    break
                written = os.write(fd, text)
                self._shown = position - (len(text) - written)
        except BlockingIOError:
            if not waits:
                self._selector.register(fd, selectors.EVENT_WRITE, self._feed_terminal)
            return
        except BrokenPipeError:
            pass  # its window was closed
        if waits:
            self._selector.unregister(fd)

    def _terminal_ended(self, process: subprocess.Popen[bytes]) -> None:
        self._let_go(process)
        if process is self._terminal:  # only the current display's, not an earlier one's
            self._terminal, self._terminal_due = None, time.monotonic() + LOOK_SECONDS

    def _let_go(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin  # noqa: S101 - a pipe
        if process.stdin.fileno() in self._selector.get_map():
            self._selector.unregister(process.stdin.fileno())
        process.stdin.close()

    def _start_notebook(self) -> None:
        enough_memory("notebook")
        notebook = self._start(services.NOTEBOOK, self._notebook_ended, stdin=subprocess.PIPE)
        assert notebook.stdin  # noqa: S101 - a pipe
        os.set_blocking(notebook.stdin.fileno(), False)
        self._notebook, self._told, self._line = notebook, 0, b""
        self._feed_notebook()

    def _feed_notebook(self) -> None:
        if self._notebook is None or self._notebook.stdin is None:
            return
        fd = self._notebook.stdin.fileno()
        waits = fd in self._selector.get_map()
        try:
            while True:
                if not self._line:
                    self._line, self._told = self._session.read(self._told)
                if not self._line:
                    break
                self._line = self._line[os.write(fd, self._line) :]
        except BlockingIOError:
            if not waits:
                self._selector.register(fd, selectors.EVENT_WRITE, self._feed_notebook)
            return
        except BrokenPipeError:
            pass  # it is ending
        if waits:
            self._selector.unregister(fd)

    def _notebook_ended(self, process: subprocess.Popen[bytes]) -> None:
        self._let_go(process)
        if process is self._notebook:  # the current server, not its predecessor
            self._notebook = None
            self._end("notebook")

    # ── the fronts ───────────────────────────────────────────────────────────────────────────────────────────────

    def _start_front(self, service: messages.Service) -> None:
        path = f"{messages.LIVE}/{service}"
        with listen(path) as listening:
            process = self._start(
                services.front(service),
                lambda process: self._end(service, of=process),
                FRONT,
                stdin=listening.fileno(),
                stdout=subprocess.PIPE,
            )
        self._fronts[service] = Front(process, path, time.monotonic() + messages.SERVICE_SECONDS)
        assert process.stdout  # noqa: S101 - a pipe
        self._selector.register(process.stdout, selectors.EVENT_READ, lambda: self._front_says(service, process))

    def _front_says(self, service: messages.Service, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout  # noqa: S101 - a pipe
        self._selector.unregister(process.stdout)
        front = self._fronts.get(service)
        if process.stdout.readline() and front and front.process is process:
            front.ready = True
            self._report(service, "ready")
        process.stdout.close()

    def _end(self, service: messages.Service, why: str = "", of: subprocess.Popen[bytes] | None = None) -> None:
        """End a service. Without its proxy, viewers cannot connect to it."""
        front = self._fronts.get(service)
        if of and (front is None or front.process is not of):
            return  # its predecessor's report
        self._fronts.pop(service, None)
        if front:
            with suppress(FileNotFoundError):
                os.unlink(front.path)
            front.process.kill()
            if not front.ready and not why:
                why = "It ended before it answered."
        if service == "notebook" and self._notebook:
            self._notebook.kill()
        if front or why:
            self._report(service, "failed" if why else "ended", why)

    # ── what all of them share ───────────────────────────────────────────────────────────────────────────────────

    def _start(
        self,
        command: list[str],
        on_end: Callable[[subprocess.Popen[bytes]], None],
        identity: int | None = None,
        **options: Any,
    ) -> subprocess.Popen[bytes]:
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
        if identity is not None:
            options["identity"] = identity
        process = self._processes.start_service(command, **options)
        watch = os.pidfd_open(process.pid)

        def ended() -> None:
            self._selector.unregister(watch)
            os.close(watch)
            process.wait()
            self._processes.forget_service(process)
            on_end(process)

        self._selector.register(watch, selectors.EVENT_READ, ended)
        return process

    def _report(self, service: messages.Service, state: Any, detail: str = "") -> None:
        self._news.put(messages.Shown(service, state, detail))

    def _send_reports(self) -> None:
        while True:
            news = self._news.get()
            with suppress(LinkLost, Refused):  # the thread for commands gets the same error and ends the job
                self._link.call("POST", "/views", news)


def listen(path: str) -> socket.socket:
    """Return a socket that listens outside of the job's reach. Any user with access to its folder may connect."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listening.bind(path)
    os.chmod(path, 0o666)  # noqa: S103 - the folder says who may come
    listening.listen(128)
    return listening


def enough_memory(service: messages.Service) -> None:
    """Raise MemoryError if a service would leave the job too little memory."""
    if memory_left() < services.MEMORY[service]:
        raise MemoryError


def enough_processes(service: messages.Service) -> None:
    """Raise TooFew if a service would leave the job too few processes."""
    if processes_left() < services.PROCESSES[service]:
        raise TooFew


def processes_left() -> int:
    """Return how many processes and threads the container may still start. If the kernel does not report it, the number
    is huge.
    """
    for current, limit in PIDS:
        with suppress(OSError, ValueError):
            return int(Path(limit).read_text()) - int(Path(current).read_text())
    return 1 << 30
