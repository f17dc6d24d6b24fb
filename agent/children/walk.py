"""Finds what is in the workspace, for the children that pack it and that look into it."""

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

MAX_ENTRIES = 200_000  # of the ZIP: bounds the packer's memory (1.5 KB an entry) whatever the job made
MAX_NAMES = 32 * 2**20  # characters of all paths together: likewise
TOO_MANY = f"the ZIP's limit of {MAX_ENTRIES:,} entries is reached: the rest of this folder"

# Never follows a link, never waits for a pipe's other end, never makes a terminal its own.
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Found:
    """Something in the workspace that has a place in the ZIP. `kind` is file, link or folder (an empty one)."""

    __slots__ = ("kind", "mode", "mtime", "path", "size")

    def __init__(self, path: str, kind: str, status: os.stat_result) -> None:
        self.path = path  # relative to the root; undecodable bytes as os.fsdecode has them
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
    """All that is below `root`, the top levels first, `most` entries at most.

    What has no place in a ZIP is told to `leave_out`, as `Artifact` has it.
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
    """The other side sent something else than what the module's docstring says."""


def receive(stream: BinaryIO, what: str) -> dict[str, Any]:
    """One JSON object from one line. Raises ProtocolError."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise ProtocolError(f"stdin ended before {what} was sent")
    try:
        message = json.loads(line)
    except ValueError as error:
        raise ProtocolError(f"{what} is no JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError(f"{what} must be a JSON object")
    return message
