"""What may be done with a job afterwards: run it again, delete it."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

from fastapi import APIRouter, Request, Response

from orchestrator.api import schemas
from orchestrator.api.context import Context, Here, KnownJob
from orchestrator.api.jobs import PROBLEM, view
from orchestrator.api.submission import RETRY_BODY, read_retry
from orchestrator.db.models import FINAL, MODEL, Job, Step
from orchestrator.errors import BadRequest, Conflict, Gone, SettingsError
from orchestrator.job_secrets.validation import plain, refuse_in_clear, refuse_other_names
from protocol import messages

router = APIRouter(responses={422: PROBLEM})

#: What a job is asked to do, and how; the rest of it is what came of it.
ASKED = {
    "prompt", "planned_by", "network", "seconds", "memory", "cpus", "processes", "zip_bytes", "steps_count",
    "check_command", "outputs", "labels", "keep_days", "inputs", "uploads", "secrets", "given", "max_calls",
    "max_tokens", "max_cost", "wanted_model",
}  # fmt: skip
PLANNED = {"number", "kind", "title", "source", "path", "args", "seconds", "seconds_given", "background"}


@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    response_model=schemas.StatusView,
    summary="Run a job again",
    openapi_extra=RETRY_BODY,
    responses={code: PROBLEM for code in (400, 404, 409, 410, 429, 503, 507)},
)
async def retry(job: KnownJob, here: Here, request: Request, response: Response) -> schemas.StatusView:
    """Submit a new job with the same plan, limits and labels. The old job does not change.

    If a model made the plan, it makes a new plan. Secrets are not stored, so the request must contain them again.
    """
    if job.status not in FINAL:
        raise Conflict(
            409,
            "not-ended",
            "Not ended",
            f"Job {job.id} is {job.status}; it can be run again when it has ended. POST /cancel/{job.id} ends it.",
        )
    secrets_given = plain((await read_retry(request)).secrets)
    refuse_other_names(job.secrets, secrets_given, job.id)
    again = Job(**job.model_dump(include=ASKED), id=secrets.token_hex(8), created_at=time.time())
    steps = [Step(**step.model_dump(include=PLANNED), job_id=again.id) for step in await here.store.steps(job.id)]
    if job.planned_by == MODEL:
        _check_model(job, here)
        again.steps_count, steps = 0, [step for step in steps if step.number == messages.CHECK and "check" in job.given]
        again.outputs = job.outputs if "outputs" in job.given else []
        again.check_command = job.check_command if "check" in job.given else ""
    await refuse_in_clear(secrets_given, _content(again, steps))
    if again.uploads and not await asyncio.to_thread(here.job_files.share_uploads, job.id, again.id):
        raise Gone(
            410,
            "expired",
            "Expired",
            f"The files that came with job {job.id} are not kept any more. Send them again with POST /schedule; "
            f"GET /status/{job.id} has their names.",
        )
    try:
        await here.job_service.submit(again, steps, secrets_given)
    except BaseException:
        await asyncio.to_thread(here.job_files.remove, again.id)
        raise
    response.headers["Location"] = f"/status/{again.id}"
    return await view(here, again.id)


def _check_model(job: Job, here: Context) -> None:
    try:
        here.models.get(job.wanted_model)
    except SettingsError:
        detail = "A model made the plan of this job, and none is set any more."
        if job.wanted_model:
            detail = f"The model {job.wanted_model} made the plan of this job, and it is not set any more."
        detail = f"{detail} The plan in its manifest can be posted."
        raise BadRequest(422, "no-plan", "No plan", detail) from None


def _content(job: Job, steps: list[Step]) -> dict[str, Any]:
    """What is kept of a request, by its fields."""
    return {
        "prompt": job.prompt,
        "steps": [(step.title, step.source, step.path, step.args) for step in steps],
        "check": job.check_command,
        "outputs": job.outputs,
        "labels": job.labels,
        "inputs": job.inputs,
        "files": [upload["name"] for upload in job.uploads],
    }


@router.delete(
    "/jobs/{job_id}", status_code=204, summary="Delete a job", responses={code: PROBLEM for code in (404, 503, 507)}
)
async def delete(job: KnownJob, here: Here) -> None:
    """Delete a job, its record and its ZIP. A running job is cancelled first."""
    await here.job_service.delete(job.id)
