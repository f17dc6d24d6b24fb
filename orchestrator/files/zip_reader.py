"""A reader for the ZIP of an ended job, without unpacking it. The functions block: call them on a thread.

A ZIP comes from a container, so it is not trusted. Its directory is read only if it is small enough, and its members
are read as streams.
"""

from __future__ import annotations

import calendar
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from protocol import messages
from protocol.file_names import FOLDER

#: Maximum bytes of a ZIP's directory. Python's zipfile holds all of it in memory, at about ten times the size.
DIRECTORY_BYTES = 32 * 2**20

#: The exceptions of a file that is not a ZIP, or not a ZIP of ours.
BROKEN = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, OSError, ValueError, KeyError, EOFError,
    NotImplementedError, RuntimeError,
)  # fmt: skip

_END = struct.Struct("<4s4H2LH")  # the end of a ZIP's directory, see its specification, 4.3.16
_END_64, _LOCATOR_64 = struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")  # see 4.3.14 and 4.3.15


class Unreadable(Exception):
    """The file is not a ZIP of ours. The message is a part of a sentence."""


@dataclass(frozen=True)
class Member:
    """An open file in a ZIP. The reader closes it."""

    file: BinaryIO
    size: int
    modified: float
    etag: str


def listing(path: Path, under: str, after: str, most: int) -> messages.FoundList:
    """Return a part of the list of a ZIP's workspace files. Raises Unreadable, FileNotFoundError."""
    with _opened(path) as archive:
        entries = [_entry(info) for info in archive.infolist() if info.filename.startswith(f"{FOLDER}/")]
    entries = [entry for entry in entries if entry.path > after and entry.path.startswith(under)]
    entries.sort(key=lambda entry: entry.path)
    return messages.FoundList(entries[:most], more=len(entries) > most, cut=False)


def find(path: Path, name: str, sha256: str) -> Member | messages.FoundNone:
    """Return a workspace file of a ZIP. ``sha256`` is the sum of the ZIP. Raises Unreadable, FileNotFoundError."""
    full = f"{FOLDER}/{name}"
    with _opened(path) as archive:
        info = archive.NameToInfo.get(full)
        if info is None:
            folder = any(other.startswith(f"{full}/") for other in archive.NameToInfo)
            return messages.FoundNone("folder" if folder else "missing")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable("it is packed in a way that is not ours")
        entry = _entry(info)
        if entry.kind == "link":
            with archive.open(info) as target:
                return messages.FoundNone("link", target.read(4096).decode("utf-8", "backslashreplace"))
        etag = _sum(archive, full) or f"{sha256}-{info.header_offset}"
        file = archive.open(info)
        archive.filelist.clear()  # the open file keeps the archive in memory
        archive.NameToInfo.clear()
    return Member(cast(BinaryIO, file), entry.size, entry.modified, f'"{etag}"')


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with open(path, "rb") as file:
            if _directory_size(file) > DIRECTORY_BYTES:
                raise Unreadable("it has too many files to look for single ones")
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise
    except BROKEN as error:
        raise Unreadable(f"it cannot be read ({error})") from error


def _directory_size(file: BinaryIO) -> int:
    """Return the bytes of a ZIP's directory that zipfile will read. Raises one of BROKEN if it is not a ZIP of ours."""
    file.seek(-_END.size - _LOCATOR_64.size, 2)
    locator = _LOCATOR_64.unpack(file.read(_LOCATOR_64.size))
    end = _END.unpack(file.read(_END.size))
    if end[0] != b"PK\5\6" or end[-1]:
        raise ValueError("there is no end of a directory")
    if locator[0] != b"PK\6\7":
        return int(end[5])
    at = file.seek(-_END.size - _LOCATOR_64.size - _END_64.size, 2)
    end_64 = _END_64.unpack(file.read(_END_64.size))
    if end_64[0] != b"PK\6\6" or locator[2] != at:  # versions of zipfile look for it in different places
        raise ValueError("there is no end of a large directory")
    return int(end_64[8])


def _entry(info: zipfile.ZipInfo) -> messages.Entry:
    kind: str = "folder" if info.is_dir() else "link" if stat.S_ISLNK(info.external_attr >> 16) else "file"
    name = info.filename.removeprefix(f"{FOLDER}/").rstrip("/")
    return messages.Entry(name, kind, info.file_size, calendar.timegm((*info.date_time, 0, 0, 0)))  # type: ignore[arg-type]


def _sum(archive: zipfile.ZipFile, name: str) -> str | None:
    """Return the sha256 of a file from the ZIP's own list."""
    with archive.open("SHA256SUMS") as sums:
        for line in iter(lambda: sums.readline(8192), b""):
            digest, _, named = line.partition(b"  ")
            if named.rstrip(b"\n") == name.encode():
                return digest.decode() if re.fullmatch(rb"[0-9a-f]{64}", digest) else None
    return None
