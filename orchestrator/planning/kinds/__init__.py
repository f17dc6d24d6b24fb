"""The kinds of steps. Each kind is a class here and a node in ``agent/nodes/``. ``messages.StepKind`` has its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from orchestrator.db.models import Step as Row
from orchestrator.planning.kinds.base import BaseStep
from orchestrator.planning.kinds.file import FileStep
from orchestrator.planning.kinds.node import NodeStep
from orchestrator.planning.kinds.python import PythonStep
from orchestrator.planning.kinds.shell import ShellStep
from protocol import messages

__all__ = [
    "FENCES",
    "KINDS",
    "BaseStep",
    "FileStep",
    "NodeStep",
    "PythonStep",
    "ShellStep",
    "Step",
    "kind_of",
    "writes",
]

#: Every kind, by its name.
KINDS: dict[str, type[BaseStep]] = {
    "shell": ShellStep,
    "python": PythonStep,
    "node": NodeStep,
    "file": FileStep,
}

#: The words after which a prompt fences a block to run, with the kind of each.
FENCES: dict[str, str] = {word: name for name, kind in KINDS.items() for word in kind.FENCES}

if TYPE_CHECKING:
    Step = BaseStep
else:
    #: A step of any kind, as pydantic reads it.
    Step = Annotated[Union[tuple(KINDS.values())], Field(discriminator="kind")]  # noqa: UP007


def kind_of(row: Row) -> type[BaseStep]:
    """Return the kind of a row. The acceptance command is a shell script."""
    return ShellStep if row.number == messages.CHECK else KINDS[row.kind]


def writes(row: Row) -> str:
    """Return the path of the file that a row's step writes, or an empty text if the step runs something."""
    return row.path if kind_of(row).WRITES else ""
