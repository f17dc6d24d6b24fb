"""The five calls of a job's life: schedule, status, jobs, cancel, download."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from pydantic import ValidationError

from agent import wire
from orchestrator.api import schemas
from orchestrator.api.contents import Contents, unchanged
from orchestrator.api.context import Context, Here, JobId, KnownJob, Wait
from orchestrator.documents import iso
from orchestrator.errors import BadRequest, Conflict, Gone, NotFound, no_such_job
from orchestrator.models import FINAL, Job, Step
from orchestrator.plan import FileStep, ShellStep, default_title
from orchestrator.planner import plan

PROBLEM: dict[str, Any] = {"model": schemas.ProblemView, "content": {"application/problem+json": {}}}
router = APIRouter(responses={422: PROBLEM})

BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ScheduleRequest"}}},
    }
}

#: What `curl -d` says where it is told nothing else; the body is JSON all the same.
JSON_TYPES = {"application/json", "application/x-www-form-urlencoded", "text/plain", ""}


@router.post(
    "/schedule",
    status_code=202,
    response_model=schemas.StatusView,
    summary="Submit a job",
    openapi_extra=BODY,
    responses={
        200: {"model": schemas.StatusView, "description": "With `wait`: the job has ended."},
        **{code: PROBLEM for code in (400, 413, 415, 422, 429, 503)},
    },
)
async def schedule(request: Request, response: Response, here: Here, wait: Wait = 0) -> schemas.StatusView:
    """The job is on disk before the answer goes out. With `wait`, the answer comes when the job has ended."""
    wanted = await _read(request)
    planned = plan(wanted.prompt or "", wanted.steps, here.templates, here.settings.gemini_api_key is not None)
    job = _job(wanted, planned.planned_by, wanted.outputs or planned.outputs, len(planned.steps), here)
    steps = [_step(job, number, step) for number, step in enumerate(planned.steps, 1)]
    if job.check_command:
        title = "Acceptance command"
        steps.append(
            Step(
                job_id=job.id,
                number=wire.CHECK,
                kind="check",
                title=title,
                source=job.check_command,
                seconds=job.seconds,
            )
        )
    await here.scheduler.submit(job, steps)
    response.headers["Location"] = f"/status/{job.id}"
    if wait:
        job = await here.scheduler.wait(job.id, wait)
        response.status_code = 200 if job.status in FINAL else 202
    return await view(here, job.id)


@router.get(
    "/status/{job_id}", response_model=schemas.StatusView, summary="How a job is doing", responses={404: PROBLEM}
)
async def status(job: KnownJob, here: Here, wait: Wait = 0) -> schemas.StatusView:
    """Everything about a job. With `wait`, the answer comes when the job has ended."""
    if wait:
        await here.scheduler.wait(job.id, wait)
    return await view(here, job.id)


@router.get("/jobs", response_model=schemas.JobList, summary="All jobs, newest first")
async def jobs(
    here: Here,
    status: Annotated[
        list[schemas.Status] | None, Query(description="Only these; may be given more than once.")
    ] = None,
    label: Annotated[
        list[str] | None, Query(max_length=8, description="`name=value`; all of those given must be there.")
    ] = None,
    cursor: Annotated[str | None, Query(pattern=r"^\d{1,18}$", description="`next_cursor` of the page before.")] = None,
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


@router.post("/cancel/{job_id}", response_model=schemas.StatusView, summary="Stop a job", responses={404: PROBLEM})
async def cancel(job_id: JobId, here: Here) -> schemas.StatusView:
    """Stops it, whatever phase it is in. Doing it twice, or to a job that has ended, changes nothing."""
    await here.scheduler.cancel(job_id)
    return await view(here, job_id)


@router.get(
    "/download/{job_id}",
    summary="The ZIP",
    response_class=FileResponse,
    responses={
        200: {"content": {"application/zip": {}}, "description": "The ZIP; its `ETag` is its sha256. Ranges work."},
        **{code: PROBLEM for code in (400, 404, 409, 410, 416)},
    },
)
@router.head("/download/{job_id}", include_in_schema=False)
@router.get("/download/{job_id}.zip", include_in_schema=False)
@router.head("/download/{job_id}.zip", include_in_schema=False)
async def download(job: KnownJob, here: Here, request: Request) -> Response:
    """There is one on every ending of a job, for RETENTION_DAYS."""
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
    file = await asyncio.to_thread(here.records.open, job.id) if artifact else None
    if artifact is None or file is None:
        await _check_not_expired(here, job.id)
        raise NotFound(404, "no-zip", "No ZIP", f"There is no ZIP of job {job.id}. {job.detail}".strip())
    etag = f'"{artifact["sha256"]}"'
    if answer := unchanged(request, etag):
        file.close()
        return answer
    return Contents(file, artifact["bytes"], job.ended_at or 0, f"{job.id}.zip", "application/zip", etag)


async def _check_not_expired(here: Context, job_id: str) -> None:
    """Raise Gone where the files of a job were removed: asked after they were not found, so none is missed."""
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


async def _read(request: Request) -> schemas.ScheduleRequest:
    """The request's JSON; raises BadRequest, or RequestValidationError that names each wrong field."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in JSON_TYPES:
        raise BadRequest(
            415,
            "not-json",
            "Not JSON",
            f"The body must be JSON, not {kind[:80]!r}: -H 'Content-Type: application/json'.",
        )
    body = await request.body()
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(
            400, "not-json", "Not JSON", f"The body could not be read as JSON: {str(error)[:200]}."
        ) from None
    try:
        return schemas.ScheduleRequest.model_validate(content)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in wrong]) from None


def _job(wanted: schemas.ScheduleRequest, planned_by: str, outputs: list[str], steps: int, here: Context) -> Job:
    return Job(
        id=secrets.token_hex(8),
        prompt=wanted.prompt or "",
        planned_by=planned_by,
        network=wanted.network or here.settings.default_network,
        seconds=wanted.limits.seconds,
        memory=wanted.limits.memory,
        cpus=wanted.limits.cpus,
        processes=wanted.limits.processes,
        zip_bytes=wanted.limits.zip,
        steps_count=steps,
        check_command=wanted.check or "",
        outputs=outputs,
        labels=wanted.labels,
        keep_days=wanted.keep_days,
        created_at=time.time(),
    )


def _step(job: Job, number: int, step: Any) -> Step:
    if isinstance(step, FileStep):
        source, path, background = step.content, step.path, False
    else:
        source, path, background = (step.script if isinstance(step, ShellStep) else step.code), "", step.background
    return Step(
        job_id=job.id,
        number=number,
        kind=step.kind,
        title=step.title or default_title(step),
        source=source,
        path=path,
        background=background,
        seconds=step.seconds or job.seconds,
        seconds_given=step.seconds is not None,
    )


async def view(here: Context, job_id: str) -> schemas.StatusView:
    """Everything about a job; raises NotFound."""
    job = await here.store.job(job_id)
    if job is None:
        raise no_such_job(job_id)
    steps = await here.store.steps(job_id)
    ahead = await here.store.ahead(job) if job.status == "scheduled" else None
    return schemas.status_view(job, steps, ahead)
