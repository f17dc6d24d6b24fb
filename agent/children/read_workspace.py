"""Reads the workspace while steps work in it: a child process with the identity of the job's user.

    python -I -m agent.children.read_workspace

stdin, one JSON line:   {"root": folder, "outputs": [glob], "look": a `messages.Look`, "most": bytes,
                         "secrets": {name: value}}
stdout, one JSON line:  the result, a `messages.Found`; for a file, the requested bytes follow

The list contains the files that would be packed, under their names in the ZIP.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from itertools import islice

from agent.children.walk import MAX_ENTRIES, OPEN_FLAGS, TOO_MANY, receive, walk
from protocol.file_names import FOLDER, LONGEST_NAME, Names, shown, words
from protocol.redaction import MARK, Needles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Limits of a list, which uses the job's memory: entries, and characters of their paths.
MOST_ENTRIES, MOST_CHARACTERS = 20_000, 4 * 2**20

#: Bytes per write.
BLOCK = 1 << 20

FOLDER_FLAGS = OPEN_FLAGS | os.O_DIRECTORY


def listing(root: str, outputs: list[str], under: str, after: str, most: int, names: Names) -> dict[str, Any]:
    """Return the first `most` workspace entries below `under` and after `after`, sorted by name."""
    cut = False

    def leave_out(path: str, reason: str, *_: object, **__: object) -> None:
        nonlocal cut
        cut = cut or reason == TOO_MANY

    found = walk(root, outputs, leave_out, MOST_ENTRIES, MOST_CHARACTERS)
    found.sort(key=lambda item: item.path)  # the same order as in the packer, which numbers colliding names in it
    entries = []
    for item in found:
        name = names.of(item.path)
        path = name.removeprefix(f"{FOLDER}/")
        if path.startswith(under) and path > after and len(name.encode()) <= LONGEST_NAME:
            entries.append((path, item))
    entries.sort(key=lambda entry: entry[0])
    page = [
        {"path": path, "kind": item.kind, "size": item.size, "modified": item.mtime} for path, item in entries[:most]
    ]
    return {"kind": "list", "files": page, "more": len(entries) > most, "cut": cut}


class Elsewhere(Exception):
    """The path has no readable file. Arguments: the `kind`, and a detail for the client."""


def find(root: str, path: str, needles: Needles) -> int:
    """Open the regular file that the ZIP calls `path`. Raises Elsewhere.

    Each component is opened from its parent folder without following links. So no path leads out of the workspace,
    whatever the job renames meanwhile.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise Elsewhere("missing", "")
    at = os.open(root, FOLDER_FLAGS)
    try:
        for part in parts[:-1]:
            inner = _open(at, _real_name(at, part, needles), FOLDER_FLAGS, needles)
            os.close(at)
            at = inner
        return _open(at, _real_name(at, parts[-1], needles), OPEN_FLAGS, needles)
    finally:
        os.close(at)


def _open(folder: int, name: str, flags: int, needles: Needles) -> int:
    """Open an entry of a folder if it is a folder or a regular file, as `flags` require."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            raise Elsewhere("link", needles.text(shown(os.readlink(name, dir_fd=folder))))
        wants_folder = bool(flags & os.O_DIRECTORY)
        if stat.S_ISDIR(status.st_mode) != wants_folder:
            raise Elsewhere("missing" if wants_folder else "folder", "")
        if not wants_folder and not stat.S_ISREG(status.st_mode):
            raise Elsewhere("other", "")
        opened = os.open(name, flags, dir_fd=folder)  # it may have been replaced, so check again
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise Elsewhere("missing", "") from None
        raise Elsewhere("denied", words(error)) from None
    if not wants_folder and not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise Elsewhere("other", "")
    return opened


def _real_name(folder: int, part: str, needles: Needles) -> str:
    """Return the real name of the folder's entry that the ZIP calls `part`."""
    if "%" not in part and MARK not in part:
        return part
    names = Names(needles)
    with os.scandir(folder) as entries:
        there = sorted(entry.name for entry in islice(entries, MAX_ENTRIES))
    return next((name for name in there if names.of(name) == f"{FOLDER}/{part}"), part)


def span(size: int, first: int | None, last: int | None) -> tuple[int, int] | None:
    """Return the bytes [begin, end) of an HTTP Range (RFC 9110, 14.1.2), or None.

    Without `first`, `last` counts from the end. Without both, the range is the whole file.
    """
    if first is None:
        return (0, size) if last is None else (max(0, size - last), size) if size and last else None
    return (first, size if last is None else min(last + 1, size)) if first < size else None


def main() -> int:
    # like every step, so that the kernel kills it before the agent
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
    request = receive(sys.stdin.buffer, "the request")
    root, look, needles = request["root"], request["look"], Needles(request["secrets"])
    begin = end = file = 0
    if look["path"] is None:
        names = Names(needles)
        found = listing(root, request["outputs"], look["under"], look["after"], look["most"], names)
    else:
        try:
            file = find(root, look["path"], needles)
            status = os.fstat(file)
            part = span(status.st_size, look["first"], look["last"])
            begin, end = part or (0, 0)  # an unsatisfiable range is empty
            found = {"kind": "file", "size": status.st_size, "modified": status.st_mtime, "begin": begin, "end": end}
        except Elsewhere as elsewhere:
            found = dict(zip(("kind", "detail"), elsewhere.args, strict=True))
        if not look["content"] or end - begin > request["most"]:
            end = begin
    try:
        with open(1, "wb", closefd=False) as out:
            out.write(json.dumps(found, ensure_ascii=False).encode() + b"\n")
        while begin < end and (sent := os.sendfile(1, file, begin, min(end - begin, BLOCK))):
            begin += sent
    except BrokenPipeError:
        pass  # the client has disconnected
    return 0


if __name__ == "__main__":
    sys.exit(main())
