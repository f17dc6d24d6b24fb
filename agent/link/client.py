"""The agent's HTTP client on the orchestrator's Unix socket.

Every call is safe to repeat. During a restart of the orchestrator, calls are retried until one succeeds or the link was
down for ``lost_after`` seconds.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from protocol import messages

#: Seconds between retries while the orchestrator does not answer. They double from the first value to the second.
RETRY_FIRST, RETRY_MOST = 0.05, 1.0

#: Seconds in which an answer must begin. The orchestrator keeps a long poll open for less.
ANSWER_SECONDS = 60.0


#: Bytes of a stream per read.
BLOCK = 256 * 1024


class LinkLost(Exception):
    """The orchestrator did not answer for ``lost_after`` seconds."""


class Refused(Exception):
    """The orchestrator rejected the call. A retry will not help."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{detail} (HTTP {status})")
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("link", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Link:
    """A client for all threads of the agent. Each thread has its own connection."""

    def __init__(self, path: str, token: str) -> None:
        self._path, self._token = path, token
        self._own = threading.local()
        self.lost_after = 30.0  # until the order sets it

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a dataclass (or nothing) as JSON and return the JSON of the answer, or None if it is empty.

        Raises Refused and LinkLost.
        """
        answer = self.answer(method, path, body)
        return json.loads(answer) if answer else None

    def answer(self, method: str, path: str, body: Any = None) -> bytes:
        """Send the same, and return the answer unparsed, on one line."""
        data = None if body is None else json.dumps(asdict(body)).encode()
        return self._until_answered(lambda: self._once(method, path, data))

    def upload(self, path: str, chunks: Iterable[bytes], kind: str = "application/zip") -> Any:
        """Send a stream once on its own connection, and return the JSON of the answer.

        Raises Refused, and OSError or HTTPException if the link breaks. The caller then makes the stream again.
        """
        connection = _UnixConnection(self._path)
        connection.timeout = None  # the stream's source sets the pace, and the orchestrator has the time limit
        try:
            headers = {**self._headers(), "Content-Type": kind, "Transfer-Encoding": "chunked"}
            return json.loads(self._answer(self._response(connection, "PUT", path, chunks, headers)))
        finally:
            connection.close()

    def download(self, path: str, take: Callable[[bytes], object]) -> None:
        """Receive a stream once on its own connection, and yield it in blocks.

        Raises Refused, and OSError or HTTPException if the link breaks. The caller then starts over.
        """
        connection = _UnixConnection(self._path)
        try:
            response = self._response(connection, "GET", path, None, self._headers())
            if response.status != 200:
                self._answer(response)
            while block := response.read(BLOCK):
                take(block)
        finally:
            connection.close()

    def retrying(self) -> Retry:
        """Return a retry clock for a call that the caller repeats itself."""
        return Retry(self.lost_after)

    def _until_answered(self, once: Callable[[], bytes]) -> bytes:
        retry = self.retrying()
        while True:
            try:
                return once()
            except (OSError, http.client.HTTPException) as error:
                retry.wait(error)

    def _once(self, method: str, path: str, data: bytes | None) -> bytes:
        connection: _UnixConnection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = _UnixConnection(self._path)
        try:
            return self._answer(self._response(connection, method, path, data, self._headers()))
        except (OSError, http.client.HTTPException):
            connection.close()
            raise

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}

    @staticmethod
    def _response(connection: _UnixConnection, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        """Send a request and return the response. A server may reject it before reading all of it, and its answer still
        counts.
        """
        try:
            connection.request(method, path, body, headers, encode_chunked="Transfer-Encoding" in headers)
        except (BrokenPipeError, ConnectionResetError):
            pass  # if there is no answer either, the next call raises
        return connection.getresponse()

    @staticmethod
    def _answer(response: http.client.HTTPResponse) -> bytes:
        body = response.read()
        if response.status in (408, 429) or (response.status >= 500 and response.status != 507):
            raise http.client.HTTPException(f"the orchestrator answered {response.status}")
        if response.status >= 400:
            content = json.loads(body) if body else None
            detail = content.get("detail") if isinstance(content, dict) else None
            raise Refused(response.status, str(detail or response.reason))
        return body


class Retry:
    """Waits between retries, and gives up after a time without any answer."""

    def __init__(self, lost_after: float) -> None:
        self._until = time.monotonic() + lost_after
        self._pause = RETRY_FIRST

    def wait(self, error: Exception) -> None:
        """Sleep before a retry. Raises LinkLost if the retries took too long."""
        if time.monotonic() > self._until:
            raise LinkLost(f"the link is down: {error}") from error
        time.sleep(self._pause)
        self._pause = min(self._pause * 2, RETRY_MOST)


def parse_order(content: dict[str, Any]) -> messages.Order:
    """Parse the order in the answer to ``take``."""
    steps = [messages.PlannedStep(**step) for step in content.pop("steps")]
    examples = [messages.Example(**example) for example in content.pop("examples")]
    promises = [messages.Promise(**promise) for promise in content.pop("promises")]
    return messages.Order(steps=steps, examples=examples, promises=promises, **content)
