"""Turn an answer into the next steps, and detect plans that only repeat the last one."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.db.models import Step
from orchestrator.planning.kinds import BaseStep, kind_of, writes
from orchestrator.reasoning.model_prompts import last_failed
from protocol import messages

Planned = list[BaseStep]


def merged(purpose: messages.Purpose, rows: Sequence[Step], answered: Planned) -> Planned:
    """Return the steps to run after an answer.

    An answer with commands is the complete plan. An answer with only files changes these files; then the failed step
    and the remaining steps run. After ``syntax`` no step has run, so files that the answer omits stay.
    """
    commands = any(not step.writes for step in answered)
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
    paths = {step.writes for step in answered if step.writes}
    kept = [row for row in pending if writes(row) not in paths]
    if commands:
        if purpose == "repair":
            return answered
        return [*(as_step(row) for row in kept if writes(row)), *answered]
    if purpose == "syntax":  # old order, each file at its old place
        found: Planned = []
        new = {step.writes: step for step in answered}
        for row in pending:
            found.append(new.pop(writes(row)) if writes(row) in new else as_step(row))
        return [*new.values(), *found]
    return [*answered, *(as_step(row) for row in kept)]


def repeats(purpose: messages.Purpose, rows: Sequence[Step], planned: Planned) -> str:
    """Return which part of a plan has just run (or failed to parse) and would run again unchanged. Empty if none."""
    after = [_same(step.kind, **step.columns()) for step in planned]
    if purpose == "syntax":
        waiting = [_same_row(row) for row in rows if row.status == "waiting" and row.number]
        return "the blocks that do not parse" if after == waiting else ""
    ran = [row for row in rows if row.number != messages.CHECK and row.ended_at is not None]
    before = [_same_row(row) for row in ran]
    if ran and ran[-1].status == "failed" and before[-1] in after:
        count = after.index(before[-1]) + 1
        if before[-count:] == after[:count]:
            return "the command that had just failed" if count == 1 else "the blocks of which the last had just failed"
    elif ran and after and before[-len(after) :] == after:
        return "the blocks that had just run"
    return ""


def _same_row(row: Step) -> tuple[str, str, str, list[str], bool]:
    return _same(row.kind, row.source, row.path, row.args, row.background)


def _same(
    kind: str, source: str, path: str = "", args: Sequence[str] = (), background: bool = False
) -> tuple[str, str, str, list[str], bool]:
    """Return a key that is equal for equal steps."""
    return kind, source.strip(), path, [*args], background


def as_step(row: Step) -> BaseStep:
    """A step as a plan has it, from its row."""
    return kind_of(row).from_row(row)
