"""The artifact: the ZIP of a job, written as a stream, with a manifest and checksums of its content.

Used by `agent.children.pack` in the sandbox, and by the orchestrator to salvage the workspace of a dead agent. Each
file is read, hashed, compressed and written in one pass, so the checksums always match the ZIP's content.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
import zipfile
import zlib
from itertools import chain

from protocol.file_names import FOLDER, LONGEST_NAME, TOO_LONG, Names, raw, shown, words
from protocol.redaction import Needles, Scan

TYPE_CHECKING = False
if TYPE_CHECKING:  # nothing is imported later, because the packing process must start fast
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, BinaryIO

CHUNK = 256 * 1024  # bytes per read; the first chunk also decides whether to compress
PATH_MAX = 4_096  # maximum bytes of a path, with its final NUL, see limits.h(0p)
LEVEL = 4  # measured: three times as fast as level 6 on tables and source code, for 6-8 % more bytes
BEST_RATIO = 1032  # deflate cannot compress better than this
OVERHEAD = 30 + 46 + 24 + 20 + 28  # bytes of an entry's two headers, its descriptor and its ZIP64 fields

TIME_OVER = "the time for packaging was over"


class Artifact:
    """A ZIP in progress. Add the workspace's entries, then call `finish`, which writes the directory that readers need.

    out       a binary stream; it is only written to, never sought (but see `undo`), and not closed
    budget    maximum bytes of the ZIP for the workspace's entries, with their headers
    deadline  a `time.monotonic()` after which no further entry begins and an open one is cut
    needles   secrets: files that contain one are listed in `secrets_found` and stay unchanged

    `files`, `left_out` and `secrets_found` are lists of the manifest. Every `add_…` returns whether the entry is in the
    ZIP. Skipped entries are in `left_out` with a reason. Errors of `out` propagate; errors of a source do not.
    """

    def __init__(
        self, out: BinaryIO, *, budget: int, deadline: float | None = None, needles: Needles | None = None
    ) -> None:
        self.files: list[dict[str, Any]] = []
        self.left_out: list[dict[str, Any]] = []
        self.secrets_found: list[dict[str, Any]] = []
        self.missing = 0  # entries of left_out without junk
        self.damaged = 0  # files that were truncated, or that changed while they were read
        self.full = f"the ZIP's limit of {readable(budget)} is reached"
        self._budget = budget
        self._deadline = deadline
        self._sink = _Sink(out)
        self._zip = _Zip(self._sink, "w")
        self._directory = 0  # bytes of the central directory so far
        self._needles = needles or Needles({})
        self._names = Names(self._needles)

    @property
    def partial(self) -> bool:
        """Whether anything except junk is missing from the ZIP or differs from the workspace."""
        return bool(self.missing or self.damaged)

    @property
    def regular(self) -> int:
        """The number of regular files in the ZIP, which a status reports. Links and empty folders are entries too."""
        return regular(self.files)

    def add_file(
        self,
        path: str,
        source: BinaryIO,
        size: int,
        mode: int,
        mtime: float,
        *,
        kind: str = "file",
        changed: Callable[[], bool] | None = None,
    ) -> bool:
        """Add a regular file: at most `size` bytes of `source`.

        `path` is relative to the workspace. `changed` is called after reading. A source that ends early, fails, or
        exceeds the time gives an entry with the bytes read so far, and the manifest says so. A file that may not fit is
        compressed twice, the first time only to count. For that, `source` must be seekable.
        """
        name = self._admit(path, size)
        if name is None:
            return False
        room = self._room(name)
        if size > room * BEST_RATIO:
            return self.leave_out(path, self.full, size)
        try:
            head = source.read(min(size, CHUNK))
            method = self._method(head, source, size, room)
        except Exception as error:  # a source may be a tar over HTTP: packing goes on after any error
            return self.leave_out(path, words(error), size)
        if method is None:
            return self.leave_out(path, TIME_OVER if self._late() else self.full, size)

        # the user who unpacks it must be able to read it
        info = _entry(name, stat.S_IFREG | mode & 0o777 | 0o400, mtime)
        info.compress_type = method
        digest = hashlib.sha256()
        scan = Scan(self._needles) if self._needles else None
        done, chunk, truncated = 0, head, ""
        with self._zip.open(info, "w", force_zip64=size > 2**30) as entry:
            while chunk:
                entry.write(chunk)
                digest.update(chunk)
                if scan:
                    scan.feed(chunk)
                done += len(chunk)
                if done >= size:
                    break
                if self._late() or self._left() < 0:  # the second case occurs only if a file changed after counting
                    truncated = TIME_OVER if self._late() else self.full
                    break
                try:
                    chunk = source.read(min(size - done, CHUNK))
                except Exception as error:
                    truncated = words(error)
                    break
        record = {"size": done, "sha256": digest.hexdigest(), "mode": f"{mode & 0o7777:04o}", "kind": kind}
        if truncated:
            record["truncated"] = truncated
        elif done < size or (changed is not None and changed()):
            record["changed_while_read"] = True
        self.damaged += "truncated" in record or "changed_while_read" in record
        return self._record(name, path, record, scan.names if scan else ())

    def add_link(self, path: str, target: str, mtime: float) -> bool:
        """Add a symbolic link as a link. Its target does not matter here."""
        content = target.encode("utf-8", "surrogateescape")
        if not 0 < len(content) < PATH_MAX:
            return self.leave_out(path, "a link whose target is no path")
        name = self._admit(path, len(content))
        if name is None:
            return False
        if self._room(name) < len(content):
            return self.leave_out(path, self.full)
        self._zip.writestr(_entry(name, stat.S_IFLNK | 0o777, mtime), content)
        record = {"size": len(content), "mode": "0777", "kind": "link", "target": self._shown(target)}
        return self._record(name, path, record, self._needles.names_in(content))

    def add_folder(self, path: str, mode: int, mtime: float) -> bool:
        """Add an empty folder. Other folders need no entry."""
        name = self._admit(path, 0)
        if name is None:
            return False
        if self._room(name) < 0:
            return self.leave_out(path, self.full)
        info = _entry(f"{name}/", stat.S_IFDIR | mode & 0o777 | 0o700, mtime)
        info.external_attr |= 0x10  # MS-DOS attribute of a folder
        self._zip.writestr(info, b"")
        return self._record(name, path, {"size": 0, "mode": f"{mode & 0o7777:04o}", "kind": "folder"})

    def leave_out(self, path: str, reason: str, size: int | None = None, *, junk: bool = False) -> bool:
        """List a skipped entry with its reason. Junk does not make the ZIP partial. Always returns False."""
        record: dict[str, Any] = {"path": self._shown(f"{FOLDER}/{path}".rstrip("/")), "reason": self._shown(reason)}
        if size is not None:
            record["size"] = size
        self.left_out.append(record)
        self.missing += not junk
        return False

    def mark(self) -> tuple[int, ...]:
        """Return this point, for `undo`."""
        lengths = len(self.files), len(self.left_out), len(self.secrets_found)
        return (*lengths, self.missing, self.damaged, self._sink.count, self._directory)

    def undo(self, mark: tuple[int, ...]) -> None:
        """Take back all that was added or left out after a mark. Only here must `out` be seekable."""
        files, left_out, secrets_found, self.missing, self.damaged, count, self._directory = mark
        del self.files[files:], self.left_out[left_out:], self.secrets_found[secrets_found:]
        self._zip.forget(files)
        self._sink.rewind(count)

    def finish(self, manifest: dict[str, Any], documents: dict[str, str]) -> None:
        """Write `documents` (name -> text), manifest.json with these lists, SHA256SUMS and the ZIP's directory."""
        self._mark_inputs(manifest.get("uploads", ()))
        self.files.sort(key=_path)
        self.left_out.sort(key=_path)
        self.secrets_found.sort(key=_path)
        partial = bool(manifest.get("partial")) or self.partial
        lists = {"files": self.files, "left_out": self.left_out, "secrets_found": self.secrets_found}
        base = {key: value for key, value in manifest.items() if key not in (*lists, "partial")}
        sums = {name: self._document(name, [text]) for name, text in documents.items()}
        sums["manifest.json"] = self._document("manifest.json", _manifest({**base, "partial": partial}, lists))
        ours = (_sum_line(file["sha256"], file["path"]) for file in self.files if "sha256" in file)
        self._document("SHA256SUMS", chain(ours, (_sum_line(digest, name) for name, digest in sums.items())))
        self._zip.close()

    def _mark_inputs(self, uploads: Iterable[dict[str, Any]]) -> None:
        """Mark the files that came with the job, and those of them that the job changed."""
        given = {self._names.of(upload["name"]): upload["sha256"] for upload in uploads}
        for record in self.files:
            if record["path"] in given:
                record["input"] = True
                record["changed"] = record.get("sha256") != given[record["path"]]

    def _document(self, name: str, text: Iterable[str]) -> str:
        info = _entry(name, stat.S_IFREG | 0o644, time.time())
        info.compress_type = zipfile.ZIP_DEFLATED
        digest = hashlib.sha256()
        with self._zip.open(info, "w") as entry:
            for part in text:
                content = part.encode("utf-8", "backslashreplace")  # a lone surrogate must not prevent the whole ZIP
                entry.write(content)
                digest.update(content)
        return digest.hexdigest()

    def _shown(self, text: str) -> str:
        """Return text from a file name as the manifest contains it."""
        return self._needles.text(shown(text))

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _left(self) -> int:
        return self._budget - self._sink.count - self._directory

    def _room(self, name: str) -> int:
        """Return the bytes left for an entry's content. Negative if even its headers do not fit."""
        return self._left() - OVERHEAD - 2 * len(name.encode())

    def _admit(self, path: str, size: int) -> str | None:
        """Return the entry's name in the ZIP, or None if the entry must be left out."""
        name = self._names.of(path)
        if len(name.encode()) > LONGEST_NAME:
            self.leave_out(path, TOO_LONG, size)
        elif self._late():
            self.leave_out(path, TIME_OVER, size)
        else:
            return name
        return None

    def _record(self, name: str, path: str, record: dict[str, Any], secrets: Iterable[str] = ()) -> bool:
        record = {"path": name, **record}
        if name != (original := self._shown(f"{FOLDER}/{path}")):
            record["original_name"] = original
        self.files.append(record)
        if secrets:
            self.secrets_found.append({"path": name, "names": sorted(secrets)})
        self._directory += 46 + 28 + len(name.encode()) + 1
        return True

    def _method(self, head: bytes, source: BinaryIO, size: int, room: int) -> int | None:
        """Return the method for a file that begins with `head`: stored, deflated, or None if it does not fit."""
        squeezes = len(zlib.compress(head, 1)) < 0.95 * len(head)
        if not squeezes and size <= room:
            return zipfile.ZIP_STORED
        if squeezes and deflate_bound(size) <= room:
            return zipfile.ZIP_DEFLATED
        if not source.seekable() or room < 0:
            return None
        counter = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        count, done, chunk = 0, 0, head
        while chunk and count <= room and not self._late():
            count += len(counter.compress(chunk))
            done += len(chunk)
            chunk = source.read(min(size - done, CHUNK))
        source.seek(len(head))
        if self._late():
            return None
        return zipfile.ZIP_DEFLATED if count + len(counter.flush()) <= room else None


class _Sink:
    """The output of the ZIP. It counts bytes, writes them all, and has no seek, so that zipfile streams."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.count = 0

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while view:
            view = view[self._out.write(view) :]
        self.count += len(data)
        return len(data)

    def tell(self) -> int:
        return self.count

    def rewind(self, count: int) -> None:
        """Forget what was written after this many bytes."""
        self._out.seek(count - self.count, os.SEEK_CUR)
        self._out.truncate()
        self.count = count

    def flush(self) -> None:
        self._out.flush()

    def close(self) -> None:
        """Do nothing. The caller closes the stream."""


class _Zip(zipfile.ZipFile):
    def __del__(self) -> None:
        """Do nothing. zipfile's own method would write the directory, and an aborted ZIP would look complete."""

    def forget(self, kept: int) -> None:
        """Drop the entries after the first `kept` ones."""
        for info in self.filelist[kept:]:
            del self.NameToInfo[info.filename]
        del self.filelist[kept:]


def deflate_bound(size: int) -> int:
    """Return the maximum deflated size of `size` bytes (zlib's bound, rounded up)."""
    return size + size // 2048 + 64


def entry_bound(path: str, size: int) -> int:
    """Return the maximum bytes of an entry in the ZIP with its headers, even if its whole name is escaped."""
    return OVERHEAD + 2 * (len(FOLDER) + 1 + 3 * len(raw(path))) + deflate_bound(size)


def regular(files: Iterable[dict[str, Any]]) -> int:
    """Return the number of regular files in a manifest's list."""
    return sum("sha256" in record for record in files)


def readable(size: int) -> str:
    """Format a number of bytes, such as 1.0 GiB."""
    amount, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{size:,} bytes" if unit == "bytes" else f"{amount:,.1f} {unit}"


def _path(record: dict[str, Any]) -> str:
    return str(record["path"])


def _manifest(base: dict[str, Any], lists: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Yield the manifest, a line per file, while it is written. It may be larger than all other data in memory."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    yield json.dumps(base, indent=2, ensure_ascii=False).removesuffix("\n}")
    for name, records in lists.items():
        yield f",\n  {encode(name)}: ["
        for number, record in enumerate(records):
            yield f"{',' if number else ''}\n    {encode(record)}"
        yield "\n  ]" if records else "]"
    yield "\n}\n"


def _sum_line(digest: str, name: str) -> str:
    """Return a line for `sha256sum -c`. Names in the ZIP contain no characters that it would escape."""
    return f"{digest}  {name}\n"


def _entry(name: str, mode: int, mtime: float) -> zipfile.ZipInfo:
    moment = time.gmtime(max(315_532_800, min(4_354_819_198, mtime)))  # a ZIP can express 1980 to 2107
    info = zipfile.ZipInfo(name, moment[:6])
    info.external_attr = mode << 16
    info._compresslevel = LEVEL  # type: ignore[attr-defined]  # noqa: SLF001 - zipfile has no public way
    return info
