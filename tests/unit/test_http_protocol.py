"""The limits of what the server reads after an early answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from orchestrator.server import Server
from orchestrator.web import connection_limits
from orchestrator.web.connection_limits import bounded

MIB = 2**20
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n"


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answer before the body, and end the connection if the path is not /kept. At /read, answer with the body."""
    if scope["path"] == "/read":
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
        return
    close = [] if scope["path"] == "/kept" else [(b"connection", b"close")]
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0"), *close]})
    await send({"type": "http.response.body"})


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Server, int]]]:
    """Yield a function that starts a server with a limit, and returns it and its port."""
    with contextlib.ExitStack() as stack:

        def start(discard: int) -> tuple[Server, int]:
            listening = socket.create_server(("127.0.0.1", 0))
            config = uvicorn.Config(
                refuse, http=bounded(discard), log_config=None, lifespan="off", timeout_graceful_shutdown=20
            )
            server = Server(config)
            thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
            return server, listening.getsockname()[1]

        yield start


def sent(caller: socket.socket, most: int) -> int:
    """Send until the server ends the connection. Return the number of bytes that it took, in MiB, roughly."""
    for number in range(most):
        try:
            caller.sendall(b"x" * MIB)
        except OSError:
            return number
    return most


@pytest.mark.parametrize("discard", [0, MIB])
def test_a_body_after_an_offered_upgrade_is_read_by_each_server(serve: Callable[..., Any], discard: int) -> None:
    _, port = serve(discard)
    request = b"PUT /read HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 4\r\n\r\nbody"
    with socket.create_connection(("127.0.0.1", port), 20) as caller:
        for _ in range(2):
            caller.sendall(request)
            answer = b""
            while not answer.endswith(b"0\r\n\r\n"):
                answer += caller.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200 ") and b"body" in answer


@pytest.mark.parametrize("path", [b"/", b"/kept"])
def test_the_rest_of_a_body_is_read_up_to_a_number_of_bytes(serve: Callable[..., Any], path: bytes) -> None:
    _, port = serve(64 * MIB)
    with socket.create_connection(("127.0.0.1", port), 20) as caller:
        caller.sendall(HEAD.replace(b"/", path, 1))
        assert caller.recv(4096).startswith(b"HTTP/1.1 401 ")
        assert 64 <= sent(caller, 400) < 100


@pytest.mark.parametrize("path", [b"/", b"/kept"])
def test_the_rest_of_a_body_is_read_for_a_limited_time(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, path: bytes
) -> None:
    monkeypatch.setattr(connection_limits, "LINGER_SECONDS", 0.5)
    _, port = serve(2**40)
    with socket.create_connection(("127.0.0.1", port), 20) as caller:
        caller.sendall(HEAD.replace(b"/", path, 1))
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() < begun + 20:
                caller.sendall(b"x")
                time.sleep(0.01)
        assert 0.4 < time.monotonic() - begun < 15


def test_a_client_that_was_answered_early_does_not_hold_up_the_end(serve: Callable[..., Any]) -> None:
    server, port = serve(2**40)
    with socket.create_connection(("127.0.0.1", port), 20) as caller:
        caller.sendall(HEAD)
        assert caller.recv(4096).startswith(b"HTTP/1.1 401 ")
        server.should_exit = True
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while True:
                caller.sendall(b"x")
                time.sleep(0.01)
        assert time.monotonic() - begun < 10


def test_clients_that_were_answered_early_are_few(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_limits, "SILENT", 3)
    _, port = serve(2**40)
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 20)) for _ in range(3)]
        for caller in callers:
            caller.sendall(HEAD)
            assert caller.recv(4096).startswith(b"HTTP/1.1 401 ")
        last = stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
        last.sendall(HEAD)
        assert last.recv(4096).startswith(b"HTTP/1.1 401 ")
        assert sent(callers[0], 50) < 50
        assert sent(callers[2], 50) == 50
