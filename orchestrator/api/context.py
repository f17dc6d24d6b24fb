"""Shared objects for the routes. ``orchestrator.app`` builds them once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Path, Query, Request
from pydantic import BeforeValidator, WithJsonSchema

from orchestrator import logs
from orchestrator.db.models import Job
from orchestrator.db.store import Store
from orchestrator.diagnosis.run import Diagnosis
from orchestrator.engines.base import Engine
from orchestrator.errors import BadRequest, no_such_job
from orchestrator.files.job_files import JobFiles
from orchestrator.gateway.login import Login
from orchestrator.jobs.creation import Creation
from orchestrator.jobs.service import JobService
from orchestrator.live.grants import Signer
from orchestrator.llm import Models
from orchestrator.planning.templates import Templates
from orchestrator.settings import Settings


@dataclass(frozen=True)
class Context:
    settings: Settings
    store: Store
    job_service: JobService
    engine: Engine
    job_files: JobFiles
    templates: Templates
    diagnosis: Diagnosis
    models: Models
    signer: Signer
    creation: Creation
    login: Login


def context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


Here = Annotated[Context, Depends(context)]
JobId = Annotated[str, Path(description="The id from the answer of POST /schedule.")]

#: A parameter without a value counts as true: ``?follow``.
Flag = Annotated[
    bool,
    BeforeValidator(lambda given: True if given == "" else given),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"const": ""}], "default": False}),
]
Wait = Annotated[float, Query(ge=0, le=600, description="Wait until the job has ended, at most this many seconds.")]


async def name_the_job(request: Request) -> None:
    """Attach the job ID from the path to the log lines of this call, even if the job does not exist."""
    if job_id := request.path_params.get("job_id"):
        logs.concerns(job_id[: logs.GIVEN])


async def only_known_parameters(request: Request) -> None:
    """Reject a query parameter that the route does not define. A misspelt parameter would have no effect."""
    call = request.scope["route"].dependant
    known = {parameter.alias for part in (call, *call.dependencies) for parameter in part.query_params}
    for name in request.query_params:
        if name not in known:
            has = ", ".join(sorted(known)) or "none"
            detail = f"{name[:80]}: unknown parameter. This call accepts: {has}."
            raise BadRequest(422, "invalid", "Invalid request", detail)


async def known_job(job_id: JobId, here: Here) -> Job:
    """Return the job in the path, or raise 404."""
    job = await here.store.job(job_id)
    if job is None:
        raise no_such_job(job_id)
    logs.concerns(job.id, job.sandbox_id)
    return job


KnownJob = Annotated[Job, Depends(known_job)]
