"""Checks of the HTTP servers: the agents' socket, the users' port, and the live gateway's socket."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from orchestrator.diagnosis.base import Case, Finding
from orchestrator.settings import LONGEST_SOCKET, SOCKET_PATH_BYTES

AGAIN = "Start the system again: it recreates the folder and its socket."


async def link(case: Case) -> Finding:
    folder, path = case.settings.link_dir, case.settings.link_dir / "link.sock"
    try:
        is_socket, about = await case.on_thread(lambda: (path.is_socket(), folder.stat()))
    except OSError as error:
        return Finding("failed", f"The link's folder {folder} cannot be read: {error.strerror}.", AGAIN)
    size = len(os.fsencode(path))
    if not is_socket:
        return Finding("failed", f"The link's socket {path} is gone: no agent can connect.", AGAIN)
    if wrong := _wrong(f"The link's folder {folder}", about):
        return wrong
    try:
        status = await _ask(path, "/commands")
    except (OSError, ValueError) as error:
        return Finding("failed", f"The link's socket {path} does not answer: {error}.", AGAIN)
    if status != 401:
        return Finding("failed", f"{path} answers {status} instead of 401 to a call without a token.", AGAIN)
    return Finding(
        "ok", f"{path} answers. Its folder has mode 0750, and its path has {size} of {SOCKET_PATH_BYTES} bytes."
    )


async def ports(case: Case) -> Finding:
    given = case.settings  # this request came through the API, so a test adds nothing
    return Finding("ok", f"The API listens at HOST={given.host} PORT={given.port}; sandboxes publish no port.")


async def views(case: Case) -> Finding:
    """Check the sockets and folders of the views. Access to these folders is access to every job."""
    given = case.settings
    path = given.gateway_dir / "gateway.sock"
    try:
        is_socket, gateway, live = await case.on_thread(
            lambda: (path.is_socket(), given.gateway_dir.stat(), given.live_dir.stat())
        )
    except OSError as error:
        return Finding("failed", f"The folder {error.filename} of the views cannot be read: {error.strerror}.", AGAIN)
    if not is_socket:
        return Finding("failed", f"The gateway's socket {path} is gone: no job's views work.", AGAIN)
    for name, about in ((f"The gateway's folder {given.gateway_dir}", gateway), (f"The folder {given.live_dir}", live)):
        if wrong := _wrong(name, about):
            return wrong
    try:
        status = await _ask(path, "/health")
    except (OSError, ValueError) as error:
        return Finding("failed", f"The gateway's socket {path} does not answer: {error}.", AGAIN)
    if status != 200:
        return Finding("failed", f"{path} answers {status} instead of 200.", AGAIN)
    size = len(os.fsencode(given.run_dir) + LONGEST_SOCKET)
    detail = f"{path} answers. Its folder and {given.live_dir} have mode 0750, and a view's path has {size} of"
    return Finding("ok", f"{detail} {SOCKET_PATH_BYTES} bytes.")


def _wrong(name: str, about: os.stat_result) -> Finding | None:
    """Return a finding if the folder's mode or owner is wrong."""
    mode = stat.S_IMODE(about.st_mode)
    if mode == 0o750 and about.st_uid == os.geteuid():
        return None
    detail = f"{name} has mode {mode:04o} and owner {about.st_uid}."
    return Finding("failed", detail, f"It must have mode 0750 and owner {os.geteuid()}. {AGAIN}")


async def _ask(path: Path, call: str) -> int:
    """Return the status of an unauthenticated call. Raises OSError or ValueError if there is no answer."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(f"GET {call} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return int((await reader.readline()).split()[1])
    except IndexError:
        raise ValueError("the answer is empty") from None
    finally:
        writer.close()
