"""A job's notebook in its current state. The ZIP has the final notebook."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response

from orchestrator.api.context import Here, KnownJob
from orchestrator.api.file_response import SAFE_HEADERS, attachment
from orchestrator.api.jobs import PROBLEM, check_not_expired
from orchestrator.reports.notebook import Shown, notebook

router = APIRouter(responses={422: PROBLEM})

MEDIA_TYPE = "application/x-ipynb+json"


@router.get(
    "/jobs/{job_id}/notebook",
    operation_id="get_notebook",
    tags=["Results"],
    response_class=Response,
    summary="Notebook of a job",
    responses={200: {"description": "nbformat 4.5.", "content": {MEDIA_TYPE: {}}}, 404: PROBLEM, 410: PROBLEM},
)
async def session(job: KnownJob, here: Here) -> Response:
    """Return the steps so far as a notebook, with their output and figures. 410 after the files have expired."""
    steps = await here.store.steps(job.id)
    text = await asyncio.to_thread(lambda: notebook(job, steps, Shown(here.store.outputs(job.id))))
    await check_not_expired(here, job.id)
    headers = {**SAFE_HEADERS, "Content-Disposition": attachment(f"{job.id}.ipynb")}
    return Response(text, media_type=MEDIA_TYPE, headers=headers)
