"""The scripts, the recorded requests, and the base class of all model servers."""

from __future__ import annotations

import contextlib
import json
import random
import select
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

#: Seconds after which a server that never answers gives up, if the client does not.
NEVER = 60.0


@dataclass(frozen=True)
class Turn:
    """One answer: either ``answer`` (any JSON, written as the text) or ``text``. These fields make it fail:

    - ``finish``: cut at the length limit, blocked by a filter, refused in words, or an unknown reason;
    - ``status`` with ``words``, in the provider's format of errors, and ``retry_after``: seconds, or a whole header;
    - ``fault``: a failure that no provider has on purpose;
    - ``raw``: the status, the headers and the body of an answer, sent as they are in small pieces.

    ``delay`` is in seconds, before the answer begins. A server streams if the request asks for it. With ``fault``
    "plain" it never streams, and with "sse" it always does.
    """

    answer: Any = None
    text: str | None = None
    finish: Literal["done", "cut", "blocked", "prompt blocked", "refused", "malformed"] = "done"
    thought: str = ""
    tokens: tuple[int, int, int] | None = (100, 20, 7)  # in, out, thought; None leaves the usage out
    status: int = 200
    words: str = ""
    retry_after: float | str | None = None
    delay: float = 0.0
    fault: Literal[
        "", "never", "drop", "half", "garbage", "page", "huge", "drip", "nothing", "zipped",
        "plain", "sse", "stall", "empty", "torn",
    ] = ""  # fmt: skip
    raw: tuple[int, dict[str, str], bytes] | None = None

    @property
    def said(self) -> str:
        return self.text if self.text is not None else json.dumps(self.answer, ensure_ascii=False)


@dataclass
class Asked:
    """A request as a provider understands it."""

    headers: dict[str, str]
    body: dict[str, Any]
    model: str = ""
    key: str = ""
    messages: list[tuple[str, str]] = field(default_factory=list)  # system, user, assistant
    pictures: list[tuple[str, bytes]] = field(default_factory=list)  # media type, content
    limit: int | None = None
    temperature: float | None = None
    stream: bool = False
    hung_up: threading.Event = field(default_factory=threading.Event)  # the client left before it had its answer
    sent: int = 0  # bytes of the answer that could be sent

    @property
    def prompt(self) -> str:
        return "\n".join(text for _, text in self.messages)

    @property
    def last(self) -> str:
        """The last message. The messages before it are the conversation so far."""
        return self.messages[-1][1]


class Refused(Exception):
    """The request does not follow the provider's reference."""

    def __init__(self, status: int, words: str, code: str = "") -> None:
        super().__init__(words)
        self.status, self.words, self.code = status, words, code


def pieces(text: str) -> list[str]:
    """Split a text into pieces of some characters, as a model streams it."""
    size = min(max(7, len(text) // 100), 1_000)
    return [text[at : at + size] for at in range(0, len(text), size)]


def event(data: Any, name: str = "") -> bytes:
    """Return an event of a stream, see https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    said = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"{f'event: {name}' + chr(10) if name else ''}data: {said}\n\n".encode()


#: A list of turns, or a function that returns the turn for a request.
Script = Sequence[Turn] | Callable[[Asked], Turn]


class Server(ABC):
    """A server in a thread. After the last turn of its list, it answers with an error and still adds to ``asked``."""

    def __init__(self, script: Script = (), key: str = "", models: Sequence[str] = ()) -> None:
        self.script, self.key, self.models = script, key, models
        self.asked: list[Asked] = []
        self.refused = 0  # requests that did not follow the reference
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._http.server_address[1]}"

    @property
    @abstractmethod
    def settings(self) -> dict[str, str]:
        """The settings that make an orchestrator use this server."""

    @abstractmethod
    def read(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Asked:
        """Parse a request. Raises Refused."""

    @abstractmethod
    def success(self, asked: Asked, turn: Turn) -> dict[str, Any]:
        """Return the body of a success."""

    @abstractmethod
    def events(self, asked: Asked, turn: Turn, answer: dict[str, Any]) -> list[bytes]:
        """Return the events of a stream, each with its blank line. They say the same as the body of a success."""

    @abstractmethod
    def failure(self, status: int, words: str, code: str, turn: Turn) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the body and the headers of an error."""

    def turn(self, asked: Asked) -> Turn:
        with self._lock:
            self.asked.append(asked)
            number = len(self.asked) - 1
        if callable(self.script):
            return self.script(asked)
        return self.script[number] if number < len(self.script) else Turn(status=418, words="the script is over")


class _Handler(BaseHTTPRequestHandler):
    owner: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Log nothing, because no test reads this log."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a client may close the connection once it has its answer
            super().handle()

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        turn = Turn()
        try:
            asked = self.owner.read(self.path, headers, json.loads(raw))
        except Refused as wrong:
            self.owner.refused += 1
            body, more = self.owner.failure(wrong.status, wrong.words, wrong.code, turn)
            return self.answer(wrong.status, json.dumps(body).encode(), more)
        turn = self.owner.turn(asked)
        wait = NEVER if turn.fault == "never" else turn.delay
        if wait and self.left(wait):
            asked.hung_up.set()
            return None
        try:
            self.act(asked, turn)
        except OSError:
            self.close_connection = True
            asked.hung_up.set()
        return None

    def left(self, seconds: float) -> bool:
        """Wait, and return whether the client has gone meanwhile."""
        if select.select([self.connection], [], [], seconds)[0]:
            self.close_connection = True
            return not self.connection.recv(1, socket.MSG_PEEK)
        return False

    def act(self, asked: Asked, turn: Turn) -> None:
        if turn.raw:
            self.raw(*turn.raw)
        elif turn.fault == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif turn.fault == "page":
            self.answer(200, b"<!doctype html><title>Welcome</title>", {"Content-Type": "text/html"})
        elif turn.fault == "garbage":
            self.answer(200, random.Random(1).randbytes(2000))  # noqa: S311 - the same each time
        elif turn.fault == "huge":
            self.endless(asked, b"x" * 65536, 100 * 2**20 // 65536, 0)
        elif turn.fault == "drip":
            self.endless(asked, b" ", int(NEVER / 0.05), 0.05)
        elif turn.status != 200:
            body, headers = self.owner.failure(turn.status, turn.words or "no luck", "", turn)
            self.answer(turn.status, json.dumps(body).encode(), headers)
        elif (asked.stream and turn.fault not in ("plain", "zipped", "empty", "torn")) or turn.fault == "sse":
            self.stream(asked, turn)
        else:
            body = json.dumps(self.owner.success(asked, turn)).encode()
            if turn.fault == "empty":
                self.answer(200, b"")
            elif turn.fault == "torn":
                self.answer(200, body[: len(body) // 2])
            elif turn.fault == "half":
                self.head(200, len(body), {})
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            else:
                self.answer(200, body, {"Content-Encoding": "gzip"} if turn.fault == "zipped" else {})

    def stream(self, asked: Asked, turn: Turn) -> None:
        """Send events in chunks. Some faults break the connection, or never end the answer."""
        events = self.owner.events(asked, turn, self.owner.success(asked, turn))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if turn.fault in ("half", "stall"):
            events = events[: len(events) // 2 + 1]
        for event in events:
            self.chunk(asked, event)
        if turn.fault == "stall" and self.left(NEVER):
            asked.hung_up.set()
        if turn.fault in ("half", "stall"):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(b"0\r\n\r\n")

    def chunk(self, asked: Asked, event: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        asked.sent += len(event)

    def head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.head(status, len(body), headers or {})
        self.wfile.write(body)

    def raw(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Send an answer in chunks that end anywhere, also within a line or a character."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        size = max(1, len(body) // 50)
        for at in range(0, len(body), size):
            part = body[at : at + size]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def endless(self, asked: Asked, part: bytes, times: int, pause: float) -> None:
        self.head(200, len(part) * times, {})
        for _ in range(times):
            self.wfile.write(part)
            asked.sent += len(part)
            time.sleep(pause)
