"""The system itself: its addresses and its health."""

from __future__ import annotations

import logging
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field

from orchestrator.api.context import Context, Flag, Here
from orchestrator.api.guard import LIVE
from orchestrator.api.jobs import PROBLEM
from orchestrator.diagnosis.base import Finding
from orchestrator.gateway import urls
from protocol import messages

router = APIRouter()

log = logging.getLogger(__name__)

MARKS = {"ok": "✓", "warning": "!", "failed": "✗"}


class Check(BaseModel):
    ok: bool = Field(description="False if the check failed.")
    result: Literal["ok", "warning", "failed"] = Field(description="`warning`: it works, but needs attention.")
    detail: str = Field(description="The finding.")
    to_do: str = Field(description="The remedy; empty if the result is ok.")


class Health(BaseModel):
    status: Literal["ok", "degraded", "draining"] = Field(
        description="`degraded`: a check failed. The system accepts jobs, but they may wait."
    )
    version: str
    checks: dict[str, Check]
    jobs: dict[str, int] = Field(description="Number of jobs in each state.")
    slots: int = Field(description="Maximum number of running jobs.")


class Home(BaseModel):
    name: str
    health: Health
    templates: dict[str, str] = Field(description="A prompt for each template. They work without a model.")
    where: dict[str, str]
    watch: dict[str, str] = Field(description="Addresses of the lists of desktops and notebooks of running jobs.")


TEXT = {"text/plain": {"schema": {"type": "string"}}}


@router.get(
    "/health",
    operation_id="get_health",
    tags=["System"],
    summary="Health of the system",
    response_model=Health,
    responses={200: {"content": TEXT}, 422: PROBLEM, 503: {"model": Health, "content": TEXT}},
)
@router.head("/health", include_in_schema=False)
async def health(
    request: Request,
    here: Here,
    full: Annotated[
        Flag, Query(description="Run all checks. This starts a sandbox and asks the model a short question.")
    ] = False,
) -> Response:
    """Answer 200 if jobs can start, else 503. `checks` has the reasons and the remedies.

    With `Accept: text/plain`, the answer is a table.
    """
    found = await _health(here, full)
    status = 200 if found.status == "ok" else 503
    if request.headers.get("accept", "").startswith("text/plain"):
        return PlainTextResponse(_table(found), status)
    return JSONResponse(found.model_dump(), status)


@router.get(
    LIVE,
    operation_id="get_liveness",
    tags=["System"],
    summary="Liveness of the process",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": "ok\n"}}}},
    openapi_extra={"security": [{}]},
)
@router.head(LIVE, include_in_schema=False)
async def live() -> PlainTextResponse:
    """Answer 200 while the process serves requests. The call needs no key and says nothing about jobs."""
    return PlainTextResponse("ok\n")


@router.get("/", operation_id="get_home", tags=["System"], summary="Health and addresses")
@router.head("/", include_in_schema=False)
async def home(here: Here) -> Home:
    return Home(
        name="containerized-agent",
        health=await _health(here),
        templates={name: template.phrases[0] for name, template in here.templates.all.items()},
        where={
            "submit": "POST /schedule",
            "status": "GET /status/{job_id}",
            "jobs": "GET /jobs",
            "cancel": "POST /cancel/{job_id}",
            "download": "GET /download/{job_id}",
            "events": "GET /jobs/{job_id}/events",
            "log": "GET /jobs/{job_id}/log",
            "files": "GET /jobs/{job_id}/files",
            "notebook": "GET /jobs/{job_id}/notebook",
            "templates": "GET /templates",
            "health": "GET /health",
            "liveness": "GET /livez",
            "docs": "GET /docs",
        },
        watch={f"{name}s": urls.gateway(here.settings, name) for name in get_args(messages.Service)},
    )


async def _health(here: Context, full: bool = False) -> Health:
    findings = await (here.diagnosis.full() if full else here.diagnosis.brief())
    jobs: dict[str, int] = {}
    try:
        jobs = await here.store.counts()
    except Exception as error:  # the record may be damaged, and this route must report that
        log.exception("the record cannot be read")
        damage = Finding("failed", f"The record cannot be read: {error}", "GET /health?full looks for damage.")
        findings.setdefault("database", damage)
    checks = {
        name: Check(ok=found.result != "failed", result=found.result, detail=found.detail, to_do=found.to_do)
        for name, found in findings.items()
    }
    well: Literal["ok", "degraded"] = "ok" if all(check.ok for check in checks.values()) else "degraded"
    return Health(
        status="draining" if here.job_service.draining else well,
        version=messages.VERSION,
        checks=checks,
        jobs=jobs,
        slots=here.settings.max_concurrent_jobs,
    )


def _table(health: Health) -> str:
    """Format the checks as text, one line each with the remedy below. Engine texts cannot control a terminal."""
    lines = []
    for name, check in health.checks.items():
        lines.append(f"{MARKS[check.result]} {name:<12} {check.detail}")
        lines += [f"  {'':<12} → {check.to_do}"] if check.to_do else []
    return "".join(f"{_printable(line)}\n" for line in lines)


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else " " for character in line)
