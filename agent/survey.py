"""Tells what a workspace holds: a child process with the identity of the job's user.

    python -I -m agent.survey FOLDER BYTES

stdin:  the job's secrets, {name: value} as JSON, which are not told
stdout: a line for each file with its size, then the heads of texts, in BYTES at most; what is left out is said.
"""

from __future__ import annotations

import json
import os
import sys

from agent.artifact import readable
from agent.names import shown
from agent.redaction import Needles, Stream
from agent.walk import OPEN_FLAGS, walk

#: Files that are looked at, that are listed, and whose head is told; and bytes of a head.
MOST, LISTED, TOLD, HEAD = 20_000, 300, 20, 2_000


def survey(root: str, room: int, needles: Needles) -> str:
    """The text of the module's docstring."""
    found = sorted(walk(root, [], lambda *_, **__: None, MOST), key=lambda item: item.path)
    if not found:
        return "The workspace is empty."
    parts = [f"The workspace has {len(found):,} entries:"]
    left = room - 1000  # for what is said of what is left out
    for item in found[:LISTED]:
        size = f" ({readable(item.size)})" if item.kind == "file" else f" ({item.kind})"
        line = needles.text(f"- {shown(item.path)}{size}")
        left -= len(line.encode()) + 1
        if left < 0:
            break
        parts.append(line)
    if len(found) >= len(parts):
        parts.append(f"[… {len(found) - len(parts) + 1:,} more entries are left out …]")
    newest = sorted((item for item in found if item.kind == "file"), key=lambda item: -item.mtime)
    for item in newest[:TOLD]:
        head = _head(f"{root}/{item.path}", needles)
        if head is None:
            continue
        cut = "" if item.size <= HEAD else f"\n[… the rest of {readable(item.size)} is left out …]"
        part = f"\nBeginning of {shown(item.path)}:\n{head}{cut}"
        left -= len(part.encode()) + 1
        if left < 0:
            parts.append("[… the beginnings of further files are left out …]")
            break
        parts.append(part)
    return "\n".join(parts)


def _head(path: str, needles: Needles) -> str | None:
    """The beginning of a text; None where the file is none."""
    try:
        with open(path, "rb", buffering=0, opener=lambda name, _: os.open(name, OPEN_FLAGS)) as file:
            content = file.read(HEAD + needles.longest)
    except OSError:
        return None
    stream, whole = Stream(needles), len(content) < HEAD + needles.longest
    content = stream.feed(content) + (stream.close() if whole else b"")  # no half of a secret at the cut
    content = content[:HEAD]
    if b"\0" in content:
        return None
    text = content.decode("utf-8", "ignore")
    return text if len(text) > 0.7 * len(content) else None


if __name__ == "__main__":
    told = survey(sys.argv[1], int(sys.argv[2]), Needles(json.load(sys.stdin)))
    sys.stdout.buffer.write(told.encode("utf-8", "backslashreplace"))
