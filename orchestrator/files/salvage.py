"""The ZIP of a job whose agent could not make one. The functions block: call them on a thread."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

from protocol.artifact import TIME_OVER, Artifact
from protocol.file_names import Junk
from protocol.redaction import Needles

#: The name of the workspace in the engine's tar stream.
ROOT = "workspace"

#: Maximum entries of a ZIP, and maximum characters of their paths. The orchestrator holds them in memory.
MOST_ENTRIES, MOST_CHARACTERS = 50_000, 16 * 2**20


class _Stream(io.RawIOBase):
    """A readable file over an iterator of blocks. After a deadline, reading raises TimeoutError.

    The deadline is needed because all files must be read to reach the next, even if the ZIP has no space for them. A
    sparse file may have terabytes.
    """

    def __init__(self, blocks: Iterator[bytes], deadline: float) -> None:
        self._blocks, self._rest, self._deadline = blocks, b"", deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if time.monotonic() > self._deadline:
            raise TimeoutError(TIME_OVER)
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
    outputs: Sequence[str],
    documents: Callable[[Artifact], tuple[dict[str, Any], dict[str, str]]],
    needles: Needles | None = None,
    full: str = "",
) -> dict[str, Any]:
    """Write the ZIP of a job whose agent is gone, from the engine's tar stream of the workspace.

    ``blocks`` is None if there is no stream; ``reason`` then says why. ``deadline`` is a time of ``time.monotonic``.
    A file that ``outputs`` match is not junk. ``full`` says why no more than ``budget`` fits, unless the reason is the
    ZIP's own limit. Returns the fields about the ZIP for the job's status.
    """
    artifact = Artifact(file, budget=budget, deadline=deadline, needles=needles)
    artifact.full = full or artifact.full
    if blocks is None:
        artifact.leave_out(".", reason)
    else:
        try:
            _copy(artifact, io.BufferedReader(_Stream(blocks, deadline), 1 << 18), Junk(outputs))
        except Exception as error:  # on any error of the stream, the ZIP keeps the files so far
            artifact.leave_out(".", f"the engine's copy of the workspace broke off: {error}")
    manifest, texts = documents(artifact)
    artifact.finish(manifest, texts)
    return {
        "files": artifact.regular,
        "left_out": artifact.missing,
        "with_secrets": len(artifact.secrets_found),
        "partial": bool(manifest["partial"] or artifact.partial),
        "salvaged": True,
    }


class _Places:
    """The paths that a copy has filled. Each path is filled once, and no path is below a file or a link.

    An engine's copy of a real folder meets this rule. Tools would unpack any other copy in different ways.
    """

    def __init__(self) -> None:
        self.count = 0  # of all paths, with folders that have no entry of their own
        self._root: dict[str, Any] = {}

    def fill(self, parts: list[str], *, folder: bool) -> bool:
        """Fill a path. Returns False if it was not free."""
        at = self._root
        for part in parts[:-1]:
            at = self._inside(at, part)
            if at is None:
                return False
        if folder:
            at = self._inside(at, parts[-1])
            if at is None or "" in at:  # the empty part marks the folder's own entry
                return False
            at[""] = None
            return True
        if parts[-1] in at:
            return False
        self.count += 1
        at[parts[-1]] = None
        return True

    def _inside(self, at: dict[str, Any], part: str) -> Any:
        if part not in at:
            self.count += 1
            at[part] = {}
        return at[part]


class _Folders:
    """The filter that leaves out junk folders.

    The file that makes a folder a virtual environment may come after other files of that folder. Therefore each folder
    on the current path has a mark, to which the ZIP can return. The copy contains each folder in one piece.
    """

    def __init__(self, artifact: Artifact, junk: Junk) -> None:
        self._artifact, self._junk = artifact, junk
        self._names: list[str] = []  # of the folders on the current path, below the workspace
        self._marks: list[tuple[int, ...]] = []  # one per folder
        self._left_out: int | None = None  # the index of the folder that is left out

    def skips(self, parts: list[str], *, folder: bool) -> bool:
        """Return whether an entry is a junk folder, or is in a junk folder. Leaves that folder out."""
        self._enter(parts if folder else parts[:-1])
        if self._left_out is not None:
            return True
        for index, part in enumerate(parts):
            if index and (why := self._junk.by_entry(parts[index - 1], part)):
                self._leave_out(index - 1, why)
                return True
            if index < len(self._names) and (why := self._junk.by_name(part)):
                self._leave_out(index, why)
                return True
        return False

    def _enter(self, names: list[str]) -> None:
        pairs = enumerate(zip(self._names, names, strict=False))
        same = next((index for index, (old, new) in pairs if old != new), min(len(self._names), len(names)))
        if self._left_out is not None and same <= self._left_out:
            self._left_out = None
        self._names = names
        self._marks[same:] = [self._artifact.mark() for _ in names[same:]]

    def _leave_out(self, index: int, why: str) -> None:
        self._artifact.undo(self._marks[index])
        self._artifact.leave_out("/".join(self._names[: index + 1]), why, junk=True)
        self._left_out = index


def _copy(artifact: Artifact, stream: BinaryIO, junk: Junk) -> None:
    with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as tar:
        places, folders = _Places(), _Folders(artifact, junk)
        entries = characters = 0
        for member in tar:
            tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep all members in memory
            entries, characters = entries + 1, characters + len(member.name) + len(member.linkname)
            if max(entries, places.count) > MOST_ENTRIES or characters > MOST_CHARACTERS:
                artifact.leave_out(
                    ".", f"the rest: there are more than {MOST_ENTRIES:,} files, or their paths are too long"
                )
                return
            parts = [part for part in member.name.split("/") if part not in ("", ".")]
            if parts[:1] == [ROOT]:
                del parts[0]
            path = "/".join(parts)
            if not path or ".." in parts or folders.skips(parts, folder=member.isdir()):
                continue
            if member.isreg() and (why := junk.by_path(path)):
                artifact.leave_out(path, why, junk=True)
            elif member.islnk():
                artifact.leave_out(path, f"a second name of {member.linkname}, which the engine's copy has once")
            elif not (member.isreg() or member.issym() or member.isdir()):
                artifact.leave_out(path, "not a regular file")
            elif not places.fill(parts, folder=member.isdir()):
                if not member.isdir():
                    artifact.leave_out(path, "the engine's copy has something else in its place")
            elif member.isdir():
                artifact.add_folder(path, member.mode, member.mtime)
            elif member.issym():
                artifact.add_link(path, member.linkname, member.mtime)
            else:
                source = tar.extractfile(member)
                assert source is not None  # noqa: S101 - a regular file
                artifact.add_file(path, source, member.size, member.mode, member.mtime)  # type: ignore[arg-type]
