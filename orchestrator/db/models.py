"""The data of a job: the tables, the states, and the table of allowed moves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, Index, text
from sqlmodel import Field, SQLModel

#: The states of a job, with a sentence each.
STATES = {
    "scheduled": "accepted and stored; `waiting_for` says why it waits",
    "running": "has a container; `phase` names its current phase",
    "completed": "the work is done and checked, and the ZIP is on disk",
    "failed": "`reason` has a fixed word for the cause, `detail` a sentence",
    "cancelled": "a client cancelled it, or the system was stopped (see `detail`)",
}

#: The value of ``planned_by`` if a model makes the plan.
MODEL = "model"

#: For each state, the states that may follow. A state that nothing follows is final and never changes.
MOVES = {
    "scheduled": ("running", "cancelled", "failed"),
    "running": ("completed", "failed", "cancelled"),
    "completed": (),
    "failed": (),
    "cancelled": (),
}
FINAL = tuple(state for state, following in MOVES.items() if not following)


def at_the_end(step_status: str, job_status: str) -> str:
    """Return the final status of a step whose job ended with ``job_status``."""
    running = "cancelled" if job_status == "cancelled" else "failed"
    return {"waiting": "skipped", "running": running}.get(step_status, step_status)


#: The reasons why a job failed: the fixed words, with a sentence each.
REASONS = {
    "plan_failed": "no plan could be made from the request",
    "step_failed": "a step ended with an exit code other than 0",
    "check_failed": "the acceptance command failed, a declared output is missing, or the review rejected the results",
    "timed_out": "a step, or the job, took longer than its limit",
    "out_of_memory": "the container ran out of memory",
    "disk_full": "the host's disk is full",
    "zip_too_big": "a declared output did not fit into the ZIP",
    "budget_exceeded": "the model's calls, tokens or cost exceeded the job's limit",
    "model_unavailable": "the model's provider was unreachable or busy for too long, or rejected the key",
    "secrets_lost": "the job's secrets cannot be read: their file or the key in the data folder is missing",
    "agent_lost": "the agent or its container was ended from outside, or stopped responding",
    "engine_error": "the engine could not start the container; `detail` has its message",
}

#: The ways in which the outcome of a completed job was judged, the strongest evidence first.
VERIFIED_BY = {
    "your check": "the acceptance command of the request, or of the template, exited with 0",
    "facts": "the requested files exist, are not empty, and are well formed",
    "review": "a model reviewed the results and accepted them",
    "nothing but exit codes": "every step exited with 0; nothing else was checked",
}

#: The reasons why a job waits.
WAITING_FOR = {
    "slot": "the maximum number of jobs is running",
    "engine": "the engine that runs the sandboxes does not answer",
    "image": "the agent's image is missing, or has another version",
    "disk": "the host's disk has less free space than DISK_RESERVE",
    "model": "the model's provider is busy or unreachable, and is asked again (the job runs meanwhile)",
}


class Job(SQLModel, table=True):
    """One job. Times are seconds since the epoch."""

    __table_args__ = (
        Index("by_status", "status", "n"),
        Index("by_expiry", "keep_days", "ended_at", sqlite_where=text("expired_at IS NULL")),
        Index("by_end", "ended_at", sqlite_where=text("expired_at IS NOT NULL")),
    )

    n: int | None = Field(default=None, primary_key=True)  # in order of arrival
    id: str = Field(unique=True)
    prompt: str
    planned_by: str  # request, fences, template:<name>
    network: str
    seconds: float
    memory: int
    cpus: float
    processes: int
    zip_bytes: int
    steps_count: int
    check_command: str = ""
    outputs: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    keep_days: float | None = None  # after its end; None stands for RETENTION_DAYS
    labels: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))

    given: list[str] = Field(
        default_factory=list, sa_column=Column(JSON, nullable=False)
    )  # outputs, check: those in the request, not a model's
    notes: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # sentences for `detail`
    max_calls: int = 20  # of a model
    max_tokens: int = 500_000
    max_cost: float = 1.0  # US$
    inputs: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))  # of its template
    uploads: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    secrets: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # only their names

    status: str = "scheduled"
    phase: str | None = None
    reason: str | None = None
    detail: str = ""
    waiting_for: str | None = "slot"
    cancel_requested_at: float | None = None

    created_at: float
    started_at: float | None = None  # when it got a slot
    taken_at: float | None = None  # when the agent sent its first message
    packaging_at: float | None = None  # from then on, no process of the job's own runs
    settled_at: float | None = None  # when its outcome was decided; the ZIP is not on disk yet
    ended_at: float | None = None
    expired_at: float | None = None

    sandbox_id: str | None = Field(default=None, index=True)
    token_sha256: str | None = None
    image: str | None = None
    image_id: str | None = None

    last_event: int = 0
    acknowledged: int = 0  # counted by the agent's own numbers

    wanted_model: str | None = None  # as kind/model, chosen by the client; None stands for the default
    model: str | None = None  # the model that answered last
    calls: int = 0
    tokens: int = 0
    cost: float = 0.0
    repairs: int = 0
    summary: str = ""  # the model's text about the results
    turn_waited: float = 0.0  # seconds that its questions waited for their turn; no limit counts them
    turn_waits_since: float | None = None  # set while a question waits
    accepted: bool | None = None  # the model's last verdict on the results
    verified_by: str | None = None  # a key of VERIFIED_BY, for a completed job

    outcome: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    artifact: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))


#: The columns of a job that say what was asked for. All code that makes a job sets all of them, and a retry keeps them.
ASKED = frozenset(
    {
        "prompt", "planned_by", "network", "seconds", "memory", "cpus", "processes", "zip_bytes", "steps_count",
        "check_command", "outputs", "labels", "keep_days", "inputs", "uploads", "secrets", "given", "notes",
        "max_calls", "max_tokens", "max_cost", "wanted_model",
    }
)  # fmt: skip

#: All other columns of a job: its names, its progress and its results.
DERIVED = frozenset(
    {
        "n", "id", "status", "phase", "reason", "detail", "waiting_for", "cancel_requested_at",
        "created_at", "started_at", "taken_at", "packaging_at", "settled_at", "ended_at", "expired_at",
        "sandbox_id", "token_sha256", "image", "image_id", "last_event", "acknowledged",
        "model", "calls", "tokens", "cost", "repairs", "summary", "turn_waited", "turn_waits_since", "accepted",
        "verified_by", "outcome", "artifact",
    }
)  # fmt: skip

#: The same for a step: the columns of the plan, and the columns of progress and results.
PLANNED = frozenset({"number", "kind", "title", "source", "path", "args", "seconds", "seconds_given", "background"})
RAN = frozenset({"job_id", "status", "exit_code", "detail", "output_bytes", "output_tail", "started_at", "ended_at"})


#: Maximum characters of a step's output that its row has.
OUTPUT_TAIL = 2_000


class Step(SQLModel, table=True):
    """One step of a job's plan. Number 0 is the acceptance command."""

    job_id: str = Field(primary_key=True, foreign_key="job.id")
    number: int = Field(primary_key=True)
    kind: str
    title: str
    source: str
    path: str = ""  # of a file, or of a python step's script
    args: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # of the script
    seconds: float  # time limit; the job's limit if the plan gave none
    seconds_given: bool = False
    background: bool = False

    status: str = "waiting"  # then running, completed, failed or cancelled; skipped if the job ended before it
    exit_code: int | None = None
    detail: str = ""
    output_bytes: int = 0
    output_tail: str = ""  # the last OUTPUT_TAIL characters
    started_at: float | None = None
    ended_at: float | None = None


class Event(SQLModel, table=True):
    """Something that happened, numbered per job."""

    job_id: str = Field(primary_key=True, foreign_key="job.id")
    number: int = Field(primary_key=True)
    at: float
    kind: str
    data: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


class Turn(SQLModel, table=True):
    """One message of the conversation between a job and its model. The system's text is not stored."""

    job_id: str = Field(primary_key=True, foreign_key="job.id")
    number: int = Field(primary_key=True)
    role: str  # user or assistant
    purpose: str
    text: str
