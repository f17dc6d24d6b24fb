"""Checks of problem responses, and requests that no client library would send."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from typing import Any

import httpx

from tests.support.system import System


def problem(answer: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    """Check that a response has the problem details of RFC 9457 and the words in their detail. Return the details."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["type"].startswith("/problems/")
    assert found["status"] == status
    assert found["title"]
    for word in words:
        assert word in found["detail"], found["detail"]
    for trace in ("Traceback", "site-packages", 'File "', '.py"', ".py:"):
        assert trace not in answer.text
    return found


@contextlib.contextmanager
def nothing_stored(system: System) -> Iterator[None]:
    """Check that the system accepts no job inside the ``with`` block."""
    before = _newest(system)
    yield
    assert _newest(system) == before


def _newest(system: System) -> list[str]:
    return [job["job_id"] for job in system.http.get("/jobs", params={"limit": 1}).json()["jobs"]]


def raw(system: System, method: str, target: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Send a request with its target unchanged. A client library would normalize the path or the Host header."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=60)
    with contextlib.closing(connection):
        connection.putrequest(method, target, skip_host=headers is not None and "Host" in headers)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())
