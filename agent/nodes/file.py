"""File steps."""

from __future__ import annotations

from pathlib import PurePosixPath

from agent.nodes.steps import StepNode
from protocol import messages

#: Writes its standard input to a file.
SAVE = 'mkdir -p -- "${1%/*}" && cat > "$1" || exit 126'


class FileStep(StepNode):
    """A file in the workspace with the given content."""

    writes = True

    def command(self, step: messages.PlannedStep) -> tuple[list[str], str]:
        return ["/bin/sh", "-c", SAVE, "sh", f"./{step.path}"], step.source

    def cell(self, step: messages.PlannedStep) -> str:
        return f"%%writefile {step.path}\n{step.source}"

    def language_of(self, step: messages.PlannedStep) -> str:
        return PurePosixPath(step.path).suffix.lower()
