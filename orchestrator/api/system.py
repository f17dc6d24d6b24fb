"""The system itself: where things are, and whether it is well."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from agent import wire
from orchestrator.api.context import Context, Here
from orchestrator.errors import EngineError

router = APIRouter()


class Check(BaseModel):
    ok: bool
    detail: str = Field(description="What is wrong, and what to do.")


class Health(BaseModel):
    status: Literal["ok", "degraded", "draining"] = Field(description="degraded: jobs are taken, but wait")
    version: str
    checks: dict[str, Check]
    jobs: dict[str, int] = Field(description="How many are in each state.")
    slots: int = Field(description="Jobs that run at the same time, at most.")


class Home(BaseModel):
    name: str
    health: Health
    templates: dict[str, str] = Field(description="Prompts that work without a model.")
    where: dict[str, str]


@router.get("/health", summary="Whether the system is well", responses={503: {"model": Health}})
async def health(here: Here, response: Response) -> Health:
    """200 where jobs would start, 503 where they would wait; `checks` says why and what to do."""
    found = await _health(here)
    if found.status != "ok":
        response.status_code = 503
    return found


@router.get("/", summary="Health, and where things are")
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
            "files": "GET /jobs/{job_id}/files",
            "health": "GET /health",
            "docs": "GET /docs",
        },
    )


async def _health(here: Context) -> Health:
    checks = {}
    try:
        image_id = await here.engine.image(here.settings.agent_image)
        checks["engine"] = Check(ok=True, detail="The engine answers.")
        checks["image"] = Check(ok=True, detail=f"{here.settings.agent_image} is {image_id}.")
    except EngineError as error:
        name = "image" if type(error).__name__ == "ImageMissing" else "engine"
        checks[name] = Check(ok=False, detail=str(error))
    short = here.records.disk_short()
    checks["disk"] = Check(ok=short is None, detail=short or "There is room on the disk.")
    well: Literal["ok", "degraded"] = "ok" if all(check.ok for check in checks.values()) else "degraded"
    return Health(
        status="draining" if here.scheduler.draining else well,
        version=wire.VERSION,
        checks=checks,
        jobs=await here.store.counts(),
        slots=here.settings.max_concurrent_jobs,
    )
