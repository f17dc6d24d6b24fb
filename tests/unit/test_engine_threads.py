"""Calls to an engine that hangs while it makes containers: all other calls still find a thread.

A server at a Unix socket stands in for the engine, and Docker's own client speaks to it.
"""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.engines.base import Exit, Spec
from orchestrator.engines.docker import THREADS, DockerEngine
from tests.support.house import until

#: Maximum seconds for a call that must not wait for the starts.
SECONDS = 20


class HangingEngine(socketserver.ThreadingUnixStreamServer):
    """An engine that knows no container, and that answers no request for a new one until ``go_on`` is set."""

    daemon_threads = True
    request_queue_size = 1000

    def __init__(self, path: Path) -> None:
        self.go_on = threading.Event()
        self.asked_to_start = 0
        super().__init__(str(path), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def address_string(self) -> str:
        return "a Unix socket"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        self._answer(200, {"ApiVersion": "1.41"}) if self.path.endswith("/version") else self._answer(404, {})

    def do_POST(self) -> None:
        server = cast(HangingEngine, self.server)
        if "/containers/create" in self.path:
            server.asked_to_start += 1
            server.go_on.wait()
        self._answer(404, {})

    do_DELETE = do_POST

    def _answer(self, status: int, body: dict[str, str]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body or {"message": "unknown"}).encode())


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[HangingEngine]:
    server = HangingEngine(tmp_path / "engine.sock")
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        server.server_close()


def test_starts_that_hang_leave_threads_for_kills_stops_and_inspections(hanging: HangingEngine, tmp_path: Path) -> None:
    async def work() -> None:
        engine = DockerEngine(f"unix://{hanging.server_address}", tmp_path, tmp_path, tmp_path / "live", tmp_path)
        names = [f"{number:012}" for number in range(2 * THREADS)]
        specs = [Spec(name, "token", "image", 2**28, 1.0, 64, "none") for name in names]
        starts = [asyncio.create_task(engine.start(spec)) for spec in specs]
        await until(lambda: hanging.asked_to_start, "the engine is asked to start a container")
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(engine.kill(name) for name in names), *(engine.stop(name) for name in names))
            assert await engine.exit(names[0]) == Exit(-1, False, "")
        assert not any(start.done() for start in starts)
        hanging.go_on.set()
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*starts, return_exceptions=True)
        assert hanging.asked_to_start == len(names), "the starts that waited have had their turn"
        await engine.close()

    asyncio.run(work())
