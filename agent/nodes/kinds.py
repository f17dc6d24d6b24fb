"""The kinds of steps. Each kind is a node here and a class in ``orchestrator/planning/kinds/``."""

from __future__ import annotations

from collections.abc import Sequence

from agent.nodes.file import FileStep
from agent.nodes.node import NodeStep
from agent.nodes.python import PythonStep
from agent.nodes.shell import ShellStep
from agent.nodes.steps import StepNode
from agent.workspace.source_check import StepSource
from protocol import messages

#: Every kind, by its name.
KINDS: dict[messages.StepKind, type[StepNode]] = {
    "shell": ShellStep,
    "python": PythonStep,
    "node": NodeStep,
    "file": FileStep,
}


def cell(step: messages.PlannedStep) -> str:
    """Return the live notebook's cell that does the same as a step or as the check."""
    return KINDS[step.kind]().cell(step)


def written(steps: Sequence[messages.PlannedStep]) -> set[str]:
    """Return the paths of the files that file steps write."""
    return {step.path for step in steps if KINDS[step.kind].writes}


def sources(steps: Sequence[messages.PlannedStep]) -> list[StepSource]:
    """Return the sources of steps for ``source_check``."""
    return [StepSource(step.number, KINDS[step.kind]().language_of(step), step.source) for step in steps]
