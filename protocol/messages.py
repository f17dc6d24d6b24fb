"""The messages between agent and orchestrator.

They are plain dataclasses, because the agent must start fast. The agent trusts its input. The orchestrator checks every
field (``orchestrator.link.message_parser``), because it treats every container as hostile. All times are seconds since
the epoch, all sizes are bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

#: The version of both images, also in their label ``containerized-agent.version``. Different versions do not work
#: together.
VERSION = "0.1.0"

#: Path of the orchestrator's socket in a sandbox. The folder is mounted, so that a new socket appears too.
SOCKET = "/run/link/link.sock"

#: The folder of a sandbox with the sockets of its services, by name. Only the live gateway uses it.
LIVE = "/run/live"

#: The agent's environment variable with the sandbox's token. No other process in the container has it.
TOKEN_VARIABLE = "LINK_TOKEN"  # noqa: S105 - the name of a variable, not a secret

#: Step number of the acceptance command in events; steps count from 1.
CHECK = 0

#: Maximum characters of output in one event. A step sends about ten events a second at most.
OUTPUT_EVENT_CHARACTERS = 65_536

#: Stored bytes of a step's output: the first HEAD and the last TAIL, with a marker in between.
OUTPUT_HEAD = 1024 * 1024
OUTPUT_TAIL = 64 * 1024

#: Stored bytes of a job's output over all steps. Beyond it, each step stores only its last TAIL bytes.
OUTPUT_JOB = 8 * 1024 * 1024

#: Kinds of results beside printed text, as MIME types. A result may have several representations.
ResultKind = Literal[
    "text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml", "application/json", "image/png",
    "image/jpeg",
]  # fmt: skip
RESULT_KINDS: tuple[ResultKind, ...] = get_args(ResultKind)

#: The kinds that are pictures, in base64.
PICTURES: tuple[ResultKind, ...] = ("image/png", "image/jpeg")

#: The kernel's folder for pictures, and the path of one in a message.
PICTURE_FILE = re.compile(r"figures/figure-\d{1,9}\.(png|jpg)")
BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")

#: Limits of one result: characters of a text and of all texts, bytes of a picture, characters of a display's name, and
#: of an error's name and message.
RESULT_TEXT, RESULT_TEXTS, RESULT_PICTURE = 128 * 1024, 512 * 1024, 1024 * 1024
DISPLAY_NAME, ERROR_CHARACTERS = 100, 2_000

#: Maximum results of a step and of a viewer's cell; maximum characters of one such cell, and of all results of a job.
RESULTS_STEP, RESULTS_VIEWER = 200, 20
RESULTS_CELL, RESULTS_JOB = 2 * 1024 * 1024, 16 * 1024 * 1024

#: Concurrent file requests per job. The agent starts a thread for each before the first step.
LOOKS = 2

#: Seconds in which a file request must find something, and must end.
LOOK_BEGIN_SECONDS, LOOK_SECONDS = 10.0, 60.0

#: Maximum bytes of a running job's file in one answer, and entries of one list.
LIVE_FILE_BYTES = 64 * 2**20
LIST_ENTRIES = 1000

#: Seconds in which a requested service must answer.
SERVICE_SECONDS = 30.0

#: Services of a running job: its desktop, and Jupyter Lab on its workspace.
Service = Literal["desktop", "notebook"]
StepKind = Literal["shell", "python", "node", "file"]
Phase = Literal["starting", "analyze"] | StepKind | Literal["check", "review", "package"]
StepStatus = Literal["completed", "failed", "cancelled"]
OutcomeStatus = Literal["completed", "failed", "cancelled"]

#: Failure reasons that an agent may report. The orchestrator has further ones.
Reason = Literal[
    "plan_failed", "step_failed", "check_failed", "timed_out", "out_of_memory", "zip_too_big", "agent_lost",
    "budget_exceeded", "model_unavailable",
]  # fmt: skip

#: Why the agent asks the model: for a plan, for correct syntax, for a repair, to see results, because facts show
#: missing files, or for a verdict on the results.
Purpose = Literal["plan", "syntax", "repair", "results", "facts", "review"]

#: When a model reviews the results: always, only if facts do not settle it, or never.
ReviewMode = Literal["always", "auto", "never"]


@dataclass(slots=True)
class PlannedStep:
    """A step of the plan."""

    number: int
    kind: StepKind
    title: str
    source: str  # shell script, python code, or content of the file
    seconds: float
    path: str = ""  # of a file step or a script; relative to the workspace
    args: list[str] = field(default_factory=list)  # of the script
    background: bool = False  # runs until packaging, beside later steps


@dataclass(slots=True)
class Example:
    """An example from the prompt: a call with its result, or an ``assert``."""

    call: str  # a Python expression, or an ``assert`` statement
    result: str  # a Python literal, or the name of the raised error; empty for an ``assert``
    names: list[str]  # functions that it calls and the job must define
    firm: bool  # written as a test, not found in a sentence


#: A rule for a result. Of a table: no blanks around values, no empty value, probably no empty value, lower case, no row
#: twice. Of a JSON file: the shape of an example. Of a text: it mentions each group of the data, or the number of rows
#: of each. Of pictures: their proportions.
Rule = Literal["trimmed", "filled", "whole", "lower", "unique", "like", "each", "count", "proportions"]


@dataclass(slots=True)
class Promise:
    """A property that the prompt demands of a result."""

    path: str  # of the result; empty for copies of the upload ``data``
    rule: Rule
    text: str  # words that name columns (empty: all columns), the example in JSON, or the name of the groups
    data: str = ""  # for "each", "count" and "proportions": the upload; for "like": not empty if all values are alike


@dataclass(slots=True)
class SourceProblem:
    """A syntax error in a step's source."""

    number: int  # of the step
    line: int  # in its source; 0 if unknown
    message: str  # message of Python, bash, Node or the JSON parser
    text: str  # the line at fault


@dataclass(slots=True)
class Take:
    """The agent's first message."""

    version: str


@dataclass(slots=True)
class Order:
    """The sandbox's job: everything that the agent needs to know."""

    job_id: str
    planned_by: str
    thinks: bool  # a model plans, repairs, and reviews the results
    steps: list[PlannedStep]
    uploads: list[str]  # uploaded files; GET /uploads returns them as a tar stream
    outputs: list[str]
    check: str
    network: str
    seconds: float  # for all steps together
    cpus: float
    zip_bytes: int  # of the ZIP's workspace part
    package_seconds: float
    link_lost_seconds: float  # how long an agent goes on without its link
    secrets: dict[str, str] = field(default_factory=dict, repr=False)  # environment variables of the steps
    named: list[str] = field(default_factory=list)  # files in the prompt, except uploads
    made: list[str] = field(default_factory=list)  # files that the prompt says to make, not only mentions
    columns: dict[str, list[str]] = field(default_factory=dict)  # columns that the prompt gives for its tables
    examples: list[Example] = field(default_factory=list)  # of the prompt
    tests: list[str] = field(default_factory=list)  # uploaded test files, if the prompt is about tests
    promises: list[Promise] = field(default_factory=list)  # of the prompt
    tried_tests: dict[str, str] = field(default_factory=dict)  # test files to make, each with the file that it tests
    required: list[str] = field(default_factory=list)  # the job fails without these; ``outputs`` may be a model's guess
    check_given: bool = True  # the check is from the user or a template; otherwise it is only evidence
    review: ReviewMode = "auto"
    step_seconds: float = 120.0  # of a step from a model


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
    """A figure, a table, a value, or (with only ``error``) the error that ended a python step."""

    number: int
    at: float
    step: int
    data: dict[ResultKind, str]
    file: str  # path of a picture in the workspace
    display: str  # its name, if it replaces an earlier result of that name
    error: list[str]  # the exception's name and its message, or empty
    kind: Literal["result"] = "result"


@dataclass(slots=True)
class ViewerCell:
    """A cell that a viewer ran in the job's kernel, with its results."""

    number: int
    at: float
    step: int  # the last started python step
    source: str
    printed: str
    results: list[dict[ResultKind, str]]
    error: list[str]  # the exception's name and its message, or empty
    kind: Literal["viewer_cell"] = "viewer_cell"


@dataclass(slots=True)
class StepEnded:
    number: int
    at: float
    step: int
    status: StepStatus
    exit_code: int | None  # as in a shell: 128 + the signal's number if a signal ended it
    detail: str
    output_bytes: int  # all printed bytes, stored or not
    kind: Literal["step_ended"] = "step_ended"


AgentEvent = PhaseBegan | StepStarted | Output | Result | ViewerCell | StepEnded


def most_of(kind: ResultKind) -> int:
    """Return the maximum characters of a part of a result."""
    return RESULT_PICTURE * 4 // 3 + 4 if kind in PICTURES else RESULT_TEXT


@dataclass(slots=True)
class Batch:
    """Events in the order of their numbers, without gaps. The agent repeats them until they are acknowledged."""

    events: list[AgentEvent]


@dataclass(slots=True)
class Acknowledged:
    number: int  # of the last event on disk


@dataclass(slots=True)
class Look:
    """A client's request for a list of a running job's workspace, or for one file.

    The agent gets it once and answers once with ``PUT /looks/{id}``: a line of JSON with the result, then the bytes of
    the file. Names are those in the ZIP.
    """

    id: str
    path: str | None = None  # of the file
    first: int | None = None  # the requested bytes, as in HTTP's Range
    last: int | None = None
    content: bool = True  # False: only the description
    under: str = ""  # prefix of a list's paths
    after: str = ""  # the list begins after this path
    most: int = LIST_ENTRIES


@dataclass(slots=True)
class View:
    """A request to run a service. It is repeated until the agent reports that the service begins."""

    service: Service
    control: str = ""  # the desktop's passwords for control and for watching
    watch: str = ""


@dataclass(slots=True)
class Shown:
    """The state of a requested service: ``POST /views``.

    ``starting``: the agent has the request. ``ready``: it listens in the live folder. ``ended``: it no longer runs; a
    new request starts it again. ``failed``: it could not start, for this reason; a new request tries again.
    """

    service: Service
    state: Literal["starting", "ready", "ended", "failed"]
    detail: str = ""


@dataclass(slots=True)
class Commands:
    """The orchestrator's requests to the agent.

    Repeating a command is harmless. A file request is sent once; after a loss, the client repeats it or gives up.
    """

    commands: list[Literal["cancel"]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    views: list[View] = field(default_factory=list)


@dataclass(slots=True)
class FoundFile:
    """A regular file. The bytes [begin, end) follow, unless only the description was requested or the part is too
    large.

    The range is empty if the requested part does not exist.
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
    """Part of a list, sorted by path."""

    files: list[Entry]
    more: bool  # more entries follow
    cut: bool  # the workspace has more entries than a list can hold
    kind: Literal["list"] = "list"


@dataclass(slots=True)
class FoundNone:
    """The reason why there is no file to send."""

    kind: Literal["missing", "folder", "link", "other", "denied", "ended", "failed"]
    detail: str = ""  # the target of a link, or the error


Found = FoundFile | FoundList | FoundNone


@dataclass(slots=True)
class SecretsFound:
    """A file that contains secrets, and their names."""

    path: str
    names: list[str]


@dataclass(slots=True)
class Packed:
    """The packer's summary of the workspace."""

    files: int
    bytes: int
    left_out: int
    partial: bool
    with_secrets: int = 0  # number of files that contain a secret
    secrets_found: list[SecretsFound] = field(default_factory=list)  # the first of them


#: The fault of a file; ``ok`` means none. A doubt alone does not fail a job.
About = Literal[
    "missing", "empty", "syntax", "stub", "blank", "no rows", "invalid", "promise", "example", "test", "doubt", "ok"
]

#: Maximum base64 characters of a picture for a model.
SEEN_CHARACTERS = 400 * 1024


@dataclass(slots=True)
class Fact:
    """The result of checking a file without a model."""

    path: str  # or the glob, if one of its files passes or it matches nothing
    ok: bool
    detail: str  # a sentence
    about: About


@dataclass(slots=True)
class Seen:
    """A small copy of a picture for a model."""

    name: str  # its path in the workspace, or ``screen``
    media_type: Literal["image/png", "image/jpeg"]
    data: str = field(repr=False)  # base64


@dataclass(slots=True)
class Ask:
    """A question for the model. The orchestrator knows the job; the agent adds facts that only it can see.

    The same number means the same question, repeated because answers take longer than a request stays open.
    """

    number: int  # from 1
    purpose: Purpose
    workspace: str  # the workspace: paths, sizes, and the beginnings of texts
    missing: list[str]  # declared outputs without a match
    left: float  # seconds left for the job
    problems: list[SourceProblem] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    pictures: list[Seen] = field(default_factory=list)


@dataclass(slots=True)
class Hear:
    """Ask for the state of an earlier question: ``POST /hear``."""

    number: int
    heard: int  # characters of the answer's text that the agent has
    left: float


@dataclass(slots=True)
class Answered:
    """The orchestrator's response to a question.

    ``waiting``: no answer yet, ask for its state. ``unknown``: the orchestrator restarted; repeat the question.
    ``planned``: go on with these steps, outputs and check. ``accepted``: nothing to do. ``failed``: end the job for
    this reason.
    """

    state: Literal["waiting", "unknown", "planned", "accepted", "failed"]
    steps: list[PlannedStep] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    check: str = ""
    reason: Reason | None = None
    detail: str = ""
    done: bool = True  # the model does not need the results before it goes on
    text: str = ""  # text of the model since ``heard``
    queued: float = 0.0  # seconds that the question waited for other calls; no limit includes them


@dataclass(slots=True)
class Outcome:
    """The job's result as the agent sees it. The orchestrator's answer is final, because a cancellation may have come
    first.
    """

    status: OutcomeStatus
    reason: Reason | None
    detail: str
    packed: Packed
    facts: list[Fact] = field(default_factory=list)  # the last facts about the files that the job had to make
    unmatched: list[str] = field(default_factory=list)  # outputs that the model guessed wrongly
    check_dropped: str = ""  # why the model's own check does not count


@dataclass(slots=True)
class Settled:
    """The job's final result, and the documents for the ZIP."""

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
