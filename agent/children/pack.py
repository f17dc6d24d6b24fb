"""Packs the workspace: a child process with the identity of the job's user, so it can read only that user's files.

    python -I -m agent.children.pack [FD]

stdin, one JSON line:   {"root": folder, "outputs": [glob], "budget": bytes, "seconds": number,
                         "secrets": {name: value}}
stdout:                 the ZIP, as a stream
FD (3), one JSON line:  what was packed, once the workspace is written (see `summary`)
stdin, one JSON line:   {"manifest": {...}, "documents": {name: text}}, which go into the ZIP's end

Exit code 0: the ZIP is complete. Exit code 2: the agent broke this protocol; stderr has a sentence. The output on
stdout then has no central directory, so no reader accepts it as a ZIP.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
import os
import stat
import sys
import time
from itertools import islice

from agent.children.walk import OPEN_FLAGS, Found, ProtocolError, receive, walk
from protocol.artifact import Artifact, entry_bound
from protocol.file_names import FOLDER, shown, words
from protocol.redaction import Needles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, BinaryIO

COMPARED = 2_000  # maximum paths whose names are compared with a missing output
LISTED = 20  # maximum paths in the summary for each glob, and of files with secrets


def pack(request: dict[str, Any], out: BinaryIO, summary_out: BinaryIO, tail_in: BinaryIO) -> None:
    """Pack the workspace as the ``request`` says. Raises ProtocolError, and OSError if a stream breaks."""
    root, outputs, budget, seconds = (request.get(key) for key in ("root", "outputs", "budget", "seconds"))
    if not (
        isinstance(root, str)
        and isinstance(outputs, list)
        and all(isinstance(pattern, str) for pattern in outputs)
        and isinstance(budget, int)
        and isinstance(seconds, int | float)
    ):
        raise ProtocolError("the request must have root, outputs, budget and seconds")
    needles = Needles(request.get("secrets") or {})
    artifact = Artifact(out, budget=budget, deadline=time.monotonic() + seconds, needles=needles)
    found = walk(root, outputs, artifact.leave_out)
    # if space may be short, the largest files come last, so that only they are left out
    tight = sum(entry_bound(item.path, item.size) for item in found) > budget
    found.sort(key=(lambda item: (item.size, item.path)) if tight else (lambda item: item.path))
    packed = [item.path for item in found if _add(artifact, root, item)]
    out.flush()
    summary_out.write(json.dumps(summary(artifact, root, packed, outputs)).encode() + b"\n")
    summary_out.flush()
    tail = receive(tail_in, "the manifest")
    manifest, documents = tail.get("manifest"), tail.get("documents")
    if not (
        isinstance(manifest, dict)
        and isinstance(documents, dict)
        and all(isinstance(text, str) for text in documents.values())
    ):
        raise ProtocolError("the end must have manifest and documents")
    artifact.finish(manifest, documents)
    out.flush()


def _add(artifact: Artifact, root: str, item: Found) -> bool:
    where = f"{root}/{item.path}"
    if item.kind == "folder":
        return artifact.add_folder(item.path, item.mode, item.mtime)
    if item.kind == "link":
        try:
            target = os.readlink(where)
        except OSError as error:
            return artifact.leave_out(item.path, words(error))
        return artifact.add_link(item.path, target, item.mtime)
    try:
        source = open(where, "rb", buffering=0, opener=lambda path, _: os.open(path, OPEN_FLAGS))  # noqa: SIM115
    except OSError as error:
        return artifact.leave_out(item.path, words(error), item.size)
    with source:
        status = os.fstat(source.fileno())
        if not stat.S_ISREG(status.st_mode):
            return artifact.leave_out(item.path, "not a regular file")

        def changed() -> bool:
            after = os.fstat(source.fileno())
            return (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns)

        return artifact.add_file(item.path, source, status.st_size, status.st_mode, status.st_mtime, changed=changed)


def summary(artifact: Artifact, root: str, packed: list[str], outputs: list[str]) -> dict[str, Any]:
    """Return the facts that the agent needs for the job's result.

    files, bytes      regular files in the ZIP, and their size before compression
    left_out          number of skipped entries, without junk
    partial           whether the ZIP lacks part of the workspace, without junk
    outputs           for each declared output its complete matches in the ZIP, at most 20 paths: files, folders with
                      files in them, and links to these
    outputs_left_out  the same for missing or incomplete matches, each with its reason in `reasons`
    secrets           the first files that contain a secret, with its name; `with_secrets` is the number of all
    hint              if a declared output has no match: a sentence that names a file of the same name elsewhere, or
                      the target of a link of that name
    """
    records = dict(zip(packed, artifact.files, strict=True))
    links = {path: record["target"] for path, record in records.items() if record.get("kind") == "link"}
    candidates, nowhere = candidates_of(root, (path for path, record in records.items() if "sha256" in record), links)
    truncated = {path: record["truncated"] for path, record in records.items() if "truncated" in record}
    present = sorted(candidates - truncated.keys())
    absent = truncated | {
        record["path"].removeprefix(f"{FOLDER}/"): record["reason"]
        for record in artifact.left_out
        if not record["reason"].startswith("junk: ")
    }
    answer: dict[str, Any] = {
        "files": artifact.regular,
        "bytes": sum(record["size"] for record in artifact.files if "sha256" in record),
        "left_out": artifact.missing,
        "partial": artifact.partial,
        "secrets": artifact.secrets_found[:LISTED],
        "with_secrets": len(artifact.secrets_found),
        "outputs": {pattern: _matching(pattern, present) for pattern in outputs},
        "outputs_left_out": {pattern: _matching(pattern, sorted(absent)) for pattern in outputs},
    }
    answer["reasons"] = {path: absent[path] for paths in answer["outputs_left_out"].values() for path in paths}
    for pattern in outputs:
        if not answer["outputs"][pattern] and not answer["outputs_left_out"][pattern]:
            if leading := _matching(pattern, sorted(nowhere)):
                target = links[leading[0]]
                answer["hint"] = f"{leading[0]!r} is a link to {target!r}, which is not in the ZIP: copy it there."
                break
            elsewhere = _matching("**/" + pattern.rpartition("/")[2], present) or _near(pattern, present)
            if elsewhere:
                answer["hint"] = f"Nothing matches {pattern!r}, but there is {elsewhere[0]!r}."
                break
    return answer


def candidates_of(root: str, files: Iterable[str], links: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the possible outputs (files, folders with files in them, and links to these), and the other links."""
    found = _with_folders(files)
    nowhere = {path for path in links if target_of(root, path) not in found}
    return found | _with_folders(path for path in links if path not in nowhere), nowhere


def _with_folders(paths: Iterable[str]) -> set[str]:
    """Return paths and all their parent folders."""
    found: set[str] = set()
    for path in paths:
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def target_of(root: str, link: str) -> str:
    """Return a link's target as a path in the workspace."""
    return os.path.relpath(os.path.realpath(f"{root}/{link}"), os.path.realpath(root))


def _matching(pattern: str, paths: list[str]) -> list[str]:
    return [shown(path) for path in islice((path for path in paths if matches(pattern, path)), LISTED)]


def _near(pattern: str, paths: list[str]) -> list[str]:
    """Return paths whose names differ from a declared output only in case or in a few letters."""
    wanted = pattern.rpartition("/")[2].casefold()
    names: dict[str, str] = {}
    for path in islice(paths, COMPARED):
        names.setdefault(path.rpartition("/")[2].casefold(), path)
    same = [path for name, path in names.items() if fnmatch.fnmatchcase(name, wanted)]
    return [shown(path) for path in same or map(names.__getitem__, difflib.get_close_matches(wanted, names, 1, 0.8))]


def matches(pattern: str, path: str) -> bool:
    """Return whether a relative path matches a glob: `*`, `?`, `[…]` within a name, `**` for any folders.

    A name also matches itself literally, such as `app/[id]/page.tsx`. Hidden names match. A final `**` matches
    everything below the folder, but not the folder. The match goes name by name, because one regular expression for
    many stars could take for ever.
    """
    patterns = [part for part in pattern.split("/") if part not in ("", ".")]
    if patterns and patterns[-1] == "**":
        patterns.append("*")
    parts = path.split("/")
    at = here = 0
    star = resume = -1  # the last ** so far, and the first name that it does not cover yet
    while here < len(parts):
        if at < len(patterns) and patterns[at] == "**":
            star, resume = at, here
            at += 1
        elif at < len(patterns) and _is_named(parts[here], patterns[at]):
            at += 1
            here += 1
        elif star >= 0:
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return at == len(patterns)


def _is_named(name: str, pattern: str) -> bool:
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def main() -> int:
    try:
        summary_fd = int(sys.argv[1]) if len(sys.argv) > 1 else 3
        with open(summary_fd, "wb") as summary_out, open(1, "wb", buffering=256 * 1024, closefd=False) as out:
            pack(receive(sys.stdin.buffer, "the request"), out, summary_out, sys.stdin.buffer)
    except (ProtocolError, ValueError, OSError) as error:
        print(f"pack: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
