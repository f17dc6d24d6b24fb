"""The checks of agents' messages. A container is hostile until proven otherwise.

``protocol.messages`` has the shapes, and this module has the limits. A message that passes is data of a fixed shape. It
never chooses code to run, a path to write, or a name to import.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, FailFast, Field, TypeAdapter, ValidationError

from orchestrator.db.store import Report
from orchestrator.errors import BadRequest
from orchestrator.job_secrets.validation import MOST, NAME
from protocol import messages

T = TypeVar("T")

#: Maximum bytes of one message. A batch has up to 512 Ki characters of output. JSON uses six bytes for some of them.
MESSAGE_BYTES = 8 * 2**20

#: Maximum strings of one message, and maximum bytes outside of strings. A list of files takes half of both.
STRINGS, STRUCTURE_BYTES = 16_384, 96 * 1024

_UP_TO_STRING = re.compile(rb'([^"]*+)"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)

#: Maximum characters of the sentence in which an agent says how something ended.
DETAIL_CHARACTERS = 20_000

#: Maximum characters of a path, and of a link's target or an error.
PATH_CHARACTERS, LINK_CHARACTERS = 4_000, 1_000

#: Maximum number of files with secrets that an agent names.
SECRETS_FOUND = 20

#: Maximum characters of an agent's description of the workspace.
WORKSPACE_CHARACTERS = 100_000

#: Maximum problems or facts of a question, maximum pictures of a question, and maximum characters of a sentence.
PARTS, PICTURES, SENTENCE = 400, 8, 2_000

_strict = ConfigDict(extra="forbid", strict=True)
_event = Annotated[messages.AgentEvent, Field(discriminator="kind")]

_SHAPES = (
    messages.Take, messages.Ask, messages.SecretsFound, messages.Packed, messages.Outcome, messages.PhaseBegan,
    messages.StepStarted, messages.Output, messages.StepEnded, messages.Result, messages.ViewerCell, messages.FoundFile,
    messages.FoundList, messages.FoundNone, messages.Entry, messages.Shown, messages.SourceProblem, messages.Fact,
    messages.Seen, messages.Hear,
)  # fmt: skip
for _shape in _SHAPES:
    _shape.__pydantic_config__ = _strict  # type: ignore[union-attr]

_take = TypeAdapter(messages.Take)
_ask = TypeAdapter(messages.Ask)
_hear = TypeAdapter(messages.Hear)
_outcome = TypeAdapter(messages.Outcome)
_events: TypeAdapter[dict[str, list[messages.AgentEvent]]] = TypeAdapter(
    dict[Annotated[str, Field(pattern="^events$")], Annotated[list[_event], FailFast(), Field(max_length=256)]]
)
_shown = TypeAdapter(messages.Shown)
_found: TypeAdapter[messages.Found] = TypeAdapter(Annotated[messages.Found, Field(discriminator="kind")])


def take(body: bytes) -> messages.Take:
    return _check(_take, body)


def ask(body: bytes) -> messages.Ask:
    """Parse a question. Raises BadRequest, also if it exceeds a limit, such as that of the workspace's description."""
    found = _check(_ask, body)
    if not 1 <= found.number <= 2**31 or len(found.workspace) > WORKSPACE_CHARACTERS:
        raise _bad("a question is out of bounds")
    if max(len(found.problems), len(found.facts)) > PARTS or len(found.pictures) > PICTURES:
        raise _bad("a question has too many parts")
    for problem in found.problems:
        problem.message, problem.text = problem.message[:SENTENCE], problem.text[:SENTENCE]
    found.facts = [_fact(fact) for fact in found.facts]
    for picture in found.pictures:
        if (
            len(picture.data) > messages.SEEN_CHARACTERS
            or len(picture.data) % 4
            or not messages.BASE64.fullmatch(picture.data)
        ):
            raise _bad("a picture is too large, or is not in base64")
        picture.name = picture.name[:SENTENCE]
    return found


def hear(body: bytes) -> messages.Hear:
    return _check(_hear, body)


def _fact(fact: messages.Fact) -> messages.Fact:
    return messages.Fact(fact.path[:PATH_CHARACTERS], fact.ok, fact.detail[:SENTENCE], fact.about)


def outcome(body: bytes) -> messages.Outcome:
    """Parse an outcome. Raises BadRequest, also if its parts contradict each other or exceed a limit."""
    found = _check(_outcome, body)
    if (found.status == "failed") != (found.reason is not None):
        raise _bad("a failed job, and no other, has a reason")
    packed = found.packed
    counts = (packed.files, packed.bytes, packed.left_out, packed.with_secrets)
    if min(counts) < 0 or max(counts) > 2**60:
        raise _bad("counts are out of bounds")
    if len(packed.secrets_found) > SECRETS_FOUND or any(not _is_found(item) for item in packed.secrets_found):
        raise _bad("the list of files with secrets is out of bounds")
    if len(found.facts) > PARTS or len(found.unmatched) > PARTS:
        raise _bad("the list of outputs is out of bounds")
    found.facts = [_fact(fact) for fact in found.facts]
    found.detail, found.check_dropped = found.detail[:DETAIL_CHARACTERS], found.check_dropped[:SENTENCE]
    return found


def shown(body: bytes) -> messages.Shown:
    told = _check(_shown, body)
    told.detail = told.detail[:LINK_CHARACTERS]
    return told


def found(line: bytes, look: messages.Look) -> messages.Found:
    """Parse the answer of an agent to ``look``. Raises BadRequest, also if ``look`` did not ask for it."""
    answer = _check(_found, line)
    if isinstance(answer, messages.FoundNone):
        answer.detail = answer.detail[:LINK_CHARACTERS]
    elif isinstance(answer, messages.FoundFile):
        if look.path is None or not 0 <= answer.begin <= answer.end <= answer.size <= 2**60:
            raise _bad("this file, or this part of it, was not asked for")
        if look.first is look.last is None and answer.end - answer.begin != answer.size:
            raise _bad("the whole file was asked for")
        answer.modified = _moment(answer.modified)
    else:
        paths = [look.after, *(entry.path for entry in answer.files)]
        if look.path is not None or len(answer.files) > look.most or paths != sorted(set(paths)):
            raise _bad("this list was not asked for, or is not sorted by path")
        for entry in answer.files:
            if not entry.path.startswith(look.under) or len(entry.path) > PATH_CHARACTERS:
                raise _bad("a path is outside the requested folder, or is too long")
            if not 0 <= entry.size <= 2**60:
                raise _bad("a size is out of bounds")
            entry.modified = _moment(entry.modified)
    return answer


def _is_found(item: messages.SecretsFound) -> bool:
    return len(item.path) <= PATH_CHARACTERS and len(item.names) <= MOST and all(map(NAME.fullmatch, item.names))


def _moment(at: float) -> float:
    """Return a file's time, within the range of a ZIP: 1980 to 2107."""
    return min(max(at, 315_532_800), 4_354_819_198) if math.isfinite(at) else 315_532_800


def batch(body: bytes, steps: int, now: float) -> list[Report]:
    """Return the reports of a batch. ``steps`` is the last step's number. Times more than a day off become ``now``."""
    events = _check(_events, body).get("events", [])
    return [_report(event, steps, now) for event in events]


def _report(event: messages.AgentEvent, steps: int, now: float) -> Report:
    if event.number < 1 or event.number > 2**31:
        raise _bad(f"the event number {event.number} is out of bounds")
    at = event.at if math.isfinite(event.at) and abs(now - event.at) < 86_400 else now
    if isinstance(event, messages.PhaseBegan):
        job: dict[str, Any] = {"phase": event.phase}
        if event.phase == "package":
            job["packaging_at"] = at
        return Report(event.number, at, event.kind, {"phase": event.phase}, job=job)
    if not 0 <= event.step <= steps:
        raise _bad(f"there is no step {event.step}")
    data: dict[str, Any] = {"step": event.step}
    if isinstance(event, messages.StepStarted):
        changes: dict[str, Any] = {"status": "running", "started_at": at}
        return Report(event.number, at, event.kind, data, step_number=event.step, step=changes)
    if isinstance(event, messages.Output):
        if len(event.text) > messages.OUTPUT_EVENT_CHARACTERS:
            raise _bad("the text of an output event is too long")
        return Report(event.number, at, event.kind, {**data, "text": event.text})
    if isinstance(event, messages.Result):
        _check_data(event.data)
        if event.file and not messages.FIGURE_FILE.fullmatch(event.file):
            raise _bad("a result names a file that is no picture and no page")
        if len(event.display) > messages.DISPLAY_NAME:
            raise _bad("the name of a display is too long")
        _check_error(event.error)
        shown = {"data": event.data, "file": event.file, "display": event.display, "error": event.error}
        return Report(event.number, at, event.kind, {**data, **{name: part for name, part in shown.items() if part}})
    if isinstance(event, messages.ViewerCell):
        if (
            max(len(event.source), len(event.printed)) > messages.RESULT_TEXT
            or len(event.results) > messages.RESULTS_VIEWER
        ):
            raise _bad("a viewer's cell is too long")
        for part in event.results:
            _check_data(part)
        _check_error(event.error)
        cell = {"source": event.source, "printed": event.printed, "results": event.results, "error": event.error}
        return Report(event.number, at, event.kind, {**data, **cell})
    if (event.exit_code is not None and not 0 <= event.exit_code <= 255) or not 0 <= event.output_bytes < 2**60:
        raise _bad("an exit code or a size is out of bounds")
    detail = event.detail[:DETAIL_CHARACTERS]
    ended = {"status": event.status, "exit_code": event.exit_code, "detail": detail}
    changes = {**ended, "output_bytes": event.output_bytes, "ended_at": at}
    return Report(event.number, at, event.kind, {**data, **ended}, step_number=event.step, step=changes)


def _check_data(data: dict[messages.ResultKind, str]) -> None:
    for kind, part in data.items():
        if len(part) > messages.most_of(kind):
            raise _bad(f"the {kind} of a result is too long")
        if kind in messages.PICTURES and (len(part) % 4 or not messages.BASE64.fullmatch(part)):
            raise _bad(f"the {kind} of a result is not in base64")


def _check_error(error: list[str]) -> None:
    if len(error) not in (0, 2) or any(len(part) > messages.ERROR_CHARACTERS for part in error):
        raise _bad("an error is no name and message, or is too long")


def _check(adapter: TypeAdapter[T], body: bytes) -> T:
    _check_structure(body)
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise _bad(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _check_structure(body: bytes) -> None:
    """Reject JSON with too much structure, because a few bytes of it can take a hundred times as much memory.

    For example, each of a million unknown keys would be an error of its own. Reads a body once, from start to end.
    """
    end = structure = strings = 0
    while (part := _UP_TO_STRING.match(body, end)) and strings <= STRINGS:
        structure, strings, end = structure + len(part[1]), strings + 1, part.end()
    if strings > STRINGS or structure + len(body) - end > STRUCTURE_BYTES:
        raise _bad("it has more parts than any message has")


def _bad(what: str) -> BadRequest:
    return BadRequest(400, "bad-message", "Bad message", f"A message of an agent was not understood: {what}.")
