"""What callers send and get. These models are the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from orchestrator.db.models import FINAL, REASONS, STATES, VERIFIED_BY, WAITING_FOR, Event, Job, Step
from orchestrator.job_secrets.validation import Secrets
from orchestrator.planning.steps import LABELS, Command, LabelName, LabelValue, Limits, Model, Outputs, Prompt, Steps
from orchestrator.planning.template_inputs import VALUE_CHARACTERS
from orchestrator.reasoning.model_calls import Call
from orchestrator.reports.documents import first_of_last_plan, iso, limits, thinking, timings, usage


def _plain(value: Any) -> Any:
    """One message where a union would give one for each of its types."""
    if not isinstance(value, str | bool | int | float):
        raise ValueError("must be a text, a number, true or false")
    if isinstance(value, str) and len(value) > VALUE_CHARACTERS:
        raise ValueError(f"has more than {VALUE_CHARACTERS} characters")
    return value


Inputs = Annotated[
    dict[LabelName, Annotated[str | bool | int | float, BeforeValidator(_plain)]],
    Field(max_length=50, json_schema_extra={"additionalProperties": False}),
]
Status = Literal["scheduled", "running", "completed", "failed", "cancelled"]


def _list(table: dict[str, str]) -> str:
    return "\n".join(f"- `{name}`: {meaning}" for name, meaning in table.items())


class ScheduleRequest(Model):
    """A job. `prompt`, `steps` or `template` is needed; all else has a default."""

    prompt: Prompt | None = Field(None, description="What is to be done.")
    steps: Steps | None = Field(None, description="Run these as given; no model is asked.")
    template: Annotated[str, Field(max_length=100)] | None = Field(None, description="A name of GET /templates.")
    inputs: Inputs = Field(
        default_factory=dict,
        description="Values for the inputs of the template, or of the one whose phrase it is.",
    )
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="The model that makes the plan: one of LLM_MODELS. Default: that of LLM_PROVIDER."
    )
    outputs: Outputs = Field(
        default_factory=list, description="Globs, or names, of files that must be in the ZIP at the end."
    )
    check: Command | None = Field(None, description="Acceptance command; must exit with 0.")
    limits: Limits = Limits()
    network: Literal["none", "internet"] | None = Field(
        None, description="Default: what the template needs, else DEFAULT_NETWORK."
    )
    labels: dict[LabelName, LabelValue] = Field(
        default_factory=dict, max_length=LABELS, json_schema_extra={"additionalProperties": False}
    )

    keep_days: float | None = Field(
        None, gt=0, le=3650, description="Days that its files are kept after its end; default: RETENTION_DAYS."
    )
    secrets: Secrets = Field(
        default_factory=dict,
        description="Names and values that its steps find in their environment. They are in no answer and no file of "
        "ours, and are forgotten when the job ends.",
    )

    @model_validator(mode="after")
    def _something_to_do(self) -> ScheduleRequest:
        if self.prompt is None and self.steps is None and self.template is None:
            raise ValueError("prompt or steps is needed, or the name of a template")
        if self.prompt is not None and not self.prompt.strip():
            raise ValueError("prompt is empty")
        if self.steps is not None and self.template is not None:
            raise ValueError("template and steps exclude each other: a template has its own steps")
        if self.steps is not None and self.inputs:
            raise ValueError("inputs without a template: steps run as they are given")
        return self

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
                {"required": ["steps"], "properties": {"steps": {"type": "array"}}},
                {"required": ["template"], "properties": {"template": {"type": "string"}}},
            ],
            "examples": [
                {"prompt": "Create a Python script that prints hello world"},
                {"template": "fibonacci", "inputs": {"count": 50}},
                {"steps": [{"kind": "shell", "script": "date > now.txt"}], "outputs": ["now.txt"]},
            ],
        }
    )


#: Fields of a form that are text as they are; all others but the files are JSON.
TEXT_FIELDS = ("prompt", "check", "network", "template", "model")


def _as_texts(schema: dict[str, Any]) -> None:
    """What a form says in JSON is, to it, a text."""
    for name, field in schema["properties"].items():
        if name not in (*TEXT_FIELDS, "files"):
            content = {"contentMediaType": "application/json", "contentSchema": dict(field)}
            field.clear()
            field |= {"type": "string", **content}


class ScheduleForm(ScheduleRequest):
    """A job with files, as a form: every field but the texts and the files is JSON."""

    files: list[Annotated[bytes, Field(json_schema_extra={"format": "binary"})]] = Field(
        default_factory=list, description="Laid into /workspace under their base names."
    )

    model_config = ConfigDict(json_schema_extra=_as_texts)


class RetryRequest(Model):
    """What a job that is run again needs anew."""

    secrets: Secrets = Field(default_factory=dict, description="The secrets that the job had, under the same names.")


class UploadView(BaseModel):
    name: str = Field(description="In /workspace.")
    bytes: int
    sha256: str
    sample: bool = Field(description="It is the template's own: none was uploaded.")


class Links(BaseModel):
    status: str
    events: str
    files: str
    notebook: str
    cancel: str
    download: str


class StepView(BaseModel):
    number: int = Field(description="From 1; the acceptance command is not among the steps.")
    kind: str
    title: str
    status: str = Field(description="waiting, running, completed, failed, cancelled, or skipped")
    exit_code: int | None
    detail: str
    started: str | None
    ended: str | None
    output_bytes: int = Field(description="All that it printed, whether kept or not.")


class Progress(BaseModel):
    done: int = Field(description="Steps that have ended.")
    of: int = Field(description="All steps, but those that a mended plan has put others in the place of.")


class ArtifactView(BaseModel):
    url: str
    bytes: int
    sha256: str
    files: int
    left_out: int = Field(description="Files that are not in the ZIP; manifest.json says why. Junk does not count.")
    with_secrets: int = Field(description="Files that have the value of a secret in them; manifest.json names them.")
    partial: bool = Field(description="The ZIP does not hold the whole of a completed job.")
    expired: bool


class Usage(BaseModel):
    """What a job has used of the model."""

    model: str | None = Field(description="The one that answered last.")
    calls: int
    tokens: int = Field(description="In and out together. While an answer is being written, its tokens so far count.")
    cost: float = Field(description="US$, of the calls whose price is known.")
    repairs: int = Field(description="Times that it has mended its plan.")


class Thought(BaseModel):
    """Something that the model did, as the job's events have it."""

    kind: Literal["model_call", "planned", "reviewed"]
    at: str | None
    data: dict[str, Any] = Field(
        description="Of a call purpose, model, calls, seconds, tokens, cost and error; of a plan its steps, outputs "
        "and check; of a review whether it accepts (null where it gave no verdict), and its summary."
    )


class Timings(BaseModel):
    """Seconds of each part of the job's life so far."""

    queued: float | None
    starting: float | None
    working: float | None
    packaging: float | None
    total: float | None


class DesktopView(BaseModel):
    watch: str = Field(description="Opens the desktop to look at; the screen itself takes no key from there.")
    control: str = Field(description="Opens the desktop to work at.")


class ViewLinks(BaseModel):
    """Links that show a running job in a browser. Whoever has one may open it for VIEW_LINK_SECONDS."""

    desktop: DesktopView
    notebook: str = Field(description="Opens Jupyter Lab on the workspace, to look at and to work in.")


class StatusView(BaseModel):
    """Everything about a job."""

    job_id: str
    status: Status = Field(description=_list(STATES))
    phase: str | None = Field(
        description="Where a running job is: starting, analyze, shell, python, file, check, review, package"
    )
    reason: str | None = Field(description=f"Why it failed, in a fixed word.\n\n{_list(REASONS)}")
    verified_by: Literal["your check", "facts", "review", "nothing but exit codes"] | None = Field(
        description=f"How the outcome of a completed job was judged.\n\n{_list(VERIFIED_BY)}"
    )
    detail: str = Field(description="Why it failed or waits, in a sentence that a person can act on.")
    waiting_for: str | None = Field(description=f"What a scheduled job waits for.\n\n{_list(WAITING_FOR)}")
    queue_position: int | None = Field(description="Jobs before this one, while it is scheduled.")
    cancel_requested: bool = Field(description="A person asked, or the system was stopped while it ran.")
    prompt: str
    planned_by: str = Field(description="request, code-blocks, template:<name>, or model")
    progress: Progress
    steps: list[StepView]
    check: StepView | None
    inputs: dict[str, Any] = Field(description="The values of the template's inputs.")
    uploads: list[UploadView] = Field(description="The files that came with it.")
    secrets: list[str] = Field(description="The names of the secrets that came with it.")
    labels: dict[str, str]
    network: str
    limits: dict[str, Any]
    sandbox: str | None
    image: str | None
    image_id: str | None
    created: str | None
    started: str | None
    ended: str | None
    expired: str | None = Field(description="When its files were removed.")
    keep_days: float | None
    wanted_model: str | None = Field(description="The model that the job asked for; null: the default.")
    timings: Timings
    usage: Usage
    thinking: list[Thought] = Field(description="What the model did, in order: calls, plans, repairs, reviews.")
    summary: str = Field(description="What the model's review says of what came out.")
    artifact: ArtifactView | None
    views: ViewLinks | None = Field(description="Where to watch it live, while it runs; null before and afterwards.")
    links: Links


class JobSummary(BaseModel):
    """A job in a list."""

    job_id: str
    status: Status
    phase: str | None
    reason: str | None
    prompt: str = Field(description="Its first 200 characters.")
    labels: dict[str, str]
    created: str | None
    ended: str | None
    links: Links


class JobList(BaseModel):
    jobs: list[JobSummary] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class FileView(BaseModel):
    """A file in a job's workspace."""

    path: str = Field(description="As in the ZIP: what no file system or tool takes is percent-escaped.")
    kind: Literal["file", "link", "folder"] = Field(description="A folder is listed where it is empty.")
    bytes: int
    modified: str
    media_type: str | None = Field(description="What its name says it is.")
    url: str | None = Field(description="Where a file's content is.")


class FileList(BaseModel):
    job_id: str
    source: Literal["scheduled", "running", "artifact"] = Field(
        description="Where this was seen: nowhere yet, in the workspace as it is now, or in the ZIP."
    )
    files: list[FileView] = Field(description="Sorted by path; without what the ZIP leaves out as junk.")
    truncated: bool = Field(description="The workspace has more files than a list of a running job can have.")
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class ProblemView(BaseModel):
    """An answer that is no success, as RFC 9457 says it."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What happened, and what to do.")
    errors: list[dict[str, str]] | None = Field(None, description="Each wrong field, with its name.")


def links(job_id: str) -> Links:
    return Links(
        status=f"/status/{job_id}",
        events=f"/jobs/{job_id}/events",
        files=f"/jobs/{job_id}/files",
        notebook=f"/jobs/{job_id}/notebook",
        cancel=f"/cancel/{job_id}",
        download=f"/download/{job_id}",
    )


def status_view(
    job: Job, steps: list[Step], thoughts: list[Event], ahead: int | None, views: ViewLinks | None, writing: Call | None
) -> StatusView:
    """Return the view of a job. ``writing`` is the call of the model whose answer it is getting now."""
    shown = [_step_view(step) for step in steps if step.number > 0]
    check = next((_step_view(step) for step in steps if step.number == 0), None)
    artifact = None
    if job.artifact:
        known = {name: job.artifact[name] for name in ("bytes", "sha256", "files", "left_out", "partial")}
        known["with_secrets"] = job.artifact.get("with_secrets", 0)  # older ones know nothing of secrets
        artifact = ArtifactView(url=links(job.id).download, expired=job.expired_at is not None, **known)
    return StatusView(
        job_id=job.id,
        status=job.status,
        phase=job.phase,
        reason=job.reason,
        verified_by=job.verified_by if job.status == "completed" else None,
        detail=job.detail,
        waiting_for=job.waiting_for,
        queue_position=ahead,
        cancel_requested=job.cancel_requested_at is not None,
        prompt=job.prompt,
        planned_by=job.planned_by,
        progress=_progress(shown, thoughts),
        steps=shown,
        check=check,
        inputs=job.inputs,
        uploads=[UploadView(**upload) for upload in job.uploads],
        secrets=job.secrets,
        labels=job.labels,
        network=job.network,
        limits=limits(job),
        sandbox=job.sandbox_id if job.status not in FINAL else None,
        image=job.image,
        image_id=job.image_id,
        created=iso(job.created_at),
        started=iso(job.started_at),
        ended=iso(job.ended_at),
        expired=iso(job.expired_at),
        keep_days=job.keep_days,
        wanted_model=job.wanted_model,
        timings=Timings(**timings(job)),
        usage=_usage(job, writing),
        thinking=[Thought(**thought) for thought in thinking(thoughts)],
        summary=job.summary,
        artifact=artifact,
        views=views,
        links=links(job.id),
    )


def summary(job: Job) -> JobSummary:
    return JobSummary(
        job_id=job.id,
        status=job.status,
        phase=job.phase,
        reason=job.reason,
        prompt=job.prompt[:200],
        labels=job.labels,
        created=iso(job.created_at),
        ended=iso(job.ended_at),
        links=links(job.id),
    )


def _usage(job: Job, writing: Call | None) -> Usage:
    """Return what a job has used, with what is being used now."""
    used = usage(job)
    if writing is not None:
        used |= {"tokens": job.tokens + writing.tokens, "cost": job.cost + (writing.cost or 0.0)}
    return Usage(**used)


def _progress(steps: list[StepView], thoughts: list[Event]) -> Progress:
    last = first_of_last_plan(thoughts)
    replaced = sum(step.status == "skipped" and step.number < last for step in steps)
    return Progress(done=sum(step.ended is not None for step in steps), of=len(steps) - replaced)


def _step_view(step: Step) -> StepView:
    return StepView(
        number=step.number,
        kind=step.kind,
        title=step.title,
        status=step.status,
        exit_code=step.exit_code,
        detail=step.detail,
        started=iso(step.started_at),
        ended=iso(step.ended_at),
        output_bytes=step.output_bytes,
    )
