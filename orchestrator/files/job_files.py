"""The data folder on disk: one folder per job, with its ZIP."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from orchestrator.errors import Busy, DiskUnreadable, SettingsError
from orchestrator.sizes import show_size

#: Bytes that are gathered before a thread writes them to disk.
BLOCK = 1 << 20


class DiskFull(Exception):
    """The host's disk has no space for a file."""


class TooBig(Exception):
    """A stream is longer than its limit."""


@dataclass(frozen=True)
class Part:
    """A received ZIP that is not yet the ZIP of its job."""

    job_id: str
    path: Path
    size: int
    sha256: str

    def discard(self) -> None:
        """Remove the received ZIP. Blocks."""
        self.path.unlink(missing_ok=True)


class JobFiles:
    """The folder of all jobs. Only one orchestrator at a time uses it."""

    def __init__(self, folder: Path, reserve: int) -> None:
        self.folder, self._reserve = folder, reserve
        self._opened: os.stat_result | None = None
        self.room_fault = ""  # why the last attempt to remove old results failed, as a sentence
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = hold(folder / "orchestrator.lock", f"the record in {folder}")
        except OSError as error:
            raise SettingsError(f"AGENT_OUTPUT_DIR={folder} cannot be used: {error.strerror}.") from None
        for part in (*folder.glob("*.part"), *folder.glob("*/*.part")):  # incomplete files from a sudden end
            part.unlink()

    @property
    def database(self) -> Path:
        return self.folder / "orchestrator.db"

    def gone(self) -> str | None:
        """Return a sentence if the database was removed or replaced since the first call, else None. Blocks."""
        try:
            found = os.stat(self.database)
            self._opened = self._opened or found
            if os.path.samestat(found, self._opened):
                return None
        except FileNotFoundError:
            pass
        return f"The record in {self.folder} was removed, or another one put in its place, while the system ran."

    def artifact(self, job_id: str) -> Path:
        """Return the path of a job's ZIP, whether or not it exists yet."""
        return self.folder / job_id / f"{job_id}.zip"

    def open(self, job_id: str) -> BinaryIO | None:
        """Open a job's ZIP for reading. Returns None if it does not exist. Blocks."""
        try:
            return open(self.artifact(job_id), "rb")
        except FileNotFoundError:
            return None

    def disk_short(self) -> str | None:
        """Return a sentence if the disk has less free space than DISK_RESERVE, else None. Blocks.

        Raises DiskUnreadable.
        """
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            why = f"{error.strerror}. See `df {self.folder}` and `dmesg`"
            raise DiskUnreadable(f"The free space of {self.folder} cannot be read: {why}.") from error
        if free >= self._reserve:
            return None
        return (
            f"The disk of {self.folder} has {show_size(free)} left, less than DISK_RESERVE "
            f"({show_size(self._reserve)}). Make room, or lower DISK_RESERVE."
        )

    @contextmanager
    def noting_fault(self) -> Iterator[None]:
        """Keep an error of the block in ``room_fault``. The next block without an error clears it."""
        try:
            yield
        except Exception as error:
            self.room_fault = f"Old results could not be removed: {str(error).rstrip('.')}."
            raise
        self.room_fault = ""

    def room(self) -> int:
        """Return the bytes that a ZIP may take. Half of the reserve stays free for the database. Blocks."""
        return max(0, shutil.disk_usage(self.folder).free - self._reserve // 2)

    async def receive(self, job_id: str, chunks: AsyncIterator[bytes], limit: int) -> Part:
        """Write a ZIP from a stream. Afterwards, ``keep`` makes it the job's ZIP. Raises DiskFull and TooBig."""
        try:
            part = await asyncio.to_thread(self._part, job_id)
        except OSError as error:
            raise self._full(error) from error
        digest = hashlib.sha256()
        size = 0

        def write(block: bytes) -> None:
            self.write(file, block)
            digest.update(block)

        try:
            file = await asyncio.to_thread(open, part, "wb")
            try:
                waiting = bytearray()
                async for chunk in chunks:
                    waiting += chunk
                    size += len(chunk)
                    if size > limit:
                        raise TooBig(f"The ZIP is larger than {show_size(limit)}.")
                    if len(waiting) >= BLOCK:
                        block = bytes(waiting)
                        waiting.clear()
                        await asyncio.to_thread(write, block)
                await asyncio.to_thread(write, bytes(waiting))
                await asyncio.to_thread(_to_disk, file)
            finally:
                await asyncio.to_thread(file.close)
            return Part(job_id, part, size, digest.hexdigest())
        except BaseException as error:
            await asyncio.to_thread(part.unlink, missing_ok=True)
            if isinstance(error, OSError):
                raise self._full(error) from error
            raise

    def keep(self, part: Part) -> None:
        """Make a received ZIP the job's ZIP. It appears whole or not at all. Blocks."""
        self._appear(part.job_id, part.path)

    def make(self, job_id: str, write: Callable[[BinaryIO], None]) -> tuple[int, str]:
        """Store a job's ZIP that ``write`` makes. Returns its size and its sha256. Blocks. Raises DiskFull."""
        try:
            part = self._part(job_id)
            try:
                with open(part, "w+b") as file:
                    write(file)
                    _to_disk(file)
                    file.seek(0)
                    digest = hashlib.file_digest(file, "sha256")
                    size = file.seek(0, os.SEEK_END)
                self._appear(job_id, part)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise self._full(error) from error
        return size, digest.hexdigest()

    def write(self, file: IO[bytes], block: bytes) -> None:
        """Write a block. Raises DiskFull if the disk has no space for it. Blocks."""
        room = self.room()
        if len(block) > room:
            short = self.disk_short() or f"{show_size(room)} are left for files."
            raise DiskFull(f"The disk of {self.folder} is full: {short}")
        file.write(block)

    def uploads_folder(self, job_id: str) -> Path:
        """Make the folder for a job's uploaded files. A file's name in it is its number. Blocks."""
        folder = self.folder / job_id / "uploads"
        folder.mkdir(parents=True)
        return folder

    def create_upload(self, folder: Path, number: int) -> IO[bytes]:
        """Create a file for ``write`` and ``finish``. Blocks."""
        return open(folder / str(number), "xb")

    def finish(self, file: IO[bytes]) -> None:
        """Sync a file to the disk and close it. Blocks."""
        _to_disk(file)
        file.close()

    def keep_uploads(self, job_id: str) -> None:
        """Sync the names of a job's uploaded files to the disk, after the last file. Blocks."""
        for folder in (self.folder / job_id / "uploads", self.folder / job_id, self.folder):
            _folder_to_disk(folder)

    def upload(self, job_id: str, number: int) -> Path:
        return self.folder / job_id / "uploads" / str(number)

    def share_uploads(self, job_id: str, other_id: str) -> bool:
        """Link the uploaded files of a job to another job. Returns False if they no longer exist. Blocks.

        The files are not copied. Raises OSError; then nothing is left on disk.
        """
        source = self.folder / job_id / "uploads"
        try:
            folder = self.uploads_folder(other_id)
            for path in source.iterdir():
                os.link(path, folder / path.name)
            self.keep_uploads(other_id)
        except OSError as error:
            self.remove(other_id)
            if isinstance(error, FileNotFoundError):
                return False
            raise
        return True

    def with_uploads_alone(self) -> list[str]:
        """Return the ids of jobs with uploads and no ZIP. Jobs that were never accepted are among them. Blocks."""
        found = [path.parent.name for path in self.folder.glob("*/uploads")]
        return [job_id for job_id in found if not self.artifact(job_id).exists()]

    def key(self, name: str) -> bytes:
        """Return one of our keys. Makes the key if it does not exist. Only we can read it. Raises SettingsError."""
        path = self.folder / f"{name}.key"
        try:
            if not path.exists():
                _write_private(path, base64.urlsafe_b64encode(os.urandom(32)))
            path.chmod(0o600)
            content = path.read_bytes()
        except OSError as error:
            raise SettingsError(f"{path}, a key of ours, cannot be used: {error.strerror}.") from None
        if not re.fullmatch(rb"[A-Za-z0-9_-]{43}=", content):
            raise SettingsError(f"{path} is no key. Move it away, and a new one is made.")
        return content

    def seal(self, job_id: str, content: bytes) -> None:
        """Store a private file of a job until the job ends. It is on disk when this returns. Blocks."""
        path = self.sealed_path(job_id)
        path.parent.mkdir(exist_ok=True)
        _write_private(path, content)
        _folder_to_disk(self.folder)

    def sealed(self, job_id: str) -> bytes | None:
        """Return the private file of a job. Returns None if it does not exist. Blocks."""
        try:
            return self.sealed_path(job_id).read_bytes()
        except FileNotFoundError:
            return None

    def unseal(self, job_id: str) -> None:
        """Remove the private file of a job. It is gone from the disk when this returns. Blocks."""
        path = self.sealed_path(job_id)
        if path.exists():
            path.unlink()
            _folder_to_disk(path.parent)

    def sealed_path(self, job_id: str) -> Path:
        return self.folder / job_id / "secrets"

    def with_sealed(self) -> list[str]:
        """Return the ids of the jobs that have a private file. Blocks."""
        return [path.parent.name for path in self.folder.glob("*/secrets")]

    def measure(self, job_id: str) -> tuple[int, str] | None:
        """Return the size and the sha256 of a job's ZIP. Returns None if the ZIP does not exist. Blocks."""
        try:
            with open(self.artifact(job_id), "rb") as file:
                digest = hashlib.file_digest(file, "sha256")
                return os.fstat(file.fileno()).st_size, digest.hexdigest()
        except FileNotFoundError:
            return None

    def remove(self, job_id: str) -> None:
        """Delete a job's folder. Blocks."""
        shutil.rmtree(self.folder / job_id, ignore_errors=True)

    def close(self) -> None:
        self._lock.close()

    def _full(self, error: OSError) -> DiskFull:
        return DiskFull(f"The ZIP could not be written to {self.folder}: {error.strerror}.")

    def _part(self, job_id: str) -> Path:
        artifact = self.artifact(job_id)
        artifact.parent.mkdir(exist_ok=True)
        return artifact.with_suffix(f".{os.urandom(4).hex()}.part")

    def _appear(self, job_id: str, part: Path) -> None:
        artifact = self.artifact(job_id)
        os.replace(part, artifact)
        for folder in (artifact.parent, self.folder):
            _folder_to_disk(folder)


def hold(path: Path, what: str) -> IO[str]:
    """Lock a file for as long as it is open. Raises Busy if another process has locked it."""
    file = open(path, "w")  # noqa: SIM115 - the caller keeps it open
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Busy(f"Another orchestrator holds {what}. Stop it, or set AGENT_OUTPUT_DIR and RUN_DIR.") from None
    return file


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that other users may not read. It appears whole or not at all."""
    part = path.with_name(f"{path.name}.{os.urandom(4).hex()}.part")
    try:
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(content)
            _to_disk(file)
        os.replace(part, path)
        _folder_to_disk(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _folder_to_disk(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
