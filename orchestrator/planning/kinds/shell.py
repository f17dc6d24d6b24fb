"""Shell steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field

from orchestrator.db.models import Step as Row
from orchestrator.planning import placeholders
from orchestrator.planning.fields import SHELL, Source
from orchestrator.planning.kinds.base import BaseStep
from orchestrator.planning.template_inputs import Value


class ShellStep(BaseStep):
    """A bash script. It ends at its first failing command (`bash -eo pipefail`)."""

    kind: Literal["shell"]
    script: Source
    background: bool = Field(False, description="Keeps running until packaging, while later steps run.")

    SOURCE = "script"
    LANGUAGE = "bash"
    FENCES = SHELL
    ALIASES = ("zsh", "console", "terminal", "shell-session", "shellsession", "bash-session")
    SUFFIXES = ("sh", "bash")
    PROGRAM = "bash"
    MIXED_SUFFIXES = ("zsh", "md", "txt", "env", "conf", "cfg")

    def columns(self) -> dict[str, Any]:
        return {"source": self.script, "background": self.background}

    @classmethod
    def fields_of(cls, row: Row) -> dict[str, Any]:
        return {"script": row.source}

    def used_inputs(self, known: Collection[str]) -> set[str]:
        placeholders.check_shell(self.script, known)
        return placeholders.names(self.script)

    def filled(self, values: Mapping[str, Value], files: Sequence[str]) -> Self:
        return self.model_copy(update={"script": placeholders.fill_shell(self.script, values, files)})
