"""The messages of the link: the only words that the agent and the orchestrator share.

Plain dataclasses of the standard library, because the agent must start fast. The agent trusts what it receives; the
orchestrator checks every field of what it receives (``orchestrator.link.message_parser``), because a container is
hostile until proven otherwise. All times are seconds since the epoch, all sizes are bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

#: The version of both images. They carry it as the label ``containerized-agent.version``; unequal ones do not talk.
VERSION = "0.1.0"

#: Where the orchestrator's socket is inside a sandbox; the folder is mounted, so that a new socket is seen too.
SOCKET = "/run/link/link.sock"

#: The folder of a sandbox's own where its services listen, each under its name, for the live gateway alone.
LIVE = "/run/live"

#: The environment variable of the agent (and of nothing else in the container) that holds the sandbox's token.
TOKEN_VARIABLE = "LINK_TOKEN"  # noqa: S105 - the name of a variable, not a secret

#: Number of the acceptance command in events, where steps have 1, 2, 3…
CHECK = 0

#: Characters of output in one event, at most. A step sends at most some ten events a second.
OUTPUT_EVENT_CHARACTERS = 65_536

#: Bytes of output kept of one step: all up to HEAD, then the last TAIL of them, with a marker in between.
OUTPUT_HEAD = 1024 * 1024
OUTPUT_TAIL = 64 * 1024

#: Bytes of output kept of one job, over all its steps; past it each step keeps its last TAIL bytes only.
OUTPUT_JOB = 8 * 1024 * 1024

#: What a step shows beside what it prints, as Jupyter names it: the same thing in different ways.
ResultKind = Literal[
    "text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml", "application/json", "image/png",
    "image/jpeg",
]  # fmt: skip
RESULT_KINDS: tuple[ResultKind, ...] = get_args(ResultKind)

#: Those of them that are pictures, in base64.
PICTURES: tuple[ResultKind, ...] = ("image/png", "image/jpeg")

#: Where the kernel keeps pictures, and how they are written in a message.
PICTURE_FILE = re.compile(r"figures/figure-\d{1,9}\.(png|jpg)")
BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")

#: Of one result: characters of a text and of all its texts together, bytes of a picture; characters of a display's
#: name, and of an error's name and message.
RESULT_TEXT, RESULT_TEXTS, RESULT_PICTURE = 128 * 1024, 512 * 1024, 1024 * 1024
DISPLAY_NAME, ERROR_CHARACTERS = 100, 2_000

#: Results of one step, and of one cell of a viewer; characters of all of one such cell, and of one job.
RESULTS_STEP, RESULTS_VIEWER = 200, 20
RESULTS_CELL, RESULTS_JOB = 2 * 1024 * 1024, 16 * 1024 * 1024

#: Looks into one job's workspace that go on at the same time: the agent has a thread for each, from its start on.
LOOKS = 2

#: Seconds until a look must have found something, and until it must be over.
LOOK_BEGIN_SECONDS, LOOK_SECONDS = 10.0, 60.0

#: Bytes of a running job's file in one answer; entries of one list.
LIVE_FILE_BYTES = 64 * 2**20
LIST_ENTRIES = 1000

#: Seconds until a service must answer that somebody wants to see.
SERVICE_SECONDS = 30.0

#: What can be seen of a running job: its desktop, and Jupyter Lab on its workspace.
Service = Literal["desktop", "notebook"]
StepKind = Literal["shell", "python", "node", "file"]
Phase = Literal["starting", "analyze"] | StepKind | Literal["check", "review", "package"]
StepStatus = Literal["completed", "failed", "cancelled"]
OutcomeStatus = Literal["completed", "failed", "cancelled"]

#: Why a job failed: the reasons that an agent may give. The orchestrator has more of its own.
Reason = Literal[
    "plan_failed", "step_failed", "check_failed", "timed_out", "out_of_memory", "zip_too_big", "agent_lost",
    "budget_exceeded", "model_unavailable",
]  # fmt: skip

#: Why the agent asks: for a plan; because a source does not parse; because a step or the check failed; because the
#: model wants to see results; because facts find something missing; for a verdict on the results.
Purpose = Literal["plan", "syntax", "repair", "results", "facts", "review"]

#: When a model reviews what came out: always; where facts do not settle it; never.
ReviewMode = Literal["always", "auto", "never"]


@dataclass(slots=True)
class PlannedStep:
    """One step of the plan."""

    number: int
    kind: StepKind
    title: str
    source: str  # the shell script, the python code or the content of the file
    seconds: float
    path: str = ""  # of a file step, or of a python step that is a script; relative to the workspace
    args: list[str] = field(default_factory=list)  # of the script
    background: bool = False  # goes on until packing, while later steps run


@dataclass(slots=True)
class Example:
    """A call whose result the prompt says, or an ``assert`` that it contains."""

    call: str  # a Python expression, or an ``assert`` statement
    result: str  # a Python literal, or the name of the error that the call raises; empty for an ``assert``
    names: list[str]  # the functions that it calls and that a file of the job is to define
    firm: bool  # it was written as a test; otherwise it was found in running text


@dataclass(slots=True)
class SourceProblem:
    """Why the source of a step does not parse."""

    number: int  # of the step
    line: int  # of its source, 0 where it is unknown
    message: str  # in the words of Python, bash, Node or the JSON parser
    text: str  # the line at fault


@dataclass(slots=True)
class Take:
    """The agent's first words."""

    version: str


@dataclass(slots=True)
class Order:
    """The job that a sandbox is for: all that the agent needs to know of it."""

    job_id: str
    planned_by: str
    thinks: bool  # a model makes the plan, mends it, and reviews what came out
    steps: list[PlannedStep]
    uploads: list[str]  # files that came with the job; GET /uploads has them as a tar stream
    outputs: list[str]
    check: str
    network: str
    seconds: float  # for all steps together
    cpus: float
    zip_bytes: int  # of the ZIP, for what the workspace holds
    package_seconds: float
    link_lost_seconds: float  # how long an agent goes on without its link
    secrets: dict[str, str] = field(default_factory=dict, repr=False)  # variables of the steps' environment
    named: list[str] = field(default_factory=list)  # files that the prompt names, beside the uploads
    made: list[str] = field(default_factory=list)  # those that it says are to be made, and not only mentions
    columns: dict[str, list[str]] = field(default_factory=dict)  # of tables among them, as the prompt says
    examples: list[Example] = field(default_factory=list)  # that the prompt gives
    tests: list[str] = field(default_factory=list)  # uploads with tests, where the prompt is about tests
    required: list[str] = field(default_factory=list)  # the job fails without them; ``outputs`` may be a model's guess
    check_given: bool = True  # a person, or a template, gave the check; otherwise it is evidence
    review: ReviewMode = "auto"
    step_seconds: float = 120.0  # of a step that a model planned


@dataclass(slots=True)
class PhaseBegan:
    number: int
    at: float
    phase: Phase
    kind: Literal["phase"] = "phase"


@dataclass(slots=True)
class StepStarted:
    number: int
    at: float
    step: int
    kind: Literal["step_started"] = "step_started"


@dataclass(slots=True)
class Output:
    number: int
    at: float
    step: int
    text: str
    kind: Literal["output"] = "output"


@dataclass(slots=True)
class Result:
    """A figure, a table, a value, or (with ``error`` alone) the error that a python step ended with."""

    number: int
    at: float
    step: int
    data: dict[ResultKind, str]
    file: str  # where a picture is in the workspace
    display: str  # its name, where it takes the place of an earlier one of that name
    error: list[str]  # the exception's name and its message, or nothing
    kind: Literal["result"] = "result"


@dataclass(slots=True)
class ViewerCell:
    """A cell that somebody who watches has run in the job's kernel, and what came of it."""

    number: int
    at: float
    step: int  # the python step that began last
    source: str
    printed: str
    results: list[dict[ResultKind, str]]
    error: list[str]  # the exception's name and its message, or nothing
    kind: Literal["viewer_cell"] = "viewer_cell"


@dataclass(slots=True)
class StepEnded:
    number: int
    at: float
    step: int
    status: StepStatus
    exit_code: int | None  # as a shell shows it: 128 + the signal's number where a signal ended it
    detail: str
    output_bytes: int  # all that it printed, whether kept or not
    kind: Literal["step_ended"] = "step_ended"


AgentEvent = PhaseBegan | StepStarted | Output | Result | ViewerCell | StepEnded


def most_of(kind: ResultKind) -> int:
    """Characters that a part of a result may have."""
    return RESULT_PICTURE * 4 // 3 + 4 if kind in PICTURES else RESULT_TEXT


@dataclass(slots=True)
class Batch:
    """Events in the order of their numbers, without a gap; sent again until acknowledged."""

    events: list[AgentEvent]


@dataclass(slots=True)
class Acknowledged:
    number: int  # of the last event that is on disk


@dataclass(slots=True)
class Look:
    """Somebody wants to see what a running job has in its workspace: a list of it, or one file.

    Asked for once, and answered once, with ``PUT /looks/{id}``: a line of JSON with what was found, then the bytes of
    the file. Names are those that the ZIP would have.
    """

    id: str
    path: str | None = None  # of the file
    first: int | None = None  # the bytes wanted of it, as HTTP's Range says it
    last: int | None = None
    content: bool = True  # whether they are wanted, or only what there is
    under: str = ""  # how the paths of a list begin
    after: str = ""  # the path after which it begins
    most: int = LIST_ENTRIES


@dataclass(slots=True)
class View:
    """Somebody wants to see a service: it is to run. Said again until the agent has said that it begins."""

    service: Service
    control: str = ""  # the desktop's password for who may type, and for who may only watch
    watch: str = ""


@dataclass(slots=True)
class Shown:
    """How a service that was wanted is doing: ``POST /views``.

    ``starting``: the agent has heard of it. ``ready``: it listens in the live folder. ``ended``: it does not run any
    more, and is started again when it is wanted again. ``failed``: the same, and why it could not be started.
    """

    service: Service
    state: Literal["starting", "ready", "ended", "failed"]
    detail: str = ""


@dataclass(slots=True)
class Commands:
    """What the orchestrator wants of the agent.

    A command stays wanted: hearing it twice is harmless. Looks are heard once: who asked asks again, or gives up.
    """

    commands: list[Literal["cancel"]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    views: list[View] = field(default_factory=list)


@dataclass(slots=True)
class FoundFile:
    """A regular file; the bytes [begin, end) follow, unless only what it is was wanted, or they are too many.

    They are none where the part that was wanted is not there.
    """

    size: int
    modified: float
    begin: int
    end: int
    kind: Literal["file"] = "file"


@dataclass(slots=True)
class Entry:
    """A file, a link or an empty folder in a list."""

    path: str
    kind: Literal["file", "link", "folder"]
    size: int
    modified: float


@dataclass(slots=True)
class FoundList:
    """A part of a list, sorted by path."""

    files: list[Entry]
    more: bool  # there is more after the last of them
    cut: bool  # there is more in the workspace than a list may have
    kind: Literal["list"] = "list"


@dataclass(slots=True)
class FoundNone:
    """Why there is no file to send."""

    kind: Literal["missing", "folder", "link", "other", "denied", "ended", "failed"]
    detail: str = ""  # where a link leads, or what went wrong


Found = FoundFile | FoundList | FoundNone


@dataclass(slots=True)
class SecretsFound:
    """A file that has secrets in it, and their names."""

    path: str
    names: list[str]


@dataclass(slots=True)
class Packed:
    """What the packer says of the workspace, once it is written."""

    files: int
    bytes: int
    left_out: int
    partial: bool
    with_secrets: int = 0  # files that have a secret in them
    secrets_found: list[SecretsFound] = field(default_factory=list)  # the first of them


#: The fault of a file; ``ok`` means none.
About = Literal["missing", "empty", "syntax", "stub", "blank", "no rows", "invalid", "example", "test", "ok"]

#: The longest base64 of a picture for a model, in characters.
SEEN_CHARACTERS = 400 * 1024


@dataclass(slots=True)
class Fact:
    """The result of a check of a file that needs no model."""

    path: str  # or the glob, if one of its files passes or it matches nothing
    ok: bool
    detail: str  # a sentence
    about: About


@dataclass(slots=True)
class Seen:
    """A small copy of a picture, for a model that takes pictures."""

    name: str  # its path in the workspace, or ``screen``
    media_type: Literal["image/png", "image/jpeg"]
    data: str = field(repr=False)  # base64


@dataclass(slots=True)
class Ask:
    """A question for the model. The orchestrator knows the job; the agent adds what only it can see.

    Asked again with the same number, it is the same question: an answer takes longer than a request is held.
    """

    number: int  # from 1
    purpose: Purpose
    workspace: str  # what is there: paths, sizes, and the heads of texts
    missing: list[str]  # the declared outputs that nothing matches
    left: float  # seconds until the job's time is over
    problems: list[SourceProblem] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    pictures: list[Seen] = field(default_factory=list)


@dataclass(slots=True)
class Hear:
    """Ask how a question is doing that was put before: ``POST /hear``."""

    number: int
    heard: int  # characters of the answer's text that the agent has
    left: float


@dataclass(slots=True)
class Answered:
    """What the model said, as the orchestrator took it.

    ``waiting``: not yet, ask how it is doing. ``unknown``: the orchestrator has started anew and the question is to be
    put again. ``planned``: go on with these steps, outputs and check. ``accepted``: nothing is to be done about it.
    ``failed``: the job is to end, for this reason.
    """

    state: Literal["waiting", "unknown", "planned", "accepted", "failed"]
    steps: list[PlannedStep] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    check: str = ""
    reason: Reason | None = None
    detail: str = ""
    done: bool = True  # the model does not want to look at the results before it goes on
    text: str = ""  # what the model has written since ``heard``
    queued: float = 0.0  # seconds that the question has waited for its turn: they count against no limit


@dataclass(slots=True)
class Outcome:
    """How the job ended, as the agent sees it. The answer settles it: a cancellation may have come first."""

    status: OutcomeStatus
    reason: Reason | None
    detail: str
    packed: Packed
    facts: list[Fact] = field(default_factory=list)  # the last look at the files that the job was to make
    unmatched: list[str] = field(default_factory=list)  # outputs that the model guessed wrongly
    check_dropped: str = ""  # why the model's own check does not count


@dataclass(slots=True)
class Settled:
    """How the job ended, for good, and the documents that go into the ZIP beside the workspace."""

    status: OutcomeStatus
    reason: str | None
    detail: str
    manifest: dict[str, Any]
    documents: dict[str, str]


@dataclass(slots=True)
class Stored:
    """The ZIP is on the host's disk."""

    bytes: int
    sha256: str
