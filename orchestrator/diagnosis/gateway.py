"""Check of the live gateway: its two ports, its version, and that it asks this orchestrator."""

from __future__ import annotations

import asyncio
import time
from typing import get_args

from orchestrator.diagnosis.base import Case, Finding
from orchestrator.diagnosis.engine import BUILD
from orchestrator.gateway import urls
from orchestrator.live.grants import Grant
from protocol import messages

#: A job that does not exist, because IDs are random.
NO_JOB = "0" * 16

#: Maximum bytes of an answer.
ANSWER = 16 * 1024

LOOK = "`make up` starts it; its log: `scripts/compose.sh logs novnc`."


async def gateway(case: Case) -> Finding:
    """Request a view of an unknown job as a browser does. The orchestrator's 404 proves that the whole path works."""
    for service in get_args(messages.Service):
        if found := await _port(case, service):
            return found
    given = case.settings
    where = f"HOST={given.host} DESKTOP_PORT={given.desktop_port} NOTEBOOK_PORT={given.notebook_port}"
    return Finding("ok", f"It listens at {where}, has version {messages.VERSION}, and accepts our links.")


async def _port(case: Case, service: messages.Service) -> Finding | None:
    """Return a finding if a service's port has a fault."""
    given, number = case.settings, urls.port(case.settings, service)
    place = f"HOST={given.host} {service.upper()}_PORT={number}"
    other = f"Stop it, or set another {service.upper()}_PORT; `make doctor` names the process on the port."
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(given.host, given.host)  # noqa: S104 - compared, not bound
    grant = Grant(NO_JOB, service, "watch", int(time.time()) + 60)
    name = f"{service}-{NO_JOB}.{given.domain_of_views}:{number}"
    try:
        status, version = await _ask(host, number, "localhost", "/gateway/version")
        if status != 200 or len(version) > 20:
            return Finding("failed", f"Another program listens at {place}, not the live gateway.", other)
        if version != messages.VERSION:
            detail = f"The live gateway at {place} has version {version}, but the orchestrator has {messages.VERSION}."
            return Finding("failed", detail, BUILD)
        status, _ = await _ask(host, number, name, f"/?link={case.signer.sign('link', grant)}")
    except ConnectionRefusedError:
        return Finding("warning", f"Nothing listens at {place}, so no {service} can be opened. Jobs still run.", LOOK)
    except (OSError, ValueError) as error:
        return Finding("failed", f"Another program listens at {place}, not the live gateway: {error}.", other)
    if status == 404:
        return None
    if status == 403:
        return Finding("failed", f"The live gateway at {place} belongs to another system: it rejects our links.", other)
    return Finding("failed", f"The live gateway at {place} does not reach the orchestrator: it answers {status}.", LOOK)


async def _ask(host: str, port: int, name: str, path: str) -> tuple[int, str]:
    """Return status and text of a request with this Host header. Raises OSError, or ValueError if the answer is not
    HTTP.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while len(answer) < ANSWER and (block := await reader.read(ANSWER)):
            answer += block
    finally:
        writer.close()
    head, _, text = answer.partition(b"\r\n\r\n")
    try:
        return int(head.split(maxsplit=2)[1]), text.decode("utf-8", "replace").strip()
    except (IndexError, ValueError):
        raise ValueError("its answer is not HTTP") from None
