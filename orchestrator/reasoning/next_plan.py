"""Turn an answer into the next steps, and detect plans that only repeat the last one."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.db.models import Step
from orchestrator.planning.step_rows import source_of
from orchestrator.planning.steps import FileStep, PythonStep, ShellStep
from orchestrator.reasoning.model_prompts import last_failed
from protocol import messages

Planned = list[ShellStep | PythonStep | FileStep]


def merged(purpose: messages.Purpose, rows: Sequence[Step], answered: Planned) -> Planned:
    """Return the steps to run after an answer.

    An answer with commands is the complete plan. An answer with only files changes these files; then the failed step
    and the remaining steps run. After ``syntax`` no step has run, so files that the answer omits stay.
    """
    commands = any(not isinstance(step, FileStep) for step in answered)
    mine = [row for row in rows if row.number != messages.CHECK]
    waiting = [row for row in mine if row.status == "waiting"]
    if purpose == "syntax":
        pending = waiting
    elif purpose == "repair":
        failed = last_failed(rows)
        again = [failed] if failed is not None and failed.number != messages.CHECK else []
        pending = [*again, *waiting]
    else:
        return answered
    paths = {step.path for step in answered if isinstance(step, FileStep)}
    kept = [row for row in pending if not (row.kind == "file" and row.path in paths)]
    if commands:
        if purpose == "repair":
            return answered
        return [*(as_step(row) for row in kept if row.kind == "file"), *answered]
    if purpose == "syntax":  # old order, each file at its old place
        found: Planned = []
        new = {step.path: step for step in answered if isinstance(step, FileStep)}
        for row in pending:
            found.append(new.pop(row.path) if row.kind == "file" and row.path in new else as_step(row))
        return [*new.values(), *found]
    return [*answered, *(as_step(row) for row in kept)]


def repeats(purpose: messages.Purpose, rows: Sequence[Step], planned: Planned) -> str:
    """Return which part of a plan has just run (or failed to parse) and would run again unchanged. Empty if none."""
    after = [_same(step.kind, source_of(step), getattr(step, "path", ""), step) for step in planned]
    if purpose == "syntax":
        waiting = [_same(row.kind, row.source, row.path, row) for row in rows if row.status == "waiting" and row.number]
        return "the blocks that do not parse" if after == waiting else ""
    ran = [row for row in rows if row.number != messages.CHECK and row.ended_at is not None]
    before = [_same(row.kind, row.source, row.path, row) for row in ran]
    if ran and ran[-1].status == "failed" and before[-1] in after:
        count = after.index(before[-1]) + 1
        if before[-count:] == after[:count]:
            return "the command that had just failed" if count == 1 else "the blocks of which the last had just failed"
    elif ran and after and before[-len(after) :] == after:
        return "the blocks that had just run"
    return ""


def _same(kind: str, source: str, path: str, step: object) -> tuple[str, str, str, bool]:
    """Return a key that is equal for equal steps."""
    return kind, source.strip(), path, bool(getattr(step, "background", False))


def as_step(row: Step) -> ShellStep | PythonStep | FileStep:
    """Convert a row to a step of a plan."""
    if row.kind == "file":
        return FileStep(kind="file", path=row.path, content=row.source, title=row.title)
    if row.kind == "shell":
        return ShellStep(kind="shell", script=row.source, title=row.title, background=row.background)
    return PythonStep(kind="python", code=row.source, title=row.title, background=row.background)
