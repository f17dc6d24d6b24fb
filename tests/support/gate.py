"""A proxy before the real Docker engine that can hang or close connections: see test_engine_away.py."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import socketserver
import threading
from pathlib import Path
from typing import cast

ENGINE = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")

#: Matches no request.
NEVER = re.compile("$.")


class Gate(socketserver.ThreadingUnixStreamServer):
    """A proxy on a Unix socket that passes on all data, request by request, in both directions."""

    def __init__(self, path: Path) -> None:
        self.host = f"unix://{path}"
        self.open, self.flowing = threading.Event(), threading.Event()
        self.away = False
        self.release()
        self.seen: list[str] = []  # every request
        self.arrived: list[str] = []  # held requests, and "an answer" for each stalled answer
        self._asks: dict[socket.socket, str] = {}  # the last request of each client
        self._sockets: set[socket.socket] = set()
        self._slow: set[socket.socket] = set()  # engines whose next answer stalls
        super().__init__(str(path), _Passing)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def hold(self, what: str) -> None:
        """From now on, hold requests whose method and path match: they get no answer until ``release``."""
        self.held = re.compile(what)
        self.open.clear()

    def stall(self, what: str) -> None:
        """From now on, answer matching requests with the headers alone; the rest follows after ``release``."""
        self.stalled = re.compile(what)
        self.flowing.clear()

    def go_away(self) -> None:
        """Close every connection now, and every new connection at once, until ``release``."""
        self.away = True
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def cut(self, what: str) -> None:
        """Close the connections whose last request matches."""
        for one, request in list(self._asks.items()):
            if re.search(what, request):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def let_in(self) -> None:
        """Pass on the held requests, and hold no further ones."""
        self.held = NEVER
        self.open.set()

    def release(self) -> None:
        self.away = False
        self.stalled = NEVER
        self.flowing.set()
        self.let_in()

    def close(self) -> None:
        """Close all connections and the socket, and wait for their threads."""
        self.release()
        self.shutdown()
        self.go_away()
        self.server_close()

    def pass_on(self, source: socket.socket, target: socket.socket, look: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                found = re.match(rb"(GET|POST|PUT|DELETE|HEAD) \S+", data) if look else None
                request = found[0].decode() if found else ""
                if request:
                    self.seen.append(request)
                    self._asks[source] = request
                if self.held.search(request):
                    self.arrived.append(request)
                    self.open.wait()
                if self.stalled.search(request):
                    self._slow.add(target)
                elif not look and source in self._slow:
                    head, end, data = data.partition(b"\r\n\r\n")
                    target.sendall(head + end)
                    self.arrived.append("an answer")
                    self.flowing.wait()
                    self._slow.discard(source)
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Passing(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        gate, client = cast(Gate, self.server), self.request
        if gate.away:
            return
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(ENGINE)
            both = {client, engine}
            gate._sockets |= both
            back = threading.Thread(target=gate.pass_on, args=(engine, client, False))
            back.start()
            gate.pass_on(client, engine, True)
            back.join()
            gate._sockets -= both
            gate._asks.pop(client, None)
