"""The list of the workspace's files, for the children that pack the workspace and that read from it."""

from __future__ import annotations

import json
import os
import stat
from collections import deque
from itertools import islice

from protocol.file_names import FOLDER, LONGEST_NAME, TOO_LONG, Junk, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO

MAX_ENTRIES = 200_000  # of the ZIP; limits the packer's memory (1.5 KB per entry)
MAX_NAMES = 32 * 2**20  # characters of all paths together, for the same reason
TOO_MANY = f"the ZIP's limit of {MAX_ENTRIES:,} entries is reached: the rest of this folder"

# Opening must not follow a link, wait for the other end of a pipe, or make a terminal the controlling terminal.
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Found:
    """An entry of the workspace that belongs in the ZIP. `kind` is file, link or folder (an empty folder)."""

    __slots__ = ("kind", "mode", "mtime", "path", "size")

    def __init__(self, path: str, kind: str, status: os.stat_result) -> None:
        self.path = path  # relative to the root; undecodable bytes as from os.fsdecode
        self.kind = kind
        self.size = 0 if kind == "folder" else status.st_size
        self.mode = status.st_mode
        self.mtime = status.st_mtime


def walk(
    root: str,
    outputs: list[str],
    leave_out: Callable[..., object],
    most: int = MAX_ENTRIES,
    most_names: int = MAX_NAMES,
) -> list[Found]:
    """Return the entries below `root`, the top levels first, up to `most` entries.

    Calls `leave_out`, as in `Artifact`, for each entry that does not belong in a ZIP.
    """
    junk = Junk(outputs)
    found: list[Found] = []
    names = 0
    try:
        folders = deque([Found("", "folder", os.stat(root))])
    except OSError as error:
        leave_out("", words(error))
        return found
    while folders:
        folder = folders.popleft()
        try:
            with os.scandir(f"{root}/{folder.path}") as listing:
                entries = list(islice(listing, most + 1))
        except OSError as error:
            leave_out(folder.path, words(error))
            continue
        name = folder.path.rpartition("/")[2]
        if name and (why := next(filter(None, (junk.by_entry(name, entry.name) for entry in entries)), None)):
            leave_out(folder.path, why, junk=True)
            continue
        for entry in entries:
            names += len(folder.path) + len(entry.name)
            if len(found) + len(folders) >= most or names > most_names:
                leave_out(folder.path, TOO_MANY)
                break
            path = f"{folder.path}/{entry.name}" if folder.path else entry.name
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                leave_out(path, words(error))
                continue
            if stat.S_ISDIR(status.st_mode):
                if why := junk.by_name(entry.name):
                    leave_out(path, why, junk=True)
                elif len(os.fsencode(f"{FOLDER}/{path}")) > LONGEST_NAME:
                    leave_out(path, TOO_LONG)
                else:
                    folders.append(Found(path, "folder", status))
            elif stat.S_ISREG(status.st_mode) and (why := junk.by_path(path)):
                leave_out(path, why, junk=True)
            elif stat.S_ISREG(status.st_mode):
                found.append(Found(path, "file", status))
            elif stat.S_ISLNK(status.st_mode):
                found.append(Found(path, "link", status))
            else:
                leave_out(path, "not a regular file")
        if folder.path and not entries:
            found.append(folder)
    return found


class ProtocolError(Exception):
    """The other side did not keep to the protocol in the module's docstring."""


def receive(stream: BinaryIO, what: str) -> dict[str, Any]:
    """Read one JSON object from one line. Raises ProtocolError."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise ProtocolError(f"stdin ended before {what} was sent")
    try:
        message = json.loads(line)
    except ValueError as error:
        raise ProtocolError(f"{what} is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError(f"{what} must be a JSON object")
    return message
