"""Plans a request without a model: given steps, fenced code blocks, or a template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from orchestrator.db.models import MODEL
from orchestrator.errors import BadRequest
from orchestrator.planning.kinds import FENCES, KINDS, BaseStep
from orchestrator.planning.steps import STEPS, Steps
from orchestrator.planning.template_inputs import Value
from orchestrator.planning.templates import Files, Template, Templates
from orchestrator.wording import words

#: A line that opens or closes a block (CommonMark 0.31, 4.5). Inside a list it may have more indent.
FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})([^`]*)$")

LINE_END = re.compile(r"\r\n|\n|\r")

#: How a block to run begins, by one example of each kind.
BEGINNINGS = [f"```{kind.FENCES[0]}" for kind in KINDS.values() if kind.FENCES]

Planned = list[BaseStep]


class Wanted(Protocol):
    """The fields of a ``ScheduleRequest`` that a plan needs."""

    @property
    def prompt(self) -> str | None: ...
    @property
    def steps(self) -> Planned | None: ...
    @property
    def template(self) -> str | None: ...
    @property
    def inputs(self) -> dict[str, Value]: ...


@dataclass
class Plan:
    """The steps of a job, their origin, and what the template adds."""

    planned_by: str
    steps: Planned
    outputs: list[str] = field(default_factory=list)
    #: The network that the template asks for; None if it asks for none in particular.
    network: str | None = None
    #: The values of the template's inputs, given or default.
    inputs: dict[str, Value] = field(default_factory=dict)
    #: The template's sample files, which go into the workspace like uploads.
    sample: list[Path] = field(default_factory=list)
    #: Sentences about the request that the job's ``detail`` has, such as that a field was not used.
    notes: list[str] = field(default_factory=list)


def plan(wanted: Wanted, uploads: Sequence[str], templates: Templates, model: bool) -> Plan:
    """Plan a request with these upload names. Raises BadRequest (422) that says how to get a plan.

    If there is a model, it plans every prompt.
    """
    prompt = wanted.prompt or ""
    if wanted.template is not None:
        if wanted.template not in templates.all:
            known = ", ".join(templates.all) or "none"
            raise invalid("template", f"there is no template {wanted.template[:80]!r}; templates: {known}")
        match = templates.match(prompt, only=wanted.template)
        found = _of_template(wanted.template, match[1] if match else {}, wanted.inputs, uploads, templates)
        if prompt and not match:
            unused = f"The prompt is not used, because the request names the template {wanted.template}."
            found.notes.append(f"{unused} Without `template`, the prompt decides.")
        return found
    if wanted.steps:
        unused = "The prompt is not used, because the request has steps. Without `steps`, the prompt decides."
        return Plan("request", wanted.steps, notes=[unused] if prompt else [])
    if model:
        if wanted.inputs:
            raise invalid("inputs", "inputs need a template; name it in `template`")
        return Plan(MODEL, [])
    if blocks := fenced_steps(prompt):
        if wanted.inputs:
            raise invalid("inputs", "inputs need a template, but this prompt has code blocks")
        return Plan("code-blocks", blocks)
    if match := templates.match(prompt):
        return _of_template(match[0], match[1], wanted.inputs, uploads, templates)
    raise _no_plan(prompt, templates)


def _of_template(
    name: str, slots: dict[str, Value], given: dict[str, Value], uploads: Sequence[str], templates: Templates
) -> Plan:
    template = templates.all[name]
    for upload in uploads:
        if template.makes(upload):
            raise invalid("files", f"the template {name} writes {upload} itself; give the file another name")
    if template.files:
        _check_files(name, template.files, uploads, bool(template.sample))
    sample = template.sample if template.files and not uploads else []
    values = _values(name, template, slots, given)
    files = uploads or [path.name for path in sample]
    notes = []
    if sample:
        names = ", ".join(path.name for path in sample)
        notes.append(f"No file was uploaded, so the template {name} uses its own sample data: {names}.")
    return Plan(
        planned_by=f"template:{name}",
        steps=template.plan(values, files),
        outputs=list(template.outputs),
        network=template.network_for(values),
        inputs=values,
        sample=list(sample),
        notes=notes,
    )


def _values(name: str, template: Template, slots: dict[str, Value], given: dict[str, Value]) -> dict[str, Value]:
    """Return a value for each input: from the phrase or `inputs`, which must agree, else the default."""
    for key in given:
        if key not in template.inputs:
            known = ", ".join(template.inputs) or "none"
            raise invalid(f"inputs.{key[:80]}", f"the template {name} has no such input; it has: {known}")
    values: dict[str, Value] = {}
    for key, kind in template.inputs.items():
        found = given.get(key, slots.get(key, kind.default))
        if found is None:
            raise invalid(
                f"inputs.{key}", f"the template {name} needs this input: {kind.about} It must be {kind.bounds}"
            )
        try:
            values[key] = kind.check(found)
        except ValueError as error:
            raise invalid(f"inputs.{key}", str(error)) from None
        if key in given and key in slots and given[key] != slots[key]:
            raise invalid(f"inputs.{key}", f"is {given[key]!r}, but the prompt says {slots[key]!r}; give one of them")
    return values


def _check_files(name: str, files: Files, uploads: Sequence[str], sample: bool) -> None:
    for upload in uploads:
        if not files.accepts(upload):
            accepted = ", ".join(files.accept)
            raise invalid("files", f"the template {name} takes {accepted}, not {upload[:200]!r}: {files.about}")
    missing = len(uploads) < files.minimum and not (sample and not uploads)
    if missing or len(uploads) > files.maximum:
        raise invalid("files", f"the template {name} takes {files.count}, not {len(uploads)}: {files.about}")


def invalid(name: str, message: str) -> BadRequest:
    """Build the error for an invalid field."""
    error = {"field": name, "message": message}
    return BadRequest(422, "invalid", "Invalid request", f"{name}: {message.rstrip('.')}.", errors=[error])


def fenced_steps(prompt: str) -> Planned:
    """Return the fenced code blocks of a prompt as steps, in order.

    Raises BadRequest for a block that cannot run, instead of skipping it.
    """
    found: list[dict[str, str]] = []
    fence, indent, language, begin, lines = "", 0, "", 0, list[str]()
    for number, line in enumerate(LINE_END.split(prompt), 1):
        mark = FENCE.match(line)
        if not fence and mark:
            fence, indent, begin, lines = mark[2], len(mark[1]), number, []
            language = mark[3].split()[0].lower() if mark[3].strip() else ""
            if language not in FENCES:
                raise _bad_block(begin, f"has the language {language!r}" if language else "names no language")
        elif fence and mark and not mark[3].strip() and mark[2].startswith(fence) and len(mark[1]) <= indent + 3:
            source = "\n".join(lines) + "\n"
            if not source.strip():
                raise _bad_block(begin, "is empty")
            kind = FENCES[language]
            found.append({"kind": kind, KINDS[kind].SOURCE: source})
            fence = ""
        elif fence:
            lines.append(re.sub(rf"^[ \t]{{0,{indent}}}", "", line))
    if fence:
        raise _bad_block(begin, "is not closed")
    if len(found) > STEPS:
        raise BadRequest(422, "no-plan", "No plan", f"The prompt has {len(found)} code blocks; the maximum is {STEPS}.")
    try:
        return TypeAdapter(Steps).validate_python(found) if found else []
    except ValidationError as error:
        raise BadRequest(422, "no-plan", "No plan", f"A code block {words(error.errors()[0])}.") from None


def _bad_block(line: int, what: str) -> BadRequest:
    return BadRequest(
        422,
        "no-plan",
        "No plan",
        f"The code block at line {line} of the prompt {what}. Blocks begin with "
        f"{', '.join(BEGINNINGS[:-1])} or {BEGINNINGS[-1]} and end with ```.",
    )


def _no_plan(prompt: str, templates: Templates) -> BadRequest:
    near = templates.nearest(prompt)
    meant = f' The nearest is "{near.text}" ({near.template}).' if near else ""
    return BadRequest(
        422,
        "no-plan",
        "No plan",
        "No plan fits the prompt. Free text needs a model: set GEMINI_API_KEY, ANTHROPIC_API_KEY, or "
        "LLM_BASE_URL and LLM_MODEL for any other, in `.env`, then `make up`. Without one, give `steps`, or put code "
        f"blocks ({', '.join(BEGINNINGS)}) into the prompt, or use the phrase of a template as the whole prompt."
        f"{meant} Templates: {', '.join(templates.all)}; GET /templates lists their phrases.",
        templates={name: template.phrases[0] for name, template in templates.all.items()},
    )
