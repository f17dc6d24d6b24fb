"""Steps as the record has them, from steps as a plan has them; and as the agent gets them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from orchestrator.db.models import Job, Step
from orchestrator.planning.steps import FileStep, PythonStep, ShellStep, default_title
from protocol import messages


def rows_of(job: Job, steps: Sequence[ShellStep | PythonStep | FileStep], first: int) -> list[Step]:
    """The rows of a plan whose first step has this number, with that of the job's acceptance command at the end."""
    rows = [_row(job, number, step) for number, step in enumerate(steps, first)]
    return [*rows, *([check_row(job, job.check_command)] if job.check_command else [])]


def check_row(job: Job, command: str) -> Step:
    """The acceptance command as a step."""
    title = "Acceptance command"
    return Step(job_id=job.id, number=messages.CHECK, kind="check", title=title, source=command, seconds=job.seconds)


def planned_step(row: Step) -> messages.PlannedStep:
    """A step as the agent gets it."""
    kind: messages.StepKind = row.kind  # type: ignore[assignment]
    return messages.PlannedStep(
        row.number, kind, row.title, row.source, row.seconds, row.path, row.args, row.background
    )


def source_of(step: ShellStep | PythonStep | FileStep) -> str:
    """What a step does, whatever its kind."""
    if isinstance(step, FileStep):
        return step.content
    if isinstance(step, ShellStep):
        return step.script
    return step.code or shlex.join(["python", step.file or "", *step.args])


def _row(job: Job, number: int, step: ShellStep | PythonStep | FileStep) -> Step:
    script = isinstance(step, PythonStep) and step.file
    return Step(
        job_id=job.id,
        number=number,
        kind=step.kind,
        title=step.title or default_title(step),
        source=source_of(step),
        path=step.path if isinstance(step, FileStep) else script or "",
        args=step.args if isinstance(step, PythonStep) else [],
        background=False if isinstance(step, FileStep) else step.background,
        seconds=step.seconds or job.seconds,
        seconds_given=step.seconds is not None,
    )
