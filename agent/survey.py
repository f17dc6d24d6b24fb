"""Tells what a workspace holds: a child process with the identity of the job's user.

    python -I -m agent.survey FOLDER BYTES

stdin:  JSON: {"secrets": {name: value}, which are not told, "outputs": [glob], "uploads": [path]}
stdout: a line with the numbers, from 0, of the outputs that nothing matches; then, in BYTES at most, a line for each
        file with its size, and the heads of texts, uploads first, then the newest. What is left out is said.
"""

from __future__ import annotations

import json
import os
import sys

from agent.artifact import readable
from agent.names import shown
from agent.pack import candidates_of, matches
from agent.redaction import Needles, Stream
from agent.walk import OPEN_FLAGS, TOO_MANY, Found, walk

#: Files that are looked at, that are listed, that are opened, and whose head is told; and bytes of a head.
MOST, LISTED, OPENED, TOLD, HEAD = 20_000, 300, 1_000, 20, 2_000


def survey(root: str, room: int, needles: Needles, outputs: list[str], uploads: list[str]) -> tuple[list[int], str]:
    """The numbers and the text of the module's docstring."""
    reasons: set[str] = set()
    found = sorted(walk(root, outputs, lambda _, reason, **__: reasons.add(reason), MOST), key=lambda item: item.path)
    # of a workspace that is too large to be looked through nothing is said to be missing: the packer sees all of it
    missing = [] if TOO_MANY in reasons else _missing(root, found, outputs)
    return missing, _told(root, found, room, needles, set(uploads))


def _missing(root: str, found: list[Found], outputs: list[str]) -> list[int]:
    paths = {kind: [item.path for item in found if item.kind == kind] for kind in ("file", "link")}
    candidates, _ = candidates_of(root, paths["file"], paths["link"])
    return [n for n, pattern in enumerate(outputs) if not any(matches(pattern, path) for path in candidates)]


def _told(root: str, found: list[Found], room: int, needles: Needles, uploads: set[str]) -> str:
    if not found:
        return "The workspace is empty."
    parts = [f"The workspace has {len(found):,} entries:"]
    left = room - 1000  # for what is said of what is left out
    for item in found[:LISTED]:
        what = readable(item.size) if item.kind == "file" else item.kind
        line = needles.text(f"- {shown(item.path)} ({what})")
        left -= len(line.encode()) + 1
        if left < 0:
            break
        parts.append(line)
    if len(found) >= len(parts):
        parts.append(f"[… {len(found) - len(parts) + 1:,} more entries are left out …]")
    files = [item for item in found if item.kind == "file"]
    files.sort(key=lambda item: (item.path not in uploads, -item.mtime))
    told, left_out = 0, len(files[OPENED:])
    for item in files[:OPENED]:
        head = _head(f"{root}/{item.path}", needles)
        if head is None:
            continue
        cut = "" if item.size <= HEAD else f"\n[… the rest of {readable(item.size)} is left out …]"
        part = f"\nBeginning of {shown(item.path)}:\n{head}{cut}"
        size = len(part.encode()) + 1
        if told == TOLD or size > left:
            left_out += 1
            continue
        told, left = told + 1, left - size
        parts.append(part)
    if left_out:
        parts.append(f"[… the beginnings of {left_out:,} further files are left out …]")
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
    request = json.load(sys.stdin)
    needles = Needles(request["secrets"])
    missing, text = survey(sys.argv[1], int(sys.argv[2]), needles, request["outputs"], request["uploads"])
    told = f"{' '.join(map(str, missing))}\n{text}"
    sys.stdout.buffer.write(told.encode("utf-8", "backslashreplace"))
