"""Steps as the record has them, from steps as a plan has them; and as the agent gets them."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.db.models import Job, Step
from orchestrator.planning.kinds import BaseStep
from protocol import messages


def rows_of(job: Job, steps: Sequence[BaseStep], first: int) -> list[Step]:
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


def _row(job: Job, number: int, step: BaseStep) -> Step:
    return Step(
        job_id=job.id,
        number=number,
        kind=step.kind,
        title=step.title or step.default_title(),
        seconds=step.seconds or job.seconds,
        seconds_given=step.seconds is not None,
        **step.columns(),
    )
