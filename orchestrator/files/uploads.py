"""The uploaded files of a job. They are read from a form, stored by number, and sent to the agent as one stream."""

from __future__ import annotations

import hashlib
import re
import tarfile
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import IO, Any

from anyio import to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from orchestrator.errors import BadRequest, Unavailable
from orchestrator.files.client_texts import decode, disposition
from orchestrator.files.job_files import BLOCK, DiskFull, JobFiles
from orchestrator.sizes import show_size

#: Maximum files of one job, and maximum bytes of all other fields of a form together.
MOST_FILES, FIELD_BYTES = 1_000, 4 * 2**20

#: Bytes of memory that a part of a form takes in addition to its content, roughly.
PART_BYTES = 200

#: Maximum bytes of a form's boundary, see RFC 2046, section 5.1.1.
BOUNDARY_BYTES = 70

#: Maximum bytes of a file's name in a Linux file system.
NAME_BYTES = 255

#: Names of a field with files: `files`, and the names that other services and form libraries use.
FILE_FIELD = re.compile(r"files?(\[\d*\]|[-_]?\d{1,6})?", re.IGNORECASE)

#: The name under which a browser sends a Blob, such as a JSON field with its own type.
BLOB = "blob"

#: Characters that hide the true name: controls, line breaks, halves of surrogate pairs, changes of direction.
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def safe_name(given: str) -> str:
    """Return the name of an uploaded file in the workspace: its base name in Unicode's composed form.

    Raises BadRequest (422) for a name that cannot be made safe without a change of meaning.
    """
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", given)[-1])
    if name.strip() in ("", ".", ".."):
        raise _bad_name(given, "names no file")
    if UNSAFE.search(name):
        raise _bad_name(given, "has control characters, or others that hide what it is")
    if len(name.encode()) > NAME_BYTES:
        raise _bad_name(given, f"has more than {NAME_BYTES} bytes")
    if name.casefold() == ".env" or name.casefold().startswith(".env."):
        raise _bad_name(
            given, "is that of a file of secrets, and all that is uploaded is in the ZIP; rename it if it is none"
        )
    return name


class UploadForm:
    """A form as ``multipart/form-data`` (RFC 7578). Fields stay in memory; files go to the disk as they arrive.

    ``fields`` has the texts of the form's fields. ``uploads`` has the record of each file. ``percent_encoded`` says
    that the client percent-encodes the names of files.
    """

    def __init__(
        self, boundary: bytes, folder: Path, job_files: JobFiles, max_upload: int, percent_encoded: bool = False
    ) -> None:
        self.fields: dict[str, str] = {}
        self.uploads: list[dict[str, Any]] = []
        self._folder, self._job_files, self._max_upload = folder, job_files, max_upload
        self._percent_encoded = percent_encoded
        self._size = self._field_size = 0
        self._header, self._value = bytearray(), bytearray()
        self._headers: dict[str, bytes] = {}
        self._name, self._text, self._no_file = "", bytearray(), False
        self._file: IO[bytes] | None = None
        self._digest = hashlib.sha256()
        self._whole = False
        called: dict[str, Callable[..., None]] = {
            "on_part_begin": self._part_begins,
            "on_header_field": lambda data, begin, end: self._header.extend(data[begin:end]),
            "on_header_value": lambda data, begin, end: self._value.extend(data[begin:end]),
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._part_data,
            "on_part_end": self._part_ends,
            "on_end": self._ends,
        }
        self._parser = MultipartParser(boundary, called)  # type: ignore[arg-type]

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body. Blocks. Raises BadRequest (422, 413) and DiskFull."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BadRequest(400, "bad-form", "Bad form", f"The form could not be read: {error}.") from None

    def close(self) -> None:
        """Close the form at the end of the body. Raises BadRequest if the form is not complete."""
        if self._file:
            self._file.close()
        if not self._whole:
            raise BadRequest(400, "bad-form", "Bad form", "The form is cut off: its last boundary did not come.")

    def _part_begins(self) -> None:
        self._headers = {}

    def _header_ends(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_end(self) -> None:
        try:
            named = disposition(self._headers.get("content-disposition", b""), self._percent_encoded)
        except UnicodeDecodeError:
            raise _bad_field("files", "a file's name, or that of a field, is not UTF-8") from None
        if named is None:
            raise BadRequest(400, "bad-form", "Bad form", "A part of the form has no name, or its header is malformed.")
        self._name, filename = named
        self._count(PART_BYTES + len(self._name))
        encoding = self._headers.get("content-transfer-encoding", b"binary").decode("latin-1").strip().lower()
        if encoding not in ("binary", "8bit", "7bit"):
            raise _bad_field(self._name, f"has Content-Transfer-Encoding {encoding[:80]!r}; send the bytes as they are")
        self._no_file = filename == ""
        is_file_field = FILE_FIELD.fullmatch(self._name) is not None
        if not filename or (filename == BLOB and not is_file_field):
            if self._name in self.fields:
                raise _bad_field(self._name, "is given more than once")
            self._text.clear()
            return
        if not is_file_field:
            how = "files go as files (-F files=@sales.csv), the text of one as a field (-F 'steps=<steps.json')"
            raise _bad_field(self._name, f"was sent as a file: {how}")
        name = safe_name(filename)
        if any(upload["name"] == name for upload in self.uploads):
            raise _bad_name(name, "is that of two files, and one would replace the other")
        if len(self.uploads) == MOST_FILES:
            raise _too_large(f"A job takes {MOST_FILES:,} files at most; pack them into an archive.")
        self.uploads.append({"name": name, "bytes": 0, "sha256": "", "sample": False})
        self._digest = hashlib.sha256()
        self._file = self._job_files.create_upload(self._folder, len(self.uploads))

    def _part_data(self, data: bytes, begin: int, end: int) -> None:
        if self._file is None:
            self._count(end - begin)
            self._text += data[begin:end]
            return
        self._size += end - begin
        if self._size > self._max_upload:
            raise too_much(self._max_upload)
        self._digest.update(data[begin:end])
        self._job_files.write(self._file, data[begin:end])

    def _count(self, size: int) -> None:
        """Limit the bytes that the form holds in memory."""
        self._field_size += size
        if self._field_size > FIELD_BYTES:
            raise _too_large(f"A form may have {show_size(FIELD_BYTES)} beside its files.")

    def _part_ends(self) -> None:
        if self._file is None:
            if self._no_file or FILE_FIELD.fullmatch(self._name):
                self._check_no_file()
                return
            charset = parse_options_header(self._headers.get("content-type"))[1].get(b"charset", b"").decode("latin-1")
            try:
                self.fields[self._name] = decode(bytes(self._text), charset)
            except UnicodeDecodeError as error:
                raise _bad_field(self._name, f"is not UTF-8: byte {error.start + 1} is wrong") from None
            return
        self.uploads[-1] |= {"bytes": self._file.tell(), "sha256": self._digest.hexdigest()}
        self._job_files.finish(self._file)
        self._file = None

    def _check_no_file(self) -> None:
        """Let a file input pass in which the user has chosen no file. Raises BadRequest if the part has content."""
        if self._text and self._no_file:
            raise _bad_name("", "names no file")
        if self._text:
            raise _bad_field(self._name, "was sent as text; -F files=@sales.csv sends a file")

    def _ends(self) -> None:
        self._whole = True


async def read_form(
    content_type: str,
    body: AsyncIterator[bytes],
    job_files: JobFiles,
    job_id: str,
    max_upload: int,
    percent_encoded: bool = False,
) -> UploadForm:
    """Read a form, and store its files as the files of a job. See ``UploadForm``.

    Raises BadRequest, and Unavailable if the disk is full. After an error, nothing is left on disk.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not 0 < len(boundary) <= BOUNDARY_BYTES:
        detail = f"The form's Content-Type names no boundary, or one longer than {BOUNDARY_BYTES} characters."
        raise BadRequest(400, "bad-form", "Bad form", detail)
    try:
        folder = await to_thread.run_sync(job_files.uploads_folder, job_id)
        form = UploadForm(boundary, folder, job_files, max_upload, percent_encoded)
        waiting = bytearray()
        async for chunk in body:
            waiting += chunk
            if len(waiting) >= BLOCK:
                await to_thread.run_sync(form.feed, bytes(waiting))
                waiting.clear()
        await to_thread.run_sync(form.feed, bytes(waiting))
        await to_thread.run_sync(form.close)
        # without files, the folder must not exist: a template's sample may make it later
        await to_thread.run_sync(job_files.keep_uploads if form.uploads else job_files.remove, job_id)
        return form
    except BaseException as error:
        await to_thread.run_sync(job_files.remove, job_id)
        if isinstance(error, DiskFull | OSError):
            raise _disk_full(error) from error
        raise


def keep_files(paths: list[Path], job_files: JobFiles, job_id: str) -> list[dict[str, Any]]:
    """Copy files of this machine, such as a template's sample, to a job like uploaded files. Blocks.

    Raises Unavailable if the disk is full; then nothing is left on disk.
    """
    uploads = []
    try:
        folder = job_files.uploads_folder(job_id)
        for number, path in enumerate(paths, 1):
            content = path.read_bytes()
            with job_files.create_upload(folder, number) as file:
                job_files.write(file, content)
                job_files.finish(file)
            digest = hashlib.sha256(content).hexdigest()
            uploads.append({"name": path.name, "bytes": len(content), "sha256": digest, "sample": True})
        job_files.keep_uploads(job_id)
    except (DiskFull, OSError) as error:
        job_files.remove(job_id)
        raise _disk_full(error) from error
    return uploads


def share_files(job_files: JobFiles, job_id: str, other_id: str) -> bool:
    """Link the files of a job to another job, see ``JobFiles.share_uploads``. Blocks. Raises Unavailable."""
    try:
        return job_files.share_uploads(job_id, other_id)
    except OSError as error:
        raise _disk_full(error) from error


def tar(uploads: list[dict[str, Any]], path_of: Callable[[int], Path]) -> Iterator[bytes]:
    """Yield a job's files as a POSIX tar stream. Each file has its name in the workspace. Blocks."""
    now = time.time()
    for number, upload in enumerate(uploads, 1):
        member = tarfile.TarInfo(upload["name"])
        member.size, member.mode, member.mtime = upload["bytes"], 0o644, now
        yield member.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
        with open(path_of(number), "rb") as file:
            while block := file.read(BLOCK):
                yield block
        yield b"\0" * (-upload["bytes"] % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _disk_full(error: Exception) -> Unavailable:
    return Unavailable(507, "disk-full", "Disk full", f"The files could not be stored: {error}")


def too_much(max_upload: int) -> BadRequest:
    """Return the error for files that are too large together."""
    return _too_large(f"The files of a job have {show_size(max_upload)} at most (MAX_UPLOAD).")


def _too_large(detail: str) -> BadRequest:
    return BadRequest(413, "too-large", "Too large", detail)


def _bad_field(name: str, what: str) -> BadRequest:
    name = name[:80]
    errors = [{"field": name, "message": what}]
    return BadRequest(422, "invalid", "Invalid request", f"{name}: {what}.", errors=errors)


def _bad_name(given: str, what: str) -> BadRequest:
    shown = given[:100].encode("utf-8", "backslashreplace").decode()
    return _bad_field("files", f"the name {shown!r} {what}")
