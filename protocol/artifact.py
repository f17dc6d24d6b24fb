"""The artifact: one job's ZIP, written as a stream, with a manifest and checksums that prove what is in it.

Both sides use it: `agent.children.pack` in the sandbox, and the orchestrator when it salvages the workspace of a dead
one. What is read is hashed, compressed and written in one pass, so the checksums always match the content of the ZIP.
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
if TYPE_CHECKING:  # the child that packs must start fast: nothing here is imported when it runs
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, BinaryIO

CHUNK = 256 * 1024  # bytes read at once; the first chunk also decides whether to compress
PATH_MAX = 4_096  # bytes of any path, its end included, see limits.h(0p)
LEVEL = 4  # measured: three times the speed of level 6 on tables and source code, for 6-8 % more bytes
BEST_RATIO = 1032  # deflate can not do better than this
OVERHEAD = 30 + 46 + 24 + 20 + 28  # bytes of an entry's two headers, its descriptor and ZIP64's fields

TIME_OVER = "the time for packaging was over"


class Artifact:
    """One ZIP. Add what the workspace holds, then `finish`: without it the ZIP has no directory and can not be opened.

    out       a binary stream; it is only written to, never sought (but see `undo`), and not closed
    budget    bytes of the ZIP that the entries of the workspace may take, their headers included
    deadline  a `time.monotonic()` after which no further entry is begun and an open one is cut
    needles   secrets: files that have one in them are not changed, but listed in `secrets_found`

    `files`, `left_out` and `secrets_found` are lists of the manifest. Every `add_…` says whether it is in the ZIP;
    what is not is in `left_out`, with its reason. Errors of `out` are raised as they come; those of a source never are.
    """

    def __init__(
        self, out: BinaryIO, *, budget: int, deadline: float | None = None, needles: Needles | None = None
    ) -> None:
        self.files: list[dict[str, Any]] = []
        self.left_out: list[dict[str, Any]] = []
        self.secrets_found: list[dict[str, Any]] = []
        self.missing = 0  # entries of left_out that are not junk
        self.damaged = 0  # entries of files that were truncated, or changed while they were read
        self.full = f"the ZIP's limit of {readable(budget)} is reached"
        self._budget = budget
        self._deadline = deadline
        self._sink = _Sink(out)
        self._zip = _Zip(self._sink, "w")
        self._directory = 0  # bytes that the central directory will take at its end
        self._needles = needles or Needles({})
        self._names = Names(self._needles)

    @property
    def partial(self) -> bool:
        """Whether anything but junk is not in the ZIP as it was in the workspace."""
        return bool(self.missing or self.damaged)

    @property
    def regular(self) -> int:
        """Regular files in the ZIP: what a status counts. Links and empty folders are entries too."""
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

        `path` is relative to the workspace. `changed` is asked after the reading. A source that ends early, that
        fails in the middle, or whose time is over gives an entry with what was read, and the manifest says so. One
        that may not fit is compressed twice, once only to count: for that, `source` must be seekable.
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
        except Exception as error:  # a source may be a tar over HTTP: whatever it raises, the ZIP goes on
            return self.leave_out(path, words(error), size)
        if method is None:
            return self.leave_out(path, TIME_OVER if self._late() else self.full, size)

        info = _entry(name, stat.S_IFREG | mode & 0o777 | 0o400, mtime)  # whoever unpacks it can read it
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
                if self._late() or self._left() < 0:  # the latter only where a file changed after it was counted
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
        """Add a symbolic link as a link; what it points to is of no interest here."""
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
        """Add an empty folder (others need no entry of their own)."""
        name = self._admit(path, 0)
        if name is None:
            return False
        if self._room(name) < 0:
            return self.leave_out(path, self.full)
        info = _entry(f"{name}/", stat.S_IFDIR | mode & 0o777 | 0o700, mtime)
        info.external_attr |= 0x10  # MS-DOS's own word for a folder
        self._zip.writestr(info, b"")
        return self._record(name, path, {"size": 0, "mode": f"{mode & 0o7777:04o}", "kind": "folder"})

    def leave_out(self, path: str, reason: str, size: int | None = None, *, junk: bool = False) -> bool:
        """List what is not in the ZIP, and why. Junk does not make the ZIP partial. Always False, for `return`."""
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
        """Write `documents` (name -> text), manifest.json with our lists in it, SHA256SUMS and the ZIP's directory."""
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
        """Say which files came with the job, and which of these it changed."""
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
                content = part.encode("utf-8", "backslashreplace")  # a lone surrogate must not cost the whole ZIP
                entry.write(content)
                digest.update(content)
        return digest.hexdigest()

    def _shown(self, text: str) -> str:
        """Text that may come from a file name, as the manifest has it."""
        return self._needles.text(shown(text))

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _left(self) -> int:
        return self._budget - self._sink.count - self._directory

    def _room(self, name: str) -> int:
        """Bytes that the content of an entry of this name may take; negative where not even its headers fit."""
        return self._left() - OVERHEAD - 2 * len(name.encode())

    def _admit(self, path: str, size: int) -> str | None:
        """The entry's name in the ZIP, or None where it is left out whatever it holds."""
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
        """How to write a file that begins with `head`: stored, deflated, or None where it does not fit."""
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
    """What the ZIP is written to: counts, writes the whole, and has no seek, so that zipfile streams."""

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
        """Nothing: whoever gave us the stream closes it."""


class _Zip(zipfile.ZipFile):
    def __del__(self) -> None:
        """Nothing: zipfile's own would write the directory, and what was given up half-way would look whole."""

    def forget(self, kept: int) -> None:
        """Drop the entries after the first `kept` ones."""
        for info in self.filelist[kept:]:
            del self.NameToInfo[info.filename]
        del self.filelist[kept:]


def deflate_bound(size: int) -> int:
    """Bytes that deflate makes of `size` bytes at most (zlib's own bound, rounded up)."""
    return size + size // 2048 + 64


def entry_bound(path: str, size: int) -> int:
    """Bytes that an entry takes in the ZIP at most, its headers included, even if all of its name must be escaped."""
    return OVERHEAD + 2 * (len(FOLDER) + 1 + 3 * len(raw(path))) + deflate_bound(size)


def regular(files: Iterable[dict[str, Any]]) -> int:
    """How many of a manifest's files are regular ones."""
    return sum("sha256" in record for record in files)


def readable(size: int) -> str:
    """A number of bytes for people: 1.0 GiB."""
    amount, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{size:,} bytes" if unit == "bytes" else f"{amount:,.1f} {unit}"


def _path(record: dict[str, Any]) -> str:
    return str(record["path"])


def _manifest(base: dict[str, Any], lists: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """The manifest, a line for each file: made as it is written, since it may be larger than all the rest in memory."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    yield json.dumps(base, indent=2, ensure_ascii=False).removesuffix("\n}")
    for name, records in lists.items():
        yield f",\n  {encode(name)}: ["
        for number, record in enumerate(records):
            yield f"{',' if number else ''}\n    {encode(record)}"
        yield "\n  ]" if records else "]"
    yield "\n}\n"


def _sum_line(digest: str, name: str) -> str:
    """A line for `sha256sum -c`: no name in the ZIP has a character that it would want escaped."""
    return f"{digest}  {name}\n"


def _entry(name: str, mode: int, mtime: float) -> zipfile.ZipInfo:
    moment = time.gmtime(max(315_532_800, min(4_354_819_198, mtime)))  # 1980 to 2107: what a ZIP can say
    info = zipfile.ZipInfo(name, moment[:6])
    info.external_attr = mode << 16
    info._compresslevel = LEVEL  # type: ignore[attr-defined]  # noqa: SLF001 - zipfile has no public way
    return info
