"""The predefined jobs: what there is, and what each takes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from orchestrator.api.context import Here
from orchestrator.api.jobs import PROBLEM
from orchestrator.errors import NotFound
from orchestrator.planning.templates import Template

router = APIRouter(responses={422: PROBLEM})


class FilesView(BaseModel):
    about: str
    accept: list[str] = Field(description="Globs of names.")
    minimum: int
    maximum: int


class TemplateSummary(BaseModel):
    """A template in a list."""

    name: str
    about: str
    phrases: list[str] = Field(description="Prompts that mean this template; `{name}` is a slot for that input.")
    inputs: dict[str, dict[str, Any]] = Field(description="Type, meaning, default and bounds of each.")
    files: FilesView | None = Field(description="The uploads it works on; null where it takes none.")
    sample: bool = Field(description="Whether it has files of its own, for a job without an upload.")
    network: str | None = Field(description="Where the request is silent; null: DEFAULT_NETWORK.")
    outputs: list[str] = Field(description="What must be there at the end.")


class TemplateView(TemplateSummary):
    """Everything about a template."""

    steps: list[dict[str, Any]] = Field(description="`{{name}}` is where an input's value comes in.")
    sample_files: list[str]


class TemplateList(BaseModel):
    templates: list[TemplateSummary]


@router.get("/templates", summary="The predefined jobs")
async def templates(here: Here) -> TemplateList:
    """A job is made of one by `template` and `inputs`, or by a prompt that is one of its phrases."""
    return TemplateList(templates=[TemplateSummary(**_known(*item)) for item in here.templates.all.items()])


@router.get("/templates/{name}", summary="A predefined job", responses={404: PROBLEM})
async def template(name: Annotated[str, Path(description="One of GET /templates.")], here: Here) -> TemplateView:
    """Also its steps, and the names of its sample files."""
    found = here.templates.all.get(name)
    if found is None:
        known = ", ".join(here.templates.all) or "none"
        detail = f"There is no template {name[:80]!r}. There are: {known}."
        raise NotFound(404, "no-such-template", "No such template", detail)
    steps = []
    for step, condition in zip(found.steps, found.conditions, strict=True):
        steps.append({**step.model_dump(exclude_defaults=True), **condition.model_dump(exclude_none=True)})
    return TemplateView(**_known(name, found), steps=steps, sample_files=[path.name for path in found.sample])


def _known(name: str, template: Template) -> dict[str, Any]:
    return {
        "name": name,
        "inputs": {key: kind.model_dump(exclude_none=True) for key, kind in template.inputs.items()},
        "sample": bool(template.sample),
        **template.model_dump(include={"about", "phrases", "files", "network", "outputs"}),
    }
