"""The templates, and the inputs and files of each."""

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
    accept: list[str] = Field(description="Globs of file names.")
    minimum: int
    maximum: int


class TemplateSummary(BaseModel):
    """A template in a list."""

    name: str
    about: str
    phrases: list[str] = Field(description="Prompts that select this template. `{name}` is a slot for an input.")
    inputs: dict[str, dict[str, Any]] = Field(description="Type, meaning, default and bounds of each input.")
    files: FilesView | None = Field(description="The uploads of the template; null if it takes none.")
    sample: bool = Field(description="Whether the template has a sample for jobs without uploads.")
    network: str | None = Field(description="The network if the request names none; null for DEFAULT_NETWORK.")
    outputs: list[str] = Field(description="Files that must exist at the end.")


class TemplateView(TemplateSummary):
    """Everything about a template."""

    steps: list[dict[str, Any]] = Field(description="`{{name}}` stands for the value of an input.")
    sample_files: list[str]


class TemplateList(BaseModel):
    templates: list[TemplateSummary]


@router.get("/templates", operation_id="list_templates", tags=["System"], summary="List templates")
async def templates(here: Here) -> TemplateList:
    """List all templates. A job selects one with `template` and `inputs`, or with a phrase as its prompt."""
    return TemplateList(templates=[TemplateSummary(**_known(*item)) for item in here.templates.all.items()])


@router.get(
    "/templates/{name}",
    operation_id="get_template",
    tags=["System"],
    summary="Show a template",
    responses={404: PROBLEM},
)
async def template(name: Annotated[str, Path(description="A name from GET /templates.")], here: Here) -> TemplateView:
    """Return a template with its steps and the names of its sample files."""
    found = here.templates.all.get(name)
    if found is None:
        known = ", ".join(here.templates.all) or "none"
        detail = f"There is no template {name[:80]!r}. Templates: {known}."
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
