"""The calls after a job: run it again, delete it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from orchestrator.api import schemas
from orchestrator.api.context import Here, KnownJob
from orchestrator.api.jobs import PROBLEM, view
from orchestrator.api.submission import RETRY_BODY, read_retry
from orchestrator.job_secrets.validation import plain

router = APIRouter(responses={422: PROBLEM})


@router.post(
    "/jobs/{job_id}/retry",
    operation_id="retry_job",
    tags=["Jobs"],
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
    again = await here.creation.repeat(job, plain((await read_retry(request)).secrets))
    response.headers["Location"] = f"/status/{again.id}"
    return await view(here, again.id)


@router.delete(
    "/jobs/{job_id}",
    operation_id="delete_job",
    tags=["Jobs"],
    status_code=204,
    summary="Delete a job",
    responses={code: PROBLEM for code in (404, 503, 507)},
)
async def delete(job: KnownJob, here: Here) -> None:
    """Delete a job, its record and its ZIP. A running job is cancelled first."""
    await here.job_service.delete(job.id)
