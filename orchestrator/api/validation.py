"""Says what is wrong with a request: the field, the value at fault, and what to do instead."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api import schemas
from orchestrator.errors import BadRequest
from orchestrator.planning.kinds import FENCES, KINDS
from orchestrator.planning.steps import Limits
from orchestrator.wording import given, nearest, words

#: Maximum number of wrong fields in an answer, and maximum characters of a field's name.
FIELDS, NAME_CHARACTERS = 50, 200

#: Maximum characters of a command that an error writes as a step.
COMMAND_CHARACTERS = 60

#: Fields that other systems have, with the remedy. A field in backquotes is a field of a request.
ELSEWHERE = {
    "files": "JSON cannot carry files; send a form (-F prompt='…' -F files=@sales.csv), or write a small file with a "
    'step {"kind": "file", "path": "a.txt", "content": "…"}',
    **dict.fromkeys(("file", "upload", "uploads", "attachment", "attachments"), "files go as `files` of a form (-F)"),
    **dict.fromkeys(
        ("task", "text", "query", "question", "message", "messages", "instruction", "instructions", "input", "goal"),
        "use `prompt`",
    ),
    **dict.fromkeys(
        ("command", "commands", "cmd", "script", "code", "source", "run", "shell", "python", "bash", "plan"),
        'use `steps`, such as [{"kind": "shell", "script": "date"}]',
    ),
    **dict.fromkeys(("timeout", "timeout_seconds", "time_limit", "max_seconds", "deadline"), "use `limits.seconds`"),
    **dict.fromkeys(("memory_limit", "mem", "ram"), "use `limits.memory`"),
    **dict.fromkeys(("cpu", "cores"), "use `limits.cpus`"),
    **dict.fromkeys(("max_tokens", "token_limit"), "use `limits.tokens`"),
    **dict.fromkeys(("budget", "max_cost"), "use `limits.cost`"),
    **dict.fromkeys(
        ("env", "environment", "variables", "env_vars"),
        "use `secrets` for environment variables, or set them in a step (export NAME=value)",
    ),
    **dict.fromkeys(("parameters", "params", "arguments", "args"), "use `inputs` for a template's inputs"),
    **dict.fromkeys(("tags", "metadata", "name", "title", "id", "job_id"), "use `labels`"),
    **dict.fromkeys(("artifacts", "results", "expected_outputs", "output_files"), "use `outputs`"),
    **dict.fromkeys(("test", "tests", "verify", "validation", "assert"), "use `check`"),
    **dict.fromkeys(("internet", "network_access", "offline"), 'use `network`: "none" or "internet"'),
    **dict.fromkeys(("retention", "ttl", "retention_days", "expires"), "use `keep_days`"),
    **dict.fromkeys(("llm", "engine", "provider"), "use `model`"),
    "wait": "`wait` is a query parameter: POST /schedule?wait=60",
    "fail": "`fail` is a query parameter: POST /schedule?wait=60&fail=true",
    **dict.fromkeys(("webhook", "callback", "callback_url"), "follow the job instead: GET /jobs/{job_id}/events"),
}

#: Fields of a step in other systems. The kind's own field for its source replaces each of them.
SOURCES = ("script", "code", "content", "command", "commands", "cmd", "run", "source", "text", "body", "shell", "bash")
PATHS = ("filename", "name", "file", "target")

#: A step of each kind, to show in an error.
EXAMPLES = {
    "shell": {"kind": "shell", "script": "date"},
    "python": {"kind": "python", "code": "print(1)"},
    "node": {"kind": "node", "code": "console.log(1)"},
    "file": {"kind": "file", "path": "a.txt", "content": "…"},
}


def refusal(errors: Sequence[Mapping[str, Any]]) -> BadRequest:
    """Build the answer to a request with these errors of pydantic's. Their places begin with body, query or path."""
    wrong = [_wrong(error) for error in errors[:FIELDS]]
    parts = [f"{item['field']}: {item['message']}" if item["field"] else item["message"] for item in wrong]
    detail = "; ".join(parts)
    return BadRequest(422, "invalid", "Invalid request", detail if detail.endswith("?") else f"{detail}.", errors=wrong)


def _wrong(error: Mapping[str, Any]) -> dict[str, str]:
    """Return the field of an error, as the client wrote it, and the message."""
    place = list(error["loc"][1:])
    if place[:1] == ["steps"] and len(place) > 2 and place[2] in KINDS:
        kind = place.pop(2)  # pydantic adds the kind, which is no part of the request
        message = _in_step(error, place, kind)
    elif place[:1] == ["steps"] and len(place) == 2:
        place, message = _no_step(error, place)
    elif error["type"] == "extra_forbidden":
        message = _unknown(place)
    elif place == ["steps"] and error["type"] == "list_type":
        message = f"must be a list of steps, such as [{_json(EXAMPLES['shell'])}]"
    else:
        message = _with_value(error, place)
    return {"field": ".".join(str(part) for part in place)[:NAME_CHARACTERS], "message": message}


def _with_value(error: Mapping[str, Any], place: Sequence[Any]) -> str:
    said = words(error)
    secret = place[:1] == ["secrets"]
    if said.startswith("must be") and error["type"] != "value_error" and not secret and (value := given(error)):
        said = f"{said}, not {value}"
    return said


def _unknown(place: Sequence[Any]) -> str:
    """Return the remedy for an unknown field of the request, or of its limits."""
    name = str(place[-1])
    message = "there is no such field"
    if len(place) == 1:
        if name in Limits.model_fields:
            return f"{message}; use `limits.{name}`"
        if name.lower() in ELSEWHERE:
            return f"{message}; {ELSEWHERE[name.lower()]}"
        near = nearest(name, schemas.ScheduleRequest.model_fields)
        return f"{message}; did you mean {near}?" if near else message
    if place[0] == "limits":
        alike = {"timeout": "seconds", "time": "seconds", "cpu": "cpus", "mem": "memory", "ram": "memory"}
        near = alike.get(name) or nearest(name, Limits.model_fields)
        return f"{message}; did you mean {near}?" if near else f"{message}; limits: {', '.join(Limits.model_fields)}"
    return message


def _in_step(error: Mapping[str, Any], place: Sequence[Any], kind: str) -> str:
    """Return the message for a wrong field of a step whose kind is known."""
    number, shape = int(place[1]) + 1, KINDS[kind]
    if error["type"] == "missing":
        return f"is missing; step {number} is a {kind} step, such as {_json(EXAMPLES[kind])}"
    if error["type"] == "extra_forbidden" and len(place) == 3:
        name = str(place[2])
        instead = None
        if name.lower() in SOURCES:
            instead = shape.SOURCE
        elif name.lower() in PATHS and "path" in shape.model_fields:
            instead = "path"
        elif name.lower() in ("timeout", "time_limit", "timeout_seconds"):
            instead = "seconds"
        instead = instead or nearest(name, shape.model_fields)
        if instead and instead != name:
            return f"there is no such field in a {kind} step (step {number}); did you mean {instead}?"
        fields = ", ".join(field for field in shape.model_fields if field != "kind")
        return f"there is no such field in a {kind} step (step {number}); its fields: {fields}"
    return _with_value(error, place) + ("" if len(place) > 2 else f" (step {number})")


def _no_step(error: Mapping[str, Any], place: list[Any]) -> tuple[list[Any], str]:
    """Return the place and the message for a step that is no object, or has no known kind."""
    number, step = int(place[1]) + 1, error.get("input")
    if isinstance(step, str):
        example = {"kind": "shell", "script": step if len(step) <= COMMAND_CHARACTERS else "…"}
        return place, f"step {number} is a text; a step is a JSON object, such as {_json(example)}"
    if not isinstance(step, Mapping):
        return place, f"step {number} must be a JSON object, such as {_json(EXAMPLES['shell'])}"
    kinds = f"use {', '.join(list(KINDS)[:-1])} or {list(KINDS)[-1]}"
    if "kind" not in step:
        instead = next((name for name in ("type", "action", "tool", "language", "lang") if name in step), None)
        if instead:
            return [*place, "kind"], f"is missing in step {number}; rename {instead} to kind, and {kinds}"
        meant = next((kind for kind, shape in KINDS.items() if shape.SOURCE in step and kind != "node"), None)
        hint = f'; with {KINDS[meant].SOURCE}, write "kind": "{meant}"' if meant else ""
        return [*place, "kind"], f"is missing in step {number}; {kinds}{hint}"
    kind = step["kind"]
    if not isinstance(kind, str):
        return [*place, "kind"], f"must be a text in step {number}; {kinds}"
    aliases = {alias: name for name, shape in KINDS.items() for alias in shape.ALIASES} | FENCES
    meant = aliases.get(kind.lower()) or nearest(kind, KINDS)
    shown = repr(kind[:80])
    if meant:
        return [*place, "kind"], f"step {number} has the unknown kind {shown}; did you mean {meant}? Or {kinds}"
    return [*place, "kind"], f"step {number} has the unknown kind {shown}; {kinds}"


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
