"""Shell steps."""

from __future__ import annotations

from agent.nodes.steps import StepNode, save_source
from protocol import messages


class ShellStep(StepNode):
    """A bash script that ends at its first failing command."""

    language = "shell"

    def command(self, step: messages.PlannedStep) -> tuple[list[str], str]:
        return ["bash", "--noprofile", "--norc", "-eo", "pipefail", save_source(step, "sh")], ""

    def cell(self, step: messages.PlannedStep) -> str:
        return f"%%bash\n{step.source}"
