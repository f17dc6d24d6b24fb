"""The two doors: the agents' socket and the users' port."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from orchestrator.diagnosis.base import Case, Finding
from orchestrator.settings import SOCKET_PATH_BYTES


async def link(case: Case) -> Finding:
    folder, path = case.settings.link_dir, case.settings.link_dir / "link.sock"
    again = "Start the system again: it makes the folder and its socket anew."
    try:
        is_socket, about = await case.on_thread(lambda: (path.is_socket(), folder.stat()))
    except OSError as error:
        return Finding("failed", f"The link's folder {folder} cannot be read: {error.strerror}.", again)
    mode, size = stat.S_IMODE(about.st_mode), len(os.fsencode(path))
    if not is_socket:
        return Finding("failed", f"The link's socket {path} is gone: no agent can speak.", again)
    if mode != 0o750 or about.st_uid != os.geteuid():
        detail = f"The link's folder {folder} has mode {mode:04o} and owner {about.st_uid}."
        return Finding("failed", detail, f"It must have mode 0750 and owner {os.geteuid()}. {again}")
    try:
        status = await _ask_the_link(path)
    except (OSError, ValueError) as error:
        return Finding("failed", f"Nothing answers at the link's socket {path}: {error}.", again)
    if status != 401:
        return Finding("failed", f"{path} answers {status} to a call without a token, not 401.", again)
    return Finding("ok", f"{path} answers; its folder has mode 0750, its path {size} of {SOCKET_PATH_BYTES} bytes.")


async def ports(case: Case) -> Finding:
    given = case.settings  # who asks has come through it, so there is nothing to try
    return Finding("ok", f"The API listens at HOST={given.host} PORT={given.port}; sandboxes publish no port.")


async def _ask_the_link(path: Path) -> int:
    """The status of a call without a token; raises OSError or ValueError where none comes."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(b"GET /commands HTTP/1.1\r\nHost: link\r\nConnection: close\r\n\r\n")
        return int((await reader.readline()).split()[1])
    except IndexError:
        raise ValueError("the answer is empty") from None
    finally:
        writer.close()
