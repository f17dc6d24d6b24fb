"""What a model is asked: the prompts of ``prompts/``, filled in from the record, and the shape of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from agent import wire
from orchestrator.documents import printed
from orchestrator.models import Event, Job, Step
from orchestrator.notebook import drawn
from orchestrator.plan import STEPS, Command, FileStep, Outputs, PythonStep, ShellStep, Steps
from orchestrator.rows import source_of
from orchestrator.sizes import show_size

FOLDER = Path(__file__).parent / "prompts"
PROMPTS = {
    name: Template((FOLDER / f"{name}.md").read_text("utf-8")) for name in ("system", "plan", "repair", "review")
}

#: Characters of each part of a question; of what is longer, the middle is left out, with a marker.
PROMPT, SOURCE, PRINTED, WORKSPACE, TITLE, WAITING = 40_000, 8_000, 8_000, 60_000, 120, 24_000

#: What a model is told of a job's network.
NETWORKS = {
    "none": "none, so nothing can be downloaded or installed",
    "internet": "internet; pip and npm can install more",
}

#: Steps that are told of one by one.
TOLD = 40


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AnsweredStep(_Answer):
    """A step in the one shape that every provider's schema language can say."""

    kind: Literal["shell", "python", "file"]
    title: str
    source: str
    path: str


class AnsweredPlan(_Answer):
    missing: str  # what only the person can give, where nothing can be done without it
    steps: list[AnsweredStep]
    outputs: list[str]
    check: str


class AnsweredReview(_Answer):
    accept: bool
    summary: str
    steps: list[AnsweredStep]


SHAPES: dict[wire.Purpose, type[AnsweredPlan] | type[AnsweredReview]] = {
    "plan": AnsweredPlan,
    "repair": AnsweredPlan,
    "review": AnsweredReview,
}


class Unusable(Exception):
    """The answer has the right shape, but no plan can be made of it; a sentence that the model can act on."""


def question(job: Job, steps: Sequence[Step], outputs: Sequence[Event], ask: wire.Ask) -> tuple[str, str]:
    """The system's text and the user's text of a question."""
    system = PROMPTS["system"].substitute(
        seconds=f"{job.seconds:g}",
        memory=show_size(job.memory),
        cpus=f"{job.cpus:g}",
        network=NETWORKS[job.network],
        secrets=", ".join(job.secrets) or "none",
    )
    parts = {
        "prompt": cut(job.prompt, PROMPT),
        "given": _given(job),
        "steps": _told(steps),
        "workspace": cut(ask.workspace, WORKSPACE),
        "check": _check(steps),
    }
    failed = next((step for step in reversed(steps) if step.status == "failed" and step.number != wire.CHECK), None)
    if ask.purpose == "repair" and failed:
        parts |= {
            "failed": f"step {failed.number}",
            "detail": cut(failed.detail, PRINTED),
            "source": cut(failed.source, SOURCE),
            "printed": cut(_printed(outputs, failed.number), PRINTED),
            "outputs": ", ".join(job.outputs) or "none",
            "check": cut(job.check_command, SOURCE) or "none",
            "waiting": cut(_waiting(steps), WAITING),
        }
    else:
        ended = [step.number for step in steps if step.ended_at is not None and step.number != wire.CHECK]
        parts["printed"] = cut("".join(_printed(outputs, number) for number in ended[-3:]), PRINTED)
        parts["outputs"] = cut(_outputs(job, ask.missing), SOURCE)
    return system, PROMPTS[ask.purpose].safe_substitute(parts)


def steps_of(answered: Sequence[AnsweredStep]) -> list[ShellStep | PythonStep | FileStep]:
    """The steps of an answer as those of a plan; raises Unusable."""
    if not answered:
        raise Unusable("there is no step in it")
    if len(answered) > STEPS:
        raise Unusable(f"it has {len(answered):,} steps, and {STEPS} can be run")
    found = []
    for step in answered:
        where = {"shell": "script", "python": "code", "file": "content"}[step.kind]
        title = " ".join(step.title.split())
        title = title if len(title) <= TITLE else f"{title[: TITLE - 1]}…"
        path = {"path": step.path.removeprefix("/workspace/")} if step.kind == "file" else {}
        found.append({"kind": step.kind, "title": title, where: step.source, **path})
    return list(_checked(Steps, found))


def repeated(steps: Sequence[Step], planned: Sequence[ShellStep | PythonStep | FileStep]) -> str:
    """What of a plan has just run and would run again with nothing else before it; empty where it is a new one."""
    ran = [step for step in steps if step.number != wire.CHECK and step.ended_at is not None]
    before = [(step.kind, step.source, step.path) for step in ran]
    after = [(step.kind, source_of(step), getattr(step, "path", "")) for step in planned]
    if ran and ran[-1].status == "failed" and before[-1] in after:
        count = after.index(before[-1]) + 1
        if before[-count:] == after[:count]:
            return "the step that had just failed" if count == 1 else "the steps of which the last had just failed"
    elif ran and before[-len(after) :] == after:
        return "the steps that had just run"
    return ""


def check_of(answered: str) -> str:
    """The acceptance command of an answer; raises Unusable."""
    return str(_checked(Command, answered)) if answered.strip() else ""


def outputs_of(answered: Sequence[str]) -> list[str]:
    """The declared outputs of an answer; raises Unusable."""
    paths = [path.removeprefix("/workspace/").removeprefix("./") for path in answered if path.strip()]
    return list(_checked(Outputs, paths))


def cut(text: str, most: int) -> str:
    """A text without its middle where it is too long, with a marker that says how much is left out.

    Nothing in it can end the block that it stands in.
    """
    text = text.replace("~~~~~~~~", "~ ~ ~ ~ ")
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters are left out here …]\n{text[-half:]}"


def _checked(shape: Any, content: Any) -> Any:
    try:
        return TypeAdapter(shape).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unusable(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


def _given(job: Job) -> str:
    """What the person has said beside the prompt: it outranks the model."""
    lines = []
    if "outputs" in job.given:
        lines.append(f"The person wants these files, so `outputs` is settled: {', '.join(job.outputs)}")
    if "check" in job.given:
        lines.append(f"The person's own acceptance command, so `check` is settled: {job.check_command}")
    return "".join(f"{line}\n" for line in lines) + ("\n" if lines else "")


def _told(steps: Sequence[Step]) -> str:
    told = [step for step in steps if step.number != wire.CHECK]
    lines = [f"[… {len(told) - TOLD} earlier steps are left out …]"] if len(told) > TOLD else []
    for step in told[-TOLD:]:
        code = f", exit code {step.exit_code}" if step.exit_code is not None else ""
        lines.append(f"{step.number}. {step.kind}: {step.title} ({step.status}{code})")
    return "\n".join(lines) or "none"


def _outputs(job: Job, missing: Sequence[str]) -> str:
    """The declared outputs, and whether they are there."""
    lines = [f"- {pattern}: {'nothing matches it' if pattern in missing else 'there'}" for pattern in job.outputs]
    return "\n".join(lines) or "none"


def _waiting(steps: Sequence[Step]) -> str:
    """The steps that have not run, with their sources: a mended plan takes their place."""
    waiting = [step for step in steps if step.status == "waiting" and step.number != wire.CHECK]
    told = [
        f"{step.number}. {f'{step.kind} {step.path}'.strip()}: {step.title}\n{cut(step.source, SOURCE)}"
        for step in waiting
    ]
    return "\n\n".join(told) or "none"


def _check(steps: Sequence[Step]) -> str:
    check = next((step for step in steps if step.number == wire.CHECK), None)
    if check is None:
        return "there is none"
    if check.exit_code is None:
        return f"`{check.source}` has not run"
    return f"`{cut(check.source, 1000)}` ended with exit code {check.exit_code}. {cut(check.detail, 2000)}"


def _printed(outputs: Sequence[Event], number: int) -> str:
    return drawn("".join(printed(event) for event in outputs if event.data["step"] == number))
