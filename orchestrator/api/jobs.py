"""The five calls of a job's life: schedule, status, jobs, cancel, download."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import WithJsonSchema

from orchestrator.api import schemas
from orchestrator.api.context import Context, Flag, Here, JobId, KnownJob, Wait
from orchestrator.api.file_response import ASKS, Contents, answers, unchanged
from orchestrator.api.submission import BODY, read
from orchestrator.db.models import FINAL, MODEL, Job
from orchestrator.errors import BadRequest, Conflict, Gone, NotFound, Unavailable, no_such_job
from orchestrator.gateway import urls
from orchestrator.jobs.creation import new_id
from orchestrator.reports.documents import iso

PROBLEM: dict[str, Any] = {"model": schemas.ProblemView, "content": {"application/problem+json": {}}}
router = APIRouter(responses={422: PROBLEM})

#: How the title of an error names the end of a job.
ENDED = {"failed": "failed", "cancelled": "was cancelled"}


#: The status of an answer with ``fail`` about a job that has not completed. curl retries neither 409 nor 424
#: (``--retry``), because the same job would fail again, or is still running.
FAILED, SYSTEM_FAILED, NOT_ENDED = 424, 502, 409

#: The reasons of a failure that is the system's and not the job's. The same job may complete later.
OF_SYSTEM = ("disk_full", "model_unavailable", "secrets_lost", "agent_lost", "engine_error")

#: The answers that ``fail`` adds, for the OpenAPI document.
FAILURES: dict[int | str, dict[str, Any]] = {
    NOT_ENDED: {**PROBLEM, "description": "With `fail`: the job has not ended."},
    FAILED: {**PROBLEM, "description": "With `fail`: the job has failed or was cancelled. `job` is its status."},
    SYSTEM_FAILED: {
        **PROBLEM,
        "description": f"With `fail`: the job has failed, and the system is the cause ({', '.join(OF_SYSTEM)}).",
    },
}

Fail = Annotated[
    Flag,
    Query(
        description="Answer with an error status if the job has not completed, so that `curl -f` exits with an error."
    ),
]


@router.post(
    "/schedule",
    operation_id="submit_job",
    tags=["Jobs"],
    status_code=202,
    response_model=schemas.StatusView,
    summary="Submit a job",
    openapi_extra=BODY,
    responses={
        200: {"model": schemas.StatusView, "description": "With `wait`: the job has ended."},
        **{code: PROBLEM for code in (400, 408, 413, 415, 422, 429, 503, 507)},
        **FAILURES,
    },
)
async def schedule(
    request: Request, response: Response, here: Here, wait: Wait = 0, fail: Fail = False
) -> schemas.StatusView:
    """Store the job on disk, then answer. With `wait`, the answer comes when the job has ended."""
    if fail and not wait:
        message = "needs wait, such as ?wait=60&fail=true: without it, the answer comes before the job has ended"
        errors = [{"field": "fail", "message": message}]
        raise BadRequest(422, "invalid", "Invalid request", f"fail: {message}.", errors=errors)
    job_id = new_id()
    wanted, uploads = await read(request, here, job_id)
    job = await here.creation.create(wanted, job_id, uploads)
    response.headers["Location"] = f"/status/{job.id}"
    if wait:
        job = await here.job_service.wait(job.id, wait)
        response.status_code = 200 if job.status in FINAL else 202
    return _checked(await view(here, job.id), fail)


@router.get(
    "/jobs", operation_id="list_jobs", tags=["Jobs"], response_model=schemas.JobList, summary="List jobs, newest first"
)
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


@router.get(
    "/jobs/{job_id}",
    operation_id="get_job",
    tags=["Jobs"],
    response_model=schemas.StatusView,
    summary="Show a job",
    responses={404: PROBLEM, **FAILURES},
)
@router.get(
    "/status/{job_id}",
    operation_id="get_status",
    tags=["Jobs"],
    response_model=schemas.StatusView,
    summary="Status of a job",
    responses={404: PROBLEM, **FAILURES},
)
async def status(job: KnownJob, here: Here, wait: Wait = 0, fail: Fail = False) -> schemas.StatusView:
    """Return everything about a job. With `wait`, the answer comes when the job has ended."""
    if wait:
        await here.job_service.wait(job.id, wait)
    return _checked(await view(here, job.id), fail)


def _checked(found: schemas.StatusView, fail: bool) -> schemas.StatusView:
    """Return the view of a job. With ``fail``, raise an error unless the job has completed."""
    if not fail or found.status == "completed":
        return found
    more: dict[str, Any] = {"job_id": found.job_id, "reason": found.reason, "job": found.model_dump()}
    if found.status not in FINAL:
        detail = f"Job {found.job_id} is {found.status}. GET /jobs/{found.job_id}?wait=600&fail=true waits for its end."
        raise Conflict(NOT_ENDED, "not-ended", "Not ended", detail, **more)
    detail = found.detail or f"Job {found.job_id} is {found.status}."
    if found.reason in OF_SYSTEM:
        raise Unavailable(SYSTEM_FAILED, "system-failed", "The system failed", detail, **more)
    raise Conflict(FAILED, f"job-{found.status}", f"The job {ENDED[found.status]}", detail, **more)


@router.post(
    "/cancel/{job_id}",
    operation_id="cancel_job",
    tags=["Jobs"],
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
    "tags": ["Results"],
    "response_class": FileResponse,
    "responses": {
        **answers("application/zip"),
        **{code: PROBLEM for code in (400, 404, 409, 410, 416)},
    },
    "openapi_extra": ASKS,
}


@router.get("/download/{job_id}", operation_id="download_zip", summary="Download the ZIP", **ZIP)
@router.head("/download/{job_id}", operation_id="check_zip", summary="Size and checksum of the ZIP", **ZIP)
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
