"""A ZIP of what is left, where the agent could not make one. Blocks: to be called on a thread."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from agent.artifact import Artifact

#: The folder's own name in the engine's tar stream.
ROOT = "workspace"

#: What the listing of a ZIP may take: entries, and characters of their paths. The orchestrator holds them in memory.
MOST_ENTRIES, MOST_CHARACTERS = 50_000, 16 * 2**20

#: Folders that a ZIP of what is left does without.
JUNK = frozenset({"__pycache__", ".cache", "node_modules", ".ipynb_checkpoints", ".npm"})


class _Stream(io.RawIOBase):
    """A file to read from, of an iterator of blocks."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = block
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def write_zip(
    file: BinaryIO,
    blocks: Iterator[bytes] | None,
    reason: str,
    budget: int,
    deadline: float,
    documents: Callable[[bool], tuple[dict[str, Any], dict[str, str]]],
) -> dict[str, Any]:
    """Write the ZIP of a job whose agent is gone: from the engine's tar stream of the workspace, or without one.

    ``reason`` says why the workspace is not there, if so; ``deadline`` is a ``time.monotonic``. Returns what the status
    tells of the ZIP.
    """
    artifact = Artifact(file, budget=budget, deadline=deadline)
    if blocks is None:
        artifact.leave_out(".", reason)
    else:
        try:
            _copy(artifact, blocks)
        except Exception as error:  # whatever a broken stream raises, there is a ZIP of what came before
            artifact.leave_out(".", f"the engine's copy of the workspace broke off: {error}")
    manifest, texts = documents(artifact.partial)
    artifact.finish(manifest, texts)
    left_out = artifact.missing
    return {
        "files": len(artifact.files),
        "left_out": left_out,
        "partial": bool(manifest["partial"] or artifact.partial),
        "salvaged": True,
    }


def _copy(artifact: Artifact, blocks: Iterator[bytes]) -> None:
    with tarfile.open(fileobj=io.BufferedReader(_Stream(blocks), 1 << 18), mode="r|", errors="surrogateescape") as tar:
        junk: set[str] = set()
        entries = characters = 0
        for member in tar:
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
            entries, characters = entries + 1, characters + len(member.name) + len(member.linkname)
            if entries > MOST_ENTRIES or characters > MOST_CHARACTERS:
                artifact.leave_out(
                    ".", f"the rest: there are more than {MOST_ENTRIES:,} files, or their paths are too long"
                )
                return
            path = member.name.removeprefix(ROOT).strip("/")
            parts = path.split("/")
            found = next((index for index, part in enumerate(parts) if part in JUNK), None)
            if found is not None:
                folder = "/".join(parts[: found + 1])
                if folder not in junk:
                    artifact.leave_out(folder, f"junk: {parts[found]}", junk=True)
                    junk.add(folder)
            elif not path or ".." in parts:
                continue
            elif member.islnk():
                artifact.leave_out(path, f"a second name of {member.linkname}, which the engine's copy has once")
            elif member.isreg():
                source = tar.extractfile(member)
                assert source is not None  # noqa: S101 - a regular file
                artifact.add_file(path, source, member.size, member.mode, member.mtime)  # type: ignore[arg-type]
            elif member.issym():
                artifact.add_link(path, member.linkname, member.mtime)
            elif member.isdir():
                artifact.add_folder(path, member.mode, member.mtime)
            else:
                artifact.leave_out(path, "not a regular file")
