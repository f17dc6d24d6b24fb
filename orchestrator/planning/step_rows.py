"""Converts steps: from a plan to the store's rows, and from rows to the agent's messages."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.db.models import Job, Step
from orchestrator.planning.kinds import BaseStep
from protocol import messages


def rows_of(job: Job, steps: Sequence[BaseStep], first: int) -> list[Step]:
    """Return the rows of a plan from this step number on. The job's acceptance command comes last."""
    rows = [_row(job, number, step) for number, step in enumerate(steps, first)]
    return [*rows, *([check_row(job, job.check_command)] if job.check_command else [])]


def check_row(job: Job, command: str) -> Step:
    """Return the row of the acceptance command."""
    title = "Acceptance command"
    return Step(job_id=job.id, number=messages.CHECK, kind="check", title=title, source=command, seconds=job.seconds)


def planned_step(row: Step) -> messages.PlannedStep:
    """Return a step as the agent receives it."""
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
