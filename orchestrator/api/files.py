"""A job's files, one by one: from the workspace while the job runs, from the ZIP after its end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request, Response

from orchestrator.api import schemas
from orchestrator.api.context import Context, Here, KnownJob
from orchestrator.api.file_response import ASKS, Contents, answers, unchanged
from orchestrator.api.jobs import PROBLEM, check_not_expired
from orchestrator.api.live_file import base_name, live, media_type, refuse, wanted_part
from orchestrator.db.models import FINAL, Job
from orchestrator.errors import Conflict, NotFound, Unavailable
from orchestrator.files import zip_reader
from orchestrator.live.file_requests import Answer
from orchestrator.reports.documents import iso
from protocol import messages
from protocol.file_names import LONGEST_NAME

router = APIRouter(responses={422: PROBLEM})
T = TypeVar("T")

#: Seconds that a request waits for a job in packaging.
PACKING_SECONDS = 10.0

#: ZIP directories that are read at the same time. Reading a large directory takes 200 MB and a second.
_readers = CapacityLimiter(2)


@router.get(
    "/jobs/{job_id}/files",
    operation_id="list_files",
    tags=["Results"],
    summary="List the files of a job",
    responses={code: PROBLEM for code in (404, 409, 410, 429, 503, 504)},
)
async def files(
    job: KnownJob,
    here: Here,
    under: Annotated[str, Query(max_length=LONGEST_NAME, description="Only files in this folder.")] = "",
    cursor: Annotated[str, Query(max_length=LONGEST_NAME, description="`next_cursor` of the previous page.")] = "",
    limit: Annotated[int, Query(ge=1, le=messages.LIST_ENTRIES)] = messages.LIST_ENTRIES,
) -> schemas.FileList:
    """List the workspace while the job runs, and the ZIP after its end. A scheduled job has no files."""
    folder = under.strip("/")
    below = f"{folder}/" if folder else ""
    found = messages.FoundList([], more=False, cut=False)
    source = "scheduled"
    if job.status != "scheduled":
        seen = await _look(here, job.id, under=below, after=cursor, most=limit)
        if isinstance(seen, Answer):
            source = "running"
            with closing(seen):
                if not isinstance(seen.found, messages.FoundList):
                    refuse(job.id, "", seen.found)
                found = seen.found
        else:
            source = "artifact"
            zipped = here.job_files.artifact(job.id)
            found = await _in_zip(here, seen, lambda: zip_reader.listing(zipped, below, cursor, limit))
    return schemas.FileList(
        job_id=job.id,
        source=source,
        files=[_view(job.id, entry) for entry in found.files],
        truncated=found.cut,
        next_cursor=found.files[-1].path if found.more and found.files else None,
    )


@router.get(
    "/jobs/{job_id}/files/{path:path}",
    operation_id="get_file",
    tags=["Results"],
    summary="One of a job's files",
    response_class=Response,
    responses={
        **answers("*/*"),
        **{code: PROBLEM for code in (400, 404, 409, 410, 413, 416, 429, 503, 504)},
    },
    openapi_extra=ASKS,
)
@router.head("/jobs/{job_id}/files/{path:path}", include_in_schema=False)
async def file(job: KnownJob, path: str, here: Here, request: Request) -> Response:
    """Return one file as an attachment. GET /jobs/{job_id}/files lists the paths.

    While the job runs, one answer has at most 64 MiB.
    """
    if job.status == "scheduled":
        raise Conflict(
            409, "not-started", "Not started", f"Job {job.id} is scheduled: it has no files yet.", {"Retry-After": "2"}
        )
    if len(path.encode()) > LONGEST_NAME or any(part in ("", ".", "..") or "\0" in part for part in path.split("/")):
        refuse(job.id, path, messages.FoundNone("missing"))
    first, last = (None, None) if job.status in FINAL else wanted_part(request)
    seen = await _look(here, job.id, path=path, first=first, last=last, content=request.method == "GET")
    if isinstance(seen, Answer):
        try:
            return live(job.id, path, seen, request, parted=(first, last) != (None, None))
        except BaseException:
            seen.close()
            raise
    sha256 = (seen.artifact or {}).get("sha256", "")
    member = await _in_zip(here, seen, lambda: zip_reader.find(here.job_files.artifact(job.id), path, sha256))
    if isinstance(member, messages.FoundNone):
        refuse(job.id, path, member)
    if answer := unchanged(request, member.etag):
        member.file.close()
        return answer
    return Contents(member.file, member.size, member.modified, base_name(path), media_type(path), member.etag)


async def _look(here: Context, job_id: str, **wanted: Any) -> Answer | Job:
    """Return the agent's answer for a running job, or the job if it has ended. Raises Unavailable."""
    job = await here.job_service.wait(job_id, 0)
    if job.status not in FINAL and job.phase != "package":
        answer = await here.job_service.file_requests.ask(job_id, **wanted)
        if answer is not None:
            if not (isinstance(answer.found, messages.FoundNone) and answer.found.kind == "ended"):
                return answer
            answer.close()
    job = await here.job_service.wait(job_id, PACKING_SECONDS)
    if job.status not in FINAL:
        raise Unavailable(
            503,
            "being-packed",
            "Being packed",
            f"The files of job {job_id} are being packed. Try again when the job has ended: "
            f"GET /status/{job_id}?wait=60 waits for the end.",
            {"Retry-After": "5"},
        )
    return job


async def _in_zip(here: Context, job: Job, read: Callable[[], T]) -> T:
    """Read the ZIP of an ended job. Raises Gone and NotFound."""
    try:
        return await to_thread.run_sync(read, limiter=_readers)
    except FileNotFoundError:
        await check_not_expired(here, job.id)
        raise NotFound(404, "no-zip", "No ZIP", f"There is no ZIP of job {job.id}. {job.detail}".strip()) from None
    except zip_reader.Unreadable as error:
        detail = f"The ZIP of job {job.id} is unreadable: {error}. GET /download/{job.id} returns it unchanged."
        raise Conflict(409, "unreadable-zip", "Unreadable ZIP", detail) from error


def _view(job_id: str, entry: messages.Entry) -> schemas.FileView:
    is_file = entry.kind == "file"
    return schemas.FileView(
        path=entry.path,
        kind=entry.kind,
        bytes=entry.size,
        modified=iso(entry.modified),
        media_type=media_type(entry.path) if is_file else None,
        url=f"/jobs/{job_id}/files/{quote(entry.path)}" if is_file else None,
    )
