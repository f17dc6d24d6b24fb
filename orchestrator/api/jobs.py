"""The five calls of a job's life: schedule, status, jobs, cancel, download."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import WithJsonSchema

from orchestrator.api import schemas
from orchestrator.api.context import Context, Here, JobId, KnownJob, Wait
from orchestrator.api.file_response import ASKS, Contents, answers, unchanged
from orchestrator.api.submission import BODY, read
from orchestrator.db.models import FINAL, MODEL, Job
from orchestrator.errors import BadRequest, Conflict, Gone, NotFound, no_such_job
from orchestrator.gateway import urls
from orchestrator.jobs.creation import new_id
from orchestrator.reports.documents import iso

PROBLEM: dict[str, Any] = {"model": schemas.ProblemView, "content": {"application/problem+json": {}}}
router = APIRouter(responses={422: PROBLEM})


@router.post(
    "/schedule",
    status_code=202,
    response_model=schemas.StatusView,
    summary="Submit a job",
    openapi_extra=BODY,
    responses={
        200: {"model": schemas.StatusView, "description": "With `wait`: the job has ended."},
        **{code: PROBLEM for code in (400, 408, 413, 415, 422, 429, 503, 507)},
    },
)
async def schedule(request: Request, response: Response, here: Here, wait: Wait = 0) -> schemas.StatusView:
    """Store the job on disk, then answer. With `wait`, the answer comes when the job has ended."""
    job_id = new_id()
    wanted, uploads = await read(request, here, job_id)
    job = await here.creation.create(wanted, job_id, uploads)
    response.headers["Location"] = f"/status/{job.id}"
    if wait:
        job = await here.job_service.wait(job.id, wait)
        response.status_code = 200 if job.status in FINAL else 202
    return await view(here, job.id)


@router.get("/status/{job_id}", response_model=schemas.StatusView, summary="Status of a job", responses={404: PROBLEM})
async def status(job: KnownJob, here: Here, wait: Wait = 0) -> schemas.StatusView:
    """Return everything about a job. With `wait`, the answer comes when the job has ended."""
    if wait:
        await here.job_service.wait(job.id, wait)
    return await view(here, job.id)


@router.get("/jobs", response_model=schemas.JobList, summary="List jobs, newest first")
async def jobs(
    here: Here,
    status: Annotated[
        list[schemas.Status] | None, Query(description="Only jobs with this status. May occur several times.")
    ] = None,
    label: Annotated[
        list[Annotated[str, WithJsonSchema({"type": "string", "pattern": "="})]] | None,
        Query(max_length=8, description="`name=value`. May occur several times; the job must have all of them."),
    ] = None,
    cursor: Annotated[
        str | None, Query(pattern=r"^\d{1,18}$", description="`next_cursor` of the previous page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> schemas.JobList:
    wanted = []
    for item in label or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise BadRequest(422, "invalid", "Invalid request", f"label: {item[:80]!r} is not of the form name=value.")
        wanted.append((name, value))
    before = int(cursor) if cursor else None
    found = await here.store.jobs(statuses=status or (), labels=wanted, before=before, limit=limit + 1)
    page = found[:limit]
    following = str(page[-1].n) if len(found) > limit else None
    return schemas.JobList(jobs=[schemas.summary(job) for job in page], next_cursor=following)


@router.post(
    "/cancel/{job_id}",
    response_model=schemas.StatusView,
    summary="Cancel a job",
    responses={code: PROBLEM for code in (404, 503, 507)},
)
async def cancel(job_id: JobId, here: Here) -> schemas.StatusView:
    """Stop a job in any phase. If the job has ended or was cancelled before, nothing changes."""
    await here.job_service.cancel(job_id)
    return await view(here, job_id)


#: The description of the calls for a job's ZIP in the OpenAPI document.
ZIP: dict[str, Any] = {
    "response_class": FileResponse,
    "responses": {
        **answers("application/zip"),
        **{code: PROBLEM for code in (400, 404, 409, 410, 416)},
    },
    "openapi_extra": ASKS,
}


@router.get("/download/{job_id}", summary="Download the ZIP", **ZIP)
@router.head("/download/{job_id}", summary="Size and checksum of the ZIP", **ZIP)
@router.get("/download/{job_id}.zip", include_in_schema=False)
@router.head("/download/{job_id}.zip", include_in_schema=False)
async def download(job: KnownJob, here: Here, request: Request) -> Response:
    """Return the ZIP. Every ended job has one, until RETENTION_DAYS are over."""
    if job.status not in FINAL:
        raise Conflict(
            409,
            "not-ended",
            "Not ended",
            f"Job {job.id} is {job.status}; its ZIP is there when it has ended. "
            f"GET /status/{job.id}?wait=60 waits for it.",
            {"Retry-After": "2"},
        )
    artifact = job.artifact
    file = await asyncio.to_thread(here.job_files.open, job.id) if artifact else None
    if artifact is None or file is None:
        await check_not_expired(here, job.id)
        raise NotFound(404, "no-zip", "No ZIP", f"There is no ZIP of job {job.id}. {job.detail}".strip())
    etag = f'"{artifact["sha256"]}"'
    if answer := unchanged(request, etag):
        file.close()
        return answer
    return Contents(file, artifact["bytes"], job.ended_at or 0, f"{job.id}.zip", "application/zip", etag)


async def check_not_expired(here: Context, job_id: str) -> None:
    """Raise Gone if the files of a job were removed. Call this after they were not found, so no removal is missed."""
    job = await here.store.job(job_id)
    if job is None:
        raise no_such_job(job_id)
    if job.expired_at is not None:
        raise Gone(
            410,
            "expired",
            "Expired",
            f"The files of job {job.id} were removed at {iso(job.expired_at)}: they had been kept for RETENTION_DAYS "
            f"or its keep_days, or the disk was short. POST /jobs/{job.id}/retry runs it again.",
        )


async def view(here: Context, job_id: str) -> schemas.StatusView:
    """Return everything about a job. Raises NotFound."""
    job = await here.store.job(job_id)
    if job is None:
        raise no_such_job(job_id)
    steps = await here.store.steps(job_id)
    thoughts = await here.store.thoughts(job_id) if job.planned_by == MODEL else []
    ahead = await here.store.ahead(job) if job.status == "scheduled" else None
    writing = here.job_service.writing(job_id) if job.planned_by == MODEL else None
    return schemas.status_view(job, steps, thoughts, ahead, _views(here, job), writing)


def _views(here: Context, job: Job) -> schemas.ViewLinks | None:
    """Return the links to a job's views. Each call makes new links."""
    if job.status != "running" or job.packaging_at or job.settled_at:
        return None
    link = partial(urls.link, here.settings, here.signer, job)
    desktop = schemas.DesktopView(watch=link("desktop", "watch"), control=link("desktop", "control"))
    return schemas.ViewLinks(desktop=desktop, notebook=link("notebook", "control"))
