"""From a request to a plan, without a model: given steps, fenced code blocks, or a template."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import BadRequest
from orchestrator.plan import STEPS, FileStep, PythonStep, ShellStep, Steps
from orchestrator.templates import Templates

#: The info string of a fenced code block → the kind of step.
LANGUAGES = {
    "bash": "shell", "sh": "shell", "shell": "shell",
    "python": "python", "python3": "python", "py": "python",
}  # fmt: skip

#: A line that opens or closes a block, see CommonMark 0.31, 4.5; a list around it may indent it further.
FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*([^`]*?)\s*$")

LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass
class Plan:
    """The steps of a job, who made them, and the outputs that come with them."""

    planned_by: str
    steps: list[ShellStep | PythonStep | FileStep]
    outputs: list[str] = field(default_factory=list)
    network: str | None = None  # what the template needs; None: whatever is the default
    inputs: dict[str, Any] = field(default_factory=dict)  # the values of the template's inputs
    sample: list[Path] = field(default_factory=list)  # files for a job whose caller sent none


def plan(
    prompt: str, steps: list[ShellStep | PythonStep | FileStep] | None, templates: Templates, model_key: bool
) -> Plan:
    """The plan of a request; raises BadRequest (422) that says what would make one."""
    if steps:
        return Plan("request", steps)
    if blocks := fenced_steps(prompt):
        return Plan("code-blocks", blocks)
    if name := templates.match(prompt):
        template = templates.all[name]
        return Plan(f"template:{name}", list(template.steps), list(template.outputs))
    raise _no_plan(templates, model_key)


def fenced_steps(prompt: str) -> list[ShellStep | PythonStep | FileStep]:
    """The fenced code blocks of a prompt as steps, in order.

    Raises BadRequest for a block that cannot be run: none is passed over in silence.
    """
    found: list[dict[str, str]] = []
    fence, indent, kind, begin, lines = "", 0, "", 0, list[str]()
    for number, line in enumerate(LINE_END.split(prompt), 1):
        mark = FENCE.match(line)
        if not fence and mark:
            fence, indent, begin, lines = mark[2], len(mark[1]), number, []
            language = mark[3].split()[0].lower() if mark[3] else ""
            if language not in LANGUAGES:
                raise _bad_block(begin, f"has the language {language!r}" if language else "names no language")
            kind = LANGUAGES[language]
        elif fence and mark and not mark[3] and mark[2].startswith(fence) and len(mark[1]) <= indent + 3:
            source = "\n".join(lines) + "\n"
            if not source.strip():
                raise _bad_block(begin, "is empty")
            found.append({"kind": kind, "script" if kind == "shell" else "code": source})
            fence = ""
        elif fence:
            lines.append(re.sub(rf"^[ \t]{{0,{indent}}}", "", line))
    if fence:
        raise _bad_block(begin, "is not closed")
    if len(found) > STEPS:
        raise BadRequest(422, "no-plan", "No plan", f"The prompt has {len(found)} code blocks; {STEPS} can be run.")
    try:
        return TypeAdapter(Steps).validate_python(found) if found else []
    except ValidationError as error:
        raise BadRequest(
            422, "no-plan", "No plan", f"A code block cannot be run: {error.errors()[0]['msg']}."
        ) from None


def _bad_block(line: int, what: str) -> BadRequest:
    return BadRequest(
        422,
        "no-plan",
        "No plan",
        f"The code block at line {line} of the prompt {what}. A block that is to be run begins with ```bash or "
        "```python and ends with ```.",
    )


def _no_plan(templates: Templates, model_key: bool) -> BadRequest:
    known = "; ".join(f'{name}: "{template.phrases[0]}"' for name, template in templates.all.items())
    key = (
        "GEMINI_API_KEY is set, but this version does not ask a model yet."
        if model_key
        else "Free text needs a model (GEMINI_API_KEY), which this version does not ask yet."
    )
    return BadRequest(
        422,
        "no-plan",
        "No plan",
        f"No plan could be made of the prompt. {key} Without a model, give `steps`, or put code blocks (```bash, "
        f"```python) into the prompt, or use the phrase of a template as the whole prompt. Templates: {known}.",
        templates={name: template.phrases for name, template in templates.all.items()},
    )
