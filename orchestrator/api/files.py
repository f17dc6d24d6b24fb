"""A job's files, one by one: from its workspace while it runs, from its ZIP afterwards."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
import re
from collections.abc import Callable
from contextlib import closing, suppress
from email.utils import formatdate
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import quote

from anyio import CapacityLimiter, EndOfStream, to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from agent import wire
from agent.names import LONGEST_NAME
from orchestrator import archive
from orchestrator.api import schemas
from orchestrator.api.contents import SAFE_HEADERS, Contents, bad_range, no_such_part, unchanged
from orchestrator.api.context import Context, Here, KnownJob
from orchestrator.api.jobs import PROBLEM, check_not_expired
from orchestrator.documents import iso
from orchestrator.errors import BadRequest, Conflict, NotFound, Unavailable
from orchestrator.looks import Answer
from orchestrator.models import FINAL, Job
from orchestrator.sizes import show_size

log = logging.getLogger(__name__)
router = APIRouter(responses={422: PROBLEM})
T = TypeVar("T")

#: Seconds that a caller waits for a job that is being packed.
PACKING_SECONDS = 10.0

UNKNOWN = "application/octet-stream"

#: ZIPs whose directories are read at the same time: a large one takes 200 MB and a second.
_readers = CapacityLimiter(2)

_RANGE = re.compile(r"bytes *= *(?:(\d{1,18}) *- *(\d{0,18})|- *(\d{1,18}))", re.IGNORECASE | re.ASCII)


@router.get(
    "/jobs/{job_id}/files",
    summary="A job's files",
    responses={code: PROBLEM for code in (404, 409, 410, 429, 503, 504)},
)
async def files(
    job: KnownJob,
    here: Here,
    under: Annotated[str, Query(max_length=LONGEST_NAME, description="Only what is in this folder.")] = "",
    cursor: Annotated[str, Query(max_length=LONGEST_NAME, description="`next_cursor` of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=wire.LIST_ENTRIES)] = wire.LIST_ENTRIES,
) -> schemas.FileList:
    """What is in the workspace while the job runs, and afterwards what is in the ZIP of it; before, nothing is."""
    folder = under.strip("/")
    below = f"{folder}/" if folder else ""
    found = wire.FoundList([], more=False, cut=False)
    source = "scheduled"
    if job.status != "scheduled":
        seen = await _look(here, job.id, under=below, after=cursor, most=limit)
        if isinstance(seen, Answer):
            source = "running"
            with closing(seen):
                if not isinstance(seen.found, wire.FoundList):
                    _refuse(job.id, "", seen.found)
                found = seen.found
        else:
            source = "artifact"
            zipped = here.records.artifact(job.id)
            found = await _in_zip(here, seen, lambda: archive.listing(zipped, below, cursor, limit))
    return schemas.FileList(
        job_id=job.id,
        source=source,
        files=[_view(job.id, entry) for entry in found.files],
        truncated=found.cut,
        next_cursor=found.files[-1].path if found.more and found.files else None,
    )


@router.get(
    "/jobs/{job_id}/files/{path:path}",
    summary="One of a job's files",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The file, as an attachment. Ranges work."},
        **{code: PROBLEM for code in (400, 404, 409, 410, 413, 416, 429, 503, 504)},
    },
)
@router.head("/jobs/{job_id}/files/{path:path}", include_in_schema=False)
async def file(job: KnownJob, path: str, here: Here, request: Request) -> Response:
    """A path as GET /jobs/{job_id}/files lists it. While the job runs, one part of at most 64 MiB at a time."""
    if job.status == "scheduled":
        raise Conflict(
            409, "not-started", "Not started", f"Job {job.id} is scheduled: it has no files yet.", {"Retry-After": "2"}
        )
    if len(path.encode()) > LONGEST_NAME or any(part in ("", ".", "..") or "\0" in part for part in path.split("/")):
        _refuse(job.id, path, wire.FoundNone("missing"))
    first, last = _range(request)
    seen = await _look(here, job.id, path=path, first=first, last=last, content=request.method == "GET")
    if isinstance(seen, Answer):
        try:
            return _live(job.id, path, seen, request, parted=(first, last) != (None, None))
        except BaseException:
            seen.close()
            raise
    sha256 = (seen.artifact or {}).get("sha256", "")
    member = await _in_zip(here, seen, lambda: archive.find(here.records.artifact(job.id), path, sha256))
    if isinstance(member, wire.FoundNone):
        _refuse(job.id, path, member)
    if answer := unchanged(request, member.etag):
        member.file.close()
        return answer
    return Contents(member.file, member.size, member.modified, _name(path), _media_type(path), member.etag)


async def _look(here: Context, job_id: str, **wanted: Any) -> Answer | Job:
    """What a running job's agent found, or the job where it has ended. Raises Unavailable."""
    job = await here.scheduler.wait(job_id, 0)
    if job.status not in FINAL and job.phase != "package":
        answer = await here.scheduler.looks.ask(job_id, **wanted)
        if answer is not None:
            if not (isinstance(answer.found, wire.FoundNone) and answer.found.kind == "ended"):
                return answer
            answer.close()
    job = await here.scheduler.wait(job_id, PACKING_SECONDS)
    if job.status not in FINAL:
        raise Unavailable(
            503,
            "being-packed",
            "Being packed",
            f"The files of job {job_id} are being packed; they can be had when it has ended. "
            f"GET /status/{job_id}?wait=60 waits for it.",
            {"Retry-After": "5"},
        )
    return job


async def _in_zip(here: Context, job: Job, read: Callable[[], T]) -> T:
    """Look into the ZIP of an ended job; raises Gone and NotFound."""
    try:
        return await to_thread.run_sync(read, limiter=_readers)
    except FileNotFoundError:
        await check_not_expired(here, job.id)
        raise NotFound(404, "no-zip", "No ZIP", f"There is no ZIP of job {job.id}. {job.detail}".strip()) from None
    except archive.Unreadable as error:
        detail = f"Into the ZIP of job {job.id} nobody can look: {error}. GET /download/{job.id} has it as it is."
        raise Conflict(409, "unreadable-zip", "Unreadable ZIP", detail) from error


def _live(job_id: str, path: str, answer: Answer, request: Request, parted: bool) -> Response:
    """The answer of which a running job's agent sends the content."""
    found = answer.found
    if not isinstance(found, wire.FoundFile):
        _refuse(job_id, path, found)
    if parted and found.begin == found.end:
        raise no_such_part(found.size)
    etag = f'W/"{found.size:x}-{int(found.modified * 1e6):x}"'
    if same := unchanged(request, etag):
        answer.close()
        return same
    if answer.too_large and answer.look.content:
        most = show_size(wire.LIVE_FILE_BYTES)
        raise BadRequest(
            413,
            "too-large",
            "Too large",
            f"{path[:200]!r} has {found.size:,} bytes. While the job runs, {most} at a time can be had: ask for a part "
            f"with Range (-H 'Range: bytes=-1000' are the last 1,000), or wait for the ZIP.",
        )
    name, quoted = _name(path), quote(_name(path))
    headers = {
        "Content-Length": str(found.end - found.begin),
        "Content-Disposition": "attachment; "
        + (f'filename="{name}"' if name == quoted else f"filename*=utf-8''{quoted}"),
        "Accept-Ranges": "bytes",
        "Last-Modified": formatdate(found.modified, usegmt=True),
        "ETag": etag,
        **SAFE_HEADERS,
    }
    if parted:
        headers["Content-Range"] = f"bytes {found.begin}-{found.end - 1}/{found.size}"
    return Live(answer, 206 if parted else 200, headers, _media_type(path))


class Live(StreamingResponse):
    """A file as a sandbox sends it. What breaks off is not ended as if it were whole. Closes the answer."""

    def __init__(self, answer: Answer, status: int, headers: dict[str, str], media_type: str) -> None:
        super().__init__(answer.blocks, status, headers, media_type)
        self._answer = answer

    async def stream_response(self, send: Send) -> None:
        answer, left = self._answer, self._answer.wanted
        with suppress(TimeoutError, EndOfStream):
            async with asyncio.timeout_at(answer.over):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                while left:
                    block = await answer.blocks.receive()
                    left -= len(block)
                    await send({"type": "http.response.body", "body": block, "more_body": True})
        if left:  # without a last message the connection is closed, and whoever reads knows that it is not all
            log.info("a file of a running job broke off %d bytes before its end", left)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.close()


def _range(request: Request) -> tuple[int | None, int | None]:
    """First and last byte of the part that is wanted of a running job's file, as wire.Look has them."""
    wanted = request.headers.get("range")
    # of a file that changes there is no tag that If-Range could name; a unit that is not ours is to be ignored
    if wanted is None or "if-range" in request.headers or not wanted.strip().lower().startswith("bytes"):
        return None, None
    found = _RANGE.fullmatch(wanted.strip())
    if not found:
        raise bad_range()
    first, last, suffix = (int(number) if number else None for number in found.groups())
    if first is not None and last is not None and last < first:
        raise bad_range()
    return (None, suffix) if first is None else (first, last)


def _refuse(job_id: str, path: str, found: wire.Found | None) -> NoReturn:
    """Say why there is no file to send."""
    shown = repr(path[:200])
    kind, detail = (found.kind, found.detail) if isinstance(found, wire.FoundNone) else ("failed", "")
    where = f"GET /jobs/{job_id}/files lists those there are."
    match kind:
        case "missing":
            raise NotFound(404, "no-such-file", "No such file", f"Job {job_id} has no file {shown}. {where}")
        case "folder":
            folder = quote(path[:200])
            detail = f"{shown} is a folder. GET /jobs/{job_id}/files?under={folder} lists what is in it."
        case "link":
            detail = f"{shown} is a link, or leads over one, to {detail[:200]!r}: links are not followed. {where}"
        case "other":
            detail = f"{shown} is no regular file, but a pipe, a socket or a device."
        case "denied":
            detail = f"{shown} cannot be read by the job's own user: {detail}."
        case _:
            raise Unavailable(
                503,
                "no-look",
                "No look",
                f"Into job {job_id} nobody can look now: {detail}. Ask again, or wait for the ZIP.",
                {"Retry-After": "2"},
            )
    raise Conflict(409, "not-a-file", "Not a file", detail)


def _view(job_id: str, entry: wire.Entry) -> schemas.FileView:
    is_file = entry.kind == "file"
    return schemas.FileView(
        path=entry.path,
        kind=entry.kind,
        bytes=entry.size,
        modified=iso(entry.modified),
        media_type=_media_type(entry.path) if is_file else None,
        url=f"/jobs/{job_id}/files/{quote(entry.path)}" if is_file else None,
    )


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _media_type(path: str) -> str:
    """What a file's name says it is."""
    found, packed = mimetypes.guess_type(_name(path))
    return {"gzip": "application/gzip"}.get(packed, UNKNOWN) if packed else found or UNKNOWN
