"""Request and response models. The OpenAPI document is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from orchestrator.db.models import FINAL, OUTPUT_TAIL, REASONS, STATES, VERIFIED_BY, WAITING_FOR, Event, Job, Step
from orchestrator.job_secrets.validation import Secrets
from orchestrator.planning.fields import Command, LabelName, LabelValue, Model, Prompt
from orchestrator.planning.kinds import KINDS
from orchestrator.planning.steps import LABELS, Limits, Outputs, Steps
from orchestrator.planning.template_inputs import VALUE_CHARACTERS
from orchestrator.reasoning.model_calls import Call
from orchestrator.reports.documents import first_of_last_plan, iso, limits, thinking, timings, usage
from orchestrator.reports.notebook import drawn


def _plain(value: Any) -> Any:
    """Check a value and raise one error. A union would report one for each of its types."""
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


#: Requests that the OpenAPI document and the page /docs show. They run without a model.
EXAMPLES: dict[str, dict[str, Any]] = {
    "A prompt": {"prompt": "Create a Python script that prints hello world"},
    "A template with inputs": {"template": "fibonacci", "inputs": {"count": 50}},
    "Steps and a declared file": {
        "steps": [{"kind": "shell", "script": "date > now.txt"}],
        "outputs": ["now.txt"],
    },
    "Steps with a check and limits": {
        "steps": [
            {"kind": "file", "path": "numbers.txt", "content": "3\n1\n2\n"},
            {"kind": "python", "code": "numbers = sorted(map(int, open('numbers.txt')))\nprint(numbers)"},
        ],
        "check": "test -s numbers.txt",
        "limits": {"seconds": 60, "memory": "512m"},
        "labels": {"team": "blue"},
    },
}


class ScheduleRequest(Model):
    """A job. It needs a `prompt`, `steps` or a `template`; all other fields have defaults."""

    prompt: Prompt | None = Field(None, description="The task.")
    steps: Steps | None = Field(None, description="Steps to run as given, without a model.")
    template: Annotated[str, Field(max_length=100)] | None = Field(
        None, description="The name of a template from GET /templates."
    )
    inputs: Inputs = Field(
        default_factory=dict,
        description="Values for the inputs of the template that the request names or whose phrase the prompt is.",
    )
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="The model that makes the plan: one of LLM_MODELS. Default: the model of LLM_PROVIDER."
    )
    outputs: Outputs = Field(default_factory=list, description="Globs or names of files that must be in the ZIP.")
    check: Command | None = Field(None, description="Acceptance command, run after the last step. It must exit with 0.")
    limits: Limits = Limits()
    network: Literal["none", "internet"] | None = Field(
        None, description="Default: the template's network, else DEFAULT_NETWORK."
    )
    labels: dict[LabelName, LabelValue] = Field(
        default_factory=dict, max_length=LABELS, json_schema_extra={"additionalProperties": False}
    )

    keep_days: float | None = Field(
        None, gt=0, le=3650, description="Days to keep the job's files after its end. Default: RETENTION_DAYS."
    )
    secrets: Secrets = Field(
        default_factory=dict,
        description="Environment variables for the steps and the check. The system shows their values in no answer and "
        "no report, and forgets them when the job ends.",
    )

    @model_validator(mode="after")
    def _something_to_do(self) -> ScheduleRequest:
        if self.prompt is None and self.steps is None and self.template is None:
            raise ValueError("prompt, steps and template are missing; give one of them")
        if self.prompt is not None and not self.prompt.strip():
            raise ValueError("prompt is empty")
        if self.steps is not None and self.template is not None:
            raise ValueError("give template or steps, not both: a template has its own steps")
        if self.steps is not None and self.inputs:
            raise ValueError("inputs need a template; steps take none")
        return self

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
                {"required": ["steps"], "properties": {"steps": {"type": "array"}}},
                {"required": ["template"], "properties": {"template": {"type": "string"}}},
            ],
            "examples": list(EXAMPLES.values()),
        }
    )


#: Form fields that are plain text. All other fields except the files are JSON.
TEXT_FIELDS = ("prompt", "check", "network", "template", "model")


#: The fields of the form that the page /docs fills in. An empty field counts as missing.
FORM_PREFILLED: dict[str, Any] = {"prompt": "Create a Python script that prints hello world", "files": []}

#: A value of each JSON field, as the text that a form sends.
FORM_EXAMPLES = {
    "steps": '[{"kind": "shell", "script": "wc -l *.csv > lines.txt"}]',
    "inputs": '{"title": "Sales"}',
    "outputs": '["lines.txt"]',
    "limits": '{"seconds": 60}',
    "labels": '{"team": "blue"}',
    "keep_days": "7",
    "secrets": '{"TOKEN": "a value of yours"}',
}


def _as_texts(schema: dict[str, Any]) -> None:
    """Describe a form for programs and for the page /docs: JSON fields are text, and no field is null.

    The page shows a field with a media type as a file, and a default of null as the text null.
    """
    for name, field in schema["properties"].items():
        kinds = [kind for kind in field.pop("anyOf", ()) if kind != {"type": "null"}]
        if len(kinds) == 1:
            field |= kinds[0]
        field.pop("default", None)
        if example := FORM_EXAMPLES.get(name):
            about = field.get("description", "")
            field.clear()
            field |= {"type": "string", "description": f"{about} As JSON, such as `{example}`.".strip()}
        field["examples"] = [FORM_PREFILLED.get(name, "")]


class ScheduleForm(ScheduleRequest):
    """A job with files, as a form. All fields except the texts and the files are JSON."""

    files: list[Annotated[bytes, Field(json_schema_extra={"format": "binary"})]] = Field(
        default_factory=list, description="Placed in /workspace under their base names."
    )

    model_config = ConfigDict(json_schema_extra=_as_texts)


class RetryRequest(Model):
    """The body of a retry. Only jobs with secrets need one."""

    secrets: Secrets = Field(default_factory=dict, description="The secrets of the job, under the same names.")


class UploadView(BaseModel):
    name: str = Field(description="Path in /workspace.")
    bytes: int
    sha256: str
    sample: bool = Field(description="The file is the template's own sample.")


class Links(BaseModel):
    status: str
    events: str
    log: str
    files: str
    notebook: str
    cancel: str
    download: str


class StepView(BaseModel):
    number: int = Field(description="Counts from 1; the acceptance command is not a step.")
    kind: str
    title: str
    status: str = Field(description="waiting, running, completed, failed, cancelled, or skipped")
    exit_code: int | None
    detail: str
    started: str | None
    ended: str | None
    output_bytes: int = Field(description="Bytes of output, including output that was not stored.")
    output_tail: str = Field(
        description=f"The last {OUTPUT_TAIL:,} characters of output. GET /jobs/{{job_id}}/log has the whole output."
    )


class Progress(BaseModel):
    done: int = Field(description="Steps that have ended.")
    of: int = Field(description="Number of steps, without the steps that a repair replaced.")


class ArtifactView(BaseModel):
    url: str
    bytes: int
    sha256: str
    files: int
    left_out: int = Field(description="Files that are not in the ZIP, without junk. manifest.json gives the reasons.")
    with_secrets: int = Field(description="Files that contain a secret. manifest.json names them.")
    partial: bool = Field(description="The job did not complete, or a file is missing.")
    expired: bool


class Usage(BaseModel):
    """The job's use of models."""

    model: str | None = Field(description="The model of the last answer.")
    calls: int
    tokens: int = Field(description="Input and output together. An unfinished answer counts with its tokens so far.")
    cost: float = Field(description="In US$, for calls with a known price.")
    repairs: int = Field(description="Number of repairs.")


class Thought(BaseModel):
    """An action of the model, as in the job's events."""

    kind: Literal["model_call", "planned", "reviewed"]
    at: str | None
    data: dict[str, Any] = Field(
        description="For a call: purpose, model, calls, seconds, tokens, cost and error. For a plan: steps, outputs "
        "and check. For a review: whether it accepts (null without a verdict), and its summary."
    )


class Timings(BaseModel):
    """Seconds of each part of the job so far."""

    queued: float | None
    starting: float | None
    working: float | None
    packaging: float | None
    total: float | None


class DesktopView(BaseModel):
    watch: str = Field(description="Opens the desktop to watch. It accepts no input.")
    control: str = Field(description="Opens the desktop with keyboard and mouse.")


class ViewLinks(BaseModel):
    """Links to watch a running job in a browser. Anyone with a link can open it for VIEW_LINK_SECONDS."""

    desktop: DesktopView
    notebook: str = Field(description="Opens Jupyter Lab on the workspace, with control.")


class StatusView(BaseModel):
    """Everything about a job."""

    job_id: str
    status: Status = Field(description=_list(STATES))
    phase: str | None = Field(
        description=f"Phase of a running job: starting, analyze, {', '.join(KINDS)}, check, review or package."
    )
    reason: str | None = Field(description=f"Reason of a failure, as a fixed word.\n\n{_list(REASONS)}")
    verified_by: Literal["your check", "facts", "review", "nothing but exit codes"] | None = Field(
        description=f"Basis on which a completed job was judged.\n\n{_list(VERIFIED_BY)}"
    )
    detail: str = Field(
        description="The reason of a failure or a wait, in a sentence, with the remedy. It also says if a part of the "
        "request was not used, or if the job runs on sample data."
    )
    waiting_for: str | None = Field(description=f"Why the job waits.\n\n{_list(WAITING_FOR)}")
    queue_position: int | None = Field(description="Number of jobs before this job in the queue.")
    cancel_requested: bool = Field(description="A client cancelled the job, or the system was stopped while it ran.")
    prompt: str
    planned_by: str = Field(description="request, code-blocks, template:<name>, or model")
    progress: Progress
    steps: list[StepView]
    check: StepView | None
    inputs: dict[str, Any] = Field(description="The values of the template's inputs.")
    uploads: list[UploadView] = Field(description="The uploaded files.")
    secrets: list[str] = Field(description="The names of the job's secrets.")
    labels: dict[str, str]
    network: str
    limits: dict[str, Any]
    sandbox: str | None
    image: str | None
    image_id: str | None
    created: str | None
    started: str | None
    ended: str | None
    expired: str | None = Field(description="Time at which the files were deleted.")
    keep_days: float | None
    wanted_model: str | None = Field(description="The model in the request; null for the default.")
    timings: Timings
    usage: Usage
    thinking: list[Thought] = Field(description="Actions of the model in order: calls, plans, repairs, reviews.")
    summary: str = Field(description="Summary of the results by the model's review; for a template, where they are.")
    artifact: ArtifactView | None
    views: ViewLinks | None = Field(description="Links to watch the job live; null if it is not running.")
    links: Links


class JobSummary(BaseModel):
    """A job in a list."""

    job_id: str
    status: Status
    phase: str | None
    reason: str | None
    prompt: str = Field(description="The first 200 characters of the prompt.")
    labels: dict[str, str]
    created: str | None
    ended: str | None
    links: Links


class JobList(BaseModel):
    jobs: list[JobSummary] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last page.")


class FileView(BaseModel):
    """A file in a job's workspace."""

    path: str = Field(description="Path as in the ZIP. Unsafe characters are percent-escaped.")
    kind: Literal["file", "link", "folder"] = Field(description="A folder is listed only if it is empty.")
    bytes: int
    modified: str
    media_type: str | None = Field(description="Guessed from the name.")
    url: str | None = Field(description="Address of the file's content.")


class FileList(BaseModel):
    job_id: str
    source: Literal["scheduled", "running", "artifact"] = Field(
        description="Origin of the list: none yet, the workspace as it is now, or the ZIP."
    )
    files: list[FileView] = Field(description="Sorted by path, without junk.")
    truncated: bool = Field(description="The workspace has more files than the list of a running job can hold.")
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last page.")


class ProblemView(BaseModel):
    """An error, as problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(description="The error, and how to fix it.")
    errors: list[dict[str, str]] | None = Field(None, description="Each wrong field, with its fault.")


def links(job_id: str) -> Links:
    return Links(
        status=f"/status/{job_id}",
        events=f"/jobs/{job_id}/events",
        log=f"/jobs/{job_id}/log",
        files=f"/jobs/{job_id}/files",
        notebook=f"/jobs/{job_id}/notebook",
        cancel=f"/cancel/{job_id}",
        download=f"/download/{job_id}",
    )


def status_view(
    job: Job, steps: list[Step], thoughts: list[Event], ahead: int | None, views: ViewLinks | None, writing: Call | None
) -> StatusView:
    """Return the view of a job. ``writing`` is the model call whose answer is arriving now."""
    shown = [_step_view(step) for step in steps if step.number > 0]
    check = next((_step_view(step) for step in steps if step.number == 0), None)
    artifact = None
    if job.artifact:
        known = {name: job.artifact[name] for name in ("bytes", "sha256", "files", "left_out", "partial")}
        known["with_secrets"] = job.artifact.get("with_secrets", 0)  # older requests have no secrets field
        artifact = ArtifactView(url=links(job.id).download, expired=job.expired_at is not None, **known)
    return StatusView(
        job_id=job.id,
        status=job.status,
        phase=job.phase,
        reason=job.reason,
        verified_by=job.verified_by if job.status == "completed" else None,
        detail=job.detail if job.status in FINAL else " ".join([job.detail, *job.notes]).strip(),
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
    """Return the model use of a job, with the call in progress."""
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
        output_tail=drawn(step.output_tail),
    )
