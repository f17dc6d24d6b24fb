"""Node steps: JavaScript."""

from __future__ import annotations

from agent.nodes.steps import StepNode
from protocol import messages
from protocol.file_names import STEP_SCRIPT

#: Saves its standard input as a script, runs it with Node.js, and removes it.
RUN = 'cat > "$1" || exit 126; node "$1"; code=$?; rm -f -- "$1"; exit "$code"'


class NodeStep(StepNode):
    """A script that is a file in the workspace while it runs.

    Node.js then finds packages, files and the type of a module beside it.
    """

    language = ".js"

    def command(self, step: messages.PlannedStep) -> tuple[list[str], str]:
        return ["/bin/sh", "-c", RUN, "sh", f"./{STEP_SCRIPT.format(number=step.number, suffix='js')}"], step.source

    def cell(self, step: messages.PlannedStep) -> str:
        return f"%%script node\n{step.source}"
