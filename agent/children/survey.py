"""Describes the workspace for a model: a child process with the identity of the job's user.

    python -I -m agent.children.survey FOLDER BYTES

stdin:  JSON: {"secrets": {name: value}, which are hidden, "outputs": [glob], "uploads": [path],
        "known": [path], which are listed without their beginnings}
stdout: a line with the numbers, from 0, of the outputs without a match; then, in at most BYTES, a line for each
        file with its size, and the beginnings of texts, uploads first, then the newest. A note counts the rest.
"""

from __future__ import annotations

import codecs
import json
import os
import sys
from typing import NamedTuple

from agent.children import tables
from agent.children.pack import candidates_of, matches
from agent.children.walk import OPEN_FLAGS, TOO_MANY, Found, walk
from protocol.artifact import readable
from protocol.file_names import shown
from protocol.redaction import Needles, Stream

#: Maximum files that are examined, listed, opened, and shown; and bytes of a beginning.
MOST, LISTED, OPENED, TOLD, HEAD = 20_000, 300, 1_000, 20, 6_000

#: Bytes read of a text or a table, and bytes shown of a text's beginning.
LOOKED_AT, HEAD_OF_DATA = 8_000, 400

#: Data files, whose beginnings are quoted on one line. Small models copy text that looks like a file's content.
DATA = (".json", ".jsonl", ".ndjson", ".log", ".txt", ".xml", ".sql", ".svg", ".html", ".dat")

#: Tables, whose columns are described; data whose lines usually have one form; files that may have JSON objects.
TABLES = (".csv", ".tsv")
LINES = (".log",)
OBJECTS = (".json", ".jsonl", ".ndjson", ".log", ".txt")


class Head(NamedTuple):
    """The beginning of a text, a note about its encoding, and the size of the whole text in UTF-8, roughly."""

    text: str
    note: str
    size: int


def survey(
    root: str, room: int, needles: Needles, outputs: list[str], uploads: list[str], known: list[str]
) -> tuple[list[int], str]:
    """Return the numbers and the text of the module's docstring."""
    reasons: set[str] = set()
    found = sorted(walk(root, outputs, lambda _, reason, **__: reasons.add(reason), MOST), key=lambda item: item.path)
    # in a workspace too large to search, no output counts as missing; the packer searches all of it
    missing = [] if TOO_MANY in reasons else _missing(root, found, outputs)
    return missing, _told(root, found, room, needles, set(uploads), set(known))


def _missing(root: str, found: list[Found], outputs: list[str]) -> list[int]:
    paths = {kind: [item.path for item in found if item.kind == kind] for kind in ("file", "link")}
    candidates, _ = candidates_of(root, paths["file"], paths["link"])
    return [n for n, pattern in enumerate(outputs) if not any(matches(pattern, path) for path in candidates)]


def _told(root: str, found: list[Found], room: int, needles: Needles, uploads: set[str], known: set[str]) -> str:
    if not found:
        return "The workspace is empty."
    parts = [f"The workspace has {len(found):,} entries:"]
    left = room - 1000  # for the notes about omissions
    for item in found[:LISTED]:
        what = readable(item.size) if item.kind == "file" else item.kind
        line = needles.text(f"- {shown(item.path)} ({what})")
        left -= len(line.encode()) + 1
        if left < 0:
            break
        parts.append(line)
    if len(found) >= len(parts):
        parts.append(f"[… {len(found) - len(parts) + 1:,} more entries are left out …]")
    files = [item for item in found if item.kind == "file" and item.path not in known]
    files.sort(key=lambda item: (item.path not in uploads, -item.mtime))
    told, left_out = 0, len(files[OPENED:])
    for item in files[:OPENED]:
        suffix = os.path.splitext(item.path)[1].lower()
        head = _head(f"{root}/{item.path}", needles, LOOKED_AT if suffix in (*TABLES, *OBJECTS) else HEAD, item.size)
        if head is None:
            continue
        part = _part(shown(item.path) + head.note, suffix, head.text, head.size)
        size = len(part.encode()) + 1
        if told == TOLD or size > left:
            left_out += 1
            continue
        told, left = told + 1, left - size
        parts.append(part)
    if left_out:
        parts.append(f"[… the beginnings of {left_out:,} further files are left out …]")
    return "\n".join(parts)


def _part(name: str, suffix: str, head: str, size: int) -> str:
    """Describe one file for the model."""
    if suffix in TABLES and (told := tables.table(head, size)):
        return f"{name} is {told}"
    if suffix in DATA:
        verb = "is" if len(head.encode()) >= size and len(head) <= HEAD_OF_DATA else "begins with"
        more = tables.objects(head, len(head.encode()) >= size) if suffix in OBJECTS else ""
        more = f"It has {more}" if more else tables.lines(head) if suffix in LINES else ""
        return f"{name} {verb} {head[:HEAD_OF_DATA]!r}" + (f"; {more}" if more else "")
    if size <= HEAD:
        return f"\nAll of {name}:\n{head}"
    return f"\nBeginning of {name}:\n{head}\n[… the rest of {readable(size)} is left out …]"


def _head(path: str, needles: Needles, most: int, size: int) -> Head | None:
    """Return the beginning of a text, or None if the file is not text."""
    limit = 2 * (most + needles.longest)  # a character of UTF-16 takes two bytes
    try:
        with open(path, "rb", buffering=0, opener=lambda name, _: os.open(name, OPEN_FLAGS)) as file:
            raw = file.read(limit)
    except OSError:
        return None
    content, note, size = _as_utf8(raw, size)
    stream = Stream(needles)
    content = stream.feed(content) + (stream.close() if len(raw) < limit else b"")  # no partial secret at the cut
    content = content[:most]
    if b"\0" in content:
        return None
    text = content.decode("utf-8", "ignore")
    return Head(text, note, size) if len(text) > 0.7 * len(content) else None


def _as_utf8(raw: bytes, size: int) -> tuple[bytes, str, int]:
    """Return a text in UTF-8, with a note for the reader of the file, and the size of the whole text in UTF-8."""
    if raw.startswith(codecs.BOM_UTF8):
        return raw[3:], " (with a byte order mark: encoding='utf-8-sig')", size - 3
    for mark, name in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"), (b"", "utf-16-le")):
        if raw.startswith(mark) and (mark or raw[1::2].count(0) > 0.4 * len(raw)):
            return raw.decode(name, "ignore").encode(), f" (in UTF-16: encoding={name!r})", size // 2
    plain = raw.decode("utf-8", "ignore").encode()
    if 0.7 * len(raw) < len(plain) < len(raw) - 3 and b"\0" not in raw:
        return raw.decode("cp1252", "replace").encode(), " (not in UTF-8; perhaps encoding='cp1252')", size
    return raw, "", size


if __name__ == "__main__":
    request = json.load(sys.stdin)
    needles = Needles(request["secrets"])
    told_of = request["outputs"], request["uploads"], request["known"]
    missing, text = survey(sys.argv[1], int(sys.argv[2]), needles, *told_of)
    told = f"{' '.join(map(str, missing))}\n{text}"
    sys.stdout.buffer.write(told.encode("utf-8", "backslashreplace"))
