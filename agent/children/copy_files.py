"""Copies files of the workspace and restores the copies: a child process with the identity of the job's user.

    python -I -m agent.children.copy_files

stdin, JSON, one of
    {"do": "save", "root": folder, "kept": folder, "named": [glob], "uploads": [path], "seconds": number}
    {"do": "restore", "root": folder, "kept": folder, "seconds": number}
    {"do": "set aside", "root": folder, "paths": [path], "seconds": number}
stdout, JSON: true or false; [restored path]; [[path, path of its copy]]

It follows no symlink. If the file system can, a copy shares its blocks with the original.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import time
from contextlib import contextmanager, suppress

from agent.children.isolation import offer_first
from agent.children.pack import candidates_of, matches, target_of
from agent.children.walk import OPEN_FLAGS, TOO_MANY, Found, walk
from protocol.file_names import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: Limits of one copy: files, bytes of all of them, and entries of the workspace.
FILES, BYTES, MOST_FILES = 2_000, 256 * 2**20, 50_000

#: Bytes copied in one call, and characters of all paths in an answer.
BLOCK, ANSWER = 8 * 2**20, 256 * 1024

FOLDER_FLAGS = OPEN_FLAGS | os.O_DIRECTORY


class TooMuch(Exception):
    """The copy exceeds FILES, BYTES or its time limit."""


class Copies:
    """Copies files up to a limit."""

    def __init__(self, deadline: float) -> None:
        self._deadline, self._files, self._bytes = deadline, FILES, BYTES

    def copy(self, source: int, target: int, status: os.stat_result) -> None:
        """Copy the content, mode and time of an open file. Raises TooMuch and OSError."""
        self._files -= 1
        while True:
            if self._files < 0 or self._bytes < 0 or time.monotonic() > self._deadline:
                raise TooMuch
            copied = _copy_block(source, target)
            if not copied:
                break
            self._bytes -= copied
        os.fchmod(target, stat.S_IMODE(status.st_mode) & 0o777)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_block(source: int, target: int) -> int:
    try:
        return os.copy_file_range(source, target, BLOCK)
    except OSError:  # these file systems cannot
        data = os.read(source, BLOCK)
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]
        return len(data)


def save(root: str, kept: str, named: list[str], uploads: list[str], deadline: float) -> bool:
    """Copy the named files into a new folder ``kept``; without any, all files but unchanged uploads.

    On success, remove the other folders beside it, which are earlier copies. On failure, remove ``kept``, return False.
    """
    reasons: set[str] = set()
    found = walk(root, named, lambda _, reason, **__: reasons.add(reason), MOST_FILES)
    files = {item.path: item for item in found if item.kind == "file"}
    wanted = _named(root, found, files, named) or files.keys() - _unchanged(root, files, uploads)
    if TOO_MANY in reasons or not wanted:
        return False
    beside, this = os.path.split(kept)
    os.makedirs(beside, 0o700, exist_ok=True)
    shutil.rmtree(kept, ignore_errors=True)
    copies = Copies(deadline)
    try:
        if sum(files[path].size for path in wanted) > BYTES or len(wanted) > FILES:
            raise TooMuch
        os.mkdir(kept, 0o700)
        for path in sorted(wanted):
            *folders, name = path.split("/")
            with (
                suppress(PermissionError),  # the job has locked itself out of this file
                _opened(root, path) as (_, source, status),
                _folder(kept, folders, make=True) as folder,
                _new(folder, name) as target,
            ):
                copies.copy(source, target, status)
    except (TooMuch, OSError):
        shutil.rmtree(kept, ignore_errors=True)
        return False
    for other in os.listdir(beside):
        if other != this:
            shutil.rmtree(f"{beside}/{other}", ignore_errors=True)
    return True


def _named(root: str, found: list[Found], files: dict[str, Found], named: list[str]) -> set[str]:
    """Return the files that a glob matches, directly or through a folder or a symlink that it matches."""
    links = [item.path for item in found if item.kind == "link"]
    candidates, _ = candidates_of(root, files, links)
    matched = {path for path in candidates if any(matches(pattern, path) for pattern in named)}
    matched |= {target_of(root, path) for path in matched.intersection(links)}
    return {path for path in files if not matched.isdisjoint(_above(path))}


def _above(path: str) -> Iterator[str]:
    """Yield a path and its parent folders."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _unchanged(root: str, files: dict[str, Found], uploads: list[str]) -> set[str]:
    """Return the uploads that no step changed. tar gives all uploads the same time in the past."""
    found = {path: os.lstat(f"{root}/{path}") for path in uploads if path in files}
    given = min((status.st_mtime_ns for status in found.values()), default=0)
    return {path for path, status in found.items() if status.st_mtime_ns == given != status.st_ctime_ns}


def restore(root: str, kept: str, deadline: float) -> list[str]:
    """Restore the files in ``kept``, each atomically, and return their paths. Other files stay."""
    copies, restored = Copies(deadline), []
    paths = [os.path.relpath(f"{at}/{name}", kept) for at, _, names in os.walk(kept) for name in names]
    for path in sorted(paths):
        *folders, name = path.split("/")
        new = f".{os.getpid()}.kept"
        try:
            with (
                _opened(kept, path) as (_, source, status),
                _folder(root, folders, make=True) as folder,
                _new(folder, new) as target,
            ):
                copies.copy(source, target, status)
                with suppress(OSError):
                    os.rmdir(name, dir_fd=folder)  # an empty folder took its place
                os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
            restored.append(path)
        except OSError:
            continue
        except TooMuch:
            break
    return restored


def set_aside(root: str, paths: list[str], deadline: float) -> list[tuple[str, str]]:
    """Copy existing files to free names beside them, such as ``data.csv`` to ``data.original.csv``."""
    copies, pairs = Copies(deadline), []
    for path in paths:
        stem, suffix = os.path.splitext(path.rpartition("/")[2])
        try:
            with _opened(root, path) as (folder, source, status):
                for number in range(1, 100):
                    name = f"{stem}.original{'' if number == 1 else f'-{number}'}{suffix}"
                    with suppress(FileExistsError):
                        with _new(folder, name) as target:
                            copies.copy(source, target, status)
                        pairs.append((path, os.path.join(os.path.dirname(path), name)))
                        break
        except OSError:
            continue
        except TooMuch:
            break
    return pairs


@contextmanager
def _opened(root: str, path: str) -> Iterator[tuple[int, int, os.stat_result]]:
    """Open a regular file; yield its folder, the file and its status. Raises OSError."""
    *folders, name = path.split("/")
    with _folder(root, folders) as folder, _closing(os.open(name, OPEN_FLAGS, dir_fd=folder)) as file:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a regular file")
        yield folder, file, status


@contextmanager
def _folder(root: str, names: list[str], make: bool = False) -> Iterator[int]:
    """Open a folder component by component, without following links. With ``make``, replace anything that is not a
    folder. Raises OSError.
    """
    at = os.open(root, FOLDER_FLAGS)
    try:
        for name in names:
            try:
                inner = os.open(name, FOLDER_FLAGS, dir_fd=at)
            except OSError:
                if not make:
                    raise
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=at)
                os.mkdir(name, 0o755, dir_fd=at)
                inner = os.open(name, FOLDER_FLAGS, dir_fd=at)
            os.close(at)
            at = inner
        yield at
    finally:
        os.close(at)


@contextmanager
def _new(folder: int, name: str) -> Iterator[int]:
    """Create a file, and remove it again on an error. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with _closing(os.open(name, flags, 0o600, dir_fd=folder)) as file:
        try:
            yield file
        except BaseException:
            os.unlink(name, dir_fd=folder)
            raise


@contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def main() -> int:
    offer_first()
    request: dict[str, Any] = json.load(sys.stdin)
    root, deadline = request["root"], time.monotonic() + request["seconds"]
    told: bool | list[Any]
    if request["do"] == "save":
        told = save(root, request["kept"], request["named"], request["uploads"], deadline)
    elif request["do"] == "restore":
        told = []
        left = ANSWER
        for path in map(shown, restore(root, request["kept"], deadline)):
            left -= len(path)
            if left > 0:
                told.append(path)
    else:
        told = set_aside(root, request["paths"], deadline)
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
